//! What is true of the Crypto.com Exchange API v1: no I/O, no clock, no key of ours.
//!
//! Everything here is a pure function of its arguments or a table read from `data/`. Rules come from the vendor's
//! documents and from `crates/catalogue/data/vectors.json`; each file says which.

pub mod call;
pub mod canonical;

pub mod caller_request;

pub mod frame;
pub mod json;
pub mod orders_in_answer;
pub mod wire;

pub mod client_dialects;
