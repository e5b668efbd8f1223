//! [`PreparedCall`] → [`Reply`]; the only module that talks HTTP to the exchange.
//!
//! Guarantees: one transmission per call: HTTP/1.1, no retries, no redirects, no proxy variables, and a body that can be
//! read once only. A call is signed, and the phase turns to `Sent`, when the body is handed to a connection: before that
//! moment a failed call was certainly not sent, and took no nonce. Answers are capped, checked and scrubbed before anybody
//! sees them. Does not: know deadlines other than that for connecting; the total one is the gateway's.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use url::Url;

use super::{
    connect::{Resolver, failure_of_client, why_unread},
    failure::Failure,
    outcome::{Phase, Progress},
    redact::Scrubber,
    signer::{PreparedCall, SignedCall, Signer},
};
use protocol::wire;

mod base;
mod client;

pub use base::{BaseUrl, BaseUrlProblem, DEFAULT_BASE, DOCUMENTED_HOSTS};
pub use client::{ClientProblem, Settings, is_on_loopback, service_client};

/// A complete answer of the exchange, safe to pass on.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its HTTP status.
    pub status: u16,
    /// Its `Content-Type`, as it came where it is fit to be passed on.
    pub content_type: Option<HeaderValue>,
    /// The bytes of its body.
    pub raw: Bytes,
    /// Its body, read.
    pub body: ReplyBody,
    /// Its `Date`, in milliseconds since 1970, where the answer has one and did not come from a cache.
    pub date_ms: Option<u64>,
    /// Whether a secret of ours was overwritten in it.
    pub scrubbed: bool,
    /// The address that its connection led to.
    pub peer: Option<IpAddr>,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum ReplyBody {
    /// JSON, to be passed on byte for byte.
    Json {
        /// The bytes, checked to be JSON.
        bytes: Bytes,
        /// The exchange's code.
        code: Option<i64>,
    },
    /// Anything else.
    Text {
        /// The body, with the replacement character for what is not UTF-8.
        text: String,
        /// Its media type, as far as it is fit for a log line.
        media_type: Option<String>,
    },
}

impl Reply {
    /// The exchange's code, if it sent one.
    #[must_use]
    pub const fn code(&self) -> Option<i64> {
        match &self.body {
            ReplyBody::Json { code, .. } => *code,
            ReplyBody::Text { .. } => None,
        }
    }
}

/// Answers with a few hundred bytes.
const METHOD: &str = "public/get-tickers";
const QUERY: &str = "instrument_name=BTC_USD";
/// One price.
const PRICE: PublicCall<'_> = PublicCall {
    method: METHOD,
    query: Some(QUERY),
    body: None,
};
/// The list of all instruments has half a megabyte, and grows; nothing else of the exchange is as long.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Longer ones are nothing that a client would read.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

/// A call that needs no signature.
#[derive(Clone, Debug)]
pub struct PublicCall<'a> {
    /// The method.
    pub method: &'static str,
    /// The query, as it goes into the URL.
    pub query: Option<&'a str>,
    /// The body, for a method that is posted.
    pub body: Option<Bytes>,
}

/// Where the bytes of an answer go.
pub trait AnswerRoom: Send {
    /// Makes room for so many bytes in all, of `longest` that may come; asked before they are read. Whether there is room.
    fn reach(&mut self, bytes: usize, longest: usize) -> impl Future<Output = bool> + Send;
}

/// Room for an answer that nobody outside waits for.
#[derive(Debug)]
pub struct OurOwn;

impl AnswerRoom for OurOwn {
    async fn reach(&mut self, _: usize, _: usize) -> bool {
        true
    }
}

/// Nothing was signed, so there is nothing that an answer could echo; no answer holds this.
const NO_SIGNATURE: &str = "\0 no signature \0";

/// The connection to the exchange.
#[derive(Debug)]
pub struct Upstream {
    client: reqwest::Client,
    base: BaseUrl,
    urls: HashMap<&'static str, Url>,
    connect_deadline: Duration,
    max_reply_bytes: usize,
    scrubber: Scrubber,
}

impl Upstream {
    /// Prepares connections for calls signed by `signer`.
    ///
    /// # Errors
    /// [`ClientProblem`] where the trust roots cannot be read or the client cannot be built.
    pub fn new(
        settings: &Settings,
        resolver: Resolver,
        signer: &Signer,
    ) -> Result<Self, ClientProblem> {
        Ok(Self {
            client: client::build(settings, resolver)?,
            urls: settings.base.urls(),
            base: settings.base.clone(),
            connect_deadline: settings.connect_deadline,
            max_reply_bytes: settings.max_reply_bytes,
            scrubber: Scrubber::new(signer.never_to_be_passed_on()),
        })
    }

