//! Stub until the branch lands.
use crate::{
    diagnosis::{egress::Trigger, pair_memory::PairFacts},
    gateway::{observed::Observed, record::CallReport},
};
use std::sync::Arc;
use tokio::sync::mpsc;
/// Stub.
#[derive(Debug)]
pub struct Hints;
impl Hints {
    /// Stub.
    pub fn new(_: Arc<Observed>, _: Trigger, _: PairFacts) -> Self {
        Self
    }
    /// Stub.
    pub async fn run(self, mut reports: mpsc::Receiver<CallReport>) {
        while reports.recv().await.is_some() {}
    }
}
