//! The listener: its addresses, its limits and its timers.

use std::{
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use crypto_proxy::{
    http::Refused,
    server::{Address, BindProblem, Bound, Settings},
    systemd,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};

use crate::support::{
    TestProxy,
    connection::{Connection, raise_descriptors},
};

fn loopback() -> Address {
    Address::Tcp(([127, 0, 0, 1], 0).into())
}

fn settings(listen: Vec<Address>) -> Settings {
    Settings {
        listen,
        ..Settings::default()
    }
}

async fn listening_at(listen: Vec<Address>) -> TestProxy {
    TestProxy::builder()
        .plan(|plan| plan.server.listen = listen)
        .start()
        .await
}

fn unix(directory: &TempDir) -> Address {
    Address::Unix(directory.path().join("proxy.sock"))
}

fn path(address: &Address) -> &Path {
    let Address::Unix(path) = address else {
        panic!("{address:?} is no unix socket")
    };
    path
}

#[tokio::test]
async fn every_address_serves_and_every_one_closes_at_the_end() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    let ipv6 = Address::Tcp("[::1]:0".parse().unwrap());
    let proxy = listening_at(vec![loopback(), ipv6, socket.clone(), loopback()]).await;
    let addresses = proxy.addresses.clone();
    assert_eq!(addresses.len(), 4);
    for address in &addresses {
        systemd::probe(address)
            .await
            .unwrap_or_else(|error| panic!("{address:?}: {error}"));
    }
    for address in &addresses {
        if let Address::Tcp(address) = address {
            let mut caller = Connection::tcp(*address).await;
            caller
                .write(&proxy.request("private/user-balance", &json!({})))
                .await;
            let answer = caller.answer().await;
            proxy.check(&answer);
            assert_eq!(answer.outcome(), "answered");
        }
    }
    proxy.stop().await;
    for address in &addresses {
        assert!(
            systemd::probe(address).await.is_err(),
            "{address:?} still answers"
        );
    }
    assert!(!path(&socket).exists(), "the socket's file is gone");
}

#[tokio::test]
async fn a_unix_socket_is_0660_and_serves_calls_like_any_address() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    let proxy = listening_at(vec![socket.clone()]).await;
    let metadata = std::fs::symlink_metadata(path(&socket)).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
    let mut caller = Connection::unix(path(&socket)).await;
    caller
        .write(&proxy.request("private/user-balance", &json!({})))
        .await;
    let answer = caller.answer().await;
    proxy.check(&answer);
    assert_eq!(
        (answer.status, answer.outcome().as_str()),
        (200, "answered")
    );
}

#[tokio::test]
async fn refusals_over_a_unix_socket_are_counted_under_its_own_name() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    let proxy = listening_at(vec![socket.clone(), loopback()]).await;
    let right = proxy.request("private/user-balance", &json!({}));
    let wrong = right.replace(&proxy.canaries.token, "not-the-token-at-all");
    for _ in 0..3 {
        let mut caller = Connection::unix(path(&socket)).await;
        caller.write(&wrong).await;
        let answer = caller.answer().await;
        proxy.check(&answer);
        assert_eq!(answer.status, 401);
    }
    let mut caller = proxy.connect().await;
    caller.write(&wrong).await;
    assert_eq!(caller.answer().await.status, 401);
    assert_eq!(proxy.rejections.counted(Refused::Token), 4);
    proxy.rejections.log();
    proxy
        .wait_line(&["event=refused status=401 why=token count=3 from=unix-socket"])
        .await;
    proxy
        .wait_line(&["event=refused status=401 why=token count=1 from=127.0.0.1"])
        .await;
}

#[tokio::test]
async fn a_socket_that_a_dead_process_left_is_replaced() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    drop(UnixListener::bind(path(&socket)).unwrap());
    assert!(path(&socket).exists(), "left behind");
    let proxy = listening_at(vec![socket.clone()]).await;
    systemd::probe(&socket).await.unwrap();
    proxy.stop().await;
}

#[tokio::test]
async fn a_socket_that_somebody_answers_on_is_left_to_him() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    let proxy = listening_at(vec![socket.clone()]).await;
    let problem = Bound::bind(&settings(vec![loopback(), socket.clone()]))
        .await
        .unwrap_err();
    assert!(matches!(&problem, BindProblem::Unix(at, error)
        if at == path(&socket) && error.kind() == io::ErrorKind::AddrInUse));
    systemd::probe(&socket)
        .await
        .expect("the first one still serves");
    drop(proxy);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_never_replaced() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    std::fs::write(path(&socket), "an env file, by mistake").unwrap();
    let problem = Bound::bind(&settings(vec![socket.clone()]))
        .await
        .unwrap_err();
    assert!(problem.to_string().contains("proxy.sock"), "{problem}");
    assert_eq!(
        std::fs::read_to_string(path(&socket)).unwrap(),
        "an env file, by mistake"
    );
}

