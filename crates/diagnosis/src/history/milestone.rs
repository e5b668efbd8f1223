//! Good or bad: what a call says of the credentials and the connection to the exchange, and per method the last streak.
//!
//! Guarantees: good means that the exchange took the call as authentic and judged it on its merits; what we refused
//! ourselves, a malformed request and a budget say nothing either way. Milestones outlive the calls they are taken from.

use std::collections::HashMap;

use rusqlite::Connection;
use serde::Serialize;

use super::schema::{Problem, as_time, query_all, unsigned};
use crate::verdict::{Objection, Verdict};
use gateway::record::CallReport;

/// What kind of trouble a streak is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trouble {
    /// The exchange, or its edge, refused key, signature, nonce, address or permission.
    Auth,
    /// No conclusive answer: the network, the edge, or the exchange itself.
    Failed,
}

impl Trouble {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Auth, Self::Failed];

    /// The trouble that a verdict is, if it is one.
    #[must_use]
    pub const fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Inconclusive
            | Verdict::Objection(Objection::Maintenance | Objection::Outage) => Some(Self::Failed),
            _ if verdict.is_refusal() => Some(Self::Auth),
            Verdict::Accepted
            | Verdict::Objection(_)
            | Verdict::NoEvidence
            | Verdict::RefusedHere => None,
        }
    }

    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Failed => "failed",
        }
    }
}

/// The word in the file for what a call says; `None` where it says nothing either way.
pub(super) fn stored_word(verdict: Verdict) -> Option<&'static str> {
    if verdict.is_accepted() {
        return Some("good");
    }
    Trouble::of(verdict).map(Trouble::word)
}

/// One call that is remembered for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Milestone {
    /// When it ended, in milliseconds since 1970.
    #[serde(rename = "time", serialize_with = "as_time")]
    pub ms: u64,
    /// Its request id; not written here: a support bundle has its single calls in a list of their own.
    #[serde(skip)]
    pub rid: String,
    /// The fingerprint of the key that signed it.
    pub key_fp: String,
    /// Our outbound address then, where it was known.
    pub address: Option<String>,
    /// The HTTP status.
    #[serde(rename = "http")]
    pub status: u16,
    /// The exchange's code.
    pub code: Option<i64>,
    /// What became of it.
    pub outcome: String,
    /// Why there was no conclusive answer.
    pub why: Option<String>,
}

impl Milestone {
    pub(super) fn of(ms: u64, report: &CallReport) -> Self {
        Self {
            ms,
            rid: report.rid.to_string(),
            key_fp: report.key_fingerprint.to_string(),
            address: report
                .outbound
                .as_ref()
                .map(|seen| seen.address.to_string()),
            status: report.status,
            code: report.code,
            outcome: report.outcome.word().to_owned(),
            why: report.why.map(str::to_owned),
        }
    }
}

/// A run of bad calls of one kind, and the good ones around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Streak {
    /// The last good call before it.
    pub before: Option<Milestone>,
    /// The first bad one.
    pub first: Option<Milestone>,
    /// The last bad one so far.
    pub last: Option<Milestone>,
    /// The first good one after it; none while it lasts.
    pub after: Option<Milestone>,
}

/// What is remembered of one method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Milestones {
    /// The last good call.
    pub good: Option<Milestone>,
    /// The last streak of refused calls.
    pub auth: Streak,
    /// The last streak of calls without a conclusive answer.
    pub failed: Streak,
}

impl Milestones {
    /// The last streak of this kind.
    #[must_use]
    pub const fn streak(&self, trouble: Trouble) -> &Streak {
        match trouble {
            Trouble::Auth => &self.auth,
            Trouble::Failed => &self.failed,
        }
    }

    /// Takes a call in.
    pub(super) fn note(&mut self, verdict: Verdict, mark: impl FnOnce() -> Milestone) {
        if verdict.is_accepted() {
            let mark = mark();
            for streak in [&mut self.auth, &mut self.failed] {
                if streak.first.is_some() && streak.after.is_none() {
                    streak.after = Some(mark.clone());
                }
            }
            self.good = Some(mark);
            return;
        }
        let Some(trouble) = Trouble::of(verdict) else {
            return;
        };
        let (mark, before) = (mark(), self.good.clone());
        let streak = match trouble {
            Trouble::Auth => &mut self.auth,
            Trouble::Failed => &mut self.failed,
        };
        if streak.first.is_none() || streak.after.is_some() {
            *streak = Streak {
                before,
                first: Some(mark.clone()),
                ..Streak::default()
            };
        }
        streak.last = Some(mark);
    }

    /// Every mark with its name in the file.
    pub(super) fn named(&mut self) -> [(&'static str, &mut Option<Milestone>); 9] {
        let (auth, failed) = (&mut self.auth, &mut self.failed);
        [
            ("good", &mut self.good),
            ("auth_before", &mut auth.before),
            ("auth_first", &mut auth.first),
            ("auth_last", &mut auth.last),
            ("auth_after", &mut auth.after),
            ("failed_before", &mut failed.before),
            ("failed_first", &mut failed.first),
            ("failed_last", &mut failed.last),
            ("failed_after", &mut failed.after),
        ]
    }
}

/// The milestones of every method in the file; a mark of a later version is left out.
pub(super) fn load(file: &Connection) -> Result<HashMap<String, Milestones>, Problem> {
    let columns =
        "SELECT method, mark, ms, rid, key_fp, address, status, code, outcome, why FROM mark";
    let mut all = HashMap::<String, Milestones>::new();
    query_all(file, columns, [], |row| {
        let milestone = Milestone {
            ms: unsigned(row, 2)?,
            rid: row.get(3)?,
            key_fp: row.get(4)?,
            address: row.get(5)?,
            status: row.get(6)?,
            code: row.get(7)?,
            outcome: row.get(8)?,
            why: row.get(9)?,
        };
        let (method, mark): (String, String) = (row.get(0)?, row.get(1)?);
        for (name, place) in all.entry(method).or_default().named() {
            if name == mark {
                *place = Some(milestone.clone());
            }
        }
        Ok(())
    })?;
    Ok(all)
}
