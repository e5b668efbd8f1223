//! What the probes saw.
//!
//! Guarantees: typed, and redacted by construction: of an answer its HTTP status and code, never its text. Every probe
//! of the matrix has exactly one finding, and one that was not made says why. Does not: say what stands behind it.

use std::{net::IpAddr, time::Duration};

use super::{CredentialFacts, Flaw};
use crate::{
    egress::Reading,
    verdict::{Objection, Verdict},
};
use gateway::{
    connect::{NotDialled, Unresolved},
    failure::Failure,
    observed::{ClockSkew, Expected},
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

    /// The probe of our address in this family.
    pub(crate) const fn outbound_of(by_ipv6: bool) -> Self {
        if by_ipv6 {
            Self::OutboundIpv6
        } else {
            Self::Outbound
        }
    }
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
    /// What it says about key, permission and address.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        Verdict::of_answer(self.status, self.code)
    }

    /// What the exchange objects to.
    #[must_use]
    pub fn objection(self) -> Option<Objection> {
        self.verdict().objection()
    }

    /// Whether the exchange took the call as authentic and permitted.
    #[must_use]
    pub fn is_acceptance(self) -> bool {
        self.verdict().is_accepted()
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
    /// No TCP connection, and why: each address that was tried.
    NotConnected(Vec<NotDialled>),
    /// A verified TLS session.
    Secured,
    /// None, and in words why.
    NotSecured(String),
    /// Our side could not be prepared; the reason names a file at most.
    NotPrepared(String),
    /// An answer.
    Answered(Answer),
    /// An answer to the same call of a program, so long ago; the probe was left to it.
    AnsweredToProgram(Answer, Duration),
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
    /// How it counts.
    #[must_use]
    pub fn grade(&self, expected: &Expected) -> Grade {
        let only_a_remark = matches!(self.probe, Probe::Summary | Probe::CancelUnknown);
        match &self.seen {
            Seen::Skipped(_) => Grade::Skipped,
            Seen::Credentials(facts) => {
                let remarks = [
                    Flaw::SpareHalf,
                    Flaw::Short,
                    Flaw::Swapped,
                    Flaw::Odd,
                    Flaw::Dirt,
                    Flaw::Quoted,
                    Flaw::SecondPair,
                ];
                let bad = facts
                    .flaws
                    .iter()
                    .any(|found| !remarks.contains(&found.flaw));
                choose(bad, !facts.flaws.is_empty())
            }
            Seen::SelfTest { wrong, .. } => choose(*wrong > 0, false),
            Seen::Resolved(_) | Seen::Connected(_) | Seen::Secured => Grade::Good,
            Seen::NotResolved(_)
            | Seen::NotConnected(_)
            | Seen::NotSecured(_)
            | Seen::NotPrepared(_) => Grade::Bad,
            Seen::Answered(answer) | Seen::AnsweredToProgram(answer, _) => {
                let good = if self.probe == Probe::Public {
                    answer.code == Some(0)
                } else {
                    answer.is_acceptance()
                };
                choose(!good && !only_a_remark, !good)
            }
            Seen::Failed(_) => choose(!only_a_remark, true),
            Seen::Clock(skew) => choose(
                skew.is_some_and(certainly_outside),
                skew.is_none_or(ClockSkew::is_large),
            ),
            Seen::Outbound(Reading::Confirmed { address, .. }) => {
                choose(false, is_expected(expected, *address) == Some(false))
            }
            Seen::Outbound(_) => choose(false, self.probe == Probe::Outbound),
        }
    }

    /// What it saw, in words.
    #[must_use]
    pub fn says(&self, expected: &Expected) -> String {
        match &self.seen {
            Seen::Credentials(facts) => {
                let fingerprint = facts.fingerprint.as_deref().unwrap_or("none");
                let label = facts
                    .label
                    .as_ref()
                    .map(|label| format!(" ({label})"))
                    .unwrap_or_default();
                let source = facts
                    .source
                    .as_ref()
                    .map(|source| format!(" from {source}"))
                    .unwrap_or_default();
                format!(
                    "key fingerprint {fingerprint}{label}{source}, remarks: {}",
                    facts.flaws.len()
                )
            }
            Seen::SelfTest { right, wrong } => {
                format!("{right} of {} signing test vectors pass", right + wrong)
            }
            Seen::Resolved(addresses) => join(addresses),
            Seen::NotResolved(None) => "not resolved in time".to_owned(),
            Seen::NotResolved(Some(Unresolved::Nothing)) => {
                "the name service knows no address".to_owned()
            }
            Seen::NotResolved(Some(Unresolved::Failed(said))) => format!("not resolved: {said}"),
            Seen::NotResolved(Some(Unresolved::Refused(address))) => {
                format!("resolved to {address}, which is not a public address")
            }
            Seen::Connected(address) => format!("connected to {address}"),
            Seen::NotConnected(tried) => format!("no connection: {}", join(tried)),
            Seen::Secured => "verified".to_owned(),
            Seen::NotSecured(why) => format!("no verified session: {why}"),
            Seen::NotPrepared(reason) => reason.clone(),
            Seen::Answered(answer) => answer.describe(),
            Seen::AnsweredToProgram(answer, ago) => format!(
                "{}, answered to a program {} s ago; once per second is all that the key may",
                answer.describe(),
                ago.as_secs()
            ),
            Seen::Failed(failure) => failure.to_string(),
            Seen::Clock(Some(skew)) => skew.describe(),
            Seen::Clock(None) => "not known: no two answers agree".to_owned(),
            Seen::Outbound(reading) => outbound(reading, expected),
            Seen::Skipped(reason) => format!("not made: {reason}"),
        }
    }

    /// The answer, where there was one.
    #[must_use]
    pub const fn answer(&self) -> Option<Answer> {
        if let Seen::Answered(answer) | Seen::AnsweredToProgram(answer, _) = self.seen {
            Some(answer)
        } else {
            None
        }
    }

    /// What the loader says of the pair, to be looked at with another value in it.
    pub(crate) const fn credentials_mut(&mut self) -> Option<&mut CredentialFacts> {
        if let Seen::Credentials(facts) = &mut self.seen {
            Some(facts)
        } else {
            None
        }
    }
}

