//! The endpoints of the streams: `GET /exchange/v1/user` and `/exchange/v1/market` as WebSockets.
//!
//! Guarantees: nothing is opened for another host, or for a browser's page that is not listed. Sockets are counted in total
//! and by caller. Sockets whose client is not known are also counted apart: on the market stream to their end, and by source;
//! of those whose login is still to come, the oldest of the fullest source leaves for a newcomer. A socket to the exchange
//! is opened for a known caller only. A client that leaves while that socket is being opened leaves nothing behind.
//! Whatever ends one of the two sockets ends the other, with its code where it had one. One line tells the opening, one the
//! end. Source: the wire contract, "Streams". Does not: decide what a frame may do; that is for the gateway.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{Request, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::server::create_response, protocol::Role},
};

use super::{
    AppState, proxy_api,
    rejections::Refused,
    reply::{self, Refusal},
    request::{KnownCaller, is_own_origin, request_id, source_of},
};
use gateway::{
    access::Peer,
    outcome::Outcome,
    stream::{Side, WebSocket},
};

mod answer;
mod forward;
mod socket;

use forward::Forwarder;
use socket::{Socket, UNKNOWN_FRAME_BYTES};

/// `GET /exchange/v1/user`.
pub(super) async fn user(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    open(&app, Side::User, request).await
}

/// `GET /exchange/v1/market`.
pub(super) async fn market(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    open(&app, Side::Market, request).await
}

async fn open(app: &Arc<AppState>, side: Side, mut request: Request<Body>) -> Response {
    let source = source_of(&request);
    if let Some(refused) = refuse_page(app, &source, &request) {
        return refused;
    }
    // A token is optional here, but a wrong one opens nothing.
    let mut caller = None;
    if request.headers().contains_key(proxy_api::TOKEN) {
        caller = proxy_api::authenticate(app, &request).await;
        if caller.is_none() {
            return reply::refused(&Refusal::Unauthorized);
        }
    }
    let is_anonymous = side == Side::Market && caller.is_none();
    if is_anonymous && let Some(refused) = refuse_anonymous(app, &source) {
        return refused;
    }
    if app.gateway.streams().settings().base.is_none() {
        return refused(
            404,
            "there are no streams beside this upstream.base_url; upstream.stream_url names them",
        );
    }
    if app.gateway.is_draining() {
        return later(503, "the proxy is stopping");
    }
    let of_source = if is_anonymous {
        app.exchange_v1.take_market(&source)
    } else {
        None
    };
    let is_full = is_anonymous && of_source.is_none();
    let slot = app.gateway.streams().slots().take();
    let Some(slot) = slot.filter(|_| !is_full) else {
        app.rejections.count(&source, Refused::Connections);
        return later(
            503,
            "too many streams (streams.max_sockets; without a token a quarter of it, one source half of that)",
        );
    };
    let mut login = None;
    if side == Side::User && caller.is_none() {
        let Some((place, left)) = app.logins.enter(&source) else {
            app.rejections.count(&source, Refused::Connections);
            return later(503, "too many streams without a login");
        };
        if let Some(left) = left {
            app.rejections.count(&left, Refused::Crowded);
        }
        login = Some(place);
    }
    let Some(mut agreed) = agree(&request) else {
        return refused(400, "this path is a WebSocket's (RFC 6455, version 13)");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let socket = Socket {
        app: Arc::clone(app),
        side,
        rid: request_id(&request),
        source,
        caller,
        _slot: slot,
        _of_source: of_source,
        login,
    };
    drop(app.gateway.sockets().spawn(serve(socket, upgrade)));
    agreed.extensions_mut().insert(KnownCaller);
    agreed
}

/// Serves a socket to its end: the upgrade, who the client is, the connection to the exchange, the frames.
async fn serve(mut socket: Socket, upgrade: OnUpgrade) {
    let settings = socket.app.gateway.streams().settings().clone();
    let Ok(Ok(upgraded)) = timeout(settings.login_deadline, upgrade).await else {
        return;
    };
    let max_frame_bytes = if socket.side == Side::Market && socket.caller.is_none() {
        settings.max_frame_bytes.min(UNKNOWN_FRAME_BYTES)
    } else {
        settings.max_frame_bytes
    };
    let config = gateway::stream::config(max_frame_bytes, settings.max_upstream_bytes);
    let stream =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let mut client = WebSocket::new(
        stream,
        settings.max_waiting,
        socket.app.gateway.streams().waiting(),
    );
    let opened = Instant::now();
    let known = match socket
        .identify(&mut client, opened + settings.login_deadline)
        .await
    {
        Ok(known) => known,
        Err(end) => return socket.turn_away(client, end).await,
    };
    socket.login = None;
    if let Some(caller) = &known.caller {
        client.known(&caller.name);
    }
    let name: &str = known.caller.as_ref().map_or("none", |caller| &caller.name);
    tracing::info!(
        "event=stream what=opened side={} stream={} caller={name} from={}",
        socket.side.name(),
        socket.rid,
        socket.source
    );
    match socket.open_upstream(&mut client, &known).await {
        Ok((session, early)) => {
            if let Some(reply_to) = &known.login {
                // The queue is empty but for what was refused before.
                let _ = client.push(answer::logged_in(reply_to));
            }
            Forwarder::new(&socket, known.caller.clone(), client, session, early)
                .run(opened)
                .await;
        }
        Err(end) => {
            socket.log_failed(name, &end);
            socket::leave(client, end).await;
        }
    }
}

/// Refuses a page of another site in a browser. Programs whose library writes the address that it dials into `Origin` are
/// none, and a browser lets no page write that.
fn refuse_page(app: &AppState, source: &Peer, request: &Request<Body>) -> Option<Response> {
    let headers = request.headers();
    let is_served = !headers.contains_key(header::ORIGIN)
        || is_own_origin(headers, &app.settings.allowed_origins);
    if is_served {
        return None;
    }
    app.rejections.count(source, Refused::Origin);
    Some(refused(
        403,
        "streams are not opened for this Origin; a program leaves Origin out, or names the host and port that it dials; \
         a page's own Origin has to be listed in listener.allowed_origins",
    ))
}

/// Refuses a market stream to a client without a token, by the rule and the rate limit of public calls.
fn refuse_anonymous(app: &AppState, source: &Peer) -> Option<Response> {
    if !app.exchange_v1.serves_public(source) {
        app.rejections.count(source, Refused::PublicClosed);
        let detail =
            "market data is for the networks of public.sources, or for callers with a token";
        return Some(refused(403, detail));
    }
    if !app.exchange_v1.take_public(source) {
        app.rejections.count(source, Refused::PublicBudget);
        return Some(later(
            429,
            "too many public calls and market streams (public.calls_per_s)",
        ));
    }
    None
}

fn agree(request: &Request<Body>) -> Option<Response> {
    let mut head = Request::new(());
    head.method_mut().clone_from(request.method());
    *head.version_mut() = request.version();
    head.headers_mut().clone_from(request.headers());
    create_response(&head)
        .ok()
        .map(|agreed| agreed.map(|()| Body::empty()))
}

fn refused(status: u16, detail: &str) -> Response {
    let mut response = reply::detail(status, detail);
    reply::set_outcome(&mut response, Outcome::Refused);
    response
}

fn later(status: u16, detail: &str) -> Response {
    let mut response = refused(status, detail);
    reply::set_retry_after(&mut response, 1);
    response
}
