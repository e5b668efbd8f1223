//! Counts requests that are refused before a caller is known.
//!
//! Guarantees: every refusal is counted exactly, and logged as one line per source and reason each time the counts are
//! logged (every 10 s by the daemon, and at its end), so that a flood cannot push orders out of the journal. Memory is
//! bounded: beyond the sources that [`crate::per_peer`] tells apart the rest share one line for each reason.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::per_peer::{self, PerPeer};
use gateway::{access::Peer, auth::SignatureRejected};

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// 401: no valid token.
    Token,
    /// 401, 429: no token that opens the status page.
    Page,
    /// 421: a host that we do not serve.
    Host,
    /// 403: a browser's cross-site request.
    Origin,
    /// 403: the diagnosis is switched off.
    DiagnosisOff,
    /// 400, 431: not HTTP as we take it; answered by the HTTP library.
    Framing,
    /// 503: more connections than the limit.
    Connections,
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
}

impl Refused {
    /// The stable word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Page => "page",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::DiagnosisOff => "diagnosis_off",
            Self::Framing => "framing",
            Self::Connections => "connections",
            Self::Signature(refused) => refused.code(),
            Self::Unverified => "unverified",
            Self::Body => "body",
            Self::PublicClosed => "public_closed",
            Self::PublicBudget => "public_budget",
        }
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Token => "status=401 why=token",
            Self::Page => "status=401 why=page",
            Self::Host => "status=421 why=host",
            Self::Origin => "status=403 why=origin",
            Self::DiagnosisOff => "status=403 why=diagnosis_off",
            Self::Framing => "status=400 why=framing",
            Self::Connections => "status=503 why=connections",
            Self::Signature(SignatureRejected::Signature) => "status=401 why=signature",
            Self::Signature(SignatureRejected::Window) => "status=400 why=nonce",
            Self::Signature(SignatureRejected::Replayed) => "status=401 why=replayed",
            Self::Signature(SignatureRejected::BeforeStart) => "status=400 why=before_start",
            Self::Signature(SignatureRejected::TooMany) => "status=429 why=replay_memory",
            Self::Signature(SignatureRejected::NoMark) => "status=503 why=replay_mark",
            Self::Unverified => "status=429 why=unverified",
            Self::Body => "status=400 why=body",
            Self::PublicClosed => "status=403 why=public_closed",
            Self::PublicBudget => "status=429 why=public_budget",
        }
    }
}

/// The counts of the current period.
#[derive(Debug, Default)]
pub struct Rejections(Mutex<PerPeer<HashMap<Refused, u64>>>);

impl Rejections {
    /// Counts one refusal.
    pub fn count(&self, source: &Peer, refused: Refused) {
        let mut counts = self.lock();
        *counts
            .entry(source, HashMap::new)
            .entry(refused)
            .or_default() += 1;
    }

    /// Logs what was counted since the last time, one line per source and reason, and starts over. The counts by reason.
    pub fn log(&self) -> HashMap<Refused, u64> {
        let counts = std::mem::take(&mut *self.lock());
        let mut reasons = HashMap::new();
        for (source, counts) in counts.into_values() {
            let from = per_peer::name(source.as_ref());
            for (refused, count) in counts {
                *reasons.entry(refused).or_default() += count;
                tracing::warn!(
                    "event=refused {} count={count} from={from}",
                    refused.describe()
                );
            }
        }
        reasons
    }

    /// What is counted at the moment for a reason, over all sources.
    #[must_use]
    pub fn counted(&self, refused: Refused) -> u64 {
        let counts = self.lock();
        counts
            .values()
            .filter_map(|counts| counts.get(&refused))
            .sum()
    }

    fn lock(&self) -> MutexGuard<'_, PerPeer<HashMap<Refused, u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::per_peer::MAX_SOURCES;

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
        assert!(rejections.0.lock().unwrap().values().count() <= MAX_SOURCES + 1);
        assert_eq!(
            rejections.log(),
            [(Refused::Token, 3000), (Refused::Host, 1)].into()
        );
        assert_eq!(rejections.counted(Refused::Token), 0);
    }
}
