//! `POST /sandbox/state`: settings, as JSON. What is not named stays as it is.
//!
//! ```json
//! {"apparent_address": "203.0.113.7", "clock_offset_ms": 90000, "rate_limits": "on", "dialect": "documented",
//!  "heartbeat_ms": 30000, "heartbeat_answer_ms": 5000,
//!  "unlisted": {"code": 40101}, "forbidden": {"code": 40101, "http_status": 403},
//!  "keys": [{"api_key": "k", "api_secret": "s", "permissions": ["read", "trade", "withdraw"],
//!            "whitelist": ["203.0.113.7"], "state": "active"}]}
//! ```
//!
//! `apparent_address`: `peer` is the address a caller connects from. `keys`: a known key is changed, an unknown one
//! is added and needs its secret. An empty `whitelist` means any address.
//!
//! Guarantees: all of it takes effect at once, or none. Does not: remove a key; disable it.

use std::net::IpAddr;

use serde::Deserialize;

use super::super::{
    ApiKey, Dialect, FakeExchange, KeyState, Permission, RateLimits, Refusal, Settings,
};

/// The body of the command.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    apparent_address: Option<String>,
    clock_offset_ms: Option<i64>,
    rate_limits: Option<RateLimits>,
    dialect: Option<Dialect>,
    heartbeat_ms: Option<u64>,
    heartbeat_answer_ms: Option<u64>,
    unlisted: Option<Refusal>,
    forbidden: Option<Refusal>,
    #[serde(default)]
    keys: Vec<KeyChange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyChange {
    api_key: String,
    api_secret: Option<String>,
    permissions: Option<Vec<Permission>>,
    whitelist: Option<Vec<IpAddr>>,
    state: Option<KeyState>,
}

impl Change {
    pub(super) fn carry_out(self, stand_in: &FakeExchange) -> Result<(), String> {
        let mut done = Ok(());
        stand_in.change(|settings| {
            let mut changed = settings.clone();
            done = self.apply(&mut changed);
            if done.is_ok() {
                *settings = changed;
            }
        });
        done
    }

    fn apply(self, settings: &mut Settings) -> Result<(), String> {
        if let Some(address) = self.apparent_address {
            settings.apparent_address = match address.as_str() {
                "peer" => None,
                address => Some(
                    address
                        .parse()
                        .map_err(|_| "apparent_address is no address".to_owned())?,
                ),
            };
        }
        settings.clock_offset_ms = self.clock_offset_ms.unwrap_or(settings.clock_offset_ms);
        settings.rate_limits = self.rate_limits.unwrap_or(settings.rate_limits);
        settings.dialect = self.dialect.unwrap_or(settings.dialect);
        settings.heartbeat_ms = self.heartbeat_ms.unwrap_or(settings.heartbeat_ms);
        settings.heartbeat_answer_ms = self
            .heartbeat_answer_ms
            .unwrap_or(settings.heartbeat_answer_ms);
        settings.unlisted = self.unlisted.unwrap_or(settings.unlisted);
        settings.forbidden = self.forbidden.unwrap_or(settings.forbidden);
        self.keys
            .into_iter()
            .try_for_each(|key| key.apply(settings))
    }
}

impl KeyChange {
    fn apply(self, settings: &mut Settings) -> Result<(), String> {
        let mut key = match (settings.key(&self.api_key), self.api_secret) {
            (Some(known), None) => known.clone(),
            (Some(known), Some(api_secret)) => ApiKey {
                api_secret,
                ..known.clone()
            },
            (None, Some(api_secret)) => ApiKey::new(&self.api_key, &api_secret),
            (None, None) => return Err("a new key needs its api_secret".to_owned()),
        };
        key.permissions = self.permissions.map_or(key.permissions, |permissions| {
            permissions.into_iter().collect()
        });
        key.whitelist = self.whitelist.unwrap_or(key.whitelist);
        key.state = self.state.unwrap_or(key.state);
        settings.put_key(key);
        Ok(())
    }
}
