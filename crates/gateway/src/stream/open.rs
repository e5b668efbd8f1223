//! Opening a socket to the exchange's streams: name, TCP, TLS, handshake, and the login with the key of the exchange.
//!
//! Guarantees: the same name service, the same choice of addresses and the same trust roots as for calls; no redirect is
//! followed; one deadline for all of it. The login comes after the wait that the exchange asks for, and leaves one record,
//! like any call that shows the key: if the exchange refuses us here for the address or the clock, it refuses calls too. The
//! answer to the login goes no further. Does not: try twice.

use std::{future::poll_fn, net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, header};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::{
    Beginning, Commands, Incoming, Limits, NO_SIGNATURE, Outgoing, Session, Settings, Side, Slots,
    WaitingOfAll, WebSocket,
};
use crate::{
    admission::Admission,
    connect::{Connection, Connector, Resolver, RootsProblem, USER_AGENT},
    failure::{Failure, Refusal},
    journal::Journal,
    observed::Observed,
    outcome::{Outcome, Phase},
    record::CallRecord,
    redact::Scrubber,
    signer::{LOGIN, LOGIN_ID, Signer},
    upstream,
};
use protocol::frame::Heading;

/// After our close frame the exchange has this time for its own; orders may depend on the end of the connection.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_millis(500);
/// The buffers of one socket, for reading and for writing: many sockets, small messages.
pub(super) const BUFFER: usize = 8 << 10;
/// What a frame needs beside its payload.
const FRAME_OVERHEAD: usize = 1 << 10;

/// The stage that opens sockets to the exchange's streams, and logs them in.
#[derive(Debug)]
pub struct StreamOpener {
    dialer: Dialer,
    signer: Arc<Signer>,
    scrubber: Arc<Scrubber>,
    admission: Arc<Admission>,
    observed: Arc<Observed>,
    journal: Arc<Journal>,
    slots: Slots,
    deadline: Duration,
}

impl StreamOpener {
    pub(crate) fn new(
        dialer: Dialer,
        signer: Arc<Signer>,
        admission: Arc<Admission>,
        observed: Arc<Observed>,
        journal: Arc<Journal>,
        deadline: Duration,
    ) -> Self {
        Self {
            slots: Slots::new(dialer.settings()),
            dialer,
            scrubber: Arc::new(Scrubber::new(signer.never_to_be_passed_on())),
            signer,
            admission,
            observed,
            journal,
            deadline,
        }
    }

    /// How streams behave.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        self.dialer.settings()
    }

    /// How many sockets are open, and whose.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// What waits on all sockets, on both sides.
    #[must_use]
    pub fn waiting(&self) -> WaitingOfAll {
        self.dialer.waiting.clone()
    }

    /// Opens the market stream.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn open_market(&self) -> Result<Session, Failure> {
        let (socket, _) = self.connect(Side::Market).await?;
        Ok(self.session(socket, NO_SIGNATURE.to_owned()))
    }

    /// Opens the user stream and logs in with the key of the exchange; the record is the login's.
    ///
    /// # Errors
    /// [`Unopened`].
    pub async fn open_user(&self, record: CallRecord) -> Result<Session, Unopened> {
        let (socket, signature) = self.log_in(record).await?;
        Ok(self.session(socket, signature))
    }

    fn session(&self, socket: UpstreamSocket, login_signature: String) -> Session {
        Session {
            admission: Arc::clone(&self.admission),
            journal: Arc::clone(&self.journal),
            beginning: Beginning::default(),
            socket,
            commands: Commands::new(self.deadline, self.settings().max_commands),
            max_commands: self.settings().max_commands,
            scrubber: Arc::clone(&self.scrubber),
            login_signature,
            has_stale: false,
            heartbeats: 0,
        }
    }

    /// Connects, and waits as the exchange asks.
    async fn connect(&self, side: Side) -> Result<(UpstreamSocket, IpAddr), Failure> {
        let dialled = self.dialer.dial(side).await;
        self.observed.note_attempt(dialled.is_ok());
        let connected = dialled?;
        sleep(self.settings().settle).await;
        Ok(connected)
    }

    /// Connects, waits, logs in: the socket, and the signature that must not come back.
    async fn log_in(&self, mut record: CallRecord) -> Result<(UpstreamSocket, String), Unopened> {
        record.report.method = Some(LOGIN.into());
        let deadline = self.deadline;
        let until = Instant::from_std(record.opened())
            + deadline.max(self.settings().settle + deadline / 2);
        let turn = self
            .signer
            .turn_to_log_in(self.admission.clock(), &record.report.caller);
        let turn = match turn {
            Ok(turn) => turn,
            Err(refusal) => {
                record.ended(refusal.status(), refusal.code());
                return Err(refusal.into());
            }
        };
        record.admit();
        let progress = record.progress();
        progress.reach(Phase::Connecting);
        let (mut socket, peer) = match self.connect(Side::User).await {
            Ok(connected) => connected,
            Err(failure) => return Err(failed(record, failure)),
        };
        record.report.peer = Some(peer);
        let login = self.signer.log_in(turn);
        record.report.nonce = Some(login.nonce);
        record.report.string_to_sign_len = Some(login.string_to_sign_len);
        record.report.waited = record.opened().elapsed();
        let sent = Instant::now();
        socket.push_within_room(Outgoing {
            text: login.text.into(),
            progress: Some(progress),
            ticket: None,
        });
        let answer = timeout_at(until, answer(&mut socket))
            .await
            .unwrap_or(Err(Failure::Deadline(deadline)));
        record.report.exchange = sent.elapsed();
        let code = match answer {
            Ok(code) => code,
            Err(failure) => return Err(failed(record, failure)),
        };
        record.answered(200, code, Outcome::of_code(code));
        if code == Some(0) {
            Ok((socket, login.signature))
        } else {
            Err(Unopened::LoginRefused(code))
        }
    }
}

