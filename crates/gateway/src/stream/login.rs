//! The login of an upstream socket: after the wait that the exchange asks for, with the key of the exchange.
//!
//! Guarantees: it leaves one record, like any call that shows the key: who is refused here for the address or the clock is
//! refused for calls too. The answer goes no further. Does not: try twice.

use std::{future::poll_fn, sync::Arc};

use tokio::time::{Instant, sleep, timeout_at};

use super::{Incoming, Outgoing, Pipe, Side, dial::Transport};
use crate::{
    failure::{Failure, Refusal},
    gateway::Gateway,
    outcome::{Outcome, Phase},
    record::CallRecord,
    signer::{LOGIN, LOGIN_ID},
};
use catalogue::codes;
use protocol::frame::Heading;

/// Why there is no upstream socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// We chose not to try.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The way to it failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The exchange refused our login.
    #[error(
        "the exchange refused the login of the proxy (code {0:?}); its log has the likeliest cause"
    )]
    LoginRefused(Option<i64>),
}

/// Dials, waits, logs in; the socket, and the signature that must not come back.
pub(super) async fn open(
    gateway: &Arc<Gateway>,
    mut record: CallRecord,
) -> Result<(Pipe<Transport, Outgoing>, String), Unopened> {
    record.report.method = Some(LOGIN.into());
    let progress = record.progress();
    progress.reach(Phase::Connecting);
    let (opened, deadline) = (
        Instant::from_std(record.opened()),
        gateway.settings().deadline,
    );
    let until = opened + deadline.max(gateway.streams().settle + deadline / 2);
    let mut pipe = match gateway.connect_stream(Side::User).await {
        Ok(pipe) => pipe,
        Err(failure) => return Err(failed(record, failure)),
    };
    let nonce = gateway.next_nonce();
    let login = gateway.signer().log_in(nonce);
    record.report.nonce = Some(nonce);
    record.report.string_to_sign_len = Some(login.string_to_sign_len);
    record.report.waited = record.opened().elapsed();
    let sent = Instant::now();
    pipe.push_within_room(Outgoing {
        text: login.text.into(),
        progress: Some(progress),
    });
    let answer = timeout_at(until, answer(&mut pipe))
        .await
        .unwrap_or(Err(Failure::Deadline(deadline)));
    record.report.exchange = sent.elapsed();
    match answer {
        Err(failure) => Err(failed(record, failure)),
        Ok(code) => {
            let conclusive = code.is_some_and(codes::is_conclusive);
            record.answered(
                200,
                code,
                if conclusive {
                    Outcome::Answered
                } else {
                    Outcome::Unknown
                },
            );
            if code == Some(0) {
                Ok((pipe, login.signature))
            } else {
                Err(Unopened::LoginRefused(code))
            }
        }
    }
}

fn failed(mut record: CallRecord, failure: Failure) -> Unopened {
    record.ended(failure.status(), failure.code());
    failure.into()
}

/// The code of the answer, which repeats the id of the login; other frames are none, and are skipped. Until the client is
/// wired through, heartbeats are answered here.
async fn answer(pipe: &mut Pipe<Transport, Outgoing>) -> Result<Option<i64>, Failure> {
    loop {
        match poll_fn(|cx| pipe.poll(cx, true)).await {
            Incoming::Text(text) => {
                let heading = Heading::read(&text);
                match (heading.method.as_deref(), heading.id) {
                    (Some("public/heartbeat"), Some(id)) => {
                        let text =
                            format!("{{\"id\":{id},\"method\":\"public/respond-heartbeat\"}}");
                        pipe.push_within_room(Outgoing {
                            text: text.into(),
                            progress: None,
                        });
                    }
                    (None | Some(LOGIN), Some(LOGIN_ID)) => return Ok(heading.code),
                    _ => {}
                }
            }
            Incoming::Closed(_)
            | Incoming::Lost
            | Incoming::Stalled
            | Incoming::Binary
            | Incoming::Broken(_) => {
                return Err(Failure::Lost);
            }
        }
    }
}

impl Gateway {
    /// Connects, and waits as the exchange asks.
    pub(super) async fn connect_stream(
        &self,
        side: Side,
    ) -> Result<Pipe<Transport, Outgoing>, Failure> {
        let dialled = self.dialer().dial(side).await;
        self.observed().note_attempt(dialled.is_ok());
        let pipe = dialled?;
        sleep(self.streams().settle).await;
        Ok(pipe)
    }
}
