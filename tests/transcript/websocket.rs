//! A small WebSocket client: frames as bytes, also those that no library would send.

use std::net::SocketAddr;

use crate::http::{Answer, Connection, Request};

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    /// The close code and its reason, if there was one.
    Closed(Option<(u16, String)>),
    /// The connection ended without a close frame.
    Lost,
}

/// An open socket.
pub(crate) struct Socket(Connection);

/// The opening request of a stream.
pub(crate) fn opening(path: &str) -> Request {
    let request = Request::get(path)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    // The example key of RFC 6455.
    request
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

impl Socket {
    pub(crate) fn open(at: SocketAddr, request: &Request) -> (Self, Answer) {
        let mut connection = Connection::to(at);
        connection.send(request);
        let answer = connection.answer();
        (Self(connection), answer)
    }

    /// A frame of a client: final, masked by zeros.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ ..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..65536 => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write(&frame);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        self.send(8, &[&code.to_be_bytes(), reason.as_bytes()].concat());
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// Sends a frame and waits for the next one.
    pub(crate) fn ask(&mut self, text: &str) -> Frame {
        self.text(text);
        self.next()
    }

    /// The next frame that is neither ping nor pong.
    pub(crate) fn next(&mut self) -> Frame {
        loop {
            let Some((opcode, payload)) = self.frame() else {
                return Frame::Lost;
            };
            match opcode {
                1 => return Frame::Text(String::from_utf8(payload).unwrap()),
                8 if payload.len() >= 2 => {
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    return Frame::Closed(Some((
                        code,
                        String::from_utf8(payload[2..].to_vec()).unwrap(),
                    )));
                }
                8 => return Frame::Closed(None),
                _ => {}
            }
        }
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let opcode = self.0.byte()? & 0x0f;
        let mut length = usize::from(self.0.byte()? & 0x7f);
        let further = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if further > 0 {
            length = 0;
            for _ in 0..further {
                length = length << 8 | usize::from(self.0.byte()?);
            }
        }
        let mut payload = Vec::with_capacity(length);
        for _ in 0..length {
            payload.push(self.0.byte()?);
        }
        Some((opcode, payload))
    }
}
