//! The socket in the state directory by which commands reach the running daemon, which alone has the order journal open.
//!
//! Guarantees: its mode is 0600 before anybody can connect, and only root and the daemon's own user are answered. A socket that
//! a dead daemon left is replaced, one that somebody listens on is not. Connections, heads, bodies and times are bounded, one
//! request each. No answer holds a secret. Without it the daemon runs: commands say that they cannot reach it. Does not: take
//! calls; nothing here is sent to the exchange.

use std::{convert::Infallible, io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::{UnixListener, UnixSocket, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    orders::{self, Decision, Wanted},
    server,
};
use gateway::{access::OVERFLOW_UID, ledger::Ledger};

/// The socket's file in the state directory.
pub(crate) const FILE_NAME: &str = "control.sock";

/// Commands at once; a person gives one at a time.
const CONNECTIONS: usize = 8;
const BACKLOG: u32 = 8;
/// From the connection to the end of its answer. The journal has 5 s.
const DEADLINE: Duration = Duration::from_secs(15);
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_BODY_BYTES: usize = 16 << 10;
/// After an `accept` that failed, the loop waits this long.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket, bound.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens in this directory. Where that cannot be, the log says so.
    pub(crate) async fn bind(state_dir: &Path) -> Option<Self> {
        let path = state_dir.join(FILE_NAME);
        match listen(&path).await {
            Ok(listener) => Some(Self { listener, path }),
            Err(error) => {
                tracing::warn!(
                    "{}: cannot listen here ({error}): `crypto-proxy orders` cannot ask this daemon until it is started again",
                    path.display()
                );
                None
            }
        }
    }

    /// Answers commands until `stop`.
    pub(crate) async fn serve(self, ledger: Arc<dyn Ledger>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            let (Some(uid), Ok(place)) =
                (permitted(&stream), Arc::clone(&places).try_acquire_owned())
            else {
                continue;
            };
            let ledger = Arc::clone(&ledger);
            connections.spawn(async move {
                let _place = place;
                let _ = timeout(DEADLINE, answer_one(stream, uid, ledger)).await;
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn listen(path: &Path) -> io::Result<UnixListener> {
    server::remove_stale_socket(path).await?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Until it listens, the kernel refuses every connection.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private)
        .and_then(|()| socket.listen(BACKLOG))
        .inspect_err(|_| {
            let _ = std::fs::remove_file(path);
        })
}

/// The uid of whoever connected, if it may command.
fn permitted(stream: &UnixStream) -> Option<u32> {
    let uid = stream.peer_cred().ok()?.uid();
    let own = rustix::process::geteuid().as_raw();
    (uid == 0 || (uid == own && uid != OVERFLOW_UID)).then_some(uid)
}

async fn answer_one(stream: UnixStream, uid: u32, ledger: Arc<dyn Ledger>) {
    let service = service_fn(move |request| {
        let ledger = Arc::clone(&ledger);
        async move { Ok::<_, Infallible>(answer(request, uid, &*ledger).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES);
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    uid: u32,
    ledger: &dyn Ledger,
) -> Response<Full<Bytes>> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/orders") => listed(request.uri().query(), ledger).await,
        (&Method::POST, "/orders/resolve") => decided(request, uid, ledger).await,
        _ => (404, said("this daemon does not know the command")),
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn said(why: &str) -> Value {
    json!({ "detail": why })
}

async fn listed(query: Option<&str>, ledger: &dyn Ledger) -> (u16, Value) {
    let mut wanted = Wanted {
        most: orders::MOST,
        ..Wanted::default()
    };
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match (&*name, value.parse()) {
            ("open", Ok(1)) => wanted.open = true,
            ("name", _) => wanted.name = Some(value.into_owned()),
            ("caller", _) => wanted.caller = Some(value.into_owned()),
            ("most", Ok(most)) => wanted.most = most,
            _ => return (422, said("only open=1, name, caller and most are known")),
        }
    }
    match orders::listed(ledger, wanted).await {
        Ok(orders) => (200, json!({ "orders": orders })),
        Err(away) => (503, said(&away.to_string())),
    }
}

async fn decided(request: Request<Incoming>, uid: u32, ledger: &dyn Ledger) -> (u16, Value) {
    let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
    let Ok(body) = body.await else {
        return (413, said("the body is too long, or broke off"));
    };
    let Ok(decision) = serde_json::from_slice::<Decision>(&body.to_bytes()) else {
        return (422, said("name, executed and why are needed"));
    };
    let who = orders::user(uid);
    match orders::decide(ledger, &decision, &who).await {
        Ok(order) => {
            tracing::warn!(
                "event=order_decided rid={} became={} by={}: {}",
                order.rid,
                order.state,
                text::line(&who),
                text::line(&decision.why)
            );
            (200, json!({ "order": order }))
        }
        Err(undecided) => (undecided.status(), said(&undecided.to_string())),
    }
}
