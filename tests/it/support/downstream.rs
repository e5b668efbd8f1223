//! A caller below HTTP that looks at how its connection ends: in order, by a reset, or not at all.
//!
//! For single answers on a connection that lives on, see `raw`.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{Answer, PATIENCE, TestProxy, raw::parse_head};

/// One connection to the proxy.
#[derive(Debug)]
pub(crate) struct Downstream {
    pub(crate) stream: TcpStream,
}

impl Downstream {
    pub(crate) async fn connect(proxy: &TestProxy) -> Self {
        Self {
            stream: TcpStream::connect(proxy.address())
                .await
                .expect("a connection"),
        }
    }

    /// One that takes little before it reads.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        Self {
            stream: socket.connect(address).await.expect("a connection"),
        }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .await
            .expect("the proxy takes bytes");
    }

    /// Reads to the end of the connection, which must come by itself and in order.
    pub(crate) async fn read_to_close(&mut self) -> Vec<u8> {
        let (read, bytes) = self.whatever_comes().await;
        read.expect("an orderly end");
        bytes
    }

    /// Reads to the end of the connection, orderly or not.
    pub(crate) async fn whatever_comes(&mut self) -> (io::Result<usize>, Vec<u8>) {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await;
        (read.expect("the connection ends in time"), bytes)
    }

    /// Reads one answer to the end of the connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        parse(&self.read_to_close().await)
    }
}

/// A call with the right token as bytes; `head` holds further whole header lines.
pub(crate) fn post(proxy: &TestProxy, head: &str, body: &str) -> String {
    let token = &proxy.canaries.token;
    format!(
        "POST /proxy/private HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Proxy-Token: {token}\r\nContent-Type: application/json\r\n\
         {head}\r\n{body}"
    )
}

/// An answer from its bytes; one message, to the end.
pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| {
            panic!("no answer: {:?}", String::from_utf8_lossy(bytes));
        });
    let (status, headers) =
        parse_head(std::str::from_utf8(&bytes[..end]).expect("a head of ASCII"));
    Answer {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    }
}
