//! The causes of failed calls: one table, and what failures look like.
//!
//! Guarantees: hints and diagnoses name causes by the same codes. Does not: probe anything.

mod cause;
mod kind;
mod likelihood;

pub use cause::{Cause, Place};
pub use kind::Kind;
pub use likelihood::Likelihood;
