//! What one run knows: where calls go, what the loader of the configuration says of the pair, and every finding.
//!
//! Guarantees: redacted by construction: names, places and counts, and of an API key its fingerprint; no field holds a
//! credential. Does not: judge what the flaws mean for calls.

use std::{net::IpAddr, time::Duration};

use super::{Answer, Finding, Probe, Seen};
use crate::egress::Reading;
use gateway::{
    connect::is_over_ipv6,
    observed::{ClockSkew, Expected},
    upstream::BaseUrl,
};

/// Which exchange the base URL means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// The documented host of production.
    Production,
    /// The documented host of UAT.
    Uat,
    /// A stand-in on this machine.
    FakeExchange,
    /// A host that the operator named.
    Other,
}

/// Where calls go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The base URL.
    pub base: String,
    /// Its host.
    pub host: String,
    /// Which exchange that is.
    pub environment: Environment,
    /// Whether a documented host has another path than the documented one.
    pub odd_path: bool,
}

impl Target {
    /// What a base URL means.
    #[must_use]
    pub fn of(base: &BaseUrl) -> Self {
        let environment = match base.host() {
            "api.crypto.com" => Environment::Production,
            "uat-api.3ona.co" => Environment::Uat,
            _ if base.is_loopback() => Environment::FakeExchange,
            _ => Environment::Other,
        };
        let odd_path = base.has_undocumented_path();
        Self {
            base: base.to_string(),
            host: base.host().to_owned(),
            environment,
            odd_path,
        }
    }
}

/// Everything one run saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long it took.
    pub took: Duration,
    /// Where calls go; `None` where the configuration cannot be used.
    pub target: Option<Target>,
    /// The operator's statement about the whitelist.
    pub expected: Expected,
    /// One finding per probe, in the order of the matrix.
    pub list: Vec<Finding>,
}

impl Findings {
    /// What a probe found.
    #[must_use]
    pub fn finding(&self, probe: Probe) -> Option<&Finding> {
        self.list.iter().find(|finding| finding.probe == probe)
    }

    /// What a probe saw.
    #[must_use]
    pub fn seen(&self, probe: Probe) -> Option<&Seen> {
        self.finding(probe).map(|finding| &finding.seen)
    }

    /// The answer to a probe, where there was one.
    #[must_use]
    pub fn answer(&self, probe: Probe) -> Option<Answer> {
        self.finding(probe)?.answer()
    }

    /// What the loader says of the pair.
    #[must_use]
    pub fn credentials(&self) -> Option<&CredentialFacts> {
        if let Some(Seen::Credentials(facts)) = self.seen(Probe::Credentials) {
            Some(facts)
        } else {
            None
        }
    }

    /// Our clock against the exchange's.
    #[must_use]
    pub fn skew(&self) -> Option<ClockSkew> {
        if let Some(Seen::Clock(skew)) = self.seen(Probe::Clock) {
            *skew
        } else {
            None
        }
    }

    /// Our address in the family by which calls leave, where it is confirmed.
    #[must_use]
    pub fn our_address(&self) -> Option<IpAddr> {
        self.outbound(Probe::outbound_of(self.leaves_by_ipv6()))
    }

    /// Whether calls to the exchange leave by IPv6: to where the run connected, or would have.
    #[must_use]
    pub fn leaves_by_ipv6(&self) -> bool {
        let resolved = match self.seen(Probe::Name) {
            Some(Seen::Resolved(addresses)) => addresses.first().copied(),
            _ => None,
        };
        self.peer().or(resolved).is_some_and(is_over_ipv6)
    }

    /// The outbound address of the probe's family, where at least two services agree.
    #[must_use]
    pub fn outbound(&self, probe: Probe) -> Option<IpAddr> {
        match self.seen(probe) {
            Some(Seen::Outbound(Reading::Confirmed { address, .. })) => Some(*address),
            _ => None,
        }
    }

    /// The address of the exchange that calls go to.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        if let Some(Seen::Connected(address)) = self.seen(Probe::Tcp) {
            Some(*address)
        } else {
            None
        }
    }
}

/// What can be wrong with a pair as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// There is none.
    Missing,
    /// The place where it may stand could not be read.
    Unreadable,
    /// A half of it is not there.
    Half,
    /// A half is cut short, or holds what no key or secret has.
    Malformed,
    /// A half is there that belongs to nothing, and is not used.
    SpareHalf,
    /// A half is suspiciously short.
    Short,
    /// The secret seems to stand in the key's place.
    Swapped,
    /// A half holds what is unusual in keys and secrets.
    Odd,
    /// White space, a byte order mark or quotes were taken off.
    Dirt,
    /// Quotes that systemd takes off, and other readers of the file may not.
    Quoted,
    /// Anybody may have it.
    Published,
    /// A further pair that differs from the one in use.
    SecondPair,
}

impl Flaw {
    /// A word for machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Half => "half",
            Self::Malformed => "malformed",
            Self::SpareHalf => "spare_half",
            Self::Short => "short",
            Self::Swapped => "swapped",
            Self::Odd => "odd",
            Self::Dirt => "dirt",
            Self::Quoted => "quoted",
            Self::Published => "published",
            Self::SecondPair => "second_pair",
        }
    }
}

/// A flaw, where it is, and what the loader says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlawFound {
    /// What it is.
    pub flaw: Flaw,
    /// The variable, or what stands for it.
    pub name: String,
    /// File and line, or variable.
    pub place: String,
    /// In words.
    pub text: String,
}

/// What the loader says of the pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialFacts {
    /// Where it was looked for, one place each, in words.
    pub looked_at: Vec<String>,
    /// Where the pair stands: the file, or the process environment.
    pub source: Option<String>,
    /// The key's fingerprint.
    pub fingerprint: Option<String>,
    /// The key's name on the dashboard, as the operator gave it.
    pub label: Option<String>,
    /// What is wrong with it.
    pub flaws: Vec<FlawFound>,
}

impl CredentialFacts {
    /// The first flaw of these kinds.
    #[must_use]
    pub fn flaw(&self, kinds: &[Flaw]) -> Option<&FlawFound> {
        self.flaws.iter().find(|found| kinds.contains(&found.flaw))
    }
}
