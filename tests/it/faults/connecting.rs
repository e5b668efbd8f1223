//! No TCP connection: refused, dropped, no way there.

use std::{sync::Arc, time::Instant};

use gateway::connect::Resolver;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{CONNECT_DEADLINE, assert_told, place, told};
use crate::support::TestProxy;

#[tokio::test]
async fn fault_04_a_refused_connection_is_not_sent() {
    // A port that was just free.
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port")
        .local_addr()
        .expect("an address");
    let proxy = TestProxy::builder()
        .base(format!("http://{address}/exchange/v1"))
        .start()
        .await;
    assert_told(
        &proxy,
        &place(&proxy).await,
        told(502, "not_sent", "connect"),
    );
}

#[tokio::test]
async fn fault_05_dropped_syns_are_not_sent_at_the_connect_deadline() {
    // A listener that accepts nothing and whose queue is full: the kernel drops every further SYN.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    let base = format!("http://{address}/exchange/v1");
    let proxy = TestProxy::builder()
        .base(base)
        .plan(|plan| plan.upstream.connect_deadline = CONNECT_DEADLINE);
    let proxy = proxy.start().await;
    let started = Instant::now();
    assert_told(
        &proxy,
        &place(&proxy).await,
        told(504, "not_sent", "connect_deadline"),
    );
    let took = started.elapsed();
    assert!(
        (CONNECT_DEADLINE..CONNECT_DEADLINE * 8).contains(&took),
        "{took:?}"
    );
}

#[tokio::test]
async fn fault_06_an_unreachable_network_is_not_sent() {
    // The kernel refuses TCP to a broadcast address by itself (ENETUNREACH): nothing leaves this machine.
    let broadcast = Resolver::with_lookup(Arc::new(|_| {
        Box::pin(async { Ok(vec![[127, 255, 255, 255].into()]) })
    }));
    let base = "http://localhost:9/exchange/v1";
    let proxy = TestProxy::builder()
        .base(base)
        .plan(|plan| plan.resolver = broadcast)
        .start()
        .await;
    assert_told(
        &proxy,
        &place(&proxy).await,
        told(502, "not_sent", "connect"),
    );
}
