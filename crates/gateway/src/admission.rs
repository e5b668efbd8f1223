//! Whether a call may go on now: what its caller's policy says, whether the daemon is stopping, whether there is room.
//!
//! Guarantees: a call and a command of a stream pass the same questions in the same order; both count as under way, so that
//! a drain waits for them.

use std::{sync::Arc, time::Duration};

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::{
    access::{Arrival, Peer},
    auth::Caller,
    clock::Clock,
    failure::Refusal,
    outcome::Progress,
    policy::{self, Permit, StreamPermit},
    stall::StallWatch,
};
use protocol::call::{Call, Effect};

pub(crate) mod room;
pub(crate) mod unread;

pub(crate) use room::Place;
use room::Room;
pub use unread::UnreadAnswer;
use unread::{Coming, Unread};

/// Questions about earlier orders that may wait at once, with some places that stay free: each takes some hundred µs of
/// the thread that writes orders down.
const QUESTIONS: usize = 16;

/// The stage that permits calls.
#[derive(Debug)]
pub(crate) struct Admission {
    clock: Clock,
    room: Room,
    questions: Room,
    unread: Arc<Unread>,
    stalls: Arc<StallWatch>,
    calls: TaskTracker,
    sockets: TaskTracker,
    draining: CancellationToken,
}

impl Admission {
    /// Room for so many calls; whether more than one caller shares it.
    pub(crate) fn new(max_in_flight: usize, shared: bool, clock: Clock) -> Self {
        Self {
            clock,
            room: Room::new(max_in_flight, shared),
            questions: Room::new(QUESTIONS, shared),
            unread: Arc::new(Unread::new(shared)),
            stalls: Arc::default(),
            calls: TaskTracker::new(),
            sockets: TaskTracker::new(),
            draining: CancellationToken::new(),
        }
    }

    /// Decides about a call over REST that has this time from arrival to answer, and takes its room.
    pub(crate) fn admit(
        &self,
        caller: &Caller,
        source: &Peer,
        call: Call,
        limit: Duration,
        progress: &Progress,
    ) -> Result<(Permit, Place), Refusal> {
        let kind = call.effect();
        let permit =
            policy::authorize(caller, self.arrival(source), call).map_err(Refusal::Denied)?;
        Ok((permit, self.take_room(caller, kind, limit, progress)?))
    }

    /// Decides about a command of a stream, and takes its room.
    pub(crate) fn admit_streamed(
        &self,
        caller: &Caller,
        source: &Peer,
        call: Call,
        limit: Duration,
        progress: &Progress,
    ) -> Result<(StreamPermit, Place), Refusal> {
        let kind = call.effect();
        let permit = policy::authorize_streamed(caller, self.arrival(source), call)
            .map_err(Refusal::Denied)?;
        Ok((permit, self.take_room(caller, kind, limit, progress)?))
    }

    /// Decides about a question of a caller about its own orders, and takes its room.
    pub(crate) fn admit_question(&self, caller: &Caller, source: &Peer) -> Result<Place, Refusal> {
        policy::admit_question(caller, self.arrival(source)).map_err(Refusal::Denied)?;
        self.questions.take(&caller.name, Effect::Read)
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

    fn take_room(
        &self,
        caller: &Caller,
        kind: Effect,
        limit: Duration,
        progress: &Progress,
    ) -> Result<Place, Refusal> {
        self.refuse_while_draining()?;
        // It counts as having arrived when the stall began. A read is worth answering while its time lasts; what changes
        // something may be given up by now, and sent again. Whoever cancels wants out, and twice does no harm.
        let waited = self
            .stalls
            .may_have_waited()
            .filter(|_| kind != Effect::Cancel);
        if let Some(length) = waited
            && (kind == Effect::Change || length >= limit)
        {
            return Err(Refusal::Stalled { length });
        }
        let mut place = self.room.take(&caller.name, kind)?;
        self.unread.judge(&caller.name, kind)?;
        place.waited = waited;
        progress.only_while(self.stalls.fresh());
        Ok(place)
    }

    /// Where the answer to the call that has this place goes while it comes.
    pub(crate) fn coming_to<'a>(&self, place: &Place, progress: &'a Progress) -> Coming<'a> {
        self.unread.coming(place, progress)
    }

    /// Ends a call that nobody waits for: it is not sent any more, and an answer that waits for room is left.
    pub(crate) fn leave(&self, progress: &Progress) {
        progress.end();
        self.unread.look_who_is_left();
    }

    /// Watches for stalls of the process.
    pub(crate) const fn stalls(&self) -> &Arc<StallWatch> {
        &self.stalls
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
