//! The order journal as a command reaches it: through the running daemon, or in the file where none runs.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{net::UnixStream, time::timeout};

use super::{Failure, unreadable};
use crate::{
    control,
    orders::{self, Decision, Order, Undecided, Wanted},
};
use gateway::ledger::Away;

/// A daemon on this machine takes a connection at once.
const CONNECT: Duration = Duration::from_secs(2);
/// The daemon has 15 s.
const DEADLINE: Duration = Duration::from_secs(16);
/// A thousand attempts with their legs.
const MAX_ANSWER: usize = 16 << 20;
const SUDO: &str = "the daemon's files are for root: run it with sudo";

/// How it is reached.
pub(super) enum Way {
    Daemon(UnixStream),
    File(ledger::Journal, PathBuf),
}

impl Way {
    pub(super) async fn to(state_dir: &Path) -> Result<Self, Failure> {
        let socket = state_dir.join(control::FILE_NAME);
        let connected = timeout(CONNECT, UnixStream::connect(&socket)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => Ok(Self::Daemon(stream)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(unreadable(
                format!("{}: {error} ({SUDO})", socket.display()),
            )),
            // A dead daemon's socket, none, or a folder whose path is too long for one.
            Err(error) => Self::open(state_dir, &error),
        }
    }

    /// Opens the file. `silent` is why no daemon was asked.
    fn open(state_dir: &Path, silent: &io::Error) -> Result<Self, Failure> {
        let path = state_dir.join(ledger::FILE_NAME);
        let unreadable =
            |why: &dyn std::fmt::Display| unreadable(format!("{}: {why}", path.display()));
        // Opening it would make a new one.
        if ledger::is_missing(&path) {
            return Err(unreadable(&ledger::Problem::Missing));
        }
        let times = ledger::Times::system();
        match ledger::Journal::open(&path, ledger::Settings::default(), times) {
            Ok(journal) => Ok(Self::File(journal, path)),
            Err(problem @ ledger::Problem::InUse) => Err(unreadable(&format!(
                "{problem}: the daemon has it, and does not answer at {} ({silent}); its log says why. Start it again, or \
                 stop it: then the file is read",
                control::FILE_NAME
            ))),
            Err(problem) => Err(unreadable(&problem)),
        }
    }

    pub(super) async fn list(self, wanted: Wanted) -> Result<Vec<Order>, Failure> {
        match self {
            Self::File(journal, path) => {
                let listed = orders::listed(&journal, wanted).await;
                listed.map_err(|away| unreadable(what_next(&away, &path)))
            }
            Self::Daemon(stream) => {
                let mut query = url::form_urlencoded::Serializer::new(String::new());
                query.append_pair("most", &wanted.most.to_string());
                if wanted.open {
                    query.append_pair("open", "1");
                }
                for (name, value) in [("name", &wanted.name), ("caller", &wanted.caller)] {
                    if let Some(value) = value {
                        query.append_pair(name, value);
                    }
                }
                let target = format!("/orders?{}", query.finish());
                ask(stream, Method::GET, &target, "orders", String::new()).await
            }
        }
    }

    pub(super) async fn decide(self, decision: &Decision) -> Result<Order, Failure> {
        match self {
            Self::File(journal, path) => {
                let who = orders::user(rustix::process::getuid().as_raw());
                let decided = orders::decide(&journal, decision, &who).await;
                decided.map_err(|undecided| {
                    if let Undecided::Away(away) = &undecided {
                        unreadable(what_next(away, &path))
                    } else {
                        failed(undecided.status(), &undecided.to_string())
                    }
                })
            }
            Self::Daemon(stream) => {
                let body =
                    serde_json::to_string(decision).map_err(|error| Failure::new(1, error))?;
                ask(stream, Method::POST, "/orders/resolve", "order", body).await
            }
        }
    }
}

/// Why the file cannot be read or written, and what to do.
fn what_next(away: &Away, path: &Path) -> String {
    let root = if rustix::process::geteuid().is_root() {
        String::new()
    } else {
        format!(" ({SUDO})")
    };
    format!("{away}{root}; {}", ledger::remedy(away, path))
}

/// Asks the daemon, and reads this member of its answer.
async fn ask<T: DeserializeOwned>(
    stream: UnixStream,
    method: Method,
    target: &str,
    member: &str,
    body: String,
) -> Result<T, Failure> {
    let asked = timeout(DEADLINE, exchange(stream, method, target, body)).await;
    let (status, mut answer) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(problem)) => {
            let why = format!("the daemon gave no answer ({problem:#}): was it stopped?");
            return Err(Failure::new(1, why));
        }
        Err(_) => {
            let why = format!("the daemon did not answer within {} s", DEADLINE.as_secs());
            return Err(Failure::new(1, why));
        }
    };
    if status != 200 {
        let why = answer.get("detail").and_then(Value::as_str);
        return Err(failed(status, why.unwrap_or("the daemon gave no reason")));
    }
    let found = answer.get_mut(member).map(Value::take).unwrap_or_default();
    serde_json::from_value(found).map_err(|_| {
        let why = "the daemon's answer cannot be read: is it of another version?";
        Failure::new(1, why)
    })
}

/// What an answer that is no good one ends with.
fn failed(status: u16, why: &str) -> Failure {
    match status {
        422 => Failure::new(super::super::USAGE, why),
        503 => unreadable(format!(
            "{why}; `sudo crypto-proxy diagnose` says what to do"
        )),
        _ => Failure::new(1, why),
    }
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    target: &str,
    body: String,
) -> anyhow::Result<(u16, Value)> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "localhost")
        .body(Full::new(Bytes::from(body)))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
    let body = body.await.map_err(|error| anyhow::anyhow!("{error}"))?;
    connection.abort();
    Ok((status, serde_json::from_slice(&body.to_bytes())?))
}
