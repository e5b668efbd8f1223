//! A bare HTTP/1.1 client that signs with the rule that the vectors proved.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    super::{Dialect, Running, clock, json::Json, signature::params_string},
    KEY, SECRET,
};

pub(super) struct Client {
    pub(super) addr: std::net::SocketAddr,
    pub(super) key: String,
    pub(super) secret: String,
    pub(super) clock_offset_ms: i64,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The `code` of a body that has one.
    pub(super) fn json_code(&self) -> Option<i64> {
        serde_json::from_str::<Value>(&self.body).ok()?["code"].as_i64()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Client {
    pub(super) fn new(running: &Running) -> Self {
        Self {
            addr: running.addr(),
            key: KEY.into(),
            secret: SECRET.into(),
            clock_offset_ms: 0,
        }
    }

    pub(super) fn with_key(running: &Running, key: &str, secret: &str) -> Self {
        Self {
            key: key.into(),
            secret: secret.into(),
            ..Self::new(running)
        }
    }

    pub(super) async fn connect(&self) -> Connection {
        Connection(TcpStream::connect(self.addr).await.unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.connect().await.request("GET", path, "").await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Reply {
        self.try_post(path, body).await.unwrap()
    }

    pub(super) async fn try_post(&self, path: &str, body: &str) -> Option<Reply> {
        self.connect().await.request("POST", path, body).await
    }

    pub(super) async fn call(&self, method: &str, params: Value) -> Reply {
        self.try_call(method, params).await.unwrap()
    }

    /// `None` where the connection ended without an answer.
    pub(super) async fn try_call(&self, method: &str, params: Value) -> Option<Reply> {
        self.try_post(
            &format!("/exchange/v1/{method}"),
            &self.signed(method, &params),
        )
        .await
    }

    /// The body of a signed call, id 7.
    pub(super) fn signed(&self, method: &str, params: &Value) -> String {
        let nonce = clock::now_ms(self.clock_offset_ms);
        let text = Json::parse(params.to_string().as_bytes()).unwrap();
        let text = params_string(Some(&text), Dialect::Documented).unwrap();
        let sig = sign(&self.secret, &format!("{method}7{}{text}{nonce}", self.key));
        json!({ "id": 7, "method": method, "api_key": self.key, "params": params, "nonce": nonce, "sig": sig })
            .to_string()
    }
}

pub(super) fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

pub(super) struct Connection(TcpStream);

impl Connection {
    /// Sends a request and reads its answer; `None` where the connection ended without a whole one.
    pub(super) async fn request(&mut self, verb: &str, path: &str, body: &str) -> Option<Reply> {
        let (kind, length) = ("application/json", body.len());
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        let _ = self.0.write_all(format!("{head}{body}").as_bytes()).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Option<Reply> {
        let mut bytes = Vec::new();
        loop {
            if let Some(reply) = whole(&bytes) {
                return Some(reply);
            }
            if self.0.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// All bytes until the end, and whether it was an orderly one.
    pub(super) async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let orderly = self.0.read_to_end(&mut bytes).await.is_ok();
        (bytes, orderly)
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }
}

fn whole(bytes: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let reply = Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    };
    let length: usize = reply.header("content-length")?.parse().ok()?;
    (body.len() >= length).then_some(reply)
}
