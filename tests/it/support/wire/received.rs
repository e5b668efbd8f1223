//! What one connection of a scripted upstream was sent: whole requests, and what was begun.

use std::fmt;

use serde_json::Value;

/// One request that came whole.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a signed body is JSON")
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.json()["nonce"].as_u64().expect("a nonce")
    }

    pub(crate) fn signature(&self) -> String {
        self.json()["sig"].as_str().expect("a signature").to_owned()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} and {} bytes", self.head, self.body.len())
    }
}

/// Everything that a connection received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) requests: Vec<Request>,
    pub(crate) bytes: usize,
    /// The head of a request whose body is not whole.
    head_alone: bool,
    /// Something that begins as a request of ours does.
    partly: bool,
}

impl Received {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (mut requests, mut rest) = (Vec::new(), bytes);
        while let Some((request, after)) = whole(rest) {
            requests.push(request);
            rest = after;
        }
        let head_alone = end_of_head(rest).is_some();
        Self {
            requests,
            bytes: bytes.len(),
            head_alone,
            partly: rest.first() == Some(&b'P'),
        }
    }

    /// Requests whose head came whole.
    pub(crate) fn heads(&self) -> usize {
        self.requests.len() + usize::from(self.head_alone)
    }

    /// Requests of which at least a byte came.
    pub(crate) fn begun(&self) -> usize {
        self.requests.len() + usize::from(self.partly)
    }
}

fn whole(bytes: &[u8]) -> Option<(Request, &[u8])> {
    let (head, rest) = bytes.split_at_checked(end_of_head(bytes)?)?;
    let head = String::from_utf8_lossy(head).into_owned();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    });
    let length = length.or_else(|| head.starts_with("GET ").then_some(0));
    let (body, after) = rest.split_at_checked(length?)?;
    Some((
        Request {
            head,
            body: body.to_vec(),
        },
        after,
    ))
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|position| position + 4)
}

#[test]
fn whole_and_begun_requests_are_told_apart() {
    let one = b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    let twice_and_a_bit = [&one[..], one, b"PO"].concat();
    let received = Received::parse(&twice_and_a_bit);
    assert_eq!(
        (received.requests.len(), received.heads(), received.begun()),
        (2, 2, 3)
    );
    let cut = Received::parse(&one[..one.len() - 1]);
    assert_eq!((cut.requests.len(), cut.heads(), cut.begun()), (0, 1, 1));
    let hello = Received::parse(&[0x16, 3, 1, 0, 5]);
    assert_eq!((hello.heads(), hello.begun()), (0, 0));
}
