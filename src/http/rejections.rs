//! Counts requests that are refused before a caller is known.
//!
//! Guarantees: every refusal is counted exactly, and logged as one line per source and reason each time the counts are
//! logged (every 10 s by the daemon, and at its end), so that a flood cannot push orders out of the journal. Memory is
//! bounded: beyond [`MAX_SOURCES`] pairs of source and reason the rest share one line for each reason. Where a signature
//! was a caller's and does not count, its name is part of the reason: callers are as many as the configuration has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::per_peer::{self, MAX_SOURCES, PerPeer, lock};
use diagnosis::history_summary::FOREIGN_SCHEME;
use gateway::{
    access::Peer,
    auth::{NotBelieved, SignatureRejected},
};

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// 401: no valid token.
    Token,
    /// 401: no token that opens the status page.
    Page,
    /// A wrong credential whose answer had to wait; its refusal is counted for itself.
    Slowed,
    /// A refused request without a known caller that showed `X-CAPI-…` headers; its refusal is counted for itself.
    ForeignScheme,
    /// 421: a host that we do not serve.
    Host,
    /// 403: a browser's cross-site request.
    Origin,
    /// 403: the diagnosis is switched off.
    DiagnosisOff,
    /// 400, 431: not HTTP as we take it; answered by the HTTP library.
    Framing,
    /// 503: more streams than the limit.
    Connections,
    /// No answer: a connection that was closed because its place was needed.
    Crowded,
    /// A signed request that is not believed.
    Signature(SignatureRejected),
    /// 429: too many bodies of unknown senders at once.
    Unverified,
    /// A request of an unknown sender that is none.
    Body,
    /// 403: a public call from where none are relayed for.
    PublicClosed,
    /// 429: more public calls than the rate limit.
    PublicBudget,
    /// 429: too many bytes of public answers wait to be read.
    Unread,
    /// A stream whose client did not log in, or asked for something before it had.
    Login,
    /// More frames of market streams without a token than their rate limit.
    Frames,
}

impl Refused {
    /// The stable word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Page => "page",
            Self::Slowed => "slowed",
            Self::ForeignScheme => FOREIGN_SCHEME,
            Self::Host => "host",
            Self::Origin => "origin",
            Self::DiagnosisOff => "diagnosis_off",
            Self::Framing => "framing",
            Self::Connections => "connections",
            Self::Crowded => "crowded",
            Self::Signature(refused) => refused.code(),
            Self::Unverified => "unverified",
            Self::Body => "body",
            Self::PublicClosed => "public_closed",
            Self::PublicBudget => "public_budget",
            Self::Unread => "unread",
            Self::Login => "login",
            Self::Frames => "frames",
        }
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Token => "status=401 why=token",
            Self::Page => "status=401 why=page",
            Self::Slowed => "status=401 why=slowed",
            Self::ForeignScheme => "status=4xx why=foreign_scheme",
            Self::Host => "status=421 why=host",
            Self::Origin => "status=403 why=origin",
            Self::DiagnosisOff => "status=403 why=diagnosis_off",
            Self::Framing => "status=400 why=framing",
            Self::Connections => "status=503 why=connections",
            Self::Crowded => "status=0 why=crowded",
            Self::Signature(SignatureRejected::Signature) => "status=401 why=signature",
            Self::Signature(SignatureRejected::Window) => "status=400 why=nonce",
            Self::Signature(SignatureRejected::Params) => "status=400 why=params_size",
            Self::Signature(SignatureRejected::Replayed) => "status=400 why=replayed",
            Self::Signature(SignatureRejected::Repeated) => "status=400 why=repeated",
            Self::Signature(SignatureRejected::BeforeStart) => "status=400 why=before_start",
            Self::Signature(SignatureRejected::TooMany) => "status=429 why=replay_memory",
            Self::Signature(SignatureRejected::NoMark) => "status=503 why=replay_mark",
            Self::Unverified => "status=429 why=unverified",
            Self::Body => "status=400 why=body",
            Self::PublicClosed => "status=403 why=public_closed",
            Self::PublicBudget => "status=429 why=public_budget",
            Self::Unread => "status=429 why=unread",
            Self::Login => "status=401 why=login",
            Self::Frames => "status=429 why=frames",
        }
    }
}

