//! TLS: silent, closed, plain, or with a certificate that must not be trusted. Nothing is sent, nothing falls back.

use std::time::Instant;

use super::{CONNECT_DEADLINE, LOST, Told, assert_told, place, recovers, told};
use crate::support::{
    Builder, TestProxy,
    tls::Authority,
    wire::{Script, Step, Wire, reply},
};

const NO_TLS: Told = told(502, "not_sent", "tls");
const NO_CONNECTION: Told = told(502, "not_sent", "connect");

fn answered() -> [Step; 2] {
    [Step::Request, Step::Write(reply::good())]
}

/// A proxy that trusts this authority alone, and calls the wire by name.
fn trusting(authority: &Authority, wire: &Wire) -> Builder {
    let file = authority.file();
    TestProxy::builder()
        .base(wire.tls_base())
        .plan(move |plan| {
            plan.upstream.connect_deadline = CONNECT_DEADLINE * 4;
            plan.upstream.ca_file = Some(file);
        })
}

/// The order meets `script` where a handshake is due; not a byte of it was sent.
async fn handshake_met(authority: &Authority, script: Script, expected: Told) {
    let wire = Wire::start([
        script,
        Script::tls(&authority.server("localhost"), answered()),
    ])
    .await;
    let proxy = trusting(authority, &wire).start().await;
    let answer = place(&proxy).await;
    assert_told(&proxy, &answer, expected);
    assert_eq!(
        (wire.connections(), wire.begun()),
        (1, 0),
        "{:?}",
        wire.received()
    );
    recovers(&proxy, &wire).await;
}

#[tokio::test]
async fn tls_with_a_trusted_certificate_carries_an_order() {
    let authority = Authority::new();
    let wire = Wire::start([Script::tls(&authority.server("localhost"), answered())]).await;
    let proxy = trusting(&authority, &wire).start().await;
    assert_told(&proxy, &place(&proxy).await, told(200, "answered", ""));
    assert_eq!(
        wire.requests()[0].json()["params"]["client_oid"],
        super::OID
    );
}

#[tokio::test]
async fn fault_07_a_handshake_that_never_answers_is_not_sent_at_the_connect_deadline() {
    let started = Instant::now();
    let silent = Script::plain([Step::Drain]);
    handshake_met(
        &Authority::new(),
        silent,
        told(504, "not_sent", "connect_deadline"),
    )
    .await;
    assert!(started.elapsed() >= CONNECT_DEADLINE * 4);
}

#[tokio::test]
async fn fault_08_an_expired_certificate_is_not_sent() {
    let authority = Authority::new();
    let expired = Script::tls(&authority.expired_server("localhost"), answered());
    handshake_met(&authority, expired, NO_TLS).await;
}

#[tokio::test]
async fn fault_09_a_certificate_for_another_host_is_not_sent() {
    let authority = Authority::new();
    let other = Script::tls(&authority.server("api.crypto.com"), answered());
    handshake_met(&authority, other, NO_TLS).await;
}

#[tokio::test]
async fn fault_10_a_certificate_of_an_unknown_authority_is_not_sent() {
    let unknown = Script::tls(&Authority::new().server("localhost"), answered());
    handshake_met(&Authority::new(), unknown, NO_TLS).await;
}

#[tokio::test]
async fn fault_11_plain_http_on_the_tls_port_is_not_sent() {
    let plain = Script::plain([
        Step::Bytes(1),
        Step::Write(reply::typed(400, "text/html", "plain")),
        Step::Fin,
    ]);
    handshake_met(&Authority::new(), plain, NO_TLS).await;
}

#[tokio::test]
async fn fault_12_a_peer_that_closes_during_the_handshake_is_not_sent() {
    for end in [Step::Fin, Step::Reset] {
        let closes = Script::plain([Step::Bytes(1), end]);
        handshake_met(&Authority::new(), closes, NO_CONNECTION).await;
    }
}

#[tokio::test]
async fn fault_14_a_tls_connection_closed_after_the_request_is_unknown_and_sent_once() {
    for end in [Step::Fin, Step::Reset] {
        let authority = Authority::new();
        let server = authority.server("localhost");
        let cut = Script::tls(&server, [Step::Request, end]);
        let wire = Wire::start([cut, Script::tls(&server, answered())]).await;
        let proxy = trusting(&authority, &wire).start().await;
        assert_told(&proxy, &place(&proxy).await, LOST);
        assert_eq!((wire.connections(), wire.begun()), (1, 1));
        recovers(&proxy, &wire).await;
    }
}

#[tokio::test]
async fn fault_21_a_tls_answer_cut_without_close_notify_is_unknown() {
    // Read to the end of the connection: only close_notify tells a whole answer from a cut one.
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"id\":1,\"code\":0}";
    for (end, expected) in [
        (Step::Drop, LOST),
        (Step::Reset, LOST),
        (Step::Fin, told(200, "answered", "")),
    ] {
        let authority = Authority::new();
        let server = authority.server("localhost");
        let first = Script::tls(&server, [Step::Request, Step::Write(cut.into()), end]);
        let wire = Wire::start([first, Script::tls(&server, answered())]).await;
        let proxy = trusting(&authority, &wire).start().await;
        assert_told(&proxy, &place(&proxy).await, expected);
        recovers(&proxy, &wire).await;
    }
}
