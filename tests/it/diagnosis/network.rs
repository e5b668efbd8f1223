//! The exchange is not reached, or something else answers: network first, keys later.

use std::{io, sync::Arc, time::Instant};

use diagnosis::{
    causes::{
        Cause, Conclusion,
        Likelihood::{Likely, VeryLikely},
    },
    probes::Seen,
};
use sandbox::Fault;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::support::{
    tls::Authority,
    wire::{Script, Step, Wire, reply},
};

#[tokio::test]
async fn row_21_a_name_that_is_not_resolved() {
    let scenario = Scenario::healthy()
        .await
        .plan(to("https://api.crypto.com/exchange/v1"))
        .plan(|plan| {
            plan.resolver = Resolver::with_lookup(Arc::new(|_| {
                Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
            }));
        });
    let outcome = scenario.run().await;
    outcome.says(
        &[Cause::NameNotResolved],
        VeryLikely,
        "getent ahosts api.crypto.com",
    );
    outcome.concludes(Conclusion::Unreachable);
}

#[tokio::test]
async fn row_21_a_name_that_points_inwards_is_not_connected_to() {
    let scenario = Scenario::healthy()
        .await
        .plan(to("https://api.crypto.com/exchange/v1"))
        .plan(|plan| {
            let inward = || Ok(vec![IpAddr::from([10, 1, 2, 3])]);
            plan.resolver =
                Resolver::with_lookup(Arc::new(move |_| Box::pin(async move { inward() })));
        });
    let outcome = scenario.run().await;
    outcome
        .says(&[Cause::NameNotResolved], VeryLikely, "getent")
        .concludes(Conclusion::Unreachable);
    assert!(outcome.text.contains("10.1.2.3"), "{}", outcome.text);
}

#[tokio::test]
async fn row_21_a_connection_that_is_refused() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/exchange/v1", closed.local_addr().unwrap());
    drop(closed);
    let outcome = Scenario::healthy().await.plan(to(&base)).run().await;
    outcome
        .says(
            &[Cause::NotReached],
            VeryLikely,
            "curl -4v https://127.0.0.1/",
        )
        .concludes(Conclusion::Unreachable);
}

#[tokio::test]
async fn row_21_a_connection_that_hangs_is_not_said_of_the_name_whatever_ends_it() {
    // A listener that accepts nothing and whose queue is full: the kernel drops every further SYN.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(150), TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    let scenario = Scenario::healthy()
        .await
        .plan(to(&format!("http://{address}/exchange/v1")));
    // The run ends before the deadline for connecting would.
    let outcome = scenario
        .plan(|plan| plan.deadline = Duration::from_millis(400))
        .run()
        .await;
    outcome
        .says(&[Cause::NotReached], VeryLikely, "curl -4v")
        .concludes(Conclusion::Unreachable);
    let seen = outcome.findings.seen(probes::Probe::Tcp);
    assert!(
        matches!(seen, Some(Seen::NotConnected(_))),
        "{}",
        outcome.text
    );
    outcome.tells("a connection that hangs", &["127.0.0.1: no answer within"]);
}

#[tokio::test]
async fn row_21_no_verified_tls() {
    // Not TLS at all at the other end; the trust roots are of an authority that nobody has asked.
    let scenario = Scenario::healthy().await;
    let (authority, base) = (
        Authority::new(),
        format!("https://{}/exchange/v1", scenario.exchange.addr()),
    );
    let file = authority.file();
    let scenario = scenario.plan(to(&base)).plan(move |plan| {
        plan.ready.as_mut().unwrap().upstream.ca_file = Some(file);
    });
    let outcome = scenario.run().await;
    outcome
        .says(&[Cause::NoTls], VeryLikely, "openssl s_client")
        .concludes(Conclusion::Unreachable);
}

#[tokio::test]
async fn row_21_an_exchange_that_is_silent_ends_within_the_deadline_with_what_is_known() {
    let scenario = Scenario::healthy().await;
    let scenario =
        scenario.exchange(|exchange, _| exchange.script_always("*", Fault::hang_before()));
    let began = Instant::now();
    let outcome = scenario
        .plan(|plan| plan.deadline = Duration::from_millis(400))
        .run()
        .await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    outcome
        .says(&[Cause::NotReached], Likely, "repair the network first")
        .concludes(Conclusion::Unreachable);
}

#[tokio::test]
async fn row_17_a_base_url_that_is_not_the_exchanges() {
    let scenario = Scenario::healthy().await;
    let base = scenario.exchange.url("/v2");
    let outcome = scenario.plan(to(&base)).run().await;
    let next = "CRYPTO_REST_BASE=https://api.crypto.com/exchange/v1";
    outcome
        .says(&[Cause::WrongBase], VeryLikely, next)
        .concludes(Conclusion::Trouble);
    for code in [10004, 40002] {
        let scenario = Scenario::healthy().await;
        let scenario =
            scenario.exchange(|exchange, _| exchange.script_always("*", Fault::code(code)));
        scenario
            .run()
            .await
            .says(&[Cause::WrongBase], VeryLikely, next);
    }
}