    /// Signs and sends a call, once.
    ///
    /// # Errors
    /// [`Failure`]; `progress` tells whether the exchange may have seen the call.
    pub async fn send(
        &self,
        call: PreparedCall,
        progress: &Arc<Progress>,
        room: &mut impl AnswerRoom,
    ) -> Result<Reply, Failure> {
        progress.reach(Phase::Connecting);
        let url = self.url_of(&call.method());
        let body = OneTransmission {
            call: Some(call),
            progress: Arc::clone(progress),
        };
        let sent = self
            .client
            .post(url)
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .body(reqwest::Body::wrap(body))
            .send()
            .await;
        let mut response =
            sent.map_err(|error| failure_of_client(&error, progress, self.connect_deadline))?;
        check_head(response.status(), response.headers())?;
        let bytes = read_capped(&mut response, self.max_reply_bytes, room).await?;
        // An answer to a head alone cannot echo a signature that was not made.
        let signature = progress
            .signed()
            .map_or(NO_SIGNATURE, |signed| signed.signature.as_str());
        self.finish(&response, bytes, signature)
    }

    /// The method that [`Upstream::ask_public`] asks.
    pub const PUBLIC_METHOD: &str = METHOD;

    /// Asks the exchange for one price, to see that it answers.
    ///
    /// # Errors
    /// [`Failure`], as a signed call would meet it.
    pub async fn ask_public(&self) -> Result<Reply, Failure> {
        self.send_public(PRICE, &mut OurOwn).await
    }

    /// The same, and how long the answer's head took: its first byte, where the connection was open already.
    ///
    /// # Errors
    /// [`Failure`], as a signed call would meet it.
    pub async fn time_public(&self) -> Result<(Reply, Duration), Failure> {
        let began = Instant::now();
        let response = self.open_public(PRICE).await?;
        let first_byte = began.elapsed();
        Ok((self.read_public(response, &mut OurOwn).await?, first_byte))
    }

    /// Sends a call that needs no signature; its answer is read as long as there is room for it.
    ///
    /// # Errors
    /// [`Failure`], as a signed call would meet it; [`Failure::TooLarge`] also where there was no room.
    pub async fn send_public(
        &self,
        call: PublicCall<'_>,
        room: &mut impl AnswerRoom,
    ) -> Result<Reply, Failure> {
        self.read_public(self.open_public(call).await?, room).await
    }

    async fn open_public(&self, call: PublicCall<'_>) -> Result<reqwest::Response, Failure> {
        let mut url = self.url_of(call.method);
        url.set_query(call.query);
        let request = match call.body {
            None => self.client.get(url),
            Some(body) => {
                let json = HeaderValue::from_static("application/json");
                self.client
                    .post(url)
                    .header(header::CONTENT_TYPE, json)
                    .body(body)
            }
        };
        let progress = Arc::new(Progress::default());
        progress.reach(Phase::Connecting);
        request.send().await.map_err(|error| {
            if !error.is_connect() {
                progress.reach(Phase::Sent);
            }
            failure_of_client(&error, &progress, self.connect_deadline)
        })
    }

    async fn read_public(
        &self,
        mut response: reqwest::Response,
        room: &mut impl AnswerRoom,
    ) -> Result<Reply, Failure> {
        check_head(response.status(), response.headers())?;
        let limit = self.max_reply_bytes.max(MAX_ANSWER_BYTES);
        let bytes = read_capped(&mut response, limit, room).await?;
        self.finish(&response, bytes, NO_SIGNATURE)
    }

    fn url_of(&self, method: &str) -> Url {
        self.urls
            .get(method)
            .cloned()
            .unwrap_or_else(|| self.base.url_of(method))
    }

    fn finish(
        &self,
        response: &reqwest::Response,
        bytes: Bytes,
        signature: &str,
    ) -> Result<Reply, Failure> {
        let headers = response.headers();
        let (raw, in_body) = self.scrubber.scrub(bytes, signature);
        let media_type = media_type(headers);
        let (content_type, in_type) = self.content_type(headers, &media_type, signature);
        let body = if is_json(&media_type) {
            let code = wire::read_answer(&raw)?.code;
            ReplyBody::Json {
                bytes: raw.clone(),
                code,
            }
        } else {
            let text = String::from_utf8_lossy(&raw).into_owned();
            ReplyBody::Text {
                text,
                media_type: Some(media_type)
                    .filter(|media_type| !in_type && is_loggable(media_type)),
            }
        };
        Ok(Reply {
            status: response.status().as_u16(),
            content_type,
            raw,
            body,
            date_ms: date_ms(headers),
            scrubbed: in_body || in_type,
            peer: response.remote_addr().map(|peer| peer.ip()),
        })
    }

