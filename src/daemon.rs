//! The process: settings, the listener, systemd, and where lines go.

pub mod config;
pub mod server;
pub mod telemetry;
