//! The order journal on embedded SQLite: what changes money is written down before it is sent, and each name is used once.
//!
//! [`Journal`] is the gateway's [`Ledger`](gateway::ledger::Ledger). `rules` says what becomes of names and attempts, `store`
//! and `schema` keep them in a file. `writer` is the one thread that has the file; `command` is what it is told, `judge` what
//! it makes of it, `shared` what others see of it. `log` looks over what a kill left, `check` the whole file. A call waits for
//! one commit before it is sent, which it shares with those that wait at the same time; what became of it is written behind.

mod check;
mod command;
mod journal;
mod judge;
mod log;
mod notes;
mod recent;
mod rules;
mod schema;
mod shared;
mod store;
mod times;
mod writer;

pub use self::{
    check::{Checked, check, read_open},
    journal::{Journal, Settings},
    schema::{Problem, is_missing, remedy, replacement},
    times::Times,
};

/// The journal's file in the state directory.
pub const FILE_NAME: &str = "ledger.db";

#[cfg(test)]
mod tests;