#[tokio::test]
async fn a_verified_session_is_a_finding_of_its_own_and_an_expired_certificate_is_none() {
    for expired in [false, true] {
        let authority = Authority::new();
        let server = if expired {
            authority.expired_server("localhost")
        } else {
            authority.server("localhost")
        };
        let answered = || [Step::Request, Step::Write(reply::good())].to_vec();
        let answers: Vec<Step> = (0..3).flat_map(|_| answered()).collect();
        let wire = Wire::start([
            Script::tls(&server, [Step::Drain]),
            Script::tls(&server, answers),
        ])
        .await;
        let (base, file) = (wire.tls_base(), authority.file());
        let scenario = Scenario::healthy().await.plan(to(&base)).plan(move |plan| {
            plan.ready.as_mut().unwrap().upstream.ca_file = Some(file);
        });
        let outcome = scenario.run().await;
        let tls = outcome.findings.seen(probes::Probe::Tls);
        let secured = matches!(tls, Some(Seen::Secured));
        let refused = matches!(tls, Some(Seen::NotSecured(_)));
        assert_eq!((secured, refused), (!expired, expired), "{}", outcome.text);
        if expired {
            outcome.says(&[Cause::NoTls], VeryLikely, "whose certificate it is");
        }
    }
}

/// What a connection meets that does not become a verified session, and the words of system and library that tell it.
#[tokio::test]
async fn findings_of_tcp_and_tls_say_what_system_and_library_said() {
    let (ours, theirs) = (Authority::new(), Authority::named("an authority of others"));
    let rows: [(&str, Script, &[&str]); 7] = [
        (
            "an authority that nobody here trusts",
            Script::tls(&theirs.server("localhost"), [Step::Drain]),
            &[
                "signed by \"an authority of others\"",
                "no trust root here knows",
            ],
        ),
        (
            "another authority under the name of a trusted one",
            Script::tls(&Authority::new().server("localhost"), [Step::Drain]),
            &["not signed by the issuer of that name"],
        ),
        (
            "an issuer that moves cursors and never ends",
            Script::tls(
                &Authority::named(&hostile()).server("localhost"),
                [Step::Drain],
            ),
            &["signed by \"mallory[31m", "no trust root here knows"],
        ),
        (
            "expired",
            Script::tls(&ours.expired_server("localhost"), [Step::Drain]),
            &["an invented authority", "has expired"],
        ),
        (
            "for another name",
            Script::tls(&ours.server("elsewhere.example"), [Step::Drain]),
            &["an invented authority", "is for another name"],
        ),
        (
            "no TLS at all",
            Script::plain([
                Step::Bytes(1),
                Step::Write("HTTP/1.1 400 no\r\n\r\n".into()),
            ]),
            &["does not speak TLS"],
        ),
        (
            "a reset",
            Script::plain([Step::Bytes(1), Step::Reset]),
            &["connection reset by peer"],
        ),
    ];
    for (what, script, parts) in rows {
        let wire = Wire::start([script]).await;
        let (base, file) = (wire.tls_base(), ours.file());
        let scenario = Scenario::healthy().await.plan(to(&base));
        let outcome = scenario
            .plan(move |plan| plan.ready.as_mut().unwrap().upstream.ca_file = Some(file))
            .run()
            .await;
        outcome.says(&[Cause::NoTls], VeryLikely, "whose certificate it is");
        outcome.tells(what, parts);
        assert!(!outcome.text.contains(&"e".repeat(70)), "{}", outcome.text);
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/exchange/v1", closed.local_addr().unwrap());
    drop(closed);
    let outcome = Scenario::healthy().await.plan(to(&base)).run().await;
    outcome.tells("refused", &["127.0.0.1: connection refused"]);
}

fn hostile() -> String {
    format!("mallory\u{1b}[31m\u{202e}{}", "e".repeat(4000))
}

#[tokio::test]
async fn a_name_that_is_not_resolved_says_what_the_name_service_said() {
    let outcome = Scenario::healthy()
        .await
        .plan(to("https://api.crypto.com/exchange/v1"))
        .plan(|plan| {
            plan.resolver = Resolver::with_lookup(Arc::new(|_| {
                let said =
                    "failed to lookup address information: Temporary failure in name resolution";
                Box::pin(async move { Err(io::Error::other(said)) })
            }));
        })
        .run()
        .await;
    outcome.says(&[Cause::NameNotResolved], VeryLikely, "getent ahosts");
    outcome.tells("a name", &["Temporary failure in name resolution"]);
}

#[tokio::test]
async fn trust_roots_that_cannot_be_read_say_what_the_system_said() {
    let folder = TempDir::new().unwrap();
    for (path, part) in [
        (
            folder.path().join("absent.pem"),
            "No such file or directory",
        ),
        (folder.path().to_owned(), "it is not a regular file"),
    ] {
        let outcome = Scenario::healthy()
            .await
            .plan(to("https://localhost:9/exchange/v1"))
            .plan(move |plan| plan.ready.as_mut().unwrap().upstream.ca_file = Some(path))
            .run()
            .await;
        outcome.tells("trust roots", &[part]);
    }
}
