//! Counts public calls that were relayed: they have no caller, and so no record.
//!
//! Guarantees: one line per source each time it is logged (every 10 s by the daemon); beyond 1,024 sources in one period
//! the rest share one line.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use gateway::access::Peer;

/// Sources that are told apart in one period.
const MAX_SOURCES: usize = 1024;

/// The counts of the current period: calls, and those of them that failed on the way.
#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<HashMap<Option<Peer>, (u64, u64)>>);

impl Usage {
    /// Counts one call.
    pub(super) fn count(&self, source: &Peer, failed: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = counts.len() < MAX_SOURCES || counts.contains_key(&Some(source.clone()));
        let (all, lost) = counts.entry(known.then(|| source.clone())).or_default();
        *all += 1;
        *lost += u64::from(failed);
    }

    /// Logs what was counted since the last time, and starts over.
    pub(super) fn log(&self) {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (source, (all, failed)) in counts {
            let from: &dyn fmt::Display = source
                .as_ref()
                .map_or(&"many further sources", |source| source);
            tracing::info!("event=public count={all} failed={failed} from={from}");
        }
    }
}
