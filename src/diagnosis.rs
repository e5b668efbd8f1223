//! Finding out why.
//!
//! [`egress`] watches the address that the exchange sees, [`history`] keeps what became of every call and what changed
//! when, [`pair_memory`] notices that only half of the credentials was replaced, [`hint`] reads along with the records
//! and writes, after each refused call, what most likely stands behind it, [`alarm`] says once when calls begin to be
//! refused, [`causes`] is the table of what can, [`probes`] ask, [`examination`] makes them in the running daemon,
//! [`reach`] watches with them whether the exchange is reached, and in which phase not, [`recollection`] tells the causes what the history knows, [`report`] and [`page`] show, [`bundle`] packs what was
//! found for the exchange's support, and [`self_test`] proves that the signing code is not the reason. Nothing here is
//! in the path of a call.

pub mod alarm;
pub mod bundle;
pub mod causes;
pub mod egress;
pub mod examination;
pub mod hint;
pub mod history;
#[cfg(test)]
mod lines;
pub mod page;
pub mod pair_memory;
pub mod probes;
pub mod reach;
pub mod recollection;
pub mod report;
pub mod self_test;
