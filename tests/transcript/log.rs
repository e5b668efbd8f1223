//! The lines of the daemon: as text with the priority that systemd reads, and as JSON with every field.
//!
//! Lines come from several tasks, so that their order may differ: each stands once, sorted.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    thread,
    time::Instant,
};

use serde_json::json;

use crate::{
    calls::{ORDER_PARAMS, call},
    house::{DIAG_TOKEN, Daemon, House, SECRET, TOKEN},
    http::{self, Connection, Request},
    normal::normal_with_durations,
    process::{Env, PATIENCE},
    shape::Sheet,
    signing::{Pair, nonce},
    websocket::{Frame, Socket, opening},
};

const READ: &str = "private/user-balance";
const ORDER: &str = "private/create-order";

/// Codes that get a hint, and the method that is refused.
const HINTED: [(&str, &str); 14] = [
    (READ, r#"{"do":"code","code":40101}"#),
    ("private/get-open-orders", r#"{"do":"code","code":40102}"#),
    ("private/get-order-history", r#"{"do":"code","code":40103}"#),
    ("private/get-trades", r#"{"do":"code","code":40104}"#),
    ("private/get-positions", r#"{"do":"code","code":42901}"#),
    ("private/get-order-detail", r#"{"do":"code","code":10002}"#),
    ("private/get-fee-rate", r#"{"do":"code","code":10007}"#),
    ("private/get-accounts", r#"{"do":"code","code":10003}"#),
    ("private/get-transactions", r#"{"do":"code","code":10005}"#),
    (
        "private/user-balance-history",
        r#"{"do":"code","code":10006}"#,
    ),
    (
        "private/get-currency-networks",
        r#"{"do":"code","code":9010001}"#,
    ),
    (
        "private/get-instrument-fee-rate",
        r#"{"do":"reply","status":403,"content_type":"text/html","body":"<html>"}"#,
    ),
    (
        "private/get-order-list",
        r#"{"do":"reply","status":401,"content_type":"application/json","body":"{\"code\":7777}"}"#,
    ),
    (ORDER, r#"{"do":"code","code":40101}"#),
];

/// The whole subject.
pub(crate) fn tell() -> String {
    let mut sheet = Sheet::default();
    // Half a minute each, so both beside the rest.
    let later = ["stderr", "json"].map(|sink| thread::spawn(move || watched(sink)));
    for sink in ["stderr", "json"] {
        sheet.heading(&format!("log.sink = {sink}"));
        let mut lines = BTreeSet::new();
        busy(sink, &mut lines);
        troubled(sink, &mut lines);
        signed(sink, &mut lines);
        restarted(sink, &mut lines);
        lines.iter().for_each(|line| sheet.line(line));
    }
    sheet.heading("measurements that come to something else");
    let mut lines = BTreeSet::new();
    later
        .map(|thread| thread.join().unwrap())
        .iter()
        .for_each(|said| keep(&mut lines, said));
    lines.iter().for_each(|line| sheet.line(line));
    sheet.0
}

fn keep(lines: &mut BTreeSet<String>, said: &[String]) {
    // Whether the alarm about doubts comes before the end depends on the machine.
    let said = said.iter().filter(|line| !line.contains("alarm=in_doubt"));
    lines.extend(said.map(|line| shown(line)));
}

/// Writes the lines of these events, each once, sorted.
pub(crate) fn tell_events(sheet: &mut Sheet, events: &[&str], said: &[String]) {
    let is_told = |line: &&String| {
        events
            .iter()
            .any(|event| line.contains(&format!("event={event} ")))
    };
    let lines: BTreeSet<String> = said
        .iter()
        .filter(is_told)
        .map(|line| shown(line))
        .collect();
    lines.iter().for_each(|line| sheet.line(line));
}

/// A line without what differs from run to run: counts of a period, places in the source, names of modules.
fn shown(line: &str) -> String {
    let line = normal_with_durations(line);
    let words: Vec<String> = line.split(' ').map(word).collect();
    let line = words.join(" ");
    let Some((before, rest)) = line.split_once("\"target\":\"") else {
        return line;
    };
    let (target, after) = rest.split_once('"').unwrap_or((rest, ""));
    let target = if target.contains("::") {
        "<module>"
    } else {
        target
    };
    format!("{before}\"target\":\"{target}\"{after}")
}

fn word(word: &str) -> String {
    let counted = ["count=", "from_client=", "from_exchange=", "failed="]
        .into_iter()
        .find(|name| word.starts_with(name));
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    match counted {
        Some(name) if digits(&word[name.len()..]) > 0 => {
            let rest = &word[name.len()..];
            format!("{name}<n>{}", &rest[digits(rest)..])
        }
        _ => word.to_owned(),
    }
}

fn env(house: &House, sink: &str, further: &[(&str, &str)]) -> Env {
    let services = house.services();
    let watched = [
        ("CRYPTO_PROXY__EGRESS__ENABLED", "true"),
        ("CRYPTO_PROXY__EGRESS__SERVICES", services.as_str()),
        ("CRYPTO_PROXY__REACH__ENABLED", "true"),
        ("CRYPTO_EXPECTED_IP", "1.1.1.1"),
        ("CRYPTO_AUTH_DIAG", "true"),
        ("CRYPTO_PROXY__LOG__SINK", sink),
    ];
    crate::house::with(house.env(), &[&watched[..], further].concat())
}

/// Calls, hints, alarms, a run, streams, requests of strangers, and a stop.
fn busy(sink: &str, lines: &mut BTreeSet<String>) {
    let house = House::new();
    house.state(json!({ "apparent_address": "1.1.1.1" }));
    let daemon = house.serve_with(env(
        &house,
        sink,
        &[(
            "CRYPTO_PROXY__POLICY__DENY_METHODS",
            "private/get-subaccount-balances",
        )],
    ));
    daemon.process.wait(&["event=address "]);
    daemon.process.wait(&["event=reach "]);
    let ask = |method: &str, params: &str| http::ask(daemon.at, &call(method, params));
    for method in [READ, "private/get-open-orders"] {
        ask(method, "{}");
    }
    ask(
        ORDER,
        &ORDER_PARAMS.replace('}', r#","client_oid":"invented-1"}"#),
    );
    for (method, fault) in HINTED {
        house.once(method, fault);
        let answer = ask(method, "{}");
        let rid = answer.header("x-request-id").unwrap().to_owned();
        daemon.process.wait(&["event=hint ", &rid]);
    }
    daemon
        .process
        .wait(&["event=alarm", "alarm=method_refused", "state=raised"]);
    daemon
        .process
        .wait(&["event=alarm", "alarm=all_refused", "state=raised"]);
    for method in [READ, ORDER] {
        ask(method, "{}");
    }
    daemon
        .process
        .wait(&["event=alarm", "alarm=all_refused", "state=ended"]);
    for (method, fault) in [
        (READ, r#"{"do":"cut"}"#),
        (ORDER, r#"{"do":"code","code":50001}"#),
    ] {
        house.once(method, fault);
        ask(method, "{}");
    }
    ask("private/get-subaccount-balances", "{}");
    ask("nonsense", "{}");
    house.state(json!({ "clock_offset_ms": 20_000 }));
    clock(&daemon, &["event=clock"], 1);
    house.state(json!({ "clock_offset_ms": 0 }));
    clock(&daemon, &["event=clock"], 2);
    http::ask(daemon.at, &Request::post("/diag/run").token(DIAG_TOKEN));
    daemon.process.wait(&["event=diag "]);
    streams(&house, &daemon);
    strangers(&daemon);
    daemon.process.signal(rustix::process::Signal::HUP);
    daemon.process.wait(&["SIGHUP"]);
    let (code, said) = daemon.process.stop();
    assert_eq!(code, Some(0));
    keep(lines, &said);
}

/// Calls until so many lines of the clock are there: its estimate follows the answers.
fn clock(daemon: &Daemon, parts: &[&str], count: usize) {
    let until = Instant::now() + PATIENCE;
    let seen = || {
        daemon
            .process
            .lines()
            .iter()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    };
    while seen() < count {
        assert!(Instant::now() < until, "{:#?}", daemon.process.lines());
        http::ask(daemon.at, &call(READ, "{}"));
    }
}

fn streams(house: &House, daemon: &Daemon) {
    let mut socket = Socket::open(daemon.at, &opening("/exchange/v1/user").token(TOKEN)).0;
    assert!(matches!(
        socket.ask(r#"{"id":7,"method":"private/user-balance"}"#),
        Frame::Text(_)
    ));
    socket.ask(r#"{"id":8,"method":"private/create-withdrawal"}"#);
    socket.close(1000, "bye");
    daemon
        .process
        .wait(&["event=stream what=closed", "by=client"]);
    house.script(
        json!({ "target": "user", "clear": true, "once": [{ "do": "code", "code": 50001 }] }),
    );
    let mut refused = Socket::open(daemon.at, &opening("/exchange/v1/user").token(TOKEN)).0;
    while !matches!(refused.next(), Frame::Closed(_) | Frame::Lost) {}
    daemon.process.wait(&["event=stream what=failed"]);
    http::ask(daemon.at, &Request::get("/exchange/v1/public/get-tickers"));
}

/// Requests that are counted only.
fn strangers(daemon: &Daemon) {
    let plain = || Request::post("/proxy/private").json("{}");
    let basic = Request::get("/")
        .header("Accept", "text/html")
        .header("Authorization", "Basic eDppbnZlbnRlZA==");
    for request in [
        plain(),
        basic,
        plain().host(Some("page.example")),
        plain().header("Origin", "https://page.example"),
        Request::post("/exchange/v1/private/user-balance").json("nonsense"),
    ] {
        http::ask(daemon.at, &request);
    }
    let mut connection = Connection::to(daemon.at);
    connection.write(b"nonsense\r\n\r\n");
    connection.answer();
}

/// The exchange-shaped door for clients that sign, before and after a kill; doors that are closed.
fn signed(sink: &str, lines: &mut BTreeSet<String>) {
    let house = House::new();
    let pair = Pair::of(&house.issue("bot", &["--preset", "read", "--source", "127.0.0.0/8"]));
    house.issue("elsewhere", &["--uid", "4242"]);
    let quiet = [
        ("CRYPTO_PROXY__LOG__SINK", sink),
        ("CRYPTO_PROXY__PUBLIC__SOURCES", "192.0.2.0/24"),
        ("CRYPTO_PROXY_DIAG_TOKEN", ""),
    ];
    let daemon = house.serve(&quiet);
    let post = |at, method: &str, body: &str| {
        http::ask(
            at,
            &Request::post(&format!("/exchange/v1/{method}")).json(body),
        )
    };
    let send = |at, body: &str| post(at, READ, body);
    let denied = "private/create-withdrawal";
    let once = pair.request(denied, "{}", "", nonce());
    let wrong = Pair {
        secret: "invented-wrong".to_owned(),
        ..pair.clone()
    };
    for _ in 0..2 {
        post(daemon.at, denied, &once);
    }
    for body in [
        &wrong.request(READ, "{}", "", nonce()),
        &pair.request(READ, "{}", "", nonce() - 120_000),
    ] {
        send(daemon.at, body);
    }
    http::ask(daemon.at, &Request::get("/exchange/v1/public/get-tickers"));
    http::ask(daemon.at, &Request::get("/diag/crypto-auth").token(TOKEN));
    keep(lines, &daemon.process.stop().1);

    let narrow = [
        ("CRYPTO_PROXY__PUBLIC__CALLS_PER_S", "1"),
        ("CRYPTO_PROXY__LISTENER__MAX_CONNECTIONS", "8"),
    ];
    let daemon = house.serve(
        &[
            &narrow[..],
            &[
                ("CRYPTO_PROXY__LOG__SINK", sink),
                ("CRYPTO_PROXY__CALLS__MAX_IN_FLIGHT", "8"),
            ],
        ]
        .concat(),
    );
    send(daemon.at, &pair.request(READ, "{}", "", nonce() - 50_000));
    until(daemon.at, "/exchange/v1/public/get-tickers", 429);
    let held: Vec<Connection> = (0..12).map(|_| Connection::to(daemon.at)).collect();
    // Connections are taken in their order: the last of these had to close others.
    http::ask(daemon.at, &Request::get("/health"));
    drop(held);
    keep(lines, &daemon.process.stop().1);
}

/// Asks until the answer has this status.
fn until(at: SocketAddr, path: &str, status: u16) {
    let until = Instant::now() + PATIENCE;
    while http::ask(at, &Request::get(path)).status() != status {
        assert!(Instant::now() < until, "{path} never came to {status}");
    }
}

/// A unix socket, a state directory that goes away, slow bodies.
fn troubled(sink: &str, lines: &mut BTreeSet<String>) {
    let house = House::new();
    let pair = Pair::of(&house.issue("bot", &["--preset", "read"]));
    let socket = house.path("door.sock");
    let listen = format!("127.0.0.1:0,unix:{}", socket.display());
    let daemon = house.serve(&[
        ("CRYPTO_PROXY_LISTEN", &listen),
        ("CRYPTO_PROXY__LOG__SINK", sink),
    ]);
    let mut stranger = UnixStream::connect(&socket).unwrap();
    stranger
        .write_all(b"POST /proxy/private HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    assert!(stranger.read(&mut [0; 64]).unwrap() > 0, "an answer");
    http::ask(daemon.at, &call(READ, "{}"));
    std::fs::remove_dir_all(house.path("state")).unwrap();
    let ahead = pair.request(READ, "{}", "", nonce() + 40_000);
    http::ask(
        daemon.at,
        &Request::post("/exchange/v1/private/user-balance").json(&ahead),
    );
    http::ask(daemon.at, &call(READ, "{}"));
    daemon.process.wait(&["the history loses calls"]);
    let folder = house.path("").display().to_string();
    let said: Vec<String> = daemon
        .process
        .stop()
        .1
        .iter()
        .map(|line| uidless(&line.replace(&folder, "<dir>/")))
        .collect();
    keep(lines, &said);
}

/// Whoever runs the test.
fn uidless(line: &str) -> String {
    let Some((before, after)) = line.split_once("unix-socket/uid-") else {
        return line.to_owned();
    };
    format!(
        "{before}unix-socket/uid-<uid>{}",
        after.trim_start_matches(|next: char| next.is_ascii_digit())
    )
}

/// Another pair at the next start, a run that was killed, an exchange that is away.
fn restarted(sink: &str, lines: &mut BTreeSet<String>) {
    let house = House::new();
    let pairs = [
        (crate::house::KEY, SECRET),
        (crate::house::KEY, "invented-other-secret-0123456789"),
        ("invented-other-key", "invented-third-secret-0123456789"),
    ];
    for (key, secret) in pairs {
        let daemon = house.serve(&[
            ("CRYPTO_API_KEY", key),
            ("CRYPTO_API_SECRET", secret),
            ("CRYPTO_PROXY__LOG__SINK", sink),
        ]);
        if secret != SECRET {
            daemon.process.wait(&["event=pair"]);
        }
        http::ask(daemon.at, &call(READ, "{}"));
        keep(lines, &daemon.process.stop().1);
    }
    let daemon = house.serve(&[("CRYPTO_PROXY__LOG__SINK", sink)]);
    daemon.process.signal(rustix::process::Signal::KILL);
    daemon.process.ended();
    let daemon = house.serve(&[("CRYPTO_PROXY__LOG__SINK", sink)]);
    house.once(ORDER, r#"{"do":"hang"}"#);
    let mut waits = Connection::to(daemon.at);
    waits.send(&call(ORDER, ORDER_PARAMS));
    house.received(ORDER, 1);
    daemon.process.signal(rustix::process::Signal::TERM);
    daemon.process.wait(&["stopping: "]);
    let (code, said) = daemon.process.stop();
    assert_eq!(code, Some(1), "asked twice to stop with a call under way");
    keep(lines, &said);
    let away = [
        ("CRYPTO_REST_BASE", "http://127.0.0.1:1/exchange/v1"),
        ("CRYPTO_PROXY__REACH__ENABLED", "true"),
    ];
    let daemon = house.serve(
        &[
            &away[..],
            &[
                ("CRYPTO_PROXY__LOG__SINK", sink),
                ("STATE_DIRECTORY", "no/such/directory"),
            ],
        ]
        .concat(),
    );
    daemon.process.wait(&["event=reach ", "state=failed"]);
    http::ask(daemon.at, &call(READ, "{}"));
    keep(lines, &daemon.process.stop().1);
}

/// The address and the way change between two measurements, which are half a minute apart at the least.
fn watched(sink: &str) -> Vec<String> {
    let house = House::new();
    house.state(json!({ "apparent_address": "8.8.4.4" }));
    house.script(json!({ "target": "public/get-tickers", "always": { "do": "cut" } }));
    let often = [
        ("CRYPTO_PROXY__EGRESS__INTERVAL_S", "30"),
        ("CRYPTO_PROXY__REACH__INTERVAL_S", "30"),
    ];
    let daemon = house.serve_with(env(&house, sink, &often));
    daemon.process.wait(&["event=address drift"]);
    daemon.process.wait(&["event=reach ", "state=failed"]);
    // Before the call, because its failure asks for another measurement.
    house.state(json!({ "apparent_address": "1.1.1.1" }));
    house.script(json!({ "target": "public/get-tickers", "clear": true }));
    house.once(READ, r#"{"do":"code","code":40101}"#);
    http::ask(daemon.at, &call(READ, "{}"));
    daemon.process.wait(&["event=hint corrects="]);
    daemon
        .process
        .wait(&["event=address", "is an expected address again"]);
    daemon.process.wait(&["event=reach ", "state=reachable"]);
    daemon.process.stop().1
}
