//! Finding out why.

pub mod egress;
pub mod hint;
pub mod pair_memory;
pub mod self_test;
