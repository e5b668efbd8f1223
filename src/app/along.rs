//! Who reads along with the records, in a task of its own.
//!
//! Guarantees: a call never waits for them: a bounded channel, and who is too slow misses one; a task ends when it has
//! read what there is and its sender is gone. Does not: write records.

use std::sync::Arc;

use tokio::sync::mpsc;

use gateway::record::{CallReport, Reader};

/// Copies of records that may wait for those who read along.
const RECORDS_WAITING: usize = 1024;

/// Who reads along in a task, and the channel of copies; the task ends when its sender is gone.
#[derive(Debug)]
pub(super) struct Along<T> {
    pub(super) reader: T,
    pub(super) to: mpsc::Sender<Arc<CallReport>>,
    pub(super) reports: mpsc::Receiver<Arc<CallReport>>,
}

impl<T> Along<T> {
    pub(super) fn new(reader: T) -> Self {
        let (to, reports) = mpsc::channel(RECORDS_WAITING);
        Self {
            reader,
            to,
            reports,
        }
    }
}

/// Hands reports over a bounded channel until its owner drops it. Full or closed: who reads along misses one.
pub(super) fn hand_to(channel: &mpsc::Sender<Arc<CallReport>>) -> Reader {
    let channel = channel.downgrade();
    Box::new(move |report| {
        if let Some(channel) = channel.upgrade() {
            let _ = channel.try_send(Arc::clone(report));
        }
    })
}
