//! When somebody is told what became of a credential.
//!
//! Guarantees: whatever takes a credential asks here before it says a word or does a thing. So every endpoint and stream
//! slows down a source that guesses, and by one count ([`crate::guesses`]). Who waits costs a stranger's place and no
//! thread; whose credential is right keeps its place while it waits, whoever comes. A stop ends every wait. Does not:
//! change the verdict, or count refusals.

use std::{sync::Arc, time::Duration};

use super::{AppState, rejections::Refused};
use crate::places::Place;
use gateway::access::Peer;

/// Waits as long as guesses from this source demand. `caller` is whose the credential is; `None`: it is wrong.
pub(super) async fn settle(
    app: &AppState,
    source: &Peer,
    place: Option<&Arc<Place>>,
    caller: Option<&Arc<str>>,
) {
    let wait = app.guesses.judge(source, caller);
    if !wait.is_zero() {
        // Boxed, lest every call carries its room along.
        Box::pin(delay(app, source, place, caller, wait)).await;
    }
}

async fn delay(
    app: &AppState,
    source: &Peer,
    place: Option<&Arc<Place>>,
    caller: Option<&Arc<str>>,
    wait: Duration,
) {
    match (caller, place) {
        // Where it has to leave, its connection ends while it waits.
        (Some(caller), Some(place)) => {
            place.known(caller);
        }
        (Some(_), None) => {}
        (None, _) => app.rejections.count(source, Refused::Slowed),
    }
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = app.gateway.draining() => {}
    }
    if let Some(caller) = caller {
        drop(app.guesses.presence(source, caller));
    }
}
