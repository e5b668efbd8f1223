//! The process: settings, the listener, systemd, and where lines go.

pub mod telemetry;
