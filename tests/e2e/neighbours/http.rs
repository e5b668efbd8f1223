//! As much of an HTTP client as callers and attackers need: requests and answers on a connection, byte for byte.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Nobody waits longer for a byte; a thread that does would outlive its deadline.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, and what was read beyond the last answer.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let read = Vec::new();
        Ok(Self { stream, read })
    }

    /// Sends a request, or several at once.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let (status, length) = self.head()?;
        while self.read.len() < length {
            self.more()?;
        }
        let rest = self.read.split_off(length);
        let body = std::mem::replace(&mut self.read, rest);
        Ok(Answer { status, body })
    }

    /// The head of the next answer: its status, and the length of its body, which follows.
    pub(crate) fn head(&mut self) -> io::Result<(u16, usize)> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let rest = self.read.split_off(end);
        let head = String::from_utf8_lossy(&self.read).to_ascii_lowercase();
        self.read = rest;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        Ok((status.ok_or_else(malformed)?, length.unwrap_or(0)))
    }

    /// Reads up to so many bytes and throws them away: how many there were, 0 at the end.
    pub(crate) fn discard(&mut self, most: usize) -> io::Result<usize> {
        self.read.clear();
        self.stream.read(&mut vec![0; most])
    }

    /// Whether the other side has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        let _ = self.stream.set_nonblocking(true);
        let seen = self.stream.peek(&mut [0]);
        let _ = self.stream.set_nonblocking(false);
        match seen {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => {
                self.read.extend(chunk.iter().take(bytes));
                Ok(())
            }
        }
    }
}

/// A request, byte for byte.
pub(crate) fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A private call with a token.
pub(crate) fn call(token: &str, method: &str, params: &str) -> Vec<u8> {
    request(
        "POST /proxy/private",
        &format!("X-Proxy-Token: {token}\r\n"),
        &format!("{{\"method\":\"{method}\",\"params\":{params}}}"),
    )
}
