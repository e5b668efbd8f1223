//! A hint names what a diagnosis puts first, where both know the same. A diagnosis that knows more is never less sure.

use std::time::Instant;

use super::*;
use crate::{
    causes::StartFacts,
    key_pairs::{PairChange, PairFacts},
    tracker::Tracker,
    verdict::tests::answer,
};
use gateway::{observed::Outbound, record::CallReport};

const READ: &str = "private/user-balance";

/// What both are told: every call was answered so, none was accepted with this pair unless `worked`.
#[derive(Clone)]
struct Told {
    status: u16,
    code: Option<i64>,
    skew: Option<i64>,
    expected: Expected,
    origin: Option<Origin>,
    /// Where the last accepted call left from, in this process and in the history.
    worked: Option<[u8; 4]>,
    /// What the loader says of the pair.
    flaw: Option<Flaw>,
}

impl Told {
    fn answered(status: u16, code: impl Into<Option<i64>>) -> Self {
        Self {
            status,
            code: code.into(),
            skew: None,
            expected: Expected::Unstated,
            origin: None,
            worked: None,
            flaw: None,
        }
    }

    fn refused() -> Self {
        Self::answered(401, 40101)
    }

    fn skewed(self, offset_ms: i64) -> Self {
        Self {
            skew: Some(offset_ms),
            ..self
        }
    }

