//! What became of a call, as its caller is told; its record and its entry in the journal end with it.

use bytes::Bytes;

use crate::{
    admission::UnreadAnswer,
    failure::{Ended, Failure, Refusal},
    journal::{Entry, Told},
    ledger::{Known, Stored},
    outcome::Outcome,
    record::CallRecord,
    upstream::{Reply, ReplyBody},
};
use protocol::call::RequestId;

/// What became of a call, for an endpoint to put into its shape.
#[derive(Debug)]
pub struct Relayed {
    /// One word.
    pub outcome: Outcome,
    /// The answer, or why there is none.
    pub result: Result<Reply, Ended>,
    /// The names of the call's orders, where they may have to be looked for.
    pub client_oid: Option<String>,
    /// How to find out what became of it, where that is in doubt.
    pub find_out: Option<&'static str>,
    /// What a long answer takes of its caller's budget; to be kept until the answer was read.
    pub unread: Option<UnreadAnswer>,
    /// Whether the answer is that of an earlier call of the same name, and nothing was sent now.
    pub is_replayed: bool,
}

impl Relayed {
    /// A defect of ours ended the call in the phase that this outcome tells.
    #[must_use]
    pub fn defect(outcome: Outcome) -> Self {
        Self::ended(outcome, Failure::Defect)
    }

    /// There is no answer, for this reason.
    pub(super) fn ended(outcome: Outcome, why: impl Into<Ended>) -> Self {
        Self::of(outcome, Err(why.into()))
    }

    pub(super) const fn of(outcome: Outcome, result: Result<Reply, Ended>) -> Self {
        Self {
            outcome,
            result,
            client_oid: None,
            find_out: None,
            unread: None,
            is_replayed: false,
        }
    }

    /// With what helps to find out about the call, which is kept only where its outcome is unknown.
    pub(super) fn in_doubt(
        mut self,
        client_oid: Option<String>,
        find_out: Option<&'static str>,
    ) -> Self {
        if self.outcome == Outcome::Unknown {
            (self.client_oid, self.find_out) = (client_oid, find_out);
        }
        self
    }
}

/// An answer that is given again, with the id of the call that asks for it now.
fn replay(stored: &Stored, id: RequestId) -> Reply {
    let (body, code) = stored.under(id.value());
    let bytes = Bytes::from(body);
    Reply {
        status: stored.status,
        content_type: Some(http::HeaderValue::from_static("application/json")),
        raw: bytes.clone(),
        body: ReplyBody::Json { bytes, code },
        date_ms: None,
        scrubbed: false,
        peer: None,
    }
}

/// Tells what is known of the names of a call, which is not sent.
pub(super) fn tell(
    mut record: CallRecord,
    known: Known,
    id: RequestId,
    find_out: Option<&'static str>,
) -> Relayed {
    match known.told() {
        Ok(Told::Again(stored)) => {
            let reply = replay(&stored, id);
            record.known(reply.status, reply.code(), Outcome::Answered, "replayed");
            let mut relayed = Relayed::of(Outcome::Answered, Ok(reply));
            relayed.is_replayed = true;
            relayed
        }
        Ok(Told::InDoubt(failure)) => {
            record.known(failure.status(), None, Outcome::Unknown, failure.code());
            let names = record.report.client_oid.clone();
            Relayed::ended(Outcome::Unknown, failure).in_doubt(names, find_out)
        }
        Err(refusal) => refuse(record, refusal),
    }
}

/// Refuses a call: nothing was sent.
pub(super) fn refuse(mut record: CallRecord, refusal: Refusal) -> Relayed {
    record.ended(refusal.status(), refusal.code());
    Relayed::ended(Outcome::Refused, refusal)
}

/// Ends the record of a call, and its entry in the journal.
pub(super) fn conclude(
    mut record: CallRecord,
    result: Result<Reply, Failure>,
    find_out: Option<&'static str>,
    entry: Option<Entry>,
) -> Relayed {
    match &result {
        Ok(reply) => {
            record.report.scrubbed = reply.scrubbed;
            record.report.peer = reply.peer;
            if let ReplyBody::Text { media_type, .. } = &reply.body {
                record.report.media_type.clone_from(media_type);
            }
            let code = reply.code();
            let outcome = match entry {
                Some(entry) => entry.answered(reply),
                None => Outcome::of_code(code),
            };
            record.answered(reply.status, code, outcome);
        }
        Err(failure) => {
            record.ended(failure.status(), failure.code());
            drop(entry);
        }
    }
    let outcome = record.report.outcome;
    let client_oid = record.report.client_oid.clone();
    Relayed::of(outcome, result.map_err(Ended::from)).in_doubt(client_oid, find_out)
}
