//! Finding out why.

pub mod egress;
pub mod hint;
