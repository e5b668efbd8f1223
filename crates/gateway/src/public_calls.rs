//! Public calls: relayed unsigned for everyone whom the endpoint admits.
//!
//! Guarantees: refused while draining, like any call; given up after a deadline; a bounded number at once, apart from private
//! calls, whose room they never take. Does not: leave a record, because there is no caller; the endpoint counts.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{
    admission::Admission,
    failure::{Bound, Ended, Failure, Refusal},
    upstream::{AnswerRoom, PublicCall, Reply, Upstream},
};

/// Public calls under way at once; each may hold an answer of some megabytes.
pub const MAX_IN_FLIGHT: usize = 16;

/// The stage that relays public calls.
#[derive(Debug)]
pub struct PublicCalls {
    admission: Arc<Admission>,
    upstream: Arc<Upstream>,
    room: Semaphore,
}

impl PublicCalls {
    pub(crate) fn new(admission: Arc<Admission>, upstream: Arc<Upstream>) -> Self {
        Self {
            admission,
            upstream,
            room: Semaphore::new(MAX_IN_FLIGHT),
        }
    }

    /// Relays a public call, and reads its answer as long as there is room for it.
    ///
    /// # Errors
    /// [`Ended`]: refused, or failed. Public calls only read, so each may be repeated.
    pub async fn relay(
        &self,
        call: PublicCall<'_>,
        deadline: Duration,
        answer: &mut impl AnswerRoom,
    ) -> Result<Reply, Ended> {
        self.admission.refuse_while_draining()?;
        let _room = self.room.try_acquire().map_err(|_| Refusal::AtCapacity {
            bound: Bound::All,
            limit: MAX_IN_FLIGHT,
        })?;
        let sent = tokio::time::timeout(deadline, self.upstream.send_public(call, answer)).await;
        Ok(sent.unwrap_or(Err(Failure::Deadline(deadline)))?)
    }
}
