//! The path of a private call, in the order a call meets it.
//!
//! Who calls ([`caller`]), may they from there and now ([`whence`], [`policy`]), is there room, a [`nonce`] and a signature ([`signer`]), the exchange
//! ([`upstream`], and [`session`] for streams), and one [`record`] of it all. [`pipeline`] states that order once. What is known from outside a call
//! (our address, the clock's skew) is read from [`observed`], which the rooms to the right fill.

pub mod caller;
pub mod claim;
pub mod clock;
pub mod failure;
pub mod nonce;
pub mod observed;
pub mod outcome;
pub mod pipeline;
pub mod policy;
pub mod public;
pub mod record;
pub mod replay;
pub mod secret;
pub mod self_test;
pub mod session;
pub mod signer;
pub mod upstream;
pub mod virtual_key;
pub mod whence;
