//! Where signed calls go.
//!
//! Guarantees: only the documented hosts, loopback, or one host that the operator named on purpose: any other could
//! replay signed calls for a minute. https, or http on loopback. A method of the closed grammar is appended as it is.

use std::{collections::HashMap, fmt, net::IpAddr};

use url::{Host, Url};

use catalogue::methods;

/// The exchange's documented hosts (vendor documents, REST).
pub const DOCUMENTED_HOSTS: [&str; 2] = ["api.crypto.com", "uat-api.3ona.co"];
/// The documented base of production.
pub const DEFAULT_BASE: &str = "https://api.crypto.com/exchange/v1";
const DOCUMENTED_PATH: &str = "/exchange/v1";

/// A base URL that signed calls may be sent to.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    url: Url,
    loopback: bool,
}

/// Why a base URL is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlProblem {
    /// Not a URL.
    #[error("is not a URL; the documented one is {DEFAULT_BASE}")]
    NotAUrl,
    /// Credentials, a query or a fragment in it.
    #[error("must not hold a user, a password, a query or a fragment")]
    Extras,
    /// http beyond loopback, or another scheme.
    #[error("must be https (http is for loopback only)")]
    NotHttps,
    /// A host that is neither documented nor loopback nor named by `allow_unknown_base`.
    #[error(
        "host {0} is not one of the exchange's (api.crypto.com, uat-api.3ona.co) and could replay signed calls; if it \
         is meant, set upstream.allow_unknown_base = \"{0}\""
    )]
    UnknownHost(String),
}

impl BaseUrl {
    /// Parses a base URL. `allow_unknown` names one further host.
    ///
    /// # Errors
    /// [`BaseUrlProblem`], which reads after the setting's name.
    pub fn parse(text: &str, allow_unknown: Option<&str>) -> Result<Self, BaseUrlProblem> {
        let url = Url::parse(text.trim_end_matches('/')).map_err(|_| BaseUrlProblem::NotAUrl)?;
        let host = url.host().ok_or(BaseUrlProblem::NotAUrl)?;
        let loopback = is_loopback(&host);
        let name = host.to_string();
        let extras = !url.username().is_empty() || url.password().is_some();
        if extras || url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlProblem::Extras);
        }
        if !(url.scheme() == "https" || url.scheme() == "http" && loopback) {
            return Err(BaseUrlProblem::NotHttps);
        }
        if !(loopback || DOCUMENTED_HOSTS.contains(&name.as_str()) || allow_unknown == Some(&name))
        {
            return Err(BaseUrlProblem::UnknownHost(name));
        }
        Ok(Self { url, loopback })
    }

    /// Whether the exchange is on this machine: a stand-in.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it is a documented host with another path than the documented one.
    #[must_use]
    pub fn has_undocumented_path(&self) -> bool {
        !self.loopback && self.url.path() != DOCUMENTED_PATH
    }

    /// The host's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The port, the scheme's own where none is said.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    /// The path that methods are appended to.
    #[must_use]
    pub fn path(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// The URL of every method of the catalogue, so that a call does not parse its own.
    pub(super) fn urls(&self) -> HashMap<&'static str, Url> {
        methods::all()
            .map(|method| (method.name, self.url_of(method.name)))
            .collect()
    }

    /// The URL of a method. The method's grammar has no character that could leave the base.
    #[must_use]
    pub(super) fn url_of(&self, method: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!(
            "{}/{method}",
            self.url.path().trim_end_matches('/')
        ));
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({})", self.url)
    }
}

pub(super) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<BaseUrlProblem> {
        BaseUrl::parse(text, None).err()
    }

    #[test]
    fn documented_hosts_and_loopback_are_taken() {
        for text in [
            DEFAULT_BASE,
            "https://uat-api.3ona.co/exchange/v1/",
            "http://127.0.0.1:9100/exchange/v1",
            "https://[::1]:1/x",
        ] {
            assert_eq!(problem(text), None, "{text}");
        }
        assert!(
            BaseUrl::parse("https://api.crypto.com/v2", None)
                .unwrap()
                .has_undocumented_path()
        );
    }

    #[test]
    fn other_hosts_need_to_be_named() {
        let text = "https://replay.example/exchange/v1";
        assert_eq!(
            problem(text),
            Some(BaseUrlProblem::UnknownHost("replay.example".into()))
        );
        assert!(BaseUrl::parse(text, Some("replay.example")).is_ok());
        assert!(BaseUrl::parse(text, Some("other.example")).is_err());
        assert_eq!(
            problem("https://api.crypto.com.evil.example/"),
            Some(BaseUrlProblem::UnknownHost(
                "api.crypto.com.evil.example".into()
            ))
        );
    }

    #[test]
    fn clear_text_and_extras_are_refused() {
        assert_eq!(
            problem("http://api.crypto.com/exchange/v1"),
            Some(BaseUrlProblem::NotHttps)
        );
        assert_eq!(problem("ftp://127.0.0.1/"), Some(BaseUrlProblem::NotHttps));
        for text in [
            "https://user@api.crypto.com/",
            "https://api.crypto.com/?a=1",
            "https://api.crypto.com/#x",
        ] {
            assert_eq!(problem(text), Some(BaseUrlProblem::Extras), "{text}");
        }
        assert_eq!(problem("api.crypto.com"), Some(BaseUrlProblem::NotAUrl));
    }

    #[test]
    fn a_method_is_appended_as_it_is() {
        let base = BaseUrl::parse(DEFAULT_BASE, None).unwrap();
        assert_eq!(
            base.url_of("private/x").as_str(),
            "https://api.crypto.com/exchange/v1/private/x"
        );
    }
}
