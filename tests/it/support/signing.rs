//! A client of the exchange with a virtual key: signs by code of its own, so that the proxy's verification is proven.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gateway::{
    auth::{Caller, KeyHolder},
    clock::Clock,
    policy::{Policy, Preset},
    virtual_key::{CallerId, MasterKey, VirtualKey},
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Answer, Builder, TestProxy, client};

/// Key and secret of a caller of this name.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) key: String,
    secret: String,
}

impl Pair {
    /// Always the same for the same name.
    pub(crate) fn of(name: &str) -> Self {
        let (key, secret) = (virtual_key(name), master().secret_of(&virtual_key(name)));
        Self {
            key: key.to_string(),
            secret: secret.reveal().to_owned(),
        }
    }

    /// One with this key, and a secret that is not its own.
    pub(crate) fn with_wrong_secret(&self) -> Self {
        Self {
            secret: format!("{}0", self.secret),
            ..self.clone()
        }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }
}

fn master() -> MasterKey {
    MasterKey::new(Zeroizing::new([7; 32]))
}

fn virtual_key(name: &str) -> VirtualKey {
    let mut id = [0; 12];
    id.iter_mut()
        .zip(name.bytes())
        .for_each(|(slot, byte)| *slot = byte);
    VirtualKey {
        id: CallerId::new(id),
        generation: 1,
    }
}

/// A request before it is signed: texts, as they will stand in the body.
#[derive(Clone)]
pub(crate) struct Unsigned {
    pub(crate) method: String,
    pub(crate) id: String,
    pub(crate) params: Option<String>,
    pub(crate) nonce: String,
    /// What is signed for the params, if it is not what the documents say.
    pub(crate) params_string: Option<String>,
}

impl Unsigned {
    /// With a nonce of its own, at the clock's time.
    pub(crate) fn new(method: &str, params: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let nonce = Clock::system().now_ms() + 1 + count % 1000;
        Self {
            method: method.to_owned(),
            id: (4_611_686_018_427_387_904 + count).to_string(),
            params: Some(params.to_owned()),
            nonce: nonce.to_string(),
            params_string: None,
        }
    }

    pub(crate) fn at(self, nonce: u64) -> Self {
        Self {
            nonce: nonce.to_string(),
            ..self
        }
    }

    pub(crate) fn sig(&self, pair: &Pair) -> String {
        let documented = || {
            self.params.as_ref().map_or_else(String::new, |text| {
                flat(&serde_json::from_str(text).unwrap())
            })
        };
        let params = self.params_string.clone().unwrap_or_else(documented);
        let (id, nonce) = (self.id.trim_matches('"'), self.nonce.trim_matches('"'));
        let text = [self.method.as_str(), id, &pair.key, &params, nonce].concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(pair.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    /// The members in this order, each as its name and its JSON text.
    pub(crate) fn members(&self, pair: &Pair) -> Vec<(&'static str, String)> {
        let mut members = vec![
            ("id", self.id.clone()),
            ("method", format!("\"{}\"", self.method)),
        ];
        members.push(("api_key", format!("\"{}\"", pair.key)));
        members.extend(self.params.clone().map(|params| ("params", params)));
        members.extend([
            ("nonce", self.nonce.clone()),
            ("sig", format!("\"{}\"", self.sig(pair))),
        ]);
        members
    }

    pub(crate) fn body(&self, pair: &Pair) -> String {
        write(&self.members(pair))
    }
}

/// An object of these members.
pub(crate) fn write(members: &[(&'static str, String)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, text)| format!("\"{name}\":{text}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The documented params string.
fn flat(value: &Value) -> String {
    match value {
        // A map of serde_json is sorted by its keys.
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| format!("{key}{}", flat(value)))
            .collect(),
        Value::Array(elements) => elements.iter().map(flat).collect(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

impl Builder {
    /// A caller with a virtual key and this preset.
    pub(crate) fn caller(self, name: &str, preset: Preset) -> Self {
        let policy = Policy {
            allow_classes: preset.classes().iter().copied().collect(),
            ..Policy::nothing()
        };
        let (key, caller) = (
            virtual_key(name),
            Arc::new(Caller {
                name: name.into(),
                policy,
            }),
        );
        self.plan(move |plan| {
            let verifier = master().secret_of(&key).verifier();
            plan.callers = std::mem::take(&mut plan.callers)
                .with_virtual_key(key, KeyHolder { caller, verifier });
        })
    }
}

impl TestProxy {
    /// Posts a body to the exchange-shaped door, at the path of a method.
    pub(crate) async fn post_exchange(&self, method: &str, body: impl Into<String>) -> Answer {
        let request = client().post(self.url(&format!("/exchange/v1/{method}")));
        self.ask(
            request
                .header("content-type", "application/json")
                .body(body.into()),
        )
        .await
    }

    /// A signed call, and the one record that it must leave.
    pub(crate) async fn signed(&self, pair: &Pair, call: &Unsigned) -> Answer {
        let answer = self.post_exchange(&call.method, call.body(pair)).await;
        self.record(&answer);
        answer
    }

    /// Any request to the exchange-shaped door, with the checks that hold for every answer of it. Only an answer to
    /// somebody who is known has a record, and keeps the connection.
    pub(crate) async fn ask(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = Answer::read(request.send().await.expect("an answer")).await;
        self.check_exchange(&answer);
        answer
    }

    pub(crate) fn check_exchange(&self, answer: &Answer) {
        let rid = answer
            .header("x-request-id")
            .expect("every answer has a request id");
        let records = self.records_of(&rid).len();
        if answer.header("connection").is_none() {
            assert_eq!(records, 1, "a known caller: {}", answer.text());
        } else if !matches!(answer.status, 413)
            && !answer.text().contains("the body did not arrive")
        {
            assert_eq!(records, 0, "nobody in particular: {}", answer.text());
        }
        self.canaries
            .assert_absent(&answer.head_and_body(), "an answer");
        self.scan_lines();
    }
}

/// `{"id","method","code","message"}` of ours: the status, the code and the message.
pub(crate) fn told(answer: &Answer) -> (u16, i64, String) {
    let json = answer.json();
    let names: Vec<_> = json
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, ["code", "id", "message", "method"], "{json}");
    (
        answer.status,
        json["code"].as_i64().expect("a code"),
        json["message"].as_str().expect("a message").to_owned(),
    )
}
