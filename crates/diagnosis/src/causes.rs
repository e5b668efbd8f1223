//! Evidence → causes: what may stand behind a refusal, what speaks for and against it, and one next step.
//!
//! One list of rules weighs one `Evidence`. [`rank`] feeds it the findings of a run and the past: all causes in order.
//! `explain` feeds it a single call and what this process knows beside it: a hint is the first of that order.
//!
//! Guarantees: pure functions over one table of causes. Never a cause that a finding excludes; where the exchange does
//! not tell causes apart, all of them stand and the tie is declared; what callers alone can bring about is never
//! `very likely`. Does not: probe anything, or read a history: both come as values.

mod cause;
mod evidence;
mod hypothesis;
mod past;
mod ranking;
mod rules;
#[cfg(test)]
mod tests;
mod untried;

pub use cause::{Cause, Place};
pub(crate) use evidence::{CallFacts, StartFacts};
pub use hypothesis::{Likelihood, Standing};
pub use past::{Change, DaemonsOwn, Event, MethodPast, Past, Symptom, What};
pub(crate) use ranking::explain;
pub use ranking::{Conclusion, Hint, Ranked, Ranking, rank};
pub(crate) use rules::named;
pub use untried::Untried;
