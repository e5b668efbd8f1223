//! Public calls: relayed for whoever the door lets in, unsigned.
//!
//! Guarantees: refused while draining, like any call; given up after a deadline; a bounded number at once, apart from
//! private calls, whose room they never take. Does not: leave a record, because there is no caller; the door counts.

use std::time::Duration;

use super::{
    failure::{Failure, Refusal},
    upstream::{PublicCall, Reply},
};
use crate::gateway::{Ended, Gateway};

/// Public calls under way at once; each may hold an answer of some megabytes.
pub(super) const MAX_IN_FLIGHT: usize = 16;

impl Gateway {
    /// Relays a public call.
    ///
    /// # Errors
    /// [`Ended`]: refused, or failed on the way. Public calls only read, so each may be repeated.
    pub async fn relay_public(
        &self,
        call: PublicCall<'_>,
        deadline: Duration,
    ) -> Result<Reply, Ended> {
        if self.is_draining() {
            return Err(Refusal::Draining.into());
        }
        let room = self.public_room().try_acquire();
        let _room = room.map_err(|_| Refusal::AtCapacity {
            limit: MAX_IN_FLIGHT,
        })?;
        let sent = tokio::time::timeout(deadline, self.upstream().send_public(call)).await;
        Ok(sent.unwrap_or(Err(Failure::Deadline(deadline)))?)
    }
}
