//! A bare HTTP client: requests that no library would send, and answers with every header as it came.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::process::PATIENCE;

/// A request, as bytes of its parts.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) host: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    /// Whether the body's length is said.
    pub(crate) sized: bool,
}

impl Request {
    pub(crate) fn new(verb: &str, path: &str) -> Self {
        let line = format!("{verb} {path} HTTP/1.1");
        Self {
            line,
            host: Some("127.0.0.1".to_owned()),
            headers: Vec::new(),
            body: None,
            sized: true,
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("X-Proxy-Token", token)
    }

    pub(crate) fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    /// Without a word about its length.
    pub(crate) fn unsized_body(mut self, body: &str) -> Self {
        self.sized = false;
        self.body(body)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.line);
        if let Some(host) = &self.host {
            text.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.sized && self.body.is_some() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }
}

/// An answer, as it came.
pub(crate) struct Answer {
    /// The status line.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A connection that is open.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(at: SocketAddr) -> Self {
        let stream = TcpStream::connect(at).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Sends bytes; the other end may have closed already.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn send(&mut self, request: &Request) {
        self.write(&request.bytes());
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.more(),
                "no answer: {}",
                String::from_utf8_lossy(&self.read)
            );
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let line = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| line.split_once(": ").unwrap_or((line, "")));
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer {
            line,
            headers,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map(|length| length.parse::<usize>().unwrap());
        if answer.status() == 101 {
            return answer;
        }
        while length.is_none_or(|length| self.read.len() < length) && self.more() {}
        let length = length.unwrap_or(self.read.len()).min(self.read.len());
        answer.body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        answer
    }

    /// One byte more, if there is any.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        while self.read.is_empty() {
            if !self.more() {
                return None;
            }
        }
        Some(self.read.remove(0))
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                true
            }
        }
    }
}

/// Sends a request on a connection of its own.
pub(crate) fn ask(at: SocketAddr, request: &Request) -> Answer {
    let mut connection = Connection::to(at);
    connection.send(request);
    connection.answer()
}
