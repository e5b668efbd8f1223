//! `/exchange/v1/…`: the API in the exchange's own shape, for clients that can be pointed at a base URL.
//!
//! Guarantees: whoever signs with a virtual key, or shows a token, reaches the same [`Gateway::relay`] as callers of
//! `/proxy/private`; what the exchange answered comes back as it came: status, content type, bytes. What we say ourselves has
//! the exchange's error shape, with codes by which tested clients raise the right exception, and never repeat a call
//! that may have been executed. The table is in `answer.rs`. Does not: decide who may call what.
//!
//! [`Gateway::relay`]: gateway::Gateway::relay

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderName, Method, Request, header};
use ipnet::IpNet;
use tokio::sync::Semaphore;

use super::{AppState, request::source_of, waiting::Waiting};
use gateway::access::Peer;

mod answer;
mod limits;
mod private;
mod public;

pub(crate) use self::private::UNVERIFIED_BYTES;
pub(super) use self::{answer::of_claim, limits::SourceSlot};
use self::{
    answer::{Asked, Refusal},
    limits::{RateLimit, Slots, Usage},
    public::Audience,
};

/// What the paths of this API begin with.
const PREFIX: &str = "/exchange/v1/";

/// What stands behind the base in a path of this API, which may have one slash more on either side of it.
pub(super) fn behind_the_base(path: &str) -> Option<&str> {
    let doubled = path.strip_prefix('/').filter(|rest| rest.starts_with('/'));
    let method = doubled.unwrap_or(path).strip_prefix(PREFIX)?;
    Some(method.strip_prefix('/').unwrap_or(method))
}

/// What a browser says about the site that made it ask.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The time that the body of a sender has who is not known yet.
const UNVERIFIED_DEADLINE: Duration = Duration::from_secs(2);

/// Frames of market streams without a token, for one source: a client subscribes to what it wants when it begins, and then
/// answers a heartbeat every 30 s.
const FRAMES_PER_S: u32 = 10;
const FRAMES_AT_ONCE: u32 = 200;
/// The same for all such sources together: they use the address that the exchange knows callers by.
const ALL_FRAMES_PER_S: u32 = 50;
const ALL_FRAMES_AT_ONCE: u32 = 1000;

/// Bodies of unknown senders that are read at once, and those that wait for their turn to be judged.
const BODIES: usize = 64;

/// How this API behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From a private call's arrival to our answer; below what clients wait, because some send again by themselves when
    /// they gave up waiting (cryptocom-exchange: 5 s).
    pub deadline: Duration,
    /// Networks that public calls are relayed for. Empty: everybody while we listen on this machine alone, else nobody.
    pub public_sources: Vec<IpNet>,
    /// Public calls in a second from one source.
    pub public_calls_per_s: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(4),
            public_sources: Vec::new(),
            public_calls_per_s: 50,
        }
    }
}

/// What this API remembers from one request to the next.
#[derive(Debug)]
pub struct ExchangeApi {
    deadline: Duration,
    slots: Arc<Slots>,
    /// Long bodies that wait for the lane.
    queue: Arc<Slots>,
    /// Signatures of long bodies are judged one at a time, off the thread that serves calls.
    lane: Arc<Semaphore>,
    frames: RateLimit,
    all_frames: RateLimit,
    /// Market streams without a token.
    market: Arc<Slots>,
    audience: Audience,
    rate_limit: RateLimit,
    usage: Usage,
    /// Answers to strangers that wait to be read.
    unread: Arc<Waiting>,
}

impl ExchangeApi {
    /// The API; `local` says that we listen on this machine alone, and so many market streams may have no token.
    #[must_use]
    pub fn new(settings: &Settings, local: bool, market_sockets: usize) -> Self {
        Self {
            deadline: settings.deadline,
            slots: Slots::new(BODIES),
            queue: Slots::new(BODIES),
            lane: Arc::new(Semaphore::new(1)),
            frames: RateLimit::with_burst(FRAMES_PER_S, FRAMES_AT_ONCE),
            all_frames: RateLimit::with_burst(ALL_FRAMES_PER_S, ALL_FRAMES_AT_ONCE),
            market: Slots::new(market_sockets),
            audience: Audience::new(&settings.public_sources, local),
            rate_limit: RateLimit::new(settings.public_calls_per_s),
            usage: Usage::default(),
            unread: Arc::default(),
        }
    }

    /// Whether public data is for this source without showing who it is: the one rule, for calls and for streams.
    pub(super) fn serves_public(&self, source: &Peer) -> bool {
        self.audience.has(source)
    }

    /// Takes one public call from this source's rate limit, if there is one left: for calls and for opening a stream.
    pub(super) fn take_public(&self, source: &Peer) -> bool {
        self.rate_limit.take(source, Instant::now())
    }

    /// A slot for a market stream without a token, if there is one for this source.
    pub(super) fn take_market(&self, source: &Peer) -> Option<SourceSlot> {
        self.market.take(source)
    }

    /// Takes one frame of a market stream without a token from this source's rate limit, and from the one of all sources.
    pub(super) fn take_frame(&self, source: &Peer) -> bool {
        let now = Instant::now();
        self.frames.take(source, now) && self.all_frames.take(&Peer::Unix { uid: None }, now)
    }

    /// Logs how many public calls were relayed for whom since the last time.
    pub fn log_usage(&self) {
        self.usage.log();
    }
}

/// Serves everything below [`PREFIX`].
pub(super) async fn serve(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    let path = behind_the_base(request.uri().path())
        .unwrap_or_default()
        .to_owned();
    let asked = Asked::by_path(&path);
    let refusal = if request.headers().contains_key(header::ORIGIN) {
        Some(Refusal::CrossSite)
    } else if is_led_here(&request) {
        Some(Refusal::OtherSite)
    } else {
        None
    };
    if let Some(refusal) = refusal {
        app.rejections
            .count(&source_of(&request), refusal.counted());
        return answer::refused(&asked, &refusal);
    }
    if path.starts_with("private/") && request.method() == Method::POST {
        return private::relay(&app, &path, asked, request).await;
    }
    if path.starts_with("public/") && [Method::GET, Method::POST].contains(request.method()) {
        return public::relay(&app, asked, request).await;
    }
    let refusal = match path.split_once('/') {
        Some(("private", _)) => Refusal::Verb("POST"),
        Some(("public", _)) => Refusal::Verb("GET, POST"),
        _ => Refusal::NoSuchMethod,
    };
    answer::refused(&asked, &refusal)
}

/// Whether a browser says that another site made it ask, as with `<img src>`: such a request has no `Origin`. Programs send
/// no such header, and a person's own request is `none`.
fn is_led_here(request: &Request<Body>) -> bool {
    let mut sites = request.headers().get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| site != "same-origin" && site != "none")
}

/// The answer to a `Host` that we do not serve, in this API's shape.
pub(super) fn misdirected(method: &str) -> Response {
    answer::refused(&Asked::by_path(method), &Refusal::Misdirected)
}

/// The answer where a client's base URL lacks something, or names another version of the API.
pub(super) async fn wrong_base(request: Request<Body>) -> Response {
    let path = request.uri().path();
    let at = ["/private/", "/public/"]
        .into_iter()
        .find_map(|area| path.find(area));
    let method = at.and_then(|at| path.get(at + 1..)).unwrap_or_default();
    answer::refused(&Asked::by_path(method), &Refusal::WrongBase)
}
