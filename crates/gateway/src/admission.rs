//! Whether a call may go on now: what its caller's policy says, whether the daemon is stopping, whether there is room.
//!
//! Guarantees: a call and a command of a stream pass the same questions in the same order; both count as under way, so that
//! a drain waits for them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::{
    access::{Arrival, Peer},
    auth::Caller,
    clock::Clock,
    failure::Refusal,
    policy::{self, Permit, StreamPermit},
};
use protocol::call::Call;

/// The stage that permits calls.
#[derive(Debug)]
pub(crate) struct Admission {
    clock: Clock,
    room: Arc<Semaphore>,
    max_in_flight: usize,
    calls: TaskTracker,
    sockets: TaskTracker,
    draining: CancellationToken,
}

impl Admission {
    pub(crate) fn new(max_in_flight: usize, clock: Clock) -> Self {
        Self {
            clock,
            room: Arc::new(Semaphore::new(max_in_flight)),
            max_in_flight,
            calls: TaskTracker::new(),
            sockets: TaskTracker::new(),
            draining: CancellationToken::new(),
        }
    }

    /// Decides about a call over REST, and takes its room.
    pub(crate) fn admit(
        &self,
        caller: &Caller,
        source: &Peer,
        call: Call,
    ) -> Result<(Permit, OwnedSemaphorePermit), Refusal> {
        let permit =
            policy::authorize(caller, self.arrival(source), call).map_err(Refusal::Denied)?;
        Ok((permit, self.take_room()?))
    }

    /// Decides about a command of a stream, and takes its room.
    pub(crate) fn admit_streamed(
        &self,
        caller: &Caller,
        source: &Peer,
        call: Call,
    ) -> Result<(StreamPermit, OwnedSemaphorePermit), Refusal> {
        let permit = policy::authorize_streamed(caller, self.arrival(source), call)
            .map_err(Refusal::Denied)?;
        Ok((permit, self.take_room()?))
    }

    /// Something that arrives now, from there.
    pub(crate) fn arrival<'a>(&self, source: &'a Peer) -> Arrival<'a> {
        Arrival {
            source,
            now_ms: self.now_ms(),
        }
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn take_room(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.refuse_while_draining()?;
        let limit = self.max_in_flight;
        Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| Refusal::AtCapacity { limit })
    }

    pub(crate) fn refuse_while_draining(&self) -> Result<(), Refusal> {
        if self.is_draining() {
            return Err(Refusal::Draining);
        }
        Ok(())
    }

    /// Counts a call among those under way, as long as the token is kept.
    pub(crate) fn count_call(&self) -> TaskTrackerToken {
        self.calls.token()
    }

    /// The tasks that carry out calls.
    pub(crate) const fn calls(&self) -> &TaskTracker {
        &self.calls
    }

    /// The tasks that serve streams.
    pub(crate) const fn sockets(&self) -> &TaskTracker {
        &self.sockets
    }

    pub(crate) fn drain(&self) {
        self.draining.cancel();
        self.calls.close();
        self.sockets.close();
    }

    pub(crate) async fn draining(&self) {
        self.draining.cancelled().await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    pub(crate) async fn drained(&self) {
        self.calls.wait().await;
        self.sockets.wait().await;
    }
}
