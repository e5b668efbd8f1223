//! The path of a private call, in the order a call meets it.
//!
//! Who calls ([`auth`]); may they, from there and now ([`access`], [`policy`]); is there room; a nonce and a signature
//! ([`signer`]); the exchange ([`upstream`], and [`stream`] for WebSockets); one [`record`] of it all. [`Gateway`] states
//! that order once. What is known from outside a call (our address, the clock's skew) stands in [`observed`], which
//! `diagnosis` fills.

pub mod access;
mod admission;
pub mod auth;
pub mod clock;
pub mod connect;
pub mod failure;
mod gateway;
mod journal;
pub mod ledger;
mod nonce;
pub mod observed;
pub mod outcome;
pub mod policy;
pub mod private_file;
pub mod public_calls;
pub mod reconcile;
pub mod record;
pub mod redact;
pub mod replay;
pub mod secret;
pub mod self_test;
pub mod signer;
pub mod stall;
pub mod stream;
pub mod upstream;
pub mod virtual_key;

pub use self::{
    admission::UnreadAnswer,
    failure::Ended,
    gateway::{Gateway, Parts, Relayed, Settings},
};
