//! The exchange's budgets, enforced.
//!
//! Guarantees: the numbers and the sharing (by key, by address, by method alone) are the catalogue's; a call beyond
//! the budget is counted as refused and does not use it up further.
//! Does not: queue or delay; the budgets of streams are in `stream/socket.rs`.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use catalogue::methods::MethodInfo;

/// Keys of the map come from outside (addresses): idle windows are dropped beyond this many.
const MAX_WINDOWS: usize = 10_000;

/// The windows of every method and owner.
#[derive(Default)]
pub(super) struct Limits {
    windows: HashMap<(&'static str, String), VecDeque<Instant>>,
}

impl Limits {
    /// Uses one call of the budget; `false` when it is spent.
    pub(super) fn admit(
        &mut self,
        method: &MethodInfo,
        api_key: &str,
        address: &str,
        now: Instant,
    ) -> bool {
        let limit = method.rate_limit;
        let length = Duration::from_millis(limit.window_ms);
        if self.windows.len() > MAX_WINDOWS {
            self.windows.retain(|_, calls| {
                calls
                    .back()
                    .is_some_and(|last| now.duration_since(*last) < length)
            });
        }
        let owner = owner(&limit.scope, api_key, address).to_owned();
        let calls = self.windows.entry((method.name, owner)).or_default();
        while calls
            .front()
            .is_some_and(|first| now.duration_since(*first) >= length)
        {
            calls.pop_front();
        }
        let admitted = calls.len() < usize::try_from(limit.limit).unwrap_or(usize::MAX);
        if admitted {
            calls.push_back(now);
        }
        admitted
    }
}

fn owner<'a>(scope: &str, api_key: &'a str, address: &'a str) -> &'a str {
    match scope {
        "method+ip" => address,
        "method" => "",
        _ => api_key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalogue::methods;

    #[test]
    fn a_window_holds_the_documented_number_of_calls_per_key() {
        let method = methods::find("private/create-order").unwrap();
        let (mut limits, start) = (Limits::default(), Instant::now());
        for call in 0..15 {
            assert!(limits.admit(method, "key", "ip", start), "{call}");
        }
        assert!(!limits.admit(method, "key", "ip", start + Duration::from_millis(99)));
        assert!(limits.admit(method, "another key", "ip", start));
        assert!(limits.admit(method, "key", "ip", start + Duration::from_millis(100)));
    }

    #[test]
    fn staking_methods_share_one_budget_and_public_ones_go_by_address() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let staking = methods::find("private/staking/get-open-stake").unwrap();
        assert!((0..50).all(|call| limits.admit(staking, &call.to_string(), "ip", now)));
        assert!(!limits.admit(staking, "yet another key", "ip", now));
        let public = methods::find("public/get-tickers").unwrap();
        assert!((0..100).all(|_| limits.admit(public, "", "ip", now)));
        assert!(!limits.admit(public, "", "ip", now));
        assert!(limits.admit(public, "", "another ip", now));
    }
}
