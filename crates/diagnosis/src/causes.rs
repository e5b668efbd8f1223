//! Evidence → causes: what may stand behind a refusal, what speaks for and against it, and one next step.
//!
//! One set of rules serves two questions. [`rank`] weighs every rule over the findings of a run and the past: the causes
//! in order. `explain` takes the first rule that applies to a single call and the calls before it: a hint.
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

pub use cause::{Cause, Place};
pub(crate) use evidence::CallFacts;
pub use hypothesis::{Likelihood, Standing};
pub use past::{Change, Event, MethodPast, Past, Symptom, What};
pub(crate) use ranking::explain;
pub use ranking::{Conclusion, Hint, Ranked, Ranking, rank};
pub(crate) use rules::named;
