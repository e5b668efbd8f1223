//! Findings and the past → causes, in order, each with what speaks for and against it, and one next step.
//!
//! Guarantees: a pure function over one table of causes, which hints use as well. Never a cause that a finding excludes;
//! where the exchange does not tell causes apart, all of them stand and the tie is declared; what callers alone can
//! bring about is never `very likely`. Does not: probe anything, or read a history: both come as values.

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
