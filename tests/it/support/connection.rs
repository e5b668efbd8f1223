//! HTTP by hand, for callers that stall, hang up half way or keep their connection.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UnixStream},
    time::timeout,
};

use super::{Answer, PATIENCE, TestProxy};

/// One connection of a caller.
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

impl Connection<TcpStream> {
    pub(crate) async fn tcp(address: std::net::SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.expect("a connection"))
    }

    /// A caller whose kernel takes a few thousand bytes only before the caller reads.
    pub(crate) async fn with_small_buffer(address: std::net::SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        Self::new(socket.connect(address).await.expect("a connection"))
    }

    /// Ends the connection by a TCP reset.
    pub(crate) fn reset(self) {
        self.stream
            .set_zero_linger()
            .expect("a socket that lingers not");
    }
}

impl Connection<UnixStream> {
    pub(crate) async fn unix(path: &std::path::Path) -> Self {
        Self::new(UnixStream::connect(path).await.expect("a connection"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stream
            .write_all(text.as_bytes())
            .await
            .expect("the proxy reads");
    }

    /// The next answer, read whole.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer")
    }

    /// The next answer, or `None` if the connection ended first.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        timeout(PATIENCE, self.read_answer())
            .await
            .expect("an answer, or the end, in time")
    }

    /// Waits for `100 Continue`: by then the proxy has read the head and wants the body.
    pub(crate) async fn wait_continue(&mut self) {
        let head = timeout(PATIENCE, self.read_head())
            .await
            .expect("an answer in time")
            .expect("an answer");
        assert_eq!(head, "HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Waits until the proxy has closed the connection; returns what it sent before.
    pub(crate) async fn end(&mut self) -> Vec<u8> {
        // A reset is an end as well: the proxy may close with bytes of ours unread.
        let _ = timeout(PATIENCE, self.stream.read_to_end(&mut self.unread))
            .await
            .expect("an end in time");
        std::mem::take(&mut self.unread)
    }

    async fn read_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head = self.unread.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("a head of text"));
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.unread).await.unwrap_or(0);
        (read > 0).then_some(())
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let head = self.read_head().await?;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            let name: HeaderName = name.parse().expect("a header name");
            headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        }
        let length: usize = headers
            .get("content-length")?
            .to_str()
            .ok()?
            .parse()
            .expect("a length");
        while self.unread.len() < length {
            self.read_more().await?;
        }
        Some(Answer {
            status,
            headers,
            body: self.unread.drain(..length).collect(),
        })
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

impl TestProxy {
    /// A caller's own connection to the first TCP address.
    pub(crate) async fn connect(&self) -> Connection<TcpStream> {
        Connection::tcp(self.address()).await
    }

    /// The head of a private call with the right token and a body of this length; `more` are further header lines.
    pub(crate) fn head(&self, length: usize, more: &str) -> String {
        let token = &self.canaries.token;
        format!(
            "POST /proxy/private HTTP/1.1\r\nhost: localhost\r\nx-proxy-token: {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{more}\r\n"
        )
    }

    /// A whole private call.
    pub(crate) fn request(&self, method: &str, params: &serde_json::Value) -> String {
        let body = serde_json::json!({ "method": method, "params": params }).to_string();
        self.head(body.len(), "") + &body
    }
}

/// A limit order that the stand-in accepts.
pub(crate) fn order(client_oid: &str) -> serde_json::Value {
    serde_json::json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "50000.00", "quantity": "0.01",
        "client_oid": client_oid,
    })
}

/// A thousand connections have two thousand ends in this process.
pub(crate) fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(8192, |maximum| maximum.min(8192));
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: limit.maximum,
            },
        )
        .expect("a higher limit");
    }
}
