//! What a stand-in is told to be: its keys, its clock, its strictness, its money.
//!
//! Guarantees: every field may be changed while it runs, through `FakeExchange::change`, and counts from the next request;
//! only `balances` are read once, at the start. Debug output names keys but never a secret.
//! Does not: read files or environments; what it is told comes from the program that starts it.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use serde::Deserialize;

/// How a stand-in behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The keys it knows.
    pub keys: Vec<ApiKey>,
    /// How far its clock is ahead of ours (negative: behind), in milliseconds: nonce window and `Date` alike.
    pub clock_offset_ms: i64,
    /// Whether the documented budgets are enforced.
    pub rate_limits: RateLimits,
    /// Whether a name is taken once.
    pub names: Names,
    /// The address callers seem to come from; `None`: the one they connect from.
    pub apparent_address: Option<IpAddr>,
    /// What it says to a key used from an address off its whitelist.
    pub unlisted: Refusal,
    /// What it says to a key without the permission that a method needs.
    pub forbidden: Refusal,
    /// Which reading of the signature rule it verifies by.
    pub dialect: Dialect,
    /// What the account holds at the start: currency and amount.
    pub balances: Vec<(String, String)>,
    /// How often a stream is asked for a sign of life, in milliseconds.
    pub heartbeat_ms: u64,
    /// How long it may take to give one, in milliseconds; then it is closed with 1000.
    pub heartbeat_answer_ms: u64,
}

impl Default for Settings {
    /// No keys, our clock, no budgets, a well-filled account.
    fn default() -> Self {
        let balances = [
            ("USD", "1000000"),
            ("USDT", "1000000"),
            ("BTC", "100"),
            ("ETH", "1000"),
            ("CRO", "1000000"),
        ];
        Self {
            keys: Vec::new(),
            clock_offset_ms: 0,
            rate_limits: RateLimits::Off,
            names: Names::Once,
            apparent_address: None,
            unlisted: Refusal::code(40103),
            forbidden: Refusal::code(40101),
            dialect: Dialect::Documented,
            balances: balances
                .map(|(currency, amount)| (currency.to_owned(), amount.to_owned()))
                .to_vec(),
            heartbeat_ms: 30_000,
            heartbeat_answer_ms: 5_000,
        }
    }
}

impl Settings {
    /// The defaults, with one key that may read and trade.
    #[must_use]
    pub fn with_key(api_key: &str, api_secret: &str) -> Self {
        Self::default().and_key(ApiKey::new(api_key, api_secret))
    }

    /// With one more key; it replaces one of the same name.
    #[must_use]
    pub fn and_key(mut self, key: ApiKey) -> Self {
        self.put_key(key);
        self
    }

    /// Adds a key, or replaces the one of the same name.
    pub fn put_key(&mut self, key: ApiKey) {
        self.keys.retain(|known| known.api_key != key.api_key);
        self.keys.push(key);
    }

    /// The key of this name.
    #[must_use]
    pub fn key(&self, api_key: &str) -> Option<&ApiKey> {
        self.keys.iter().find(|key| key.api_key == api_key)
    }

    /// The key of this name, to be changed.
    pub fn key_mut(&mut self, api_key: &str) -> Option<&mut ApiKey> {
        self.keys.iter_mut().find(|key| key.api_key == api_key)
    }
}

/// One API key of the stand-in: invented, never a real one.
#[derive(Clone)]
pub struct ApiKey {
    /// Its name on the wire.
    pub api_key: String,
    /// What it signs with.
    pub api_secret: String,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// The addresses it may be used from; empty: any.
    pub whitelist: Vec<IpAddr>,
    /// Whether it works at all.
    pub state: KeyState,
}

impl ApiKey {
    /// An active key that may read and trade, from anywhere.
    #[must_use]
    pub fn new(api_key: &str, api_secret: &str) -> Self {
        Self {
            api_key: api_key.to_owned(),
            api_secret: api_secret.to_owned(),
            permissions: BTreeSet::from([Permission::Read, Permission::Trade]),
            whitelist: Vec::new(),
            state: KeyState::Active,
        }
    }

    /// With exactly these permissions.
    #[must_use]
    pub fn permissions(mut self, permissions: impl IntoIterator<Item = Permission>) -> Self {
        self.permissions = permissions.into_iter().collect();
        self
    }

    /// Usable from these addresses only.
    #[must_use]
    pub fn whitelist(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.whitelist = addresses.into_iter().collect();
        self
    }

    /// Disabled, as on the dashboard.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.state = KeyState::Disabled;
        self
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("api_key", &self.api_key)
            .field("permissions", &self.permissions)
            .field("whitelist", &self.whitelist)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// What a key may do, as on the dashboard.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// "Can Read".
    Read,
    /// "Enable Trading".
    Trade,
    /// "Enable Withdrawal".
    Withdraw,
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It works.
    Active,
    /// Switched off or expired: every call is 40101.
    Disabled,
}

/// Whether the budgets of the catalogue are enforced.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RateLimits {
    /// 42901 beyond the budget.
    On,
    /// Any number of calls.
    Off,
}

/// What becomes of an order whose `client_oid` was taken before.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// It is refused.
    Once,
    /// It is executed, so that whoever sends an order twice is seen.
    Again,
}

/// Which reading of the signature rule is verified.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// The documented Java sample: containers at level 3 and deeper are printed whole.
    Documented,
    /// Recursion without end, as the vendor's own command line client signs.
    Flat,
}

impl Dialect {
    pub(super) const fn max_level(self) -> usize {
        match self {
            Self::Documented => 3,
            Self::Flat => usize::MAX,
        }
    }
}

/// A "no": a response code, and the HTTP status where it is not the documented one.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The number in `code`.
    pub code: i64,
    /// The HTTP status; `None`: the documented one.
    #[serde(default)]
    pub http_status: Option<u16>,
}

impl Refusal {
    /// The documented answer for a code.
    #[must_use]
    pub const fn code(code: i64) -> Self {
        Self {
            code,
            http_status: None,
        }
    }
}
