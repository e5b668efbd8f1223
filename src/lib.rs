//! The library behind the daemon. What follows is the project's own description of how it is built.
//!
#![doc = include_str!("../docs/architecture.md")]

pub mod app;
pub mod callers;
pub mod cli;
pub mod config;
mod control;
mod guesses;
pub mod http;
mod orders;
mod per_peer;
mod places;
pub mod server;
pub mod systemd;
pub mod telemetry;
