//! Finding out why.
