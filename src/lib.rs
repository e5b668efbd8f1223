//! The library behind the daemon. What follows is the project's own description of how it is built.
//!
#![doc = include_str!("../docs/architecture.md")]
// A room may use the rooms above it, never those below; tests/it/house.rs reads the imports and enforces it.

pub mod exchange;

pub mod gateway;

pub mod diagnosis;

pub mod http;

pub mod daemon;

pub mod sandbox;

pub mod cli;
