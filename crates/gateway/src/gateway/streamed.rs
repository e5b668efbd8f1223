//! What the gateway has for streams: their settings and slots, and the admission of their commands.
//!
//! Guarantees: a command of a stream passes the same stages as a call before it is sent: policy, draining, room. Does not:
//! open or serve a stream; that is for `gateway::session`.

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::Gateway;
use crate::{
    access::Peer,
    auth::Caller,
    failure::Refusal,
    policy::{self, StreamPermit},
    signer::Signer,
    stream::{self, Dialer, Slots},
    upstream::Scrubber,
};
use protocol::call::Call;

impl Gateway {
    /// How streams behave.
    #[must_use]
    pub const fn streams(&self) -> &stream::Settings {
        self.parts.dialer.settings()
    }

    /// The slots of streams.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Where streams are counted, for the drain.
    #[must_use]
    pub const fn sockets(&self) -> &TaskTracker {
        &self.sockets
    }

    pub(crate) const fn dialer(&self) -> &Dialer {
        &self.parts.dialer
    }

    pub(crate) const fn signer(&self) -> &Signer {
        &self.parts.signer
    }

    pub(crate) fn scrubber(&self) -> Scrubber {
        Scrubber::new(self.parts.signer.never_to_be_passed_on())
    }

    /// Counts a command of a stream among the calls under way, as long as this is kept.
    pub(crate) fn count_one(&self) -> TaskTrackerToken {
        self.relays.token()
    }

    /// Decides about a command of a stream as about a call, and takes its room.
    pub(crate) fn admit_streamed(
        &self,
        caller: &Caller,
        source: &Peer,
        call: Call,
    ) -> Result<(StreamPermit, OwnedSemaphorePermit), Refusal> {
        let permit = policy::authorize_streamed(caller, self.now_at(source), call)
            .map_err(Refusal::Denied)?;
        Ok((permit, self.make_room()?))
    }
}
