//! How the calls of a span of time ended, counted in buckets and by method, and the newest of those that
//! ended badly.
//!
//! Guarantees: one pass over the span by the index of the time, without sorting; the bad calls are looked for only in
//! buckets that have some, so that a million good calls are read once. Does not: keep anything between two questions.

use std::collections::HashMap;

use super::{
    questions::{CallRow, Questions},
    schema::{Problem, query_all, signed, unsigned},
};

/// A quarter of an hour, in milliseconds.
const QUARTER_MS: u64 = 15 * 60 * 1000;
/// Quarters of a day.
const QUARTERS: u64 = 96;

/// How a call ended, as the timeline shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    /// The exchange took it as authentic and judged it on its merits.
    Good,
    /// The exchange, or its edge, refused key, signature, nonce, address or permission.
    Auth,
    /// No conclusive answer, or none at all.
    Failed,
    /// The exchange objected to a malformed request or to a budget: it says nothing of the credentials.
    Limited,
    /// Refused by this proxy; the exchange was not asked.
    RefusedHere,
}

impl End {
    /// Every end.
    pub const ALL: [Self; 5] = [
        Self::Good,
        Self::Auth,
        Self::Failed,
        Self::Limited,
        Self::RefusedHere,
    ];

    /// Whether it says that something is wrong with the credentials or the connection.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Auth | Self::Failed)
    }

    /// The end of a row of the history.
    #[must_use]
    pub fn of(verdict: Option<&str>, outcome: &str) -> Self {
        match verdict {
            Some("good") => Self::Good,
            Some("auth") => Self::Auth,
            Some(_) => Self::Failed,
            None if outcome == "refused" => Self::RefusedHere,
            None => Self::Limited,
        }
    }
}

/// Equal buckets of time, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When the first begins, in milliseconds since 1970.
    pub from_ms: u64,
    /// How long each is, in milliseconds.
    pub bucket_ms: u64,
    /// How many.
    pub buckets: u64,
}

impl Span {
    /// The 96 quarters of an hour, on the clock's, that end with the current one.
    #[must_use]
    pub const fn last_day(now_ms: u64) -> Self {
        let until = (now_ms / QUARTER_MS + 1) * QUARTER_MS;
        Self {
            from_ms: until.saturating_sub(QUARTERS * QUARTER_MS),
            bucket_ms: QUARTER_MS,
            buckets: QUARTERS,
        }
    }

    /// When the last ends, in milliseconds since 1970.
    #[must_use]
    pub const fn until_ms(self) -> u64 {
        self.from_ms + self.bucket_ms * self.buckets
    }

    /// When a bucket begins, in milliseconds since 1970.
    #[must_use]
    pub const fn start_ms(self, bucket: u64) -> u64 {
        self.from_ms + self.bucket_ms * bucket
    }
}

/// So many calls of one method ended so in one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The bucket, from 0.
    pub bucket: u64,
    /// The method, where the body was understood.
    pub method: Option<String>,
    /// How they ended.
    pub end: End,
    /// How many.
    pub calls: u64,
}

/// The calls of a span, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The time that is counted.
    pub span: Span,
    /// In the order of buckets, methods and ends.
    pub counts: Vec<Count>,
}

/// Bucket, and the numbers of method, verdict and outcome.
type WordNumbers = (u64, Option<i64>, Option<i64>, i64);

impl Timeline {
    /// Counts the calls of a span.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn read(questions: &Questions, span: Span) -> Result<Self, Problem> {
        let words = questions.words()?;
        let mut counts = HashMap::<WordNumbers, u64>::new();
        let from_until = [signed(span.from_ms), signed(span.until_ms())];
        let bucket = |ms: u64| ms.saturating_sub(span.from_ms) / span.bucket_ms;
        let columns = "SELECT ms, method, verdict, outcome FROM";
        let condition = "WHERE ms >= ?1 AND ms < ?2";
        let select =
            format!("{columns} call {condition} UNION ALL {columns} unsent_call {condition}");
        query_all(&questions.0, &select, from_until, |row| {
            let bucket = bucket(unsigned(row, 0)?);
            *counts
                .entry((bucket, row.get(1)?, row.get(2)?, row.get(3)?))
                .or_default() += 1;
            Ok(())
        })?;
        let word = |number: i64| words.get(&number).map(String::as_str);
        let mut all = HashMap::<(u64, Option<String>, End), u64>::new();
        for ((bucket, method, verdict, outcome), calls) in counts {
            let end = End::of(verdict.and_then(word), word(outcome).unwrap_or_default());
            *all.entry((bucket, method.and_then(word).map(str::to_owned), end))
                .or_default() += calls;
        }
        let select =
            "SELECT minute_ms, count FROM refused_call WHERE minute_ms >= ?1 AND minute_ms < ?2";
        query_all(&questions.0, select, from_until, |row| {
            let bucket = bucket(unsigned(row, 0)?);
            *all.entry((bucket, None, End::RefusedHere)).or_default() += unsigned(row, 1)?;
            Ok(())
        })?;
        let mut counts: Vec<_> = all
            .into_iter()
            .map(|((bucket, method, end), calls)| Count {
                bucket,
                method,
                end,
                calls,
            })
            .collect();
        counts.sort_by(|a, b| (a.bucket, &a.method, a.end).cmp(&(b.bucket, &b.method, b.end)));
        Ok(Self { span, counts })
    }

    /// How many calls ended so.
    #[must_use]
    pub fn total(&self, end: End) -> u64 {
        let ended_so = self.counts.iter().filter(|count| count.end == end);
        ended_so.map(|count| count.calls).sum()
    }

    /// The newest calls that ended in one of these ways, newest first.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn newest(
        &self,
        questions: &Questions,
        ends: &[End],
        limit: usize,
    ) -> Result<Vec<CallRow>, Problem> {
        let mut buckets: Vec<u64> = self
            .counts
            .iter()
            .filter(|count| ends.contains(&count.end))
            .map(|count| count.bucket)
            .collect();
        buckets.dedup();
        let mut found = Vec::new();
        for bucket in buckets.into_iter().rev() {
            let left = limit.saturating_sub(found.len());
            if left == 0 {
                break;
            }
            let (from_ms, until_ms) = (self.span.start_ms(bucket), self.span.start_ms(bucket + 1));
            found.extend(newest_between(questions, from_ms, until_ms, ends, left)?);
        }
        Ok(found)
    }
}

fn newest_between(
    questions: &Questions,
    from_ms: u64,
    until_ms: u64,
    ends: &[End],
    limit: usize,
) -> Result<Vec<CallRow>, Problem> {
    let clauses: Vec<&str> = ends.iter().map(|end| clause(*end)).collect();
    let condition = format!("ms >= ?1 AND ms < ?2 AND ({})", clauses.join(" OR "));
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = || [signed(from_ms), signed(until_ms), most];
    let mut newest = questions.calls_newest_first(&condition, values)?;
    newest.truncate(limit);
    Ok(newest)
}

/// The rows that end so; the words are looked up once, as constants of the statement.
const fn clause(end: End) -> &'static str {
    match end {
        End::Good => "verdict = (SELECT id FROM word WHERE word = 'good')",
        End::Auth => "verdict = (SELECT id FROM word WHERE word = 'auth')",
        End::Failed => "verdict = (SELECT id FROM word WHERE word = 'failed')",
        End::Limited => {
            "(verdict IS NULL AND outcome IS NOT (SELECT id FROM word WHERE word = 'refused'))"
        }
        End::RefusedHere => {
            "(verdict IS NULL AND outcome = (SELECT id FROM word WHERE word = 'refused'))"
        }
    }
}