    fn expects(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    fn came(self, origin: Origin) -> Self {
        Self {
            origin: Some(origin),
            ..self
        }
    }

    fn worked_from(self, address: [u8; 4]) -> Self {
        Self {
            worked: Some(address),
            ..self
        }
    }

    fn flawed(self, flaw: Flaw) -> Self {
        Self {
            flaw: Some(flaw),
            ..self
        }
    }

    fn credentials(&self) -> CredentialFacts {
        let flaw = |flaw| FlawFound {
            flaw,
            name: "CRYPTO_API_KEY".into(),
            place: "/etc/crypto.env:1".into(),
            text: "said by the loader".into(),
        };
        CredentialFacts {
            flaws: self.flaw.map(flaw).into_iter().collect(),
            ..CredentialFacts::default()
        }
    }

    fn skew(&self) -> Option<ClockSkew> {
        self.skew.map(|offset_ms| ClockSkew {
            offset_ms,
            uncertainty_ms: 500,
        })
    }

    fn hint(&self) -> Option<(Cause, Likelihood)> {
        let mut now = Instant::now();
        let mut tracker = Tracker::default();
        let from = |address: [u8; 4], now| {
            Some(Outbound {
                address: address.into(),
                seen: now,
            })
        };
        if let Some(address) = self.worked {
            let good = CallReport {
                outbound: from(address, now),
                ..answer(READ, 200, Some(0))
            };
            tracker.note(&good, now);
        }
        now += Duration::from_secs(1);
        let report = CallReport {
            outbound: from(HOME, now),
            skew: self.skew(),
            ..answer(READ, self.status, self.code)
        };
        tracker.note(&report, now);
        let pair = PairFacts {
            asked_elsewhere: false,
            change: PairChange::Same,
            since: 0,
            origin: self.origin.unwrap_or(Origin::First),
        };
        let facts = CallFacts {
            expected: self.expected.clone(),
            pair,
            track: tracker.past_of(&report),
            now,
            start: StartFacts::new(healthy().target, &self.credentials()),
        };
        explain(facts, &report).map(|hint| (hint.cause, hint.likelihood))
    }

    fn diagnosis(&self) -> (Cause, Likelihood) {
        let seen = Seen::Answered(Answer {
            status: self.status,
            code: self.code,
            is_json: self.code.is_some(),
        });
        let mut findings = healthy()
            .with(&Probe::READS, &seen)
            .with(&[Probe::Summary], &seen)
            .with(&[Probe::Clock], &Seen::Clock(self.skew()))
            .with(
                &[Probe::Credentials],
                &Seen::Credentials(self.credentials()),
            );
        findings.expected = self.expected.clone();
        let past = self.worked.map_or_else(Past::default, good);
        let past = match self.origin {
            Some(origin) => came(origin, past),
            None => past,
        };
        let ranking = rank(&findings, &past);
        (ranking.causes[0].cause, ranking.likelihood().unwrap())
    }
}

fn half(replaced: Half, worked: bool) -> Told {
    Told::refused().came(Origin::Half { replaced, worked })
}

fn listed(address: [u8; 4]) -> Expected {
    Expected::Listed(vec![address.into()])
}

/// The likeliest cause of both, and how likely it is.
type Said = (Cause, Likelihood);

#[test]
fn a_hint_is_what_a_diagnosis_of_the_same_facts_puts_first() {
    let cases: [(&str, Told, Said); 30] = [
        (
            "address",
            Told::answered(401, 40103),
            (Cause::IpNotListed, VeryLikely),
        ),
        (
            "tier",
            Told::answered(401, 40104),
            (Cause::UserTier, VeryLikely),
        ),
        (
            "budget",
            Told::answered(429, 42901),
            (Cause::RateLimit, Likely),
        ),
        (
            "maintenance",
            Told::answered(200, 9_010_001),
            (Cause::Maintenance, VeryLikely),
        ),
        (
            "edge",
            Told::answered(403, None),
            (Cause::EdgeBlocked, Likely),
        ),
        (
            "nonce",
            Told::answered(400, 40102),
            (Cause::ClockSkew, Likely),
        ),
        (
            "nonce, clock out",
            Told::answered(400, 40102).skewed(-61_000),
            (Cause::ClockSkew, VeryLikely),
        ),
        ("refused", Told::refused(), (Cause::KeyMismatch, Possible)),
        (
            "403 with a code",
            Told::answered(403, 40001),
            (Cause::KeyMismatch, Possible),
        ),
        (
            "listed",
            Told::refused().expects(listed(HOME)),
            (Cause::KeyMismatch, Likely),
        ),
        (
            "clock out",
            Told::refused().skewed(61_000),
            (Cause::ClockSkew, Likely),
        ),
        (
            "new key, old secret",
            half(Half::Key, false),
            (Cause::HalfRotated, Likely),
        ),
        (
            "new secret, old key",
            half(Half::Secret, false),
            (Cause::HalfRotated, Possible),
        ),
        (
            "new key, old secret, not listed",
            half(Half::Key, false).expects(listed(AWAY)),
            (Cause::HalfRotated, Likely),
        ),
        (
            "worked elsewhere",
            Told::refused().worked_from(AWAY),
            (Cause::IpDrift, Likely),
        ),
        (
            "worked elsewhere, clock out",
            Told::refused().worked_from(AWAY).skewed(61_000),
            (Cause::ClockSkew, Likely),
        ),
        (
            "worked here",
            Told::refused().worked_from(HOME),
            (Cause::ChangedAtExchange, Likely),
        ),
        (
            "worked here, listed",
            Told::refused().worked_from(HOME).expects(listed(HOME)),
            (Cause::ChangedAtExchange, Likely),
        ),
        (
            "worked here, proven",
            Told::refused().worked_from(HOME).came(Origin::Proven),
            (Cause::ChangedAtExchange, Likely),
        ),
        // An accepted call from this address says more than a statement that does not name it.
        (
            "worked here, not listed",
            Told::refused().worked_from(HOME).expects(listed(AWAY)),
            (Cause::ChangedAtExchange, Likely),
        ),
        (
            "any address",
            Told::refused().expects(Expected::Any),
            (Cause::KeyMismatch, Likely),
        ),
        (
            "not listed",
            Told::refused().expects(listed(AWAY)),
            (Cause::IpNotListed, Likely),
        ),
        (
            "new pair, not listed",
            Told::refused().came(Origin::Replaced).expects(listed(AWAY)),
            (Cause::IpNotListed, Likely),
        ),
        (
            "new pair",
            Told::refused().came(Origin::Replaced),
            (Cause::PairChanged, Likely),
        ),
        (
            "both halves, two starts",
            Told::refused().came(Origin::TwoStarts),
            (Cause::KeyMismatch, Likely),
        ),
        // A clock that is out is refused as 40102; the history knows what is refused as 40101.
        (
            "new key, old secret, clock out",
            half(Half::Key, false).skewed(61_000),
            (Cause::HalfRotated, Likely),
        ),
        (
            "worked elsewhere, not listed",
            Told::refused().worked_from(AWAY).expects(listed(AWAY)),
            (Cause::IpDrift, Likely),
        ),
        (
            "the secret in the key's place",
            Told::refused().expects(listed(HOME)).flawed(Flaw::Swapped),
            (Cause::MalformedPair, Likely),
        ),
        (
            "a short half, not listed",
            Told::refused().expects(listed(AWAY)).flawed(Flaw::Short),
            (Cause::IpNotListed, Likely),
        ),
        (
            "a second pair elsewhere",
            Told::refused()
                .expects(listed(HOME))
                .flawed(Flaw::SecondPair),
            (Cause::KeyMismatch, Likely),
        ),
    ];
    for (name, told, said) in cases {
        assert_eq!(told.hint(), Some(said), "hint: {name}");
        assert_eq!(told.diagnosis(), said, "diagnosis: {name}");
    }
}

#[test]
fn a_diagnosis_is_surer_of_the_same_cause_where_it_measured_more() {
    let cases: [(&str, Told, Cause, [Likelihood; 2]); 4] = [
        // The skew of a hint is of the answers before: the clock may have stepped since.
        (
            "nonce, clock in",
            Told::answered(400, 40102).skewed(10),
            Cause::StalledHost,
            [Possible, Likely],
        ),
        // One refused call is less than every read refused.
        (
            "new key, secret that worked",
            half(Half::Key, true),
            Cause::HalfRotated,
            [Likely, VeryLikely],
        ),
        (
            "new secret, key that worked",
            half(Half::Secret, true),
            Cause::HalfRotated,
            [Likely, VeryLikely],
        ),
        (
            "new key, secret that worked, clock out",
            half(Half::Key, true).skewed(61_000),
            Cause::HalfRotated,
            [Likely, VeryLikely],
        ),
    ];
    for (name, told, cause, [hint, diagnosis]) in cases {
        assert_eq!(told.hint(), Some((cause, hint)), "hint: {name}");
        assert_eq!(told.diagnosis(), (cause, diagnosis), "diagnosis: {name}");
    }
}

#[test]
fn every_code_of_the_exchange_is_explained_alike() {
    let unknown = 7777;
    let numbers = (0..100_000).chain([140_001, 9_010_001]);
    let codes: Vec<i64> = numbers
        .filter(|code| catalogue::codes::find(*code).is_some() || *code == unknown)
        .collect();
    for status in [200, 400, 401, 403, 429, 500] {
        for code in codes.iter().copied() {
            let told = Told::answered(status, code);
            let Some(hint) = told.hint() else { continue };
            // One call to a method that is not known anywhere says nothing about the base URL; every read does.
            if matches!(code, 10004 | 40002) {
                assert_eq!(hint, (Cause::KeyMismatch, Possible), "{status} {code}");
                continue;
            }
            assert_eq!(hint, told.diagnosis(), "{status} {code}");
        }
    }
}
