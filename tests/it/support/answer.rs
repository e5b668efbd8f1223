//! An answer of the proxy, read whole.

use http::HeaderMap;
use serde_json::Value;

/// Headers that an answer may have.
const EXPECTED_HEADERS: [&str; 12] = [
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "x-proxy-client-oid",
    "x-proxy-hint",
    "x-proxy-outcome",
    "x-proxy-replayed",
    "x-request-id",
];

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            body: response.bytes().await.expect("a whole body").to_vec(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// `body` of our envelope.
    pub(crate) fn inner(&self) -> Value {
        self.json()["body"].clone()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Some(
            self.headers
                .get(name)?
                .to_str()
                .expect("a visible header")
                .to_owned(),
        )
    }

    /// `X-Proxy-Outcome`.
    pub(crate) fn outcome(&self) -> String {
        self.header("x-proxy-outcome").unwrap_or_default()
    }

    pub(crate) fn is_of_a_door(&self) -> bool {
        self.headers.contains_key("x-proxy-outcome")
    }

    pub(crate) fn head_and_body(&self) -> String {
        format!("{:?} {}", self.headers, String::from_utf8_lossy(&self.body))
    }

    /// Only expected headers; JSON; the shape that goes with the status; one outcome on every channel.
    pub(crate) fn check_shape(&self) {
        for name in self.headers.keys() {
            assert!(
                EXPECTED_HEADERS.contains(&name.as_str()),
                "unexpected header {name}"
            );
        }
        assert_eq!(
            self.header("content-type").as_deref(),
            Some("application/json")
        );
        let json = self.json();
        match self.status {
            // What became of a name is told in the envelope of a call.
            400 | 409 | 422 if json.get("detail").is_none() => {
                assert!(json["body"]["error"].is_string(), "{json}");
                assert_eq!(json["status"], self.status, "{json}");
                assert_eq!(json["body"]["outcome"], "refused", "{json}");
            }
            200 if self.is_of_a_door() => {
                assert!(
                    json["status"].is_u64() && json["rid"] == 1 && json.get("body").is_some(),
                    "{json}"
                );
            }
            200 => {}
            401 | 404 | 405 | 408 | 413 | 421 | 429 | 400 => {
                assert!(json["detail"].is_string(), "{json}")
            }
            422 if !self.is_of_a_door() => {
                let place = &json["detail"][0]["loc"][0];
                assert!(place == "query" || place == "path", "{json}");
            }
            422 => assert!(
                json["detail"][0]["msg"].is_string() && json["detail"][0]["loc"][0] == "body",
                "{json}"
            ),
            403 if json.get("detail").is_some() => {}
            503 if json.get("ready").is_some() || json.get("detail").is_some() => {}
            _ => {
                assert!(
                    json["body"]["error"].is_string() && json["rid"] == 1,
                    "{json}"
                );
                assert_eq!(json["status"], self.status, "{json}");
                assert_eq!(
                    json["body"]["outcome"].as_str(),
                    Some(&*self.outcome()),
                    "{json}"
                );
            }
        }
    }
}
