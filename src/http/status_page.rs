//! `GET /` for a browser: the status page, for a token that may diagnose.
//!
//! Sign-in is HTTP Basic: any user name, the token as the password; no cookie, no session. Guarantees: one rendering at
//! a time, off the thread that serves calls, kept for some seconds, so that reloading costs nothing; wrong tokens slow
//! down their source as everywhere; the header is never logged. Does not: take a caller's token, or any
//! verb but GET and HEAD.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use zeroize::Zeroizing;

use super::{
    AppState,
    request::{only, place_of, source_of},
    verdict::settle,
};
use crate::http::page::{
    DaemonFacts, Observations, PageForm, PageInput, RecentHistory, StatusPage, Style,
};
use crate::http::{health, proxy_api, rejections::Refused};
use diagnosis::{
    doubt::{JournalAway, Listed},
    hint::Given,
    history::History,
    report::Diagnosis,
};
use gateway::{access::Arrival, auth::MAX_TOKEN_BYTES, clock::Clock};

mod notice;

use notice::Notice;

/// A rendering is shown for so long, and longer where it took long.
const FRESH: Duration = Duration::from_secs(3);
/// A rendering takes at most one part in so many of the time.
const SHARE: u32 = 20;
/// A user's name, the colon and the longest token, in base64.
const MAX_BASIC_BYTES: usize = 2 * MAX_TOKEN_BYTES;
/// Who asks for a page waits at most so long for it; the disk may not answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// What the page is made from, and what keeps it cheap.
pub struct StatusPages {
    about: DaemonFacts,
    history: History,
    clock: Clock,
    shown: Arc<tokio::sync::Mutex<Option<Shown>>>,
}

impl fmt::Debug for StatusPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusPages").finish_non_exhaustive()
    }
}

/// A rendering: the page that asks again by itself, and the one that stands still.
struct Shown {
    served: Bytes,
    copy: Bytes,
    until: Instant,
    diagnosis: Option<Arc<Diagnosis>>,
    orders: Orders,
}

/// What concerns orders, and is shown at once.
#[derive(Clone, PartialEq, Eq)]
struct Orders {
    in_doubt: Listed,
    journal_away: Option<JournalAway>,
}

impl StatusPages {
    /// A page about this daemon.
    #[must_use]
    pub fn new(about: DaemonFacts, history: History, clock: Clock) -> Self {
        Self {
            about,
            history,
            clock,
            shown: Arc::default(),
        }
    }

    /// The page, new or of the last seconds; nothing where it does not come in time.
    async fn page(&self, app: &AppState, place: PageForm) -> Option<Bytes> {
        // The task keeps the place: who gives up waiting does not let a second rendering begin beside the first.
        let rendered = async {
            let mut shown = Arc::clone(&self.shown).lock_owned().await;
            let diagnosis = app.runner.last().await;
            let orders = Orders {
                in_doubt: app.doubts.list().await,
                journal_away: app.doubts.away(),
            };
            if let Some(shown) = shown
                .as_ref()
                .filter(|shown| shown.is_current(diagnosis.as_ref(), &orders))
            {
                return Some(shown.at(place));
            }
            let (about, history, now_ms) = (
                self.about.clone(),
                self.history.clone(),
                self.clock.now_ms(),
            );
            let hints = app.hints.list();
            let outside = Observations::of(app.gateway.observed(), app.reach.standing(), now_ms);
            let began = Instant::now();
            let rendering = tokio::task::spawn_blocking(move || {
                let (served, copy) = render(
                    &about,
                    &history,
                    diagnosis.as_deref(),
                    (&outside, &hints, &orders),
                    now_ms,
                );
                let until = Instant::now() + FRESH.max(began.elapsed() * SHARE);
                shown
                    .insert(Shown {
                        served,
                        copy,
                        until,
                        diagnosis,
                        orders,
                    })
                    .at(place)
            });
            rendering.await.ok()
        };
        tokio::time::timeout(PATIENCE, rendered)
            .await
            .ok()
            .flatten()
    }
}

impl Shown {
    fn at(&self, place: PageForm) -> Bytes {
        match place {
            PageForm::Served => self.served.clone(),
            PageForm::File => self.copy.clone(),
        }
    }

    fn is_current(&self, diagnosis: Option<&Arc<Diagnosis>>, orders: &Orders) -> bool {
        let same = match (&self.diagnosis, diagnosis) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same && self.orders == *orders && Instant::now() < self.until
    }
}

fn render(
    about: &DaemonFacts,
    history: &History,
    diagnosis: Option<&Diagnosis>,
    (outside, hints, orders): (&Observations, &[Given], &Orders),
    now_ms: u64,
) -> (Bytes, Bytes) {
    let read = history.questions().and_then(|questions| {
        questions
            .map(|questions| RecentHistory::read(&questions, now_ms))
            .transpose()
    });
    let read = read.map_err(|problem| problem.to_string());
    let known = PageInput {
        about,
        diagnosis,
        hints,
        outside,
        in_doubt: &orders.in_doubt.doubts,
        in_doubt_unread: orders.in_doubt.unread.as_deref(),
        journal_away: orders.journal_away.as_ref(),
        history: &read,
        now_ms,
    };
    let page = |place| Bytes::from(StatusPage::of(known, place).html());
    (page(PageForm::Served), page(PageForm::File))
}

