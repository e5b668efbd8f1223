//! A strict reading of what the proxy says: answers, and the frames of a stream. It panics where that is malformed.

use serde_json::Value;

/// Statuses that an answer may have: those of `docs/contract.md`, those of the HTTP library, those of the exchange.
const STATUSES: [u16; 24] = [
    101, 200, 204, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 421, 422, 426, 429, 431, 499,
    500, 501, 502, 503, 504,
];
/// Close codes that a stream may end with.
const CODES: [u16; 10] = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013];

/// One answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    closes: bool,
}

/// Everything that one connection said, read to its end.
pub(crate) struct Heard {
    pub(crate) answers: Vec<Answer>,
    /// What follows an answer that agreed to a stream.
    pub(crate) stream: Option<Vec<u8>>,
}

/// Reads answers. Where the request may have been a `HEAD`, an answer may have no body in spite of its length.
pub(crate) fn read(mut bytes: &[u8], may_be_head: bool) -> Heard {
    let mut answers: Vec<Answer> = Vec::new();
    while !bytes.is_empty() {
        // Who asks for it is told that the body may come.
        if let Some(rest) = bytes.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
            bytes = rest;
            continue;
        }
        assert!(
            answers.last().is_none_or(|last| !last.closes),
            "something follows an answer that closes: {}",
            bytes.escape_ascii()
        );
        let (answer, rest) = one(bytes, may_be_head);
        if answer.status == 101 {
            answers.push(answer);
            return Heard {
                answers,
                stream: Some(rest.to_vec()),
            };
        }
        answers.push(answer);
        bytes = rest;
    }
    Heard {
        answers,
        stream: None,
    }
}

fn one(bytes: &[u8], may_be_head: bool) -> (Answer, &[u8]) {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")
        .unwrap_or_else(|| panic!("a head that does not end: {}", bytes.escape_ascii()));
    let (head, rest) = bytes.split_at(end + 4);
    let head = std::str::from_utf8(head).expect("a head is ASCII");
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| first.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or_else(|| panic!("no status line: {first:?}"));
    assert!(STATUSES.contains(&status), "status {status}");
    // The exchange itself answers with 500 where a balance does not suffice.
    let is_answer = head.contains("\r\nx-proxy-outcome: answered\r\n");
    assert!(status != 500 || is_answer, "a defect: {head}");
    let (mut length, mut json, mut closes) = (None, false, false);
    for line in lines {
        let (name, value) = line
            .split_once(": ")
            .expect("a header is a name and a value");
        assert!(
            value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "a header that is not visible: {line:?}"
        );
        match name {
            "content-length" => {
                assert!(length.is_none(), "two lengths: {head}");
                length = Some(value.parse::<usize>().expect("a length"));
            }
            "content-type" => json = value == "application/json",
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            "transfer-encoding" => panic!("an answer without a length: {head}"),
            _ => {}
        }
    }
    if status == 101 {
        return (Answer { status, closes }, rest);
    }
    let length = length.unwrap_or_else(|| panic!("no length: {head}"));
    let has_no_body = may_be_head && (rest.is_empty() || rest.starts_with(b"HTTP/1."));
    let length = if has_no_body { 0 } else { length };
    assert!(rest.len() >= length, "a body that does not end: {head}");
    let (body, rest) = rest.split_at(length);
    if json && length > 0 {
        let parsed = serde_json::from_slice::<Value>(body);
        assert!(
            parsed.is_ok_and(|value| value.is_object()),
            "no JSON object: {}",
            body.escape_ascii()
        );
    }
    (Answer { status, closes }, rest)
}

/// Reads what the proxy said on a stream: texts, each a JSON object, pings and pongs, and at the end one close frame.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Value> {
    let mut texts = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        assert!(length & 0x80 == 0, "a masked frame of a server");
        let (length, rest) = match length {
            126 => {
                let (length, rest) = rest.split_first_chunk().expect("a whole frame");
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk().expect("a whole frame");
                let length = u64::from_be_bytes(*length);
                (usize::try_from(length).expect("a length"), rest)
            }
            length => (usize::from(*length), rest),
        };
        let (payload, rest) = rest.split_at_checked(length).expect("a whole frame");
        match first {
            0x81 => {
                let text: Value = serde_json::from_slice(payload)
                    .unwrap_or_else(|_| panic!("no JSON: {}", payload.escape_ascii()));
                assert!(text.is_object(), "no object: {text}");
                texts.push(text);
            }
            0x88 => {
                if let Some((code, reason)) = payload.split_first_chunk() {
                    let code = u16::from_be_bytes(*code);
                    // A code of the client's own is said back to it.
                    let is_own = (3000..5000).contains(&code);
                    assert!(is_own || CODES.contains(&code), "close code {code}");
                    assert!(
                        std::str::from_utf8(reason).is_ok(),
                        "a reason that is no text"
                    );
                }
                assert!(rest.is_empty(), "something follows the close frame");
            }
            0x89 | 0x8a => {}
            other => panic!("a frame of kind {other:#x}"),
        }
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    texts
}
