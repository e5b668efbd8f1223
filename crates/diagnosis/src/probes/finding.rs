//! What the probes saw.
//!
//! Guarantees: typed, and redacted by construction: of an answer its HTTP status and code, never its text. Every probe
//! of the matrix has exactly one finding, and one that was not made says why. Does not: say what stands behind it.

use std::{net::IpAddr, time::Duration};

use super::credentials::CredentialFacts;
use crate::{causes::Kind, egress::Reading};
use gateway::{
    connect::Unresolved,
    failure::Failure,
    observed::{ClockSkew, Expected},
    upstream::BaseUrl,
};

macro_rules! probes {
    ($($name:ident = $word:literal, $method:expr;)+) => {
        /// A probe; the order is that of the matrix.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Probe {
            $(#[doc = $word] $name,)+
        }

        impl Probe {
            /// Every probe, in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// The method that it calls.
            #[must_use]
            pub const fn method(self) -> Option<&'static str> {
                match self { $(Self::$name => $method),+ }
            }
        }
    };
}

probes! {
    Credentials = "credentials", None;
    SelfTest = "self-test", None;
    Name = "name", None;
    Tcp = "TCP", None;
    Tls = "TLS", None;
    Public = "public", Some("public/get-tickers");
    Clock = "clock", None;
    Outbound = "outbound IPv4", None;
    OutboundIpv6 = "outbound IPv6", None;
    Balance = "balance", Some("private/user-balance");
    Summary = "account summary", Some("private/get-account-summary");
    OpenOrders = "open orders", Some("private/get-open-orders");
    OrderHistory = "order history", Some("private/get-order-history");
    CancelUnknown = "cancel of nothing", Some("private/cancel-order");
}

impl Probe {
    /// The private probes that count: the documented reads.
    pub const READS: [Self; 3] = [Self::Balance, Self::OpenOrders, Self::OrderHistory];
}

/// An answer, as far as it tells anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// The exchange's code.
    pub code: Option<i64>,
    /// Whether it was JSON.
    pub is_json: bool,
}

impl Answer {
    /// What the exchange objects to.
    #[must_use]
    pub fn objection(self) -> Option<Kind> {
        Kind::of_answer(self.status, self.code)
    }

    /// Whether the exchange took the call as authentic and permitted.
    #[must_use]
    pub fn is_acceptance(self) -> bool {
        Kind::is_acceptance(self.code)
    }

    /// Whether nothing is known there under this path.
    #[must_use]
    pub const fn is_of_a_wrong_base(self) -> bool {
        matches!(self.code, Some(10004 | 40002)) || (self.status == 404 && self.code.is_none())
    }

    /// How it reads.
    #[must_use]
    pub fn describe(self) -> String {
        match self.code {
            Some(0) => format!("HTTP {}, code 0", self.status),
            Some(code) => format!("HTTP {}, code {code}", self.status),
            None if self.is_json => format!("HTTP {}, JSON without a code", self.status),
            None => format!("HTTP {}, no JSON", self.status),
        }
    }
}

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The pair as the loader found it.
    Credentials(CredentialFacts),
    /// The signing vectors: how many behaved, and how many did not.
    SelfTest {
        /// As they must.
        right: usize,
        /// Otherwise.
        wrong: usize,
    },
    /// The addresses of the exchange that would be connected to.
    Resolved(Vec<IpAddr>),
    /// No address; `None`: not within the deadline.
    NotResolved(Option<Unresolved>),
    /// Connected to this address.
    Connected(IpAddr),
    /// No TCP connection.
    NotConnected,
    /// A verified TLS session.
    Secured,
    /// None.
    NotSecured,
    /// Our side could not be prepared; the reason names a file at most.
    NotPrepared(String),
    /// An answer.
    Answered(Answer),
    /// No answer.
    Failed(Failure),
    /// Our clock against the exchange's; `None`: no two answers agree.
    Clock(Option<ClockSkew>),
    /// The address that services see.
    Outbound(Reading),
    /// Not made, and why.
    Skipped(&'static str),
}

/// One probe and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which probe.
    pub probe: Probe,
    /// What it saw.
    pub seen: Seen,
    /// How long it took.
    pub took: Duration,
}

impl Finding {
    /// What the loader says of the pair, to be looked at with another value in it.
    pub(crate) const fn credentials_mut(&mut self) -> Option<&mut CredentialFacts> {
        if let Seen::Credentials(facts) = &mut self.seen {
            Some(facts)
        } else {
            None
        }
    }
}

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
    /// What a probe saw.
    #[must_use]
    pub fn seen(&self, probe: Probe) -> Option<&Seen> {
        self.list
            .iter()
            .find(|finding| finding.probe == probe)
            .map(|finding| &finding.seen)
    }

    /// The answer to a probe, where there was one.
    #[must_use]
    pub fn answer(&self, probe: Probe) -> Option<Answer> {
        if let Some(Seen::Answered(answer)) = self.seen(probe) {
            Some(*answer)
        } else {
            None
        }
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

    /// The outbound address, where at least two services agree: IPv4, or what there is.
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