    /// The `Content-Type` as it may be passed on, and whether there was a secret in it. What holds one, or is no short plain
    /// text, has another in its place.
    fn content_type(
        &self,
        headers: &HeaderMap,
        media_type: &str,
        signature: &str,
    ) -> (Option<HeaderValue>, bool) {
        let Some(value) = headers.get(header::CONTENT_TYPE) else {
            return (None, false);
        };
        let bytes = value.as_bytes();
        let has_secret = self.scrubber.finds(bytes, signature);
        let plain = bytes.len() <= MAX_CONTENT_TYPE_BYTES
            && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let passed_on = if plain && !has_secret {
            value.clone()
        } else if is_json(media_type) {
            HeaderValue::from_static("application/json")
        } else {
            HeaderValue::from_static("application/octet-stream")
        };
        (Some(passed_on), has_secret)
    }
}

async fn read_capped(
    response: &mut reqwest::Response,
    limit: usize,
    room: &mut impl AnswerRoom,
) -> Result<Bytes, Failure> {
    let too_large = Failure::TooLarge(limit);
    let length = response.content_length();
    let length = length.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let (announced, longest) = (length.unwrap_or(0), length.unwrap_or(limit));
    if announced > limit || !room.reach(announced, longest).await {
        return Err(too_large);
    }
    let Some(first) = response.chunk().await.map_err(|error| why_unread(&error))? else {
        return Ok(Bytes::new());
    };
    let Some(second) = response.chunk().await.map_err(|error| why_unread(&error))? else {
        return if first.len() > limit || !room.reach(first.len(), first.len()).await {
            Err(too_large)
        } else {
            Ok(first)
        };
    };
    let mut all = BytesMut::with_capacity(announced.max(first.len() + second.len()));
    all.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if all.len() + chunk.len() > limit {
            return Err(too_large);
        }
        all.reserve(chunk.len());
        if !room.reach(all.capacity(), longest).await {
            return Err(too_large);
        }
        all.extend_from_slice(&chunk);
        next = response.chunk().await.map_err(|error| why_unread(&error))?;
    }
    Ok(all.freeze())
}

/// Refuses answers that must not be read at all.
fn check_head(status: StatusCode, headers: &HeaderMap) -> Result<(), Failure> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failure::Upgraded);
    }
    if status.is_redirection() {
        return Err(Failure::Redirected(status.as_u16()));
    }
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Failure::Encoded);
    }
    Ok(())
}

/// The media type without its parameters, in lower case; empty where none is given.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// Whether a media type is short and plain enough to stand in a log line.
fn is_loggable(media_type: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte);
    (1..=64).contains(&media_type.len()) && media_type.bytes().all(plain)
}

/// The `Date` of an answer that came straight from the exchange.
fn date_ms(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::AGE) {
        return None;
    }
    let text = headers.get(header::DATE)?.to_str().ok()?;
    let since = httpdate::parse_http_date(text)
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// The deadline passed, and the caller was answered, before a connection took the call; or it could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the call ended before it was sent")]
struct CallEnded;

/// A request body that can be read once. A connection takes it, and in this moment it is signed and marked as sent.
///
/// hyper asks for the body only after it has a connection and has encoded the head (tested: refused, stalled and
/// half-open connections never get here), so until then there is no signed call. Its length is known before.
struct OneTransmission {
    call: Option<PreparedCall>,
    progress: Arc<Progress>,
}

impl http_body::Body for OneTransmission {
    type Data = Bytes;
    type Error = CallEnded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(call) = self.call.take() else {
            return Poll::Ready(None);
        };
        if self.progress.is_over() {
            return Poll::Ready(Some(Err(CallEnded)));
        }
        let Some(SignedCall { body, signed }) = call.sign() else {
            return Poll::Ready(Some(Err(CallEnded)));
        };
        let handed_over = self.progress.hand_over(signed);
        let frame = handed_over.then_some(Frame::data(body)).ok_or(CallEnded);
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.call.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.call.as_ref().map_or(0, |call| call.body_len() as u64))
    }
}
