//! What somebody is told who does not see the status page.
//!
//! Guarantees: the same answer for every wrong token; nothing of the request is repeated, and nothing of the state told
//! but whether a token is set at all. Does not: prompt where no token could be right.

use std::time::Duration;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::html;
use crate::http::page::{Style, TextPart};

/// Any user name, and bytes of UTF-8 where a browser has to choose.
const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"crypto-proxy\", charset=\"UTF-8\"");

/// A small page.
#[derive(Debug, Template)]
#[template(path = "notice.html")]
pub(super) struct Notice {
    status: StatusCode,
    prompts: bool,
    wait: Option<Duration>,
    title: &'static str,
    lines: &'static [&'static str],
}

impl Notice {
    fn new(status: StatusCode, title: &'static str, lines: &'static [&'static str]) -> Self {
        Self {
            status,
            prompts: false,
            wait: None,
            title,
            lines,
        }
    }

    pub(super) fn no_token_is_set() -> Self {
        const LINES: &[&str] = &[
            "This daemon has a status page, and no token that opens it.",
            "Set `CRYPTO_PROXY_DIAG_TOKEN` in `/etc/crypto.env` to a random value of its own, then \
             `sudo systemctl restart crypto-proxy`. Make one with \
             `head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='`.",
            "Without it: `sudo crypto-proxy diagnose --alone` on the host.",
        ];
        Self::new(StatusCode::FORBIDDEN, "No token is set", LINES)
    }

    pub(super) fn sign_in() -> Self {
        const LINES: &[&str] = &[
            "The status page opens with the token of `CRYPTO_PROXY_DIAG_TOKEN`, as the password; any user name will do.",
            "A caller's token, `CRYPTO_PROXY_TOKEN`, does not open it. `sudo grep ^CRYPTO_PROXY_DIAG_TOKEN= \
             /etc/crypto.env` shows the right one on the host.",
        ];
        Self {
            prompts: true,
            ..Self::new(StatusCode::UNAUTHORIZED, "Sign in", LINES)
        }
    }

    pub(super) fn wrong_token() -> Self {
        Self {
            title: "That was not the token",
            ..Self::sign_in()
        }
    }

    /// `no_orders`: the order journal takes no entry, either.
    pub(super) fn slow(no_orders: bool) -> Self {
        const SLOW: &str =
            "The page was not ready in time: the disk that holds the history does not answer.";
        const LINES: &[&str] = &[
            SLOW,
            "Calls do not depend on it. `sudo crypto-proxy diagnose --alone` on the host does not, either.",
        ];
        const NO_ORDERS: &[&str] = &[
            "Orders are refused and not sent, because the order journal takes no entry. Cancellations and reads go on. \
             See what keeps the disk busy; orders go on by themselves.",
            SLOW,
            "`sudo crypto-proxy diagnose --alone` on the host does not depend on it.",
        ];
        let (title, lines) = if no_orders {
            ("Orders are refused", NO_ORDERS)
        } else {
            ("The history does not answer", LINES)
        };
        let notice = Self::new(StatusCode::SERVICE_UNAVAILABLE, title, lines);
        Self {
            wait: Some(Duration::from_secs(10)),
            ..notice
        }
    }

    fn style(&self) -> &'static str {
        Style::own().sheet()
    }
}

impl IntoResponse for Notice {
    fn into_response(self) -> Response {
        let mut response = html(self.status, self.render().unwrap_or_default());
        let headers = response.headers_mut();
        if self.prompts {
            headers.insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(wait) = self.wait {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_millis().div_ceil(1000) as u64),
            );
        }
        response
    }
}
