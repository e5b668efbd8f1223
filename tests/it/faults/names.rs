//! Names: not found, not answered, or pointing inwards.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Instant,
};

use gateway::connect::{Lookup, Resolver};
use tokio::net::TcpListener;

use super::{CONNECT_DEADLINE, assert_told, place, told};
use crate::support::{
    Builder, TestProxy, client, each,
    wire::{Script, Step, Wire, reply},
};

/// A proxy whose names are looked up by `lookup`; the public base makes every inward address suspect.
fn resolving(lookup: Lookup) -> Builder {
    TestProxy::builder()
        .base("https://api.crypto.com/exchange/v1")
        .plan(|plan| {
            plan.upstream.connect_deadline = CONNECT_DEADLINE;
            plan.resolver = Resolver::with_lookup(lookup);
        })
}

/// A lookup that finds these addresses.
fn finds(addresses: &[&str]) -> Lookup {
    let found: Vec<IpAddr> = addresses
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect();
    Arc::new(move |_| {
        let found = found.clone();
        Box::pin(async move { Ok(found) })
    })
}

#[tokio::test]
async fn fault_01_a_name_that_does_not_exist_is_not_sent_and_the_service_is_not_ready() {
    let nxdomain: Lookup =
        Arc::new(|_| Box::pin(async { Err(io::Error::other("no such name, invented")) }));
    let proxy = resolving(nxdomain).start().await;
    for _ in 0..3 {
        let answer = place(&proxy).await;
        assert_told(&proxy, &answer, told(502, "not_sent", "dns"));
        assert!(
            !answer.text().contains("api.crypto.com"),
            "{}",
            answer.text()
        );
    }
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &false.into()));
    let health = proxy.send(client().get(proxy.url("/health"))).await;
    assert_eq!(health.status, 200);
}

#[tokio::test]
async fn fault_01_a_name_without_addresses_is_not_sent() {
    let proxy = resolving(finds(&[])).start().await;
    assert_told(&proxy, &place(&proxy).await, told(502, "not_sent", "dns"));
}

#[tokio::test]
async fn fault_02_a_name_server_that_never_answers_is_not_sent_within_the_connect_deadline() {
    let proxy = resolving(Arc::new(|_| Box::pin(std::future::pending())))
        .start()
        .await;
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
async fn fault_02_the_total_deadline_holds_while_a_name_is_looked_up() {
    let hanging: Lookup = Arc::new(|_| Box::pin(std::future::pending()));
    let proxy = resolving(hanging)
        .plan(|plan| plan.gateway.deadline = CONNECT_DEADLINE / 2)
        .start()
        .await;
    assert_told(
        &proxy,
        &place(&proxy).await,
        told(504, "not_sent", "deadline"),
    );
}

#[tokio::test]
async fn fault_03_a_public_name_with_an_inward_address_is_refused_and_logged() {
    let rows = [
        "127.0.0.1",
        "169.254.169.254",
        "10.1.2.3",
        "192.168.0.1",
        "::1",
        "fd00:ec2::254",
    ];
    each(rows, async |address| {
        let proxy = resolving(finds(&["104.16.1.1", address])).start().await;
        let answer = place(&proxy).await;
        assert_told(&proxy, &answer, told(502, "not_sent", "address_refused"));
        let error = answer.inner()["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            error.contains(address) && error.contains("cannot be an address of the exchange"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn where_a_name_has_an_ipv4_address_no_ipv6_address_is_dialled() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
        .await
        .expect("IPv6 on loopback");
    let good = Script::plain([Step::Request, Step::Write(reply::good())]);
    let six = Wire::on(listener, [good]);
    // The port is free on IPv4: a client that prefers and falls back would now go to IPv6.
    let base = format!("http://localhost:{}/exchange/v1", six.address().port());
    let proxy = |addresses: &'static [&'static str]| {
        TestProxy::builder()
            .base(&base)
            .plan(move |plan| plan.resolver = Resolver::with_lookup(finds(addresses)))
    };
    let mixed = proxy(&["::1", "127.0.0.1"]).start().await;
    assert_told(
        &mixed,
        &place(&mixed).await,
        told(502, "not_sent", "connect"),
    );
    assert_eq!(six.connections(), 0);
    let only_six = proxy(&["::1"]).start().await;
    assert_told(
        &only_six,
        &place(&only_six).await,
        told(200, "answered", ""),
    );
    assert_eq!((six.connections(), six.begun()), (1, 1));
}
