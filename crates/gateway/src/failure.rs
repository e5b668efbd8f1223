//! What can end a call without an answer that is passed on: our refusals, and failures after we tried.
//!
//! Guarantees: every value says which HTTP status tells the caller, and has a stable word for records. Whether the exchange
//! may have seen the call is a property of the phase (`outcome`), not of the failure, so it cannot be contradicted here.
//! No text holds a secret, an address of the caller's choosing, or a byte of an answer.

use std::{net::IpAddr, time::Duration};

use super::{auth::SignatureRejected, ledger::Away, policy::Denied};
use protocol::wire::MalformedAnswer;

/// Why we chose not to try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy denies it.
    #[error("{0}")]
    Denied(Denied),
    /// As many calls are under way as the limit allows.
    #[error(
        "{limit} {} are under way already ({}calls.max_in_flight); nothing was sent, try again shortly",
        .bound.what(),
        .bound.share()
    )]
    AtCapacity {
        /// What of it is taken.
        bound: Bound,
        /// The limit.
        limit: usize,
    },
    /// As many bytes of earlier answers to this caller wait to be read as it may have.
    #[error(
        "{mib} MiB of answers to this caller wait to be read already; nothing was sent, read them and try again"
    )]
    Unread {
        /// How much waits, in MiB.
        mib: usize,
    },
    /// A command of this id is under way on the same socket.
    #[error(
        "a command with id {0} still waits for its answer on this socket; use another id, because answers are told apart by it"
    )]
    IdInUse(u64),
    /// As many commands of one socket are under way as the limit allows.
    #[error(
        "{limit} commands of this socket are under way already (streams.max_commands); nothing was sent"
    )]
    SocketFull {
        /// The limit.
        limit: usize,
    },
    /// More calls came than the nonce, which counts milliseconds, has room for.
    #[error(
        "the nonce is {ahead_ms} ms ahead of the clock, because more than 1,000 calls a second came; nothing was sent, try \
         again in a second and call less often: the log names the caller who makes most calls"
    )]
    NonceAhead {
        /// How far the call's nonce would have been ahead, in milliseconds.
        ahead_ms: u64,
    },
    /// It may have waited while the process did not run, and its caller may have given up.
    #[error(
        "the proxy was not running for {} s, in which this call may have waited; nothing was sent, send it again if you \
         still want it",
        .length.as_secs()
    )]
    Stalled {
        /// How long the process stood still.
        length: Duration,
    },
    /// The daemon is stopping.
    #[error("the proxy is stopping; nothing was sent, try again shortly")]
    Draining,
    /// What changes something must be written down before it is sent, and cannot be.
    #[error(
        "{0}, so nothing that changes something is sent; cancellations and reads go on; this call may be sent again; whether an earlier call of its name was executed is not known now"
    )]
    Journal(Away),
    /// The very same signed call came before, and nothing is known of it by a name.
    #[error("{}", SignatureRejected::Repeated)]
    Repeated,
    /// The caller's own order of this name was executed some time ago.
    #[error(
        "this name was used for an order that was executed some time ago; nothing was sent now: ask for that order, or use a name that is new"
    )]
    NameUsed,
    /// The caller used this name for something else.
    #[error(
        "this name was used for a call with another content; nothing was sent now: use a name that is new"
    )]
    NameDiffers,
    /// Another caller uses this name.
    #[error("another program uses this name; nothing was sent: use another name")]
    NameTaken,
}

/// What of the room for calls is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// All of it.
    All,
    /// What reads may take of it.
    Reads,
    /// What one caller may take of it.
    Caller,
}

impl Bound {
    const fn what(self) -> &'static str {
        match self {
            Self::All => "calls",
            Self::Reads => "reads",
            Self::Caller => "calls of this caller",
        }
    }

    const fn share(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Reads => "reads may take three quarters of ",
            Self::Caller => {
                "one of several callers leaves as many free as it has, of these and of reads, in "
            }
        }
    }
}

/// Why a call that we tried brought no answer to pass on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name of the exchange could not be resolved.
    #[error("the name of the exchange could not be resolved")]
    Dns,
    /// The name resolved to an address that a public host cannot have.
    #[error("the name of the exchange resolved to {0}, which cannot be an address of the exchange")]
    AddressRefused(IpAddr),
    /// No TCP connection.
    #[error("no connection to the exchange could be made")]
    Connect,
    /// Name, TCP and TLS together took too long.
    #[error("no connection to the exchange within {0:?}")]
    ConnectDeadline(Duration),
    /// TLS failed: certificate, host name, or no TLS at the other end.
    #[error("no secure connection to the exchange could be made (TLS)")]
    Tls,
    /// The connection was lost before a complete answer.
    #[error("the connection was lost before a complete answer")]
    Lost,
    /// The caller hung up, or the process stood still, before it could be sent.
    #[error(
        "the caller is gone, or the proxy was not running for a while, before this could be sent"
    )]
    TooLate,
    /// The total deadline passed.
    #[error("no complete answer within {0:?}")]
    Deadline(Duration),
    /// The answer is larger than the limit.
    #[error("the answer is larger than {0} bytes (upstream.max_reply_bytes)")]
    TooLarge(usize),
    /// The answer came, and was not read, because earlier ones wait for callers to read them.
    #[error(
        "the exchange answered, but earlier answers wait to be read, and there was no room for a long one; read them, and \
         ask again"
    )]
    OthersUnread,
    /// A redirect, which is never followed.
    #[error("the exchange answered with a redirect (HTTP {0}), which is never followed")]
    Redirected(u16),
    /// The connection changed its protocol.
    #[error("the exchange switched protocols")]
    Upgraded,
    /// A stream was asked for, and not opened.
    #[error("the exchange did not open a stream (HTTP {0})")]
    NotUpgraded(u16),
    /// A content encoding that was not asked for.
    #[error("the answer is compressed, which was not asked for")]
    Encoded,
    /// More headers, or longer ones, than are read.
    #[error("the head of the answer is longer than is read, or has more than 100 headers")]
    HeadTooLarge,
    /// No answer of HTTP/1.
    #[error("the answer is not valid HTTP")]
    NotHttp,
    /// A body whose chunks are broken.
    #[error("the chunks of the answer are broken")]
    Framing,
    /// JSON by its type, and malformed.
    #[error("{0}")]
    Malformed(#[from] MalformedAnswer),
    /// An earlier call under the same name has not ended.
    #[error(
        "an earlier call under this name is under way, and nobody knows yet what becomes of it; nothing was sent now"
    )]
    Running,
    /// An earlier call under the same name ended without an answer.
    #[error(
        "an earlier call under this name may have been executed, and the proxy is finding out; nothing was sent now"
    )]
    InDoubt,
    /// A defect of ours.
    #[error("internal error; the log names the place")]
    Defect,
}

