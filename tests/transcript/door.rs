//! The exchange-shaped door below `/exchange/v1/`: its refusals, its answers, and public calls.

use serde_json::json;

use crate::{
    calls::tell_recorded,
    house::{Daemon, House, TOKEN},
    http::{self, Connection, Request},
    shape::Sheet,
    signing::{Pair, nonce},
};

const READ: &str = "private/user-balance";
const ORDER: &str = "private/create-order";

/// Bodies of somebody with a token.
const BODIES: [(&str, &str); 16] = [
    (
        "good",
        r#"{"id":11,"method":"private/user-balance","params":{}}"#,
    ),
    (
        "good, with id in quotes and no params",
        r#"{"method":"private/user-balance","id":"12"}"#,
    ),
    ("no id", r#"{"method":"private/user-balance"}"#),
    (
        "an id that is none",
        r#"{"id":"x","method":"private/user-balance"}"#,
    ),
    ("no method", r#"{"id":11}"#),
    (
        "another member",
        r#"{"id":11,"method":"private/user-balance","other":1}"#,
    ),
    (
        "a member twice",
        r#"{"id":11,"id":12,"method":"private/user-balance"}"#,
    ),
    ("no object", "[]"),
    ("no JSON", "nonsense"),
    ("nothing", ""),
    (
        "path and body differ",
        r#"{"id":11,"method":"private/get-open-orders"}"#,
    ),
    (
        "a nonce that is none",
        r#"{"id":11,"method":"private/user-balance","nonce":"x"}"#,
    ),
    (
        "params that are none",
        r#"{"id":11,"method":"private/user-balance","params":[]}"#,
    ),
    (
        "params that cannot be signed",
        r#"{"id":11,"method":"private/user-balance","params":{"a":1e5}}"#,
    ),
    (
        "params three levels deep",
        r#"{"id":11,"method":"private/user-balance","params":{"a":[[["x"]]]}}"#,
    ),
    (
        "a key twice",
        r#"{"id":11,"method":"private/user-balance","params":{"a":1,"a":2}}"#,
    ),
];

/// What the exchange answers to a read and to an order.
const ANSWERS: [(&str, &str); 9] = [
    ("40101", r#"{"do":"code","code":40101}"#),
    ("306", r#"{"do":"code","code":306}"#),
    ("50001", r#"{"do":"code","code":50001}"#),
    (
        "HTML",
        r#"{"do":"reply","status":502,"content_type":"text/html","body":"<html>a page</html>"}"#,
    ),
    (
        "malformed JSON",
        r#"{"do":"reply","status":200,"content_type":"application/json","body":"{"}"#,
    ),
    (
        "a redirect",
        r#"{"do":"reply","status":302,"headers":{"location":"/elsewhere"},"body":""}"#,
    ),
    (
        "a header of its own",
        r#"{"do":"reply","status":500,"content_type":"application/json","headers":{"x-invented":"1","set-cookie":"a=b"},"body":"{\"code\":306}"}"#,
    ),
    ("cut", r#"{"do":"cut"}"#),
    ("silence", r#"{"do":"hang"}"#),
];

/// Public calls.
const PUBLIC: [(&str, &str); 8] = [
    ("GET", "/exchange/v1/public/get-instruments"),
    (
        "GET",
        "/exchange/v1/public/get-tickers?instrument_name=BTC_USD",
    ),
    ("GET", "/exchange/v1/public/no-such-method"),
    ("POST", "/exchange/v1/public/get-tickers"),
    ("GET", "/exchange/v1/public/staking/get-conversion-rate"),
    ("GET", "/exchange/v1/public/get-tickers?a=%zz"),
    ("GET", "/exchange/v1/public/get-tickers?a=<b>"),
    ("DELETE", "/exchange/v1/public/get-tickers"),
];

/// The whole subject.
pub(crate) fn tell() -> String {
    let mut sheet = Sheet::default();
    let house = House::new();
    let pair = Pair::of(&house.issue("bot", &["--preset", "trade"]));
    let daemon = house.serve(&[
        ("CRYPTO_PROXY__EXCHANGE_V1__DEADLINE_MS", "1500"),
        ("CRYPTO_PROXY__UPSTREAM__CONNECT_DEADLINE_MS", "1000"),
        ("CRYPTO_PROXY__LISTENER__BODY_DEADLINE_MS", "300"),
    ]);
    with_a_token(&mut sheet, &daemon);
    signed(&mut sheet, &daemon, &pair);
    answers(&mut sheet, &house, &daemon);
    paths(&mut sheet, &daemon);
    public(&mut sheet, &house, &daemon);
    // One at a time has the state directory.
    daemon.process.stop();
    elsewhere(&mut sheet, &house, &pair);
    sheet.0
}

fn post(method: &str, body: &str) -> Request {
    Request::post(&format!("/exchange/v1/{method}")).json(body)
}

fn tell_known(sheet: &mut Sheet, daemon: &Daemon, request: &Request) {
    let answer = http::ask(daemon.at, request);
    tell_recorded(sheet, daemon, &answer);
}

fn with_a_token(sheet: &mut Sheet, daemon: &Daemon) {
    sheet.heading("with a token");
    for (title, body) in BODIES {
        sheet.title(title);
        tell_known(sheet, daemon, &post(READ, body).token(TOKEN));
    }
    sheet.title("another type");
    let body = r#"{"id":11,"method":"private/user-balance"}"#;
    let text =
        Request::post("/exchange/v1/private/user-balance").header("Content-Type", "text/plain");
    tell_known(sheet, daemon, &text.token(TOKEN).body(body));
    sheet.title("too long");
    tell_known(
        sheet,
        daemon,
        &post(READ, &"x".repeat(200_000)).token(TOKEN),
    );
    sheet.title("late");
    let late = Request::post("/exchange/v1/private/user-balance")
        .token(TOKEN)
        .header("Content-Type", "application/json");
    tell_known(
        sheet,
        daemon,
        &late.header("Content-Length", "9").unsized_body("{"),
    );
    for method in [
        "private/create-withdrawal",
        "private/not-in-the-catalogue",
        "private/No-Method",
        "private/a/b/c/d",
    ] {
        sheet.title(method);
        let body = format!(r#"{{"id":11,"method":"{method}"}}"#);
        tell_known(sheet, daemon, &post(method, &body).token(TOKEN));
    }
    sheet.title("a wrong token");
    sheet.answer(&http::ask(
        daemon.at,
        &post(READ, body).token("invented-wrong-token-of-nobody"),
    ));
}

fn signed(sheet: &mut Sheet, daemon: &Daemon, pair: &Pair) {
    sheet.heading("signed with a virtual key");
    let good = pair.request(READ, "{}", "", nonce());
    sheet.title("good");
    tell_known(sheet, daemon, &post(READ, &good));
    sheet.title("the params string as documented");
    let params = r#"{"instrument_name":"BTC_USD","page":1}"#;
    tell_known(
        sheet,
        daemon,
        &post(
            READ,
            &pair.request(READ, params, "instrument_nameBTC_USDpage1", nonce()),
        ),
    );
    let wrong = Pair {
        secret: "invented-wrong".to_owned(),
        ..pair.clone()
    };
    let unknown = Pair {
        key: "cpvk_ff0102030405060708090a0b_1".to_owned(),
        ..pair.clone()
    };
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(40_000));
    sheet.title("the same read again");
    tell_known(sheet, daemon, &post(READ, &good));
    for (title, body) in [
        ("a wrong signature", wrong.request(READ, "{}", "", nonce())),
        ("an unknown key", unknown.request(READ, "{}", "", nonce())),
        (
            "no signature",
            format!(
                r#"{{"id":11,"method":"{READ}","api_key":"{}","nonce":{}}}"#,
                pair.key,
                nonce()
            ),
        ),
        (
            "no nonce",
            format!(
                r#"{{"id":11,"method":"{READ}","api_key":"{}","sig":"00"}}"#,
                pair.key
            ),
        ),
        (
            "a nonce too far away",
            pair.request(READ, "{}", "", nonce() - 120_000),
        ),
        ("no request", "nonsense".to_owned()),
        ("too long", long),
    ] {
        sheet.title(title);
        sheet.answer(&http::ask(daemon.at, &post(READ, &body)));
    }
    sheet.title("late");
    let late = Request::post("/exchange/v1/private/user-balance")
        .header("Content-Type", "application/json");
    sheet.answer(&http::ask(
        daemon.at,
        &late.header("Content-Length", "9").unsized_body("{"),
    ));
    sheet.title("cut short");
    let chunked = Request::post("/exchange/v1/private/user-balance")
        .header("Content-Type", "application/json");
    sheet.answer(&http::ask(
        daemon.at,
        &chunked
            .header("Transfer-Encoding", "chunked")
            .unsized_body("zz\r\n"),
    ));
    sheet.title("denied");
    let denied = "private/create-withdrawal";
    let withdrawal = post(denied, &pair.request(denied, "{}", "", nonce()));
    tell_known(sheet, daemon, &withdrawal);
    sheet.title("the same again, which may change something");
    sheet.answer(&http::ask(daemon.at, &withdrawal));
}

fn answers(sheet: &mut Sheet, house: &House, daemon: &Daemon) {
    sheet.heading("what the exchange answers");
    let order = |name: char| {
        format!(
            r#"{{"id":11,"method":"private/create-order","params":{{"instrument_name":"BTC_USD","client_oid":"invented-{name}"}}}}"#
        )
    };
    let read = r#"{"id":11,"method":"private/user-balance","params":{}}"#;
    for (name, (title, fault)) in ('a'..).zip(ANSWERS) {
        for (method, body) in [(READ, read), (ORDER, &*order(name))] {
            sheet.title(&format!("{title}, to {method}"));
            house.once(method, fault);
            tell_known(sheet, daemon, &post(method, body).token(TOKEN));
        }
    }
}

fn paths(sheet: &mut Sheet, daemon: &Daemon) {
    sheet.heading("paths, verbs, Host and Origin");
    let body = r#"{"id":11,"method":"private/user-balance"}"#;
    for (title, request) in [
        ("no such path", Request::get("/exchange/v1/no/such")),
        ("nothing behind the door", Request::get("/exchange/v1/")),
        (
            "a wrong verb",
            Request::get("/exchange/v1/private/user-balance").token(TOKEN),
        ),
        (
            "Origin",
            post(READ, body)
                .token(TOKEN)
                .header("Origin", "https://page.example"),
        ),
        (
            "a foreign Host",
            post(READ, body).token(TOKEN).host(Some("page.example")),
        ),
    ] {
        sheet.title(title);
        sheet.answer(&http::ask(daemon.at, &request));
    }
}

fn public(sheet: &mut Sheet, house: &House, daemon: &Daemon) {
    sheet.heading("public methods");
    for (verb, path) in PUBLIC {
        sheet.title(&format!("{verb} {path}"));
        let answer = http::ask(daemon.at, &Request::new(verb, path));
        if answer.status() == 200 {
            sheet.head(&answer)
        } else {
            sheet.answer(&answer)
        }
    }
    sheet.title("a query that is too long");
    let long = format!("/exchange/v1/public/get-tickers?a={}", "x".repeat(3000));
    sheet.answer(&http::ask(daemon.at, &Request::get(&long)));
    for (title, fault) in [ANSWERS[7], ANSWERS[3], ANSWERS[2]] {
        sheet.title(&format!("{title} of a public call"));
        house.once("public/get-tickers", fault);
        sheet.answer(&http::ask(
            daemon.at,
            &Request::get("/exchange/v1/public/get-tickers"),
        ));
    }
}

/// Doors with other settings: nothing relayed, no budget, nobody reached, stopping, and no mark.
fn elsewhere(sheet: &mut Sheet, house: &House, pair: &Pair) {
    sheet.heading("other settings");
    let closed = house.serve(&[("CRYPTO_PROXY__PUBLIC__SOURCES", "192.0.2.0/24")]);
    sheet.title("public calls are off for this source");
    sheet.answer(&http::ask(
        closed.at,
        &Request::get("/exchange/v1/public/get-tickers"),
    ));
    closed.process.stop();
    let narrow = house.serve(&[
        ("CRYPTO_PROXY__PUBLIC__CALLS_PER_S", "1"),
        ("CRYPTO_REST_BASE", "http://127.0.0.1:1/exchange/v1"),
    ]);
    sheet.title("a budget is spent, and no connection for a public call");
    let asked =
        (0..5).map(|_| http::ask(narrow.at, &Request::get("/exchange/v1/public/get-tickers")));
    let mut seen: Vec<_> = asked.collect();
    seen.sort_by_key(|answer| std::cmp::Reverse(answer.status()));
    seen.dedup_by_key(|answer| answer.status());
    seen.iter().for_each(|answer| sheet.answer(answer));
    sheet.title("no connection for a call");
    tell_known(
        sheet,
        &narrow,
        &post(ORDER, r#"{"id":11,"method":"private/create-order"}"#).token(TOKEN),
    );
    narrow.process.signal(rustix::process::Signal::KILL);
    narrow.process.ended();

    let small = house.serve(&[("CRYPTO_PROXY__CALLS__MAX_IN_FLIGHT", "1")]);
    sheet.title("from before the restart");
    let earlier = pair.request(READ, "{}", "", nonce() - 50_000);
    sheet.answer(&http::ask(small.at, &post(READ, &earlier)));
    house.script(json!({ "target": READ, "clear": true, "once": [{ "do": "hang" }] }));
    let mut waits = Connection::to(small.at);
    waits.send(&post(READ, r#"{"id":11,"method":"private/user-balance"}"#).token(TOKEN));
    small_room(sheet, &small);
    drop(waits);
    small.process.signal(rustix::process::Signal::KILL);
    small.process.ended();
    burdened(sheet, house, pair);
}

/// Slow bodies of strangers, and a disk that does not take the mark.
fn burdened(sheet: &mut Sheet, house: &House, pair: &Pair) {
    let daemon = house.serve(&[]);
    sheet.title("too many slow bodies of unknown senders");
    let slow = Request::post("/exchange/v1/private/user-balance")
        .header("Content-Type", "application/json");
    let slow = slow.header("Content-Length", "9").unsized_body("{");
    let until = std::time::Instant::now() + crate::process::PATIENCE;
    let mut held: Vec<Connection> = Vec::new();
    let answer = loop {
        let open = (0..40).map(|_| Connection::to(daemon.at));
        held.extend(open);
        held.iter_mut()
            .rev()
            .take(40)
            .for_each(|connection| connection.send(&slow));
        let found = held
            .iter_mut()
            .rev()
            .take(40)
            .map(Connection::answer)
            .find(|answer| answer.status() == 429);
        if let Some(answer) = found {
            break answer;
        }
        assert!(std::time::Instant::now() < until, "every body had a place");
    };
    sheet.answer(&answer);
    sheet.title("the disk does not take the mark");
    // Moved, because the daemon may put a file into it while it is removed.
    std::fs::rename(house.path("state"), house.path("gone")).unwrap();
    sheet.answer(&http::ask(
        daemon.at,
        &post(READ, &pair.request(READ, "{}", "", nonce() + 40_000)),
    ));
    drop(held);
    crate::log::tell_events(sheet, &["refused"], &daemon.process.stop().1);
}

/// One place, which is taken as soon as the call under way is seen.
fn small_room(sheet: &mut Sheet, daemon: &Daemon) {
    sheet.title("no room");
    let body = r#"{"id":11,"method":"private/get-open-orders"}"#;
    let until = std::time::Instant::now() + crate::process::PATIENCE;
    loop {
        let answer = http::ask(
            daemon.at,
            &post("private/get-open-orders", body).token(TOKEN),
        );
        if answer.status() == 429 {
            return tell_recorded(sheet, daemon, &answer);
        }
        assert!(std::time::Instant::now() < until, "{}", answer.line);
    }
}
