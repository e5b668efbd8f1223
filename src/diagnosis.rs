//! Finding out why.
//!
//! [`egress`] watches the address that the exchange sees. Nothing here is in the path of a call.

pub mod egress;
pub mod hint;
#[cfg(test)]
mod lines;
