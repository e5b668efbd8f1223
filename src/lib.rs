//! A daemon that alone holds the API keys of a Crypto.com Exchange account.
// A room may use the rooms above it, never those below; tests/it/house.rs reads the imports and enforces it.

pub mod exchange;
pub mod gateway;

pub mod diagnosis;

pub mod http;

pub mod daemon;

pub mod sandbox;

pub mod cli;