/// How a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Worth knowing, and no trouble by itself.
    Remark,
    /// Trouble.
    Bad,
    /// Not made.
    Skipped,
}

impl Grade {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Remark => "note",
            Self::Bad => "BAD",
            Self::Skipped => "-",
        }
    }

    /// The verdict of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Good, Self::Remark, Self::Bad, Self::Skipped]
            .into_iter()
            .find(|verdict| verdict.word() == word)
    }
}

/// The exchange refuses a nonce that is further off than this, in milliseconds.
const NONCE_WINDOW_MS: u64 = 60_000;

/// Whether a skew certainly makes the exchange refuse.
pub(crate) const fn certainly_outside(skew: ClockSkew) -> bool {
    skew.offset_ms.unsigned_abs() > NONCE_WINDOW_MS + skew.uncertainty_ms
}

/// Whether a skew certainly does not.
pub(crate) const fn certainly_inside(skew: ClockSkew) -> bool {
    skew.offset_ms.unsigned_abs() + skew.uncertainty_ms < NONCE_WINDOW_MS
}

const fn choose(bad: bool, remark: bool) -> Grade {
    match (bad, remark) {
        (true, _) => Grade::Bad,
        (false, true) => Grade::Remark,
        (false, false) => Grade::Good,
    }
}

/// Whether the operator names an address; `None` where nothing was said.
pub fn is_expected(expected: &Expected, address: IpAddr) -> Option<bool> {
    match expected {
        Expected::Unstated => None,
        Expected::Any => Some(true),
        Expected::Listed(listed) => Some(listed.contains(&address)),
    }
}

fn outbound(reading: &Reading, expected: &Expected) -> String {
    match reading {
        Reading::Confirmed {
            address, voices, ..
        } => {
            let stated = match is_expected(expected, *address) {
                None => "",
                Some(true) => ", as CRYPTO_EXPECTED_IP says",
                Some(false) => ", which CRYPTO_EXPECTED_IP does not name",
            };
            format!("{address}, {voices} services agree{stated}")
        }
        Reading::Unconfirmed(address) => {
            format!("{address} unconfirmed: compare with the cloud console")
        }
        Reading::Disagreement(addresses) => format!("services disagree: {}", join(addresses)),
        Reading::Silence => "no service answered".to_owned(),
    }
}

fn join(items: &[impl ToString]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
