//! Commands of one socket that are being written down, to be sent afterwards.
//!
//! Guarantees: what changes something is sent in the order in which it came; a cancellation goes past what waits for the
//! disk, but for orders that it is about. Dropping this gives up all of it: nothing is sent any more.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    StreamExt as _,
    stream::{FuturesOrdered, FuturesUnordered},
};
use tokio::time::Instant;

use crate::{
    failure::Refusal,
    journal::{Entry, Journal},
    ledger::{Boxed, Cleared, Intent, Known, Running},
    outcome::Progress,
    policy::StreamPermit,
};

/// A command, and what comes next for it.
pub(super) struct Begun {
    pub(super) id: u64,
    /// Tells it from another one that has the same id later.
    pub(super) progress: Arc<Progress>,
    pub(super) next: Next,
}

/// What comes next.
pub(super) enum Next {
    /// It is sent.
    Send(Cleared<StreamPermit>, Entry, String),
    /// Its names are in use by a command or call that has not ended: it waits for that, and nobody waits for it.
    Wait(Running, Permitted),
    /// That has ended: it is written down.
    Write(Permitted),
    /// Its names were used before: nothing is sent.
    Known(Known),
    /// It is refused.
    Refused(Refusal),
}

/// A command that was permitted, and is not written down yet.
pub(super) struct Permitted {
    pub(super) waiting: Waiting,
    pub(super) permit: StreamPermit,
    pub(super) text: String,
}

/// A command that is not sent yet.
pub(super) struct Waiting {
    pub(super) id: u64,
    pub(super) progress: Arc<Progress>,
    pub(super) intent: Intent,
    pub(super) until: Instant,
}

/// The commands that are being written down.
#[derive(Default)]
pub(super) struct Beginning {
    in_order: FuturesOrdered<Boxed<'static, Begun>>,
    at_once: FuturesUnordered<Boxed<'static, Begun>>,
}

impl fmt::Debug for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.in_order.len() + self.at_once.len();
        f.debug_struct("Beginning")
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl Beginning {
    /// Writes a command down that was permitted.
    pub(super) fn write(&mut self, journal: &Arc<Journal>, permitted: Permitted) {
        let journal = Arc::clone(journal);
        let takes_back = permitted.waiting.intent.takes_back();
        let begun: Boxed<'static, Begun> = Box::pin(async move {
            let Waiting {
                id,
                progress,
                intent,
                until,
            } = &permitted.waiting;
            let (id, progress) = (*id, Arc::clone(progress));
            let intent = intent.clone().until(*until);
            let next = match journal.begin(intent, &progress).await {
                Ok(Ok((ticket, entry))) => {
                    let cleared = Cleared::written(permitted.permit, ticket);
                    Next::Send(cleared, entry, permitted.text)
                }
                Ok(Err(Known::Running(running))) => Next::Wait(running, permitted),
                Ok(Err(known)) => Next::Known(known),
                Err(away) => Next::Refused(Refusal::Journal(away)),
            };
            Begun { id, progress, next }
        });
        if takes_back {
            self.at_once.push(begun);
        } else {
            self.in_order.push_back(begun);
        }
    }

    /// Waits for the end of what has a command's names.
    pub(super) fn wait(&mut self, running: Running, permitted: Permitted) {
        self.at_once.push(Box::pin(async move {
            let (id, until) = (permitted.waiting.id, permitted.waiting.until);
            let progress = Arc::clone(&permitted.waiting.progress);
            let next = if running.clone().ended_by(until).await {
                Next::Write(permitted)
            } else {
                Next::Known(Known::Running(running))
            };
            Begun { id, progress, next }
        }));
    }

    /// Finds out whether a command that is refused has names that were used before.
    pub(super) fn look(&mut self, journal: &Arc<Journal>, waiting: Waiting, refusal: Refusal) {
        let journal = Arc::clone(journal);
        self.at_once.push(Box::pin(async move {
            let next = match journal.look(&waiting.intent, waiting.until).await {
                Ok(Some(known)) => Next::Known(known),
                Ok(None) => Next::Refused(refusal),
                Err(away) => Next::Refused(Refusal::Journal(away)),
            };
            Begun {
                id: waiting.id,
                progress: waiting.progress,
                next,
            }
        }));
    }

    /// The next command that has come so far.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Begun> {
        // First what is sent in order: a cancellation that came after its order must find it beginning.
        if let Poll::Ready(Some(begun)) = self.in_order.poll_next_unpin(cx) {
            return Poll::Ready(begun);
        }
        match self.at_once.poll_next_unpin(cx) {
            Poll::Ready(Some(begun)) => Poll::Ready(begun),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
