//! The alarm about calls that stay in doubt: those that the daemon cannot find out about, at once, and every other one after
//! some minutes.
//!
//! Guarantees: one line when it begins, at most one in a while as long as it lasts, with how many there are and the oldest,
//! and one when it ends. Where the journal does not answer, nothing is said. Does not: end a doubt.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::{Doubt, Doubts};
use gateway::{
    ledger::Listing,
    record::{CALL_TAG, TARGET},
};

/// How often the journal is asked, where something is in doubt.
const EVERY: Duration = Duration::from_secs(5);
/// The daemon asks the exchange at once and then at intervals of up to a minute: what is in doubt for so long, in
/// milliseconds, is not found out like others.
const LATE_MS: u64 = 600_000;
/// As long as it lasts, a line says so again after this time.
const LINE_EVERY: Duration = Duration::from_secs(600);
/// Attempts that are looked at, the newest; where there are more, the count says "at least".
const MOST: usize = 1000;

/// One event with the line and its fields; a macro because an event's level is part of its place in the code.
macro_rules! emit {
    ($level:expr, $state:expr, $rid:expr, $method:expr, $words:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            "CRYPTO_EVENT" = "alarm",
            "CRYPTO_ALARM" = "in_doubt",
            "CRYPTO_ALARM_STATE" = $state,
            "CRYPTO_RID" = $rid,
            "CRYPTO_METHOD" = $method,
            "{CALL_TAG} event=alarm alarm=in_doubt state={} {}",
            $state,
            $words
        )
    };
}

/// What was said.
#[derive(Debug, Default)]
struct Overdue {
    /// When the last line was written; `None`: the alarm is not raised.
    said: Option<Instant>,
}

impl Overdue {
    /// Says what there is to say of these doubts, oldest first.
    fn see(&mut self, doubts: &[Doubt], now_ms: u64, now: Instant) {
        let is_overdue =
            |doubt: &&Doubt| !doubt.is_asked || now_ms.saturating_sub(doubt.ms) >= LATE_MS;
        let mut overdue = doubts.iter().filter(is_overdue);
        let Some(oldest) = overdue.next() else {
            if self.said.take().is_some() {
                emit!(
                    Level::INFO,
                    "ended",
                    "",
                    "",
                    "count=0: nothing stays in doubt any more"
                );
            }
            return;
        };
        let is_said = |said: &Instant| now.saturating_duration_since(*said) < LINE_EVERY;
        if self.said.as_ref().is_some_and(is_said) {
            return;
        }
        self.said = Some(now);
        let name = text::line(oldest.name.as_deref().unwrap_or("none"));
        let words = format!(
            "count={} oldest={name} method={} caller={} rid={} for_s={}: calls that may have been executed stay in doubt; next: {}; \
             `sudo crypto-proxy orders --open` lists all of them",
            1 + overdue.count(),
            oldest.method,
            oldest.caller,
            oldest.rid,
            now_ms.saturating_sub(oldest.ms) / 1000,
            text::line(&oldest.question()),
        );
        emit!(Level::WARN, "raised", &*oldest.rid, &*oldest.method, words);
    }
}

impl Doubts {
    /// Watches them until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut overdue = Overdue::default();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if self.ledger.in_doubt() == 0 && overdue.said.is_none() {
                continue;
            }
            let open = Listing {
                open: true,
                most: MOST,
                ..Listing::default()
            };
            if let Ok(entries) = self.ledger.list(open).await {
                overdue.see(&Doubt::of(&entries), self.clock.now_ms(), Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Lines;

    fn doubt(name: Option<&str>, ms: u64, is_asked: bool) -> Doubt {
        Doubt {
            ms,
            rid: format!("rid-{ms}"),
            caller: "bot".to_owned(),
            method: "private/create-order".to_owned(),
            name: name.map(str::to_owned),
            is_asked,
        }
    }

    #[test]
    fn it_is_raised_once_in_a_while_with_a_count_and_the_oldest_and_ended_once() {
        let (mut overdue, mut now, lines) = (Overdue::default(), Instant::now(), Lines::listen());
        let named = doubt(Some("mine\n[forged]"), 1_000, true);
        let nameless = doubt(None, 5_000, false);
        let both = [named.clone(), nameless.clone()];
        for (doubts, passed_s, now_ms, said) in [
            (&both[..1], 0, 600_999, None),
            (
                &both[..1],
                1,
                601_000,
                Some("raised count=1 oldest=mine[forged] "),
            ),
            (&both, 1, 602_000, None),
            (&both, 598, 603_000, None),
            (
                &both,
                1,
                604_000,
                Some("raised count=2 oldest=mine[forged] "),
            ),
            (&[], 1, 605_000, Some("ended count=0")),
            (&[], 1, 606_000, None),
            // The daemon cannot find out about it: at once.
            (&both[1..], 1, 5_000, Some("raised count=1 oldest=none ")),
        ] {
            now += Duration::from_secs(passed_s);
            overdue.see(doubts, now_ms, now);
            let told = lines.take();
            let told = told.iter().find(|line| line.contains("alarm=in_doubt"));
            let expected = said.map(|said| format!("event=alarm alarm=in_doubt state={said}"));
            match (told, expected) {
                (None, None) => {}
                (Some(told), Some(expected)) if told.contains(&expected) => {}
                other => panic!("{now_ms}: {other:?}"),
            }
        }
    }
}