/// The counts of the current period.
#[derive(Debug, Default)]
pub struct Rejections(Mutex<Counts>);

/// Why, and of whom, where that is known.
type Reason = (Refused, Option<Arc<str>>);

#[derive(Debug, Default)]
struct Counts {
    by_source: PerPeer<HashMap<Reason, u64>>,
    /// Pairs of source and reason that have a line of their own. Their number is what keeps the log's queue from
    /// overflowing, so it has the cap; a cap on sources alone would allow a line for each of their reasons.
    pairs: usize,
}

impl Rejections {
    /// Counts one refusal.
    pub fn count(&self, source: &Peer, refused: Refused) {
        self.count_of(source, (refused, None));
    }

    /// Counts a signed request that is not taken, with the name of the caller whose signature it has.
    pub fn count_signed(&self, source: &Peer, refused: NotBelieved) {
        self.count_of(source, (Refused::Signature(refused.why), refused.caller));
    }

    fn count_of(&self, source: &Peer, reason: Reason) {
        let mut counts = lock(&self.0);
        let own = counts.by_source.get(source);
        let is_known = own.is_some_and(|reasons| reasons.contains_key(&reason));
        let reasons = if is_known || counts.pairs < MAX_SOURCES {
            if !is_known {
                counts.pairs += 1;
            }
            counts.by_source.entry(source, HashMap::new)
        } else {
            counts.by_source.shared(HashMap::new)
        };
        *reasons.entry(reason).or_default() += 1;
    }

    /// Logs what was counted since the last time, one line per source and reason, and starts over. The counts by reason.
    pub fn log(&self) -> HashMap<Refused, u64> {
        let counts = std::mem::take(&mut *lock(&self.0));
        let mut reasons = HashMap::new();
        for (source, counts) in counts.by_source.into_values() {
            let from = per_peer::name(source.as_ref());
            for ((refused, caller), count) in counts {
                *reasons.entry(refused).or_default() += count;
                let of = caller.map_or_else(String::new, |name| format!(" caller={name}"));
                tracing::warn!(
                    "event=refused {} count={count} from={from}{of}",
                    refused.describe()
                );
            }
        }
        reasons
    }

    /// What is counted at the moment for a reason, over all sources.
    #[must_use]
    pub fn counted(&self, refused: Refused) -> u64 {
        let counts = lock(&self.0);
        counts
            .by_source
            .values()
            .flatten()
            .filter(|((counted, _), _)| *counted == refused)
            .map(|(_, count)| count)
            .sum()
    }

    /// The lines that the counts would make now.
    #[cfg(test)]
    fn lines(&self) -> usize {
        lock(&self.0).by_source.values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn counts_stay_exact_when_sources_are_more_than_the_map_holds() {
        let rejections = Rejections::default();
        for number in 0..3000_u32 {
            let source = Peer::Ip(IpAddr::V4(Ipv4Addr::from_bits(number)));
            rejections.count(&source, Refused::Token);
        }
        rejections.count(&Peer::Unix { uid: None }, Refused::Host);
        assert_eq!(rejections.counted(Refused::Token), 3000);
        assert_eq!(rejections.counted(Refused::Host), 1);
        assert!(rejections.0.lock().unwrap().by_source.values().count() <= MAX_SOURCES + 1);
        assert_eq!(
            rejections.log(),
            [(Refused::Token, 3000), (Refused::Host, 1)].into()
        );
        assert_eq!(rejections.counted(Refused::Token), 0);
    }

    #[test]
    fn a_flood_of_every_reason_from_many_sources_is_no_more_lines_than_one_of_one_reason() {
        let reasons = [
            Refused::Token,
            Refused::Page,
            Refused::Host,
            Refused::Origin,
            Refused::Framing,
        ];
        let rejections = Rejections::default();
        for number in 0..2000_u32 {
            let source = Peer::Ip(IpAddr::V4(Ipv4Addr::from_bits(number)));
            for refused in reasons {
                rejections.count(&source, refused);
            }
        }
        assert!(rejections.lines() <= MAX_SOURCES + reasons.len());
        for refused in reasons {
            assert_eq!(rejections.counted(refused), 2000);
        }
        rejections.log();
        assert_eq!(rejections.lines(), 0);
    }
}
