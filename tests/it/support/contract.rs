//! What the tests of the wire contract ask for again and again.

use std::net::SocketAddr;

use crypto_proxy::telemetry::Line;
use sandbox::{Canned, Fault};
use tokio::net::TcpSocket;

use super::{Answer, TestProxy};

/// A method without params, for tests that do not care which.
pub(crate) const READ: &str = "private/user-balance";
/// A method that places an order.
pub(crate) const ORDER: &str = "private/create-order";

impl TestProxy {
    /// A call whose params are this text, byte for byte.
    pub(crate) async fn call_text(&self, method: &str, params: &str) -> Answer {
        self.post(&format!(r#"{{"method":"{method}","params":{params}}}"#))
            .await
    }

    /// What the proxy makes of this answer of the exchange.
    pub(crate) async fn pass_on(&self, answer: Canned) -> Answer {
        self.meet(Fault::reply(answer)).await
    }

    /// What the proxy makes of a call that meets this fault.
    pub(crate) async fn meet(&self, fault: Fault) -> Answer {
        self.exchange().script(READ, fault);
        self.call_text(READ, "{}").await
    }

    /// The one record of an answer.
    pub(crate) fn record(&self, answer: &Answer) -> Line {
        let mut records = self.records_of(&answer.header("x-request-id").expect("a request id"));
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    /// Header, envelope, log line and journal field must say the same word, and the line this reason.
    pub(crate) fn assert_outcome(&self, answer: &Answer, word: &str, why: Option<&str>) {
        assert_eq!(answer.outcome(), word, "{}", answer.text());
        if !matches!(answer.status, 200 | 400..=499) {
            assert_eq!(answer.inner()["outcome"], word);
        }
        let line = self.record(answer);
        assert!(
            line.text().contains(&format!(" outcome={word} ")),
            "{}",
            line.text()
        );
        assert_eq!(
            (line.field("CRYPTO_OUTCOME"), line.field("CRYPTO_WHY")),
            (Some(word), why),
            "{}",
            line.text()
        );
    }

    /// How many refusals the aggregate lines tell of for this reason, from the start to now.
    pub(crate) fn told_refusals(&self, reason: &str) -> u64 {
        self.rejections.log();
        let wanted = format!("event=refused {reason} count=");
        let count = |line: String| {
            line.strip_prefix(&wanted)?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        };
        self.texts().into_iter().filter_map(count).sum()
    }

    /// How many requests of any kind reached the exchange.
    pub(crate) fn upstream_requests(&self) -> u64 {
        self.exchange().total().received
    }
}

/// An address that refuses connections for as long as the socket is kept.
pub(crate) fn refusing_address() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}
