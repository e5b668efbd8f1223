//! A bare connection: for requests that no client library would send, and answers read as they come.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Answer, PATIENCE, TestProxy};

/// One connection to the proxy.
pub(crate) struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl TestProxy {
    /// A bare connection.
    pub(crate) async fn raw(&self) -> Raw {
        Raw {
            stream: TcpStream::connect(self.address())
                .await
                .expect("a connection"),
            read: Vec::new(),
        }
    }

    /// Sends these bytes on a new connection and checks the answer as every answer.
    pub(crate) async fn send_raw(&self, request: &str) -> Answer {
        let mut raw = self.raw().await;
        raw.write(request.as_bytes()).await;
        let answer = raw.answer().await;
        self.check(&answer);
        answer
    }
}

impl Raw {
    /// Sends bytes; the other end may have closed already.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next answer, by its `Content-Length`.
    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer())
            .await
            .expect("an answer in time")
            .expect("an answer")
    }

    /// Whether the other end closes without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1];
        matches!(
            timeout(PATIENCE, self.stream.read(&mut rest)).await,
            Ok(Ok(0) | Err(_))
        ) && self.read.is_empty()
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        let head_end = self
            .read_until(|read| read.windows(4).position(|four| four == b"\r\n\r\n"))
            .await?;
        let head =
            String::from_utf8(self.read.drain(..head_end + 4).collect()).expect("a visible head");
        let (status, headers) = parse_head(&head);
        let length = headers
            .get("content-length")
            .map_or("0", |length| length.to_str().expect("a length"));
        let length: usize = length.parse().expect("a length");
        self.read_until(|read| (read.len() >= length).then_some(length))
            .await?;
        Some(Answer {
            status,
            headers,
            body: self.read.drain(..length).collect(),
        })
    }

    async fn read_until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(place) = found(&self.read) {
                return Some(place);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.read.extend_from_slice(&buffer[..length]),
            }
        }
    }
}

/// The status and the headers of an answer's head.
pub(crate) fn parse_head(head: &str) -> (u16, HeaderMap) {
    let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("a status line");
    let header = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header");
        let value = HeaderValue::from_str(value.trim()).expect("a value");
        (
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            value,
        )
    };
    (status, lines.map(header).collect())
}