/// `GET /`.
pub(super) async fn root(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    if !wants_html(request.headers()) {
        return health::root().await;
    }
    if let Some(refused) = proxy_api::refuse_browser(&app, &request) {
        return refused;
    }
    match admit(&app, &request).await {
        Ok(()) => match app.status.page(&app, place(&request)).await {
            Some(page) => html(StatusCode::OK, page),
            None => Notice::slow(app.doubts.away().is_some()).into_response(),
        },
        Err(notice) => notice.into_response(),
    }
}

/// Whether this request may see the page; else the notice to show. The verdict may have to wait.
fn admit<'a>(
    app: &'a AppState,
    request: &Request<Body>,
) -> impl Future<Output = Result<(), Notice>> + use<'a> {
    let (source, place) = (source_of(request), place_of(request));
    let was_shown = request.headers().contains_key(header::AUTHORIZATION);
    let callers = app.gateway.authenticator().callers();
    let arrival = Arrival {
        source: &source,
        now_ms: app.status.clock.now_ms(),
    };
    let name = basic_password(request.headers())
        .and_then(|password| callers.authenticate_diagnosing(&password, arrival));
    async move {
        if !callers.has_diagnosing() {
            return Err(Notice::no_token_is_set());
        }
        if !was_shown {
            return Err(Notice::sign_in());
        }
        if name.is_none() {
            app.rejections.count(&source, Refused::Page);
        }
        settle(app, &source, place.as_ref(), name.as_ref()).await;
        let Some(name) = name else {
            return Err(Notice::wrong_token());
        };
        drop(app.guesses.presence(&source, &name));
        Ok(())
    }
}

/// The password of HTTP Basic: what stands behind the first colon.
///
/// Exactly one header of bearable length counts, and what was decoded is wiped. The user's name does not matter, and a
/// token is bytes, not UTF-8.
fn basic_password(headers: &HeaderMap) -> Option<Zeroizing<Vec<u8>>> {
    let value = only(headers, header::AUTHORIZATION)?.as_bytes();
    if value.len() > MAX_BASIC_BYTES {
        return None;
    }
    let (scheme, encoded) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..)
        .map(|password| Zeroizing::new(password.to_vec()))
}

/// `/?copy` stands still: to be read for longer than half a minute, or to be kept.
fn place(request: &Request<Body>) -> PageForm {
    if request.uri().query() == Some("copy") {
        PageForm::File
    } else {
        PageForm::Served
    }
}

/// A browser names `text/html`; programs do not.
fn wants_html(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        let refused = |part: &str| {
            part.strip_prefix("q=")
                .is_some_and(|q| q.trim_end_matches(['0', '.']).is_empty())
        };
        is_html && !parts.any(refused)
    })
}

/// A page of HTML with everything that browsers are told about it.
fn html(status: StatusCode, page: impl Into<Body>) -> Response {
    let mut response = Response::new(page.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, Style::own().policy()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_name_html_and_programs_do_not() {
        let wants = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            wants_html(&headers)
        };
        assert!(wants(&[
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ]));
        assert!(wants(&["application/json", "TEXT/HTML ; q=0.1"]));
        for none in [
            &[] as &[_],
            &["*/*"],
            &["application/json"],
            &["text/html;q=0"],
            &["text/html; q=0.000"],
        ] {
            assert!(!wants(none), "{none:?}");
        }
    }

    fn password_of(values: &[&[u8]]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::AUTHORIZATION,
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        basic_password(&headers).map(|password| password.to_vec())
    }

    fn basic(pair: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn the_password_is_everything_behind_the_first_colon_in_any_bytes() {
        for (pair, expected) in [
            (&b"op:invented"[..], &b"invented"[..]),
            (b":in:vented:", b"in:vented:"),
            (b"x:\xff\x00\xfe", b"\xff\x00\xfe"),
        ] {
            assert_eq!(password_of(&[&basic(pair)]).as_deref(), Some(expected));
        }
        let lower = String::from_utf8(basic(b"op:invented"))
            .unwrap()
            .replace("Basic", "bAsIc ");
        assert_eq!(
            password_of(&[lower.as_bytes()]).as_deref(),
            Some(&b"invented"[..])
        );
    }

    #[test]
    fn everything_else_is_no_password() {
        let good = basic(b"op:invented");
        let long = basic(&[b'x'; 4000]);
        let cases: [&[&[u8]]; 8] = [
            &[],
            &[&good, &good],
            &[b"Bearer invented"],
            &[b"Basic"],
            &[b"Basic %%%"],
            &[&basic(b"no colon")],
            &[&long],
            &[b"\xff\xfe"],
        ];
        for case in cases {
            assert_eq!(password_of(case), None);
        }
    }
}
