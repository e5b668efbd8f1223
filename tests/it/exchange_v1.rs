//! The exchange-shaped door: what clients of the exchange send and get back.

mod answers;
mod claims;
mod exact_bytes;
mod limits;
mod public;
mod refusals;
mod replay;