/// Why there is no upstream socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// We chose not to try.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The exchange refused our login.
    #[error(
        "the exchange refused the login of the proxy (code {0:?}); its log has the likeliest cause"
    )]
    LoginRefused(Option<i64>),
}

fn failed(mut record: CallRecord, failure: Failure) -> Unopened {
    record.ended(failure.status(), failure.code());
    failure.into()
}

/// The code of the answer, which repeats the id of the login; other frames are none, and are skipped. Until the client is
/// wired through, heartbeats are answered here.
async fn answer(socket: &mut UpstreamSocket) -> Result<Option<i64>, Failure> {
    loop {
        match poll_fn(|cx| socket.poll(cx, true)).await {
            Incoming::Text(text) => {
                let heading = Heading::read(&text);
                match (heading.method.as_deref(), heading.id) {
                    (Some("public/heartbeat"), Some(id)) => {
                        let text =
                            format!("{{\"id\":{id},\"method\":\"public/respond-heartbeat\"}}");
                        socket.push_within_room(Outgoing {
                            text: text.into(),
                            progress: None,
                            ticket: None,
                        });
                    }
                    (None | Some(LOGIN), Some(LOGIN_ID)) => return Ok(heading.code),
                    _ => {}
                }
            }
            Incoming::Closed(_) | Incoming::Lost | Incoming::Stalled | Incoming::Broken(_) => {
                return Err(Failure::Lost);
            }
        }
    }
}

/// An open socket to the exchange.
pub(super) type UpstreamSocket = WebSocket<Connection, Outgoing>;

/// The connection to the exchange's streams.
#[derive(Debug)]
pub struct Dialer {
    settings: Settings,
    connector: Option<Connector>,
    waiting: WaitingOfAll,
}

impl Dialer {
    /// Prepares to dial.
    ///
    /// # Errors
    /// [`RootsProblem`] where the trust roots cannot be read.
    pub fn new(
        settings: Settings,
        upstream: &upstream::Settings,
        resolver: Resolver,
    ) -> Result<Self, RootsProblem> {
        let ca_file = upstream.ca_file.as_deref();
        let connector = match &settings.base {
            Some(base) => Some(Connector::new(
                base.url(),
                upstream.connect_deadline,
                ca_file,
                resolver,
            )?),
            None => None,
        };
        Ok(Self {
            settings,
            connector,
            waiting: WaitingOfAll::default(),
        })
    }

    /// How streams behave.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens a socket on which no frame was sent yet, to the address that is returned.
    pub(super) async fn dial(&self, side: Side) -> Result<(UpstreamSocket, IpAddr), Failure> {
        let (Some(base), Some(connector)) = (&self.settings.base, &self.connector) else {
            return Err(Failure::Connect);
        };
        let deadline = connector.deadline();
        let (stream, peer) = timeout(deadline, self.agree(connector, &base.url_of(side)))
            .await
            .map_err(|_| Failure::ConnectDeadline(deadline))??;
        let limits = Limits {
            frames: usize::MAX,
            bytes: usize::MAX,
            stall: self.settings.max_waiting.stall,
        };
        let socket = WebSocket::new(stream, limits, self.waiting.clone());
        Ok((socket, peer))
    }

    /// Connects, and agrees with the exchange to speak WebSocket.
    async fn agree(
        &self,
        connector: &Connector,
        url: &str,
    ) -> Result<(WebSocketStream<Connection>, IpAddr), Failure> {
        let (connection, peer) = connector.connect().await?;
        let mut request = url.into_client_request().map_err(|_| Failure::Connect)?;
        let agent = HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let config = config(
            self.settings.max_upstream_bytes,
            self.settings.max_frame_bytes,
        );
        let agreed = client_async_with_config(request, connection, Some(config)).await;
        agreed
            .map(|(stream, _)| (stream, peer))
            .map_err(|error| not_agreed(&error))
    }
}

/// The limits of one socket: what it may read in one message, and what it may have to write in one.
#[must_use]
pub fn config(max_read: usize, max_written: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(BUFFER + max_written + FRAME_OVERHEAD)
        .max_message_size(Some(max_read))
        .max_frame_size(Some(max_read))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's errors; all others end the connection alike"
)]
fn not_agreed(error: &Error) -> Failure {
    match error {
        Error::Http(response) if response.status().is_redirection() => {
            Failure::Redirected(response.status().as_u16())
        }
        Error::Http(response) => Failure::NotUpgraded(response.status().as_u16()),
        _ => Failure::Connect,
    }
}
