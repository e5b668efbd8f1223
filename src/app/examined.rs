//! What the daemon's own diagnosis is given: with what it asks, and what it remembers.
//!
//! Guarantees: the very pair, way and services that the daemon works with. Does not: ask, or judge.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Plan;
use diagnosis::{
    causes::Past,
    history::History,
    history_summary::recollect,
    probes::{self, LiveUse, Ready, Scope},
    runner::Recall,
};
use gateway::clock::Clock;

/// What the daemon is diagnosed with: the pair, the way and the services that it works with itself.
pub(super) fn probing(plan: &Plan) -> probes::Plan {
    let ready = Ready {
        credentials: plan.credentials.clone(),
        upstream: plan.upstream.clone(),
        egress: plan.egress.clone(),
    };
    probes::Plan {
        facts: plan.pair.clone(),
        ready: Some(ready),
        expected: plan.expected.clone(),
        // Never with the cancellation: over HTTP nothing is sent that could touch an order.
        scope: Scope::Full,
        deadline: plan.examination.run_deadline,
        clock: plan.clock.clone(),
        resolver: plan.resolver.clone(),
        live: Arc::<LiveUse>::default(),
    }
}

/// What the history knows of the pair that this daemon runs with, for the ranking.
pub(super) fn recall(history: &History, clock: &Clock) -> Recall {
    let (history, clock) = (history.clone(), clock.clone());
    Box::new(move || {
        // The call that made the operator ask may still wait to be written.
        if let Ok(runtime) = Handle::try_current() {
            runtime.block_on(history.flush());
        }
        let recalled = history.questions().and_then(|questions| {
            questions
                .map(|questions| recollect(&questions, clock.now_ms(), None))
                .transpose()
        });
        let unread = |why: String| Past {
            unread: Some(why),
            ..Past::default()
        };
        match recalled {
            Ok(Some(past)) => past,
            Ok(None) => unread("this daemon keeps no history".to_owned()),
            Err(problem) => unread(problem.to_string()),
        }
    })
}