#[tokio::test]
async fn one_address_that_cannot_be_bound_leaves_none_bound() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    let taken = TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap()
        .into_std()
        .unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    let problem = Bound::bind(&settings(vec![socket.clone(), Address::Tcp(taken.1)]))
        .await
        .unwrap_err();
    assert!(
        problem.to_string().contains(&taken.1.to_string()),
        "{problem}"
    );
    assert!(!path(&socket).exists(), "the first address was given back");
}

#[tokio::test]
async fn an_address_that_the_machine_does_not_have_yet_is_listened_on_and_satisfies_the_watchdog() {
    // Of documentation; nothing is sent to it.
    for address in ["192.0.2.1:0", "[2001:db8::1]:0"] {
        let bound = Bound::bind(&settings(vec![Address::Tcp(address.parse().unwrap())]))
            .await
            .unwrap();
        let [address] = bound.addresses().try_into().unwrap();
        let Address::Tcp(bound_to) = address else {
            panic!("{address:?}")
        };
        assert!(
            !Bound::is_assigned(bound_to) && bound_to.port() != 0,
            "{bound_to}"
        );
        assert!(systemd::answers(&address).await, "{bound_to}");
        let again = Bound::bind(&settings(vec![address])).await.unwrap_err();
        assert!(
            matches!(again, BindProblem::Taken(at, _) if at == bound_to),
            "{again}"
        );
    }
}

#[tokio::test]
async fn a_listener_on_an_address_of_the_machine_must_answer_the_watchdog() {
    let proxy = TestProxy::start().await;
    let address = proxy.addresses[0].clone();
    let Address::Tcp(tcp) = address else {
        panic!("{address:?}")
    };
    assert!(Bound::is_assigned(tcp) && systemd::answers(&address).await);
    proxy.stop().await;
    assert!(!systemd::answers(&address).await);
}

#[tokio::test]
async fn an_unknown_group_is_said_and_leaves_no_socket() {
    let directory = TempDir::new().unwrap();
    let socket = unix(&directory);
    let group = Some("no-such-group-here".to_owned());
    let problem = Bound::bind(&Settings {
        socket_group: group,
        ..settings(vec![socket.clone()])
    })
    .await
    .unwrap_err();
    assert!(matches!(problem, BindProblem::NoSuchGroup(_)), "{problem}");
    assert!(!path(&socket).exists());
}

#[tokio::test]
async fn the_probe_reaches_a_listener_on_every_address_by_loopback() {
    let proxy = TestProxy::start().await;
    let any = Address::Tcp((std::net::Ipv4Addr::UNSPECIFIED, proxy.address().port()).into());
    systemd::probe(&any).await.unwrap();
}

#[tokio::test]
async fn the_probe_is_not_satisfied_by_a_listener_that_says_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let (probed, ()) = tokio::join!(systemd::probe(&address), async {
        drop(listener.accept().await.unwrap())
    });
    assert!(probed.is_err());
}

