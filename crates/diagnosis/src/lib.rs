//! Finding out why.
//!
//! [`egress`] watches the address that the exchange sees, [`reach`] the connection to it. [`history`] keeps what became
//! of every call and what changed when. [`verdict`] is what a call says about key, permission and address; everybody
//! asks it. [`hint`] writes after each refused call what most likely stands behind it, [`alarm`] says once when calls
//! begin to be refused, [`doubt`] tells of the calls that may have been executed. [`causes`] is the table of what can, and
//! the rules for both; [`probes`] ask, and [`runner`] makes them in the running daemon. [`history_summary`] tells the
//! causes what the history knows, [`report`] shows what was found, [`bundle`] packs it for the exchange's support.
//! Nothing here is in the path of a call.

pub mod alarm;
pub mod bundle;
pub mod causes;
pub mod doubt;
pub mod egress;
pub mod hint;
pub mod history;
pub mod history_summary;
pub mod key_pairs;
#[cfg(test)]
mod lines;
pub mod probes;
pub mod reach;
pub mod report;
pub mod runner;
mod tracker;
pub mod verdict;