impl Refusal {
    /// The HTTP status that tells the caller.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Denied(_) => 403,
            Self::NameUsed | Self::Repeated => 400,
            Self::IdInUse(_) | Self::NameTaken => 409,
            Self::NameDiffers => 422,
            Self::Journal(_)
            | Self::AtCapacity { .. }
            | Self::Unread { .. }
            | Self::SocketFull { .. }
            | Self::NonceAhead { .. }
            | Self::Stalled { .. }
            | Self::Draining => 503,
        }
    }

    /// Whether it is about the socket that a command came by, and not about the command.
    #[must_use]
    pub(crate) const fn is_of_the_socket(&self) -> bool {
        matches!(self, Self::IdInUse(_) | Self::SocketFull { .. })
    }

    /// A stable word for records.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.word(),
            Self::AtCapacity { bound, .. } => match bound {
                Bound::All => "no_room",
                Bound::Reads => "no_room_reads",
                Bound::Caller => "no_room_caller",
            },
            Self::Unread { .. } => "unread_caller",
            Self::Stalled { .. } => "not_running",
            Self::IdInUse(_) => "id_in_use",
            Self::SocketFull { .. } => "socket_full",
            Self::NonceAhead { .. } => "nonce_ahead",
            Self::Draining => "draining",
            Self::Journal(_) => "ledger",
            Self::Repeated => SignatureRejected::Repeated.code(),
            Self::NameUsed => "name_used",
            Self::NameDiffers => "name_differs",
            Self::NameTaken => "name_taken",
        }
    }
}

impl Failure {
    /// The HTTP status that tells the caller: the one table.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Dns | Self::AddressRefused(_) | Self::Connect | Self::Tls => 502,
            Self::Lost
            | Self::TooLarge(_)
            | Self::Redirected(_)
            | Self::Upgraded
            | Self::NotUpgraded(_) => 502,
            Self::HeadTooLarge | Self::NotHttp | Self::Framing => 502,
            Self::Encoded | Self::Malformed(_) => 502,
            Self::TooLate => 503,
            Self::ConnectDeadline(_) | Self::Deadline(_) | Self::OthersUnread => 504,
            Self::Running | Self::InDoubt => 504,
            Self::Defect => 500,
        }
    }

    /// Whether an answer came all the same: the exchange can be reached, though what it said cannot be passed on.
    #[must_use]
    pub const fn is_about_an_answer(&self) -> bool {
        match self {
            Self::TooLarge(_) | Self::Encoded | Self::Malformed(_) => true,
            Self::HeadTooLarge | Self::Framing | Self::OthersUnread => true,
            Self::Dns
            | Self::AddressRefused(_)
            | Self::Connect
            | Self::ConnectDeadline(_)
            | Self::Tls => false,
            // A redirect, another protocol or no HTTP is what a captive portal would answer.
            Self::Lost
            | Self::TooLate
            | Self::Deadline(_)
            | Self::Redirected(_)
            | Self::Upgraded
            | Self::NotUpgraded(_)
            | Self::NotHttp
            | Self::Running
            | Self::InDoubt
            | Self::Defect => false,
        }
    }

    /// A stable word for records.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::AddressRefused(_) => "address_refused",
            Self::Connect => "connect",
            Self::ConnectDeadline(_) => "connect_deadline",
            Self::Tls => "tls",
            Self::Lost => "lost",
            Self::TooLate => "too_late",
            Self::Deadline(_) => "deadline",
            Self::TooLarge(_) => "too_large",
            Self::OthersUnread => "others_unread",
            Self::Redirected(_) => "redirected",
            Self::Upgraded => "upgraded",
            Self::NotUpgraded(_) => "not_upgraded",
            Self::Encoded => "encoded",
            Self::HeadTooLarge => "head_too_large",
            Self::NotHttp => "not_http",
            Self::Framing => "framing",
            Self::Malformed(_) => "malformed",
            Self::Running => "running",
            Self::InDoubt => "in_doubt",
            Self::Defect => "defect",
        }
    }
}

/// Why there is no answer to pass on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// We chose not to try.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// We tried.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Ended {
    /// The HTTP status that tells the caller.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::Failed(failure) => failure.status(),
        }
    }

    /// A stable word for records.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Failed(failure) => failure.code(),
        }
    }
}