// Fault 55.
#[tokio::test]
async fn a_thousand_slow_heads_are_closed_in_time_and_health_answers_meanwhile() {
    let deadline = Duration::from_millis(600);
    let proxy = TestProxy::builder()
        .plan(move |plan| {
            plan.server.max_connections = 990;
            plan.server.first_request_deadline = deadline;
        })
        .start()
        .await;
    let mut slow = Vec::new();
    for _ in 0..1000 {
        let mut caller = proxy.connect().await;
        caller
            .write("POST /proxy/private HTTP/1.1\r\nhost: lo")
            .await;
        slow.push(caller);
    }
    let asked = Instant::now();
    systemd::probe(&proxy.addresses[0])
        .await
        .expect("health answers");
    assert!(asked.elapsed() < deadline);
    for mut caller in slow {
        assert!(caller.end().await.is_empty(), "closed without a word");
    }
    systemd::probe(&proxy.addresses[0])
        .await
        .expect("and afterwards");
    assert!(proxy.rejections.counted(Refused::Crowded) >= 1000 - 990 / 4);
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_at_the_first_request_deadline() {
    let deadline = Duration::from_millis(100);
    let proxy = TestProxy::builder()
        .plan(move |plan| plan.server.first_request_deadline = deadline)
        .start()
        .await;
    let connected = Instant::now();
    let mut silent = proxy.connect().await;
    assert!(silent.end().await.is_empty());
    assert!(connected.elapsed() >= deadline, "{:?}", connected.elapsed());
}

#[tokio::test]
async fn a_kept_connection_outlives_the_first_deadline_and_ends_at_the_idle_one() {
    let (first, idle) = (Duration::from_millis(100), Duration::from_millis(400));
    let proxy = TestProxy::builder()
        .plan(move |plan| {
            (
                plan.server.first_request_deadline,
                plan.server.idle_deadline,
            ) = (first, idle)
        })
        .start()
        .await;
    let mut caller = proxy.connect().await;
    caller
        .write(&proxy.request("private/user-balance", &json!({})))
        .await;
    assert_eq!(caller.answer().await.status, 200);
    let answered = Instant::now();
    caller.end().await;
    assert!(
        answered.elapsed() >= idle - first,
        "kept for {:?} only",
        answered.elapsed()
    );
}

/// Half a request, of somebody whom nobody knows.
const HALF: &str = "POST /proxy/private HTTP/1.1\r\nhost: lo";

async fn assert_answered(proxy: &TestProxy, what: &str) {
    let mut caller = proxy.connect().await;
    caller
        .write(&proxy.request("private/user-balance", &json!({})))
        .await;
    let answer = caller.answer().await;
    assert_eq!(
        (answer.status, answer.outcome().as_str()),
        (200, "answered"),
        "{what}: {}",
        answer.text()
    );
}

// Issue 10, row 4: 60 of 60 such calls were told 503.
#[tokio::test]
async fn eleven_hundred_half_requests_keep_no_token_holder_out() {
    raise_descriptors();
    let proxy = TestProxy::start().await;
    let mut halves = Vec::new();
    for _ in 0..1100 {
        let mut half = proxy.connect().await;
        half.write(HALF).await;
        halves.push(half);
    }
    for number in 0..60 {
        assert_answered(&proxy, &format!("call {number}")).await;
    }
    systemd::probe(&proxy.addresses[0])
        .await
        .expect("health answers");
    // The strangers' places are a quarter of 1,024; who had none of them any more was closed and counted.
    let closed = proxy.rejections.counted(Refused::Crowded);
    assert!((1100 - 256..=1100).contains(&closed), "{closed}");
    assert_eq!(proxy.rejections.counted(Refused::Connections), 0);
    proxy.rejections.log();
    proxy
        .wait_line(&[
            "event=refused status=0 why=crowded count=",
            "from=127.0.0.1",
        ])
        .await;
    drop(halves);
}

#[tokio::test]
async fn half_requests_that_are_renewed_all_the_time_keep_no_token_holder_out() {
    raise_descriptors();
    let proxy = TestProxy::start().await;
    let renewed = async {
        let mut halves = std::collections::VecDeque::new();
        loop {
            let mut half = proxy.connect().await;
            half.write(HALF).await;
            halves.push_back(half);
            if halves.len() > 1000 {
                halves.pop_front();
            }
        }
    };
    let calls = async {
        let wanted = 1000;
        let full = async {
            while proxy.rejections.counted(Refused::Crowded) < wanted {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, full)
            .await
            .expect("the strangers' places are full");
        for number in 0..60 {
            assert_answered(&proxy, &format!("call {number}")).await;
        }
    };
    tokio::select! {
        () = renewed => {}
        () = calls => {}
    }
}

#[tokio::test]
async fn who_is_known_stays_whoever_comes_and_keeps_the_connection() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.server.max_connections = 8)
        .start()
        .await;
    let mut kept = proxy.connect().await;
    let call = proxy.request("private/user-balance", &json!({}));
    kept.write(&call).await;
    assert_eq!(kept.answer().await.status, 200);
    let mut halves = Vec::new();
    for _ in 0..50 {
        let mut half = proxy.connect().await;
        half.write(HALF).await;
        halves.push(half);
    }
    kept.write(&call).await;
    assert_eq!(kept.answer().await.outcome(), "answered");
    // Of the six places of callers one alone gets three; the fourth is answered and closed.
    let mut more = Vec::new();
    for expected in [None, None, Some("close")] {
        let mut caller = proxy.connect().await;
        caller.write(&call).await;
        let answer = caller.answer().await;
        assert_eq!(
            (answer.status, answer.header("connection").as_deref()),
            (200, expected)
        );
        more.push(caller);
    }
    drop(halves);
}
