//! The doors: what callers and operators reach over HTTP.

use std::time::Duration;

/// How the doors behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names that `Host` may hold beside IP literals, `localhost` and `host.docker.internal`.
    pub allowed_hosts: Vec<String>,
    /// The longest request body in bytes.
    pub max_body_bytes: usize,
    /// A request body must be complete after this time.
    pub body_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allowed_hosts: Vec::new(), max_body_bytes: 256 << 10, body_deadline: Duration::from_secs(5) }
    }
}
