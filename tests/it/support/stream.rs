//! A client of the streams: with a virtual key of ours, and with the harness's checks on every frame.

use std::{net::SocketAddr, sync::Arc};

use crypto_proxy::config::Config;
use futures_util::{SinkExt, StreamExt};
use gateway::{
    auth::{Caller, Callers, KeyHolder},
    policy::Policy,
    virtual_key::{MasterKey, VirtualKey},
};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::WebSocketConfig},
};
use zeroize::Zeroizing;

use super::{Builder, PATIENCE, TestProxy, canary::Canaries};

/// The virtual key of the caller "bot".
pub(crate) const KEY: &str = "cpvk_000102030405060708090a0b_1";
/// The virtual key of the caller "other".
pub(crate) const OTHER: &str = "cpvk_0f0102030405060708090a0b_1";

/// The secret that belongs to a virtual key of these tests.
pub(crate) fn secret_of(key: &str) -> String {
    master()
        .secret_of(&VirtualKey::parse(key).unwrap())
        .reveal()
        .to_owned()
}

fn master() -> MasterKey {
    MasterKey::new(Zeroizing::new([7; 32]))
}

impl Builder {
    /// With two callers who sign with virtual keys, and streams that do not wait.
    pub(crate) fn streams(self, policy: Policy) -> Self {
        self.plan(move |plan| {
            plan.streams.settle = std::time::Duration::ZERO;
            let callers = std::mem::take(&mut plan.callers);
            plan.callers = signing(
                signing(callers, "bot", KEY, policy),
                "other",
                OTHER,
                Policy::default(),
            );
        })
    }
}

fn signing(callers: Callers, name: &str, key: &str, policy: Policy) -> Callers {
    let key = VirtualKey::parse(key).unwrap();
    let caller = Arc::new(Caller {
        name: name.into(),
        policy,
    });
    callers.with_virtual_key(
        key,
        KeyHolder {
            caller,
            verifier: master().secret_of(&key).verifier(),
        },
    )
}

/// A proxy whose streams may be used by "bot", with the default rights, changed.
pub(crate) async fn streaming(change: impl FnOnce(&mut Config) + 'static) -> TestProxy {
    TestProxy::builder()
        .streams(Policy::default())
        .plan(change)
        .start()
        .await
}

/// A login, signed with the secret of a virtual key.
pub(crate) fn login(key: &str, id: u64, nonce: u64) -> Value {
    signed_login(key, &secret_of(key), id, nonce)
}

pub(crate) fn signed_login(key: &str, secret: &str, id: u64, nonce: u64) -> Value {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("public/auth{id}{key}{nonce}").as_bytes());
    let sig = hex::encode(mac.finalize().into_bytes());
    json!({ "id": id, "method": "public/auth", "api_key": key, "nonce": nonce.to_string(), "sig": sig })
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap()
}

/// An open socket of a client.
pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<TcpStream>,
    canaries: Canaries,
}

impl Socket {
    /// Asks for a stream; the HTTP status where it is refused.
    pub(crate) async fn try_open(
        proxy: &TestProxy,
        side: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Self, u16> {
        let stream = connect(proxy.address(), side, headers).await?;
        Ok(Self {
            stream,
            canaries: proxy.canaries.clone(),
        })
    }

    pub(crate) async fn open(proxy: &TestProxy, side: &str) -> Self {
        Self::try_open(proxy, side, &[]).await.expect("a stream")
    }

    /// A user stream of "bot", logged in.
    pub(crate) async fn bot(proxy: &TestProxy) -> Self {
        Self::of(proxy, KEY).await
    }

    /// A user stream, logged in with this virtual key.
    pub(crate) async fn of(proxy: &TestProxy, key: &str) -> Self {
        let mut socket = Self::open(proxy, "user").await;
        socket.log_in(key).await;
        socket
    }

    pub(crate) async fn log_in(&mut self, key: &str) {
        // The nonce is part of what makes a login one of its own.
        static SERIAL: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let id = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let answer = self.ask(login(key, id, now_ms())).await;
        assert_eq!(
            answer,
            json!({ "id": id, "method": "public/auth", "code": 0 })
        );
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.stream
            .send(Message::text(text))
            .await
            .expect("it takes the frame");
    }

    /// The next text frame.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.stream.next())
                .await
                .expect("a frame in time")
            {
                Some(Ok(Message::Text(text))) => {
                    self.canaries.assert_absent(&text, "a frame");
                    return serde_json::from_str(&text)
                        .unwrap_or_else(|_| panic!("no JSON: {text}"));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                ended => panic!("no frame: {ended:?}"),
            }
        }
    }

    pub(crate) async fn ask(&mut self, frame: Value) -> Value {
        self.send(frame).await;
        self.next().await
    }

    /// The close code and reason; `None` where the connection ended without a close frame. Frames before it are skipped.
    pub(crate) async fn end(&mut self) -> Option<(u16, String)> {
        loop {
            match timeout(PATIENCE, self.stream.next())
                .await
                .expect("an end in time")
            {
                Some(Ok(Message::Close(frame))) => {
                    return frame.map(|it| (it.code.into(), it.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The close code, which has to be there.
    pub(crate) async fn close_code(&mut self) -> u16 {
        self.end().await.expect("a close frame").0
    }
}

/// The handshake, and the HTTP status where it is refused.
pub(crate) async fn connect(
    address: SocketAddr,
    side: &str,
    headers: &[(&'static str, String)],
) -> Result<WebSocketStream<TcpStream>, u16> {
    let mut request = format!("ws://{address}/exchange/v1/{side}")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let stream = TcpStream::connect(address).await.expect("a connection");
    // A small buffer, so that what is measured is not the clients' own.
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    match timeout(
        PATIENCE,
        client_async_with_config(request, stream, Some(config)),
    )
    .await
    .expect("an answer in time")
    {
        Ok((stream, _)) => Ok(stream),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}
