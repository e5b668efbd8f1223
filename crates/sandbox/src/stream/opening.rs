//! From an HTTP request to a socket.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::server::create_response,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    super::{
        FakeExchange,
        reply::{self, Reply},
    },
    Side,
    socket::Socket,
};

/// The longest frame that is taken, in bytes.
const MAX_FRAME: usize = 1 << 20;
const READ_BUFFER: usize = 4 << 10;

/// A socket that was agreed on; it serves once the answer to its request is out.
pub(crate) struct Opening {
    stand_in: FakeExchange,
    side: Side,
    peer: SocketAddr,
    address: IpAddr,
}

impl Opening {
    /// Agrees to a request for a stream, or not; and the answer.
    pub(crate) fn agree(
        stand_in: &FakeExchange,
        side: Side,
        head: &Parts,
        peer: SocketAddr,
        address: IpAddr,
    ) -> (Option<Box<Self>>, Reply) {
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers.clone();
        match create_response(&request) {
            Ok(agreed) => {
                let opening = Self {
                    stand_in: stand_in.clone(),
                    side,
                    peer,
                    address,
                };
                (
                    Some(Box::new(opening)),
                    agreed.map(|()| Full::new(Bytes::new())),
                )
            }
            Err(problem) => (
                None,
                reply::text(
                    StatusCode::BAD_REQUEST,
                    format!("{problem}\n"),
                    stand_in.now_ms(),
                ),
            ),
        }
    }

    /// Serves the socket to its end.
    pub(crate) async fn serve(self, stream: TcpStream, read_already: Bytes) {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let stream = WebSocketStream::from_partially_read(
            stream,
            read_already.to_vec(),
            Role::Server,
            Some(config),
        )
        .await;
        Socket::serve(self.stand_in, self.side, self.peer, self.address, stream).await;
    }
}
