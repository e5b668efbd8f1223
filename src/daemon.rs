//! The process: settings, the listener, systemd, and where lines go.

pub mod assembly;
pub mod config;
pub mod registry;
pub mod server;
pub mod systemd;
pub mod telemetry;
