//! Where the exchange's streams are.
//!
//! Guarantees: the documented pair of a documented base URL; for a stand-in on loopback the same host and port; or a URL that
//! the operator named, under the same rules as the base URL, because whoever receives the login could use it. wss, or ws on
//! loopback. Source: the vendor's WebSocket pages.

use std::fmt;

use url::Url;

use super::{
    super::upstream::{BaseUrl, is_on_loopback},
    Side,
};

/// REST hosts and the host of their streams.
const DOCUMENTED: [(&str, &str); 2] = [
    ("api.crypto.com", "stream.crypto.com"),
    ("uat-api.3ona.co", "uat-stream.3ona.co"),
];
const DOCUMENTED_PATH: &str = "/exchange/v1";

/// The URL that `/user` and `/market` are appended to.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamBase(Url);

/// Why a stream URL is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamBaseProblem {
    /// Not a URL, or one with a user, a query or a fragment.
    #[error("is not a plain URL; the documented one is wss://stream.crypto.com/exchange/v1")]
    NotAUrl,
    /// ws beyond loopback, or another scheme.
    #[error("must be wss (ws is for loopback only)")]
    NotWss,
    /// A host that is not the documented one beside the base URL, and was not named.
    #[error(
        "host {0} is not the one that belongs to upstream.base_url, and could use the login that it is sent; if it is \
         meant, set upstream.allow_unknown_base = \"{0}\""
    )]
    UnknownHost(String),
}

impl StreamBase {
    /// The streams that belong to a base URL; `None` for a host that the documents do not know.
    #[must_use]
    pub fn beside(base: &BaseUrl) -> Option<Self> {
        let text = if base.is_loopback() {
            let scheme = if base.is_https() { "wss" } else { "ws" };
            format!("{scheme}://{}:{}{}", base.host(), base.port(), base.path())
        } else {
            let (_, host) = DOCUMENTED.iter().find(|(rest, _)| *rest == base.host())?;
            format!("wss://{host}{DOCUMENTED_PATH}")
        };
        Url::parse(&text).ok().map(Self)
    }

    /// Parses a URL that the operator named, beside this base URL. `allow_unknown` names one further host.
    ///
    /// # Errors
    /// [`StreamBaseProblem`], which reads after the setting's name.
    pub fn parse(
        text: &str,
        base: &BaseUrl,
        allow_unknown: Option<&str>,
    ) -> Result<Self, StreamBaseProblem> {
        let url = Url::parse(text.trim_end_matches('/')).map_err(|_| StreamBaseProblem::NotAUrl)?;
        let host = url.host_str().ok_or(StreamBaseProblem::NotAUrl)?.to_owned();
        let extras = !url.username().is_empty() || url.password().is_some();
        if extras || url.query().is_some() || url.fragment().is_some() {
            return Err(StreamBaseProblem::NotAUrl);
        }
        let loopback = is_on_loopback(&url);
        if !(url.scheme() == "wss" || url.scheme() == "ws" && loopback) {
            return Err(StreamBaseProblem::NotWss);
        }
        let documented = DOCUMENTED.contains(&(base.host(), &host));
        if !(loopback && base.is_loopback() || documented || allow_unknown == Some(&host)) {
            return Err(StreamBaseProblem::UnknownHost(host));
        }
        Ok(Self(url))
    }

    /// The URL of one of the streams.
    #[must_use]
    pub(super) fn url_of(&self, side: Side) -> String {
        format!("{}/{}", self.0.as_str().trim_end_matches('/'), side.name())
    }

    /// Whether the streams are encrypted.
    #[must_use]
    pub fn is_wss(&self) -> bool {
        self.0.scheme() == "wss"
    }

    pub(super) const fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for StreamBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for StreamBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamBase({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str, allowed: Option<&str>) -> BaseUrl {
        BaseUrl::parse(text, allowed).unwrap()
    }

    fn beside(text: &str) -> Option<String> {
        StreamBase::beside(&base(text, Some("other.example")))
            .map(|streams| streams.url_of(Side::User))
    }

    #[test]
    fn the_documented_pairs_and_loopback_are_known() {
        let user = |text| beside(text).unwrap();
        assert_eq!(
            user("https://api.crypto.com/exchange/v1"),
            "wss://stream.crypto.com/exchange/v1/user"
        );
        assert_eq!(
            user("https://uat-api.3ona.co/exchange/v1/"),
            "wss://uat-stream.3ona.co/exchange/v1/user"
        );
        assert_eq!(
            user("http://127.0.0.1:9100/exchange/v1"),
            "ws://127.0.0.1:9100/exchange/v1/user"
        );
        assert_eq!(
            user("https://[::1]:9100/exchange/v1"),
            "wss://[::1]:9100/exchange/v1/user"
        );
        assert_eq!(beside("https://other.example/exchange/v1"), None);
    }

    #[test]
    fn a_named_one_is_judged_as_the_base_url_is() {
        let real = base("https://api.crypto.com/exchange/v1", None);
        let problem = |text: &str, allowed| StreamBase::parse(text, &real, allowed).err();
        assert_eq!(problem("wss://stream.crypto.com/exchange/v1/", None), None);
        assert_eq!(
            problem("wss://relay.example/v1", Some("relay.example")),
            None
        );
        for other in [
            "wss://relay.example/v1",
            "wss://uat-stream.3ona.co/exchange/v1",
            "ws://127.0.0.1:1/x",
        ] {
            assert!(
                matches!(
                    problem(other, None),
                    Some(StreamBaseProblem::UnknownHost(_))
                ),
                "{other}"
            );
        }
        assert_eq!(
            problem("ws://stream.crypto.com/exchange/v1", None),
            Some(StreamBaseProblem::NotWss)
        );
        assert_eq!(
            problem("https://stream.crypto.com/", None),
            Some(StreamBaseProblem::NotWss)
        );
        for odd in [
            "",
            "wss://u:p@stream.crypto.com/",
            "wss://stream.crypto.com/?x=1",
        ] {
            assert_eq!(
                problem(odd, None),
                Some(StreamBaseProblem::NotAUrl),
                "{odd}"
            );
        }
    }
}
