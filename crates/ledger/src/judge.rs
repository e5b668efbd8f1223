//! What becomes of one question or one end in the transaction of a batch: the rules applied to the open file.
//!
//! Guarantees: an entry that the file refuses for what it is fails alone. Does not: commit anything.

use std::collections::HashMap;

use gateway::ledger::{Attempt, Away, Conclusion, Intent, Known, Running, State, Stored};
use rusqlite::ErrorCode;
use tokio::sync::watch;

use crate::{
    Settings,
    command::{Question, Said},
    rules::{self, Row, Verdict},
    schema,
    store::Store,
    times::Now,
};

/// Attempts that tasks of this process work on; whoever waits for their end waits for the sender to go.
pub(crate) type Live = HashMap<Attempt, watch::Sender<()>>;

/// What is known of an attempt, and not written yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) note: Option<Row>,
    pub(crate) conclusions: Vec<(Conclusion, Now)>,
}

/// What a question came to, before it is committed.
pub(crate) enum Judged {
    Begun(Attempt, bool),
    /// It was open, and is now in this state.
    Settled(Attempt, State),
    Said(Said),
}

/// An entry that the file refuses for what it is fails alone; whatever else goes wrong, goes wrong for the whole batch.
pub(crate) fn alone<T>(done: rusqlite::Result<T>) -> rusqlite::Result<Result<T, Away>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error) if is_of_one(&error) => {
            tracing::error!("the order journal does not take or give one entry ({error})");
            Ok(Err(schema::away(&error)))
        }
        Err(error) => Err(error),
    }
}

fn is_of_one(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    let refused = matches!(
        code,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
    );
    // No code: the row that was read is not as this program writes it.
    refused || code.is_none()
}

pub(crate) fn write_waiting(
    store: &mut Store,
    (attempt, waiting): (&Attempt, &Waiting),
) -> rusqlite::Result<()> {
    if let Some(note) = &waiting.note {
        store.insert(note)?;
    }
    if waiting.conclusions.is_empty() {
        return Ok(());
    }
    let Some(mut row) = store.find(*attempt)? else {
        return Ok(());
    };
    let mut changed = false;
    let mut answer = None;
    for (conclusion, at) in &waiting.conclusions {
        if row.conclude(conclusion, *at) {
            changed = true;
            answer = rules::answer(conclusion);
        }
    }
    if changed {
        store.save(&row, answer)?;
    }
    Ok(())
}

pub(crate) fn judge(
    store: &mut Store,
    live: &mut Live,
    question: &Question,
    settings: &Settings,
    now: Now,
) -> rusqlite::Result<Judged> {
    let said = match question {
        Question::Begin(intent) => {
            let holders = store.holders(intent)?;
            let verdict = verdict(live, intent, &holders, settings, now);
            if matches!(verdict, Verdict::Fresh) {
                store.insert(&Row::begin(intent, false, now))?;
                live.insert(intent.attempt, watch::Sender::new(()));
                let is_again = store.were_released(intent)?;
                return Ok(Judged::Begun(intent.attempt, is_again));
            }
            Said::Known(known(live, verdict, |row| store.answer(row.id))?)
        }
        Question::Look(intent) => {
            let holders = store.holders(intent)?;
            let verdict = verdict(live, intent, &holders, settings, now);
            Said::Known(known(live, verdict, |row| store.answer(row.id))?)
        }
        Question::Due(account, most) => {
            let mut rows = store.due(account, *most, now)?;
            for row in &mut rows {
                row.look(now);
                store.save(row, None)?;
            }
            Said::Entries(rows.into_iter().map(|row| row.entry(now)).collect())
        }
        Question::AreOpen(account, orders) => {
            store.are_open(account, orders, now)?;
            Said::Heard
        }
        Question::Settle(attempt, settled) => {
            let mut row = match store.find(*attempt)? {
                // What a task works on ends by that task alone.
                Some(row) if !live.contains_key(attempt) => row,
                _ => return Ok(Judged::Said(Said::WasOpen(false))),
            };
            if !row.settle(settled, now) {
                return Ok(Judged::Said(Said::WasOpen(false)));
            }
            store.save(&row, None)?;
            return Ok(Judged::Settled(row.attempt, row.state));
        }
        Question::List(listing) => {
            let rows = store.list(listing)?;
            Said::Entries(rows.into_iter().map(|row| row.entry(now)).collect())
        }
    };
    Ok(Judged::Said(said))
}

pub(crate) fn verdict<'a>(
    live: &Live,
    intent: &Intent,
    holders: &'a [Row],
    settings: &Settings,
    now: Now,
) -> Verdict<'a> {
    let is_live = holders.iter().all(|row| live.contains_key(&row.attempt));
    rules::judge(intent, holders, is_live, now, settings.replay)
}

pub(crate) fn known(
    live: &Live,
    verdict: Verdict<'_>,
    answer: impl FnOnce(&Row) -> rusqlite::Result<Option<Stored>>,
) -> rusqlite::Result<Option<Known>> {
    Ok(Some(match verdict {
        Verdict::Fresh => return Ok(None),
        Verdict::Answered(row) => match answer(row)? {
            Some(answer) => Known::Answered(answer),
            None => Known::Used(row.past()),
        },
        Verdict::Running(row) => match live.get(&row.attempt) {
            Some(ends) => Known::Running(Running(ends.subscribe())),
            None => Known::Unknown(row.past()),
        },
        Verdict::Unknown(row) => Known::Unknown(row.past()),
        Verdict::Used(row) => Known::Used(row.past()),
        Verdict::Differs => Known::Differs,
        Verdict::Taken => Known::Taken,
    }))
}
