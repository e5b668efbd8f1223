//! `POST /proxy/private`: each row of the contract's tables, with the line that the call leaves.

use serde_json::json;

use crate::{
    house::{DIAG_TOKEN, Daemon, House, Silent, TOKEN},
    http::{self, Answer, Connection, Request},
    normal::normal,
    shape::Sheet,
};

mod cases;

use cases::{ANSWERS, BODIES, IN_DOUBT, PARAMS};

const READ: &str = "private/user-balance";
const ORDER: &str = "private/create-order";
pub(crate) const ORDER_PARAMS: &str = r#"{"instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"50000.00","quantity":"0.01"}"#;

/// The whole subject.
pub(crate) fn tell() -> String {
    let mut sheet = Sheet::default();
    answers(&mut sheet);
    refusals(&mut sheet);
    policies(&mut sheet);
    deadlines(&mut sheet);
    unreachable(&mut sheet);
    sheet.0
}

pub(crate) fn call(method: &str, params: &str) -> Request {
    let body = format!(r#"{{"method":"{method}","params":{params}}}"#);
    Request::post("/proxy/private").token(TOKEN).json(&body)
}

fn daemon(house: &House, further: &[(&str, &str)]) -> Daemon {
    house.serve(&[&[("CRYPTO_PROXY__REACH__ENABLED", "false")], further].concat())
}

/// Asks, and writes the answer with the line of the call.
fn tell_call(sheet: &mut Sheet, daemon: &Daemon, request: &Request) {
    let answer = http::ask(daemon.at, request);
    tell_recorded(sheet, daemon, &answer);
}

pub(crate) fn tell_recorded(sheet: &mut Sheet, daemon: &Daemon, answer: &Answer) {
    sheet.answer(answer);
    let rid = answer.header("x-request-id").expect("a request id");
    let line = daemon
        .process
        .wait(&["event=call ", &format!(" rid={rid} ")]);
    sheet.line(&format!("log: {}", normal(&line)));
}

fn answers(sheet: &mut Sheet) {
    let house = House::new();
    let daemon = daemon(
        &house,
        &[
            ("CRYPTO_PROXY__UPSTREAM__MAX_REPLY_BYTES", "4096"),
            ("CRYPTO_PROXY__POLICY__ALLOW_CLASSES", "transfer"),
        ],
    );
    sheet.heading("what the exchange answers");
    for (title, fault) in ANSWERS {
        sheet.title(title);
        house.once(READ, fault);
        tell_call(sheet, &daemon, &call(READ, "{}"));
    }
    sheet.title("too large");
    let body = format!("{{\"code\":0,\"a\":\"{}\"}}", "x".repeat(5000));
    house.script(json!({ "target": READ, "clear": true, "once": [
        { "do": "reply", "status": 200, "content_type": "application/json", "body": body },
        { "do": "reply", "status": 500, "content_type": "application/json",
          "body": format!("{{\"code\":306,\"message\":\"{}\"}}", crate::house::KEY) },
    ] }));
    tell_call(sheet, &daemon, &call(READ, "{}"));
    sheet.title("an answer that repeats our key");
    tell_call(sheet, &daemon, &call(READ, "{}"));
    sheet.title("an order");
    let params = ORDER_PARAMS.replace('}', r#","client_oid":"invented-0"}"#);
    let answer = http::ask(daemon.at, &call(ORDER, &params));
    sheet.head(&answer);

    sheet.heading("after unknown");
    for (title, method, params) in IN_DOUBT {
        sheet.title(&format!("{title}: {method} {params}"));
        house.once(method, r#"{"do":"cut","when":"after"}"#);
        tell_call(sheet, &daemon, &call(method, params));
    }
    sheet.title("an order whose answer leaves open what became of it");
    house.once(ORDER, r#"{"do":"code","code":50001}"#);
    let params = params.replace("invented-0", "invented-9");
    tell_call(sheet, &daemon, &call(ORDER, &params));
    sheet.title("the same again");
    tell_call(sheet, &daemon, &call(ORDER, &params));

    sheet.heading("what can be signed");
    for params in PARAMS {
        sheet.title(params);
        tell_call(sheet, &daemon, &call(READ, params));
    }
}

/// Refused before anything is sent.
fn refusals(sheet: &mut Sheet) {
    let house = House::new();
    let daemon = daemon(
        &house,
        &[
            ("CRYPTO_PROXY__LISTENER__MAX_BODY_BYTES", "4096"),
            ("CRYPTO_PROXY__LISTENER__BODY_DEADLINE_MS", "200"),
        ],
    );
    sheet.heading("bodies and methods");
    for body in BODIES {
        sheet.title(body);
        tell_call(
            sheet,
            &daemon,
            &Request::post("/proxy/private").token(TOKEN).json(body),
        );
    }
    sheet.title("another type than JSON");
    let text = r#"{"method":"private/user-balance"}"#;
    tell_call(
        sheet,
        &daemon,
        &Request::post("/proxy/private")
            .token(TOKEN)
            .header("Content-Type", "text/plain")
            .body(text),
    );
    sheet.title("no type");
    tell_call(
        sheet,
        &daemon,
        &Request::post("/proxy/private").token(TOKEN).body(text),
    );
    sheet.title("too long");
    let long = Request::post("/proxy/private")
        .token(TOKEN)
        .json(&"x".repeat(5000));
    tell_call(sheet, &daemon, &long);
    sheet.title("late");
    let late = Request::post("/proxy/private")
        .token(TOKEN)
        .header("Content-Length", "9")
        .unsized_body("{");
    tell_call(sheet, &daemon, &late);
    sheet.title("chunks that are none");
    let chunked = Request::post("/proxy/private")
        .token(TOKEN)
        .header("Transfer-Encoding", "chunked");
    tell_call(sheet, &daemon, &chunked.unsized_body("zz\r\n"));

    sheet.heading("nobody who is known");
    let plain = || Request::post("/proxy/private").json(text);
    for (title, request) in [
        ("no token", plain()),
        (
            "a wrong token",
            plain().token("invented-wrong-token-of-nobody"),
        ),
        ("an empty token", plain().token("")),
        ("two tokens", plain().token(TOKEN).token(TOKEN)),
        ("the token of the diagnosis", plain().token(DIAG_TOKEN)),
        (
            "Origin",
            plain()
                .token(TOKEN)
                .header("Origin", "https://page.example"),
        ),
        (
            "a foreign Host",
            plain().token(TOKEN).host(Some("page.example")),
        ),
        ("no Host", plain().token(TOKEN).host(None)),
        (
            "two of Host",
            plain().token(TOKEN).header("Host", "127.0.0.1"),
        ),
        ("localhost", plain().host(Some("localhost:9000"))),
        (
            "a head that is too long",
            plain().token(&"x".repeat(20_000)),
        ),
    ] {
        sheet.title(title);
        sheet.answer(&http::ask(daemon.at, &request));
    }
    sheet.title("no HTTP");
    let mut connection = Connection::to(daemon.at);
    connection.write(b"nonsense\r\n\r\n");
    sheet.answer(&connection.answer());
    sheet.title("a connection that is kept: two calls of a caller with a token");
    let mut connection = Connection::to(daemon.at);
    for _ in 0..2 {
        connection.send(&call(READ, "{}"));
        let answer = connection.answer();
        sheet.head(&answer);
    }
}

/// Callers that were issued, outside of what they may.
fn policies(sheet: &mut Sheet) {
    let house = House::new();
    let issued = [
        ("reader", &["--preset", "read"][..]),
        (
            "elsewhere",
            &["--preset", "full", "--source", "192.0.2.0/24"],
        ),
        ("uid", &["--preset", "full", "--uid", "4242"]),
        ("listed", &["--preset", "trade", "--instrument", "ETH_USD"]),
        (
            "narrow",
            &[
                "--allow",
                "private/advanced/*",
                "--deny",
                "private/advanced/create-order",
            ],
        ),
        ("monitor", &["--diagnose"]),
        ("ended", &["--expires", "2099-01-01"]),
    ]
    .map(|(name, further)| (name, house.issue(name, further)));
    let callers = std::fs::read_to_string(house.path("callers.toml")).unwrap();
    house.write("callers.toml", &callers.replace("2099-01-01", "2001-01-01"));
    let daemon = daemon(&house, &[("CRYPTO_PROXY__POLICY__DENY_METHODS", READ)]);
    sheet.heading("what the policy does not allow");
    sheet.title("default, a method that is denied by name");
    tell_call(sheet, &daemon, &call(READ, "{}"));
    for (name, method, params) in [
        ("reader", ORDER, ORDER_PARAMS),
        ("elsewhere", READ, "{}"),
        ("uid", READ, "{}"),
        ("ended", READ, "{}"),
        ("listed", ORDER, ORDER_PARAMS),
        ("listed", "private/cancel-order", r#"{"order_id":"1"}"#),
        ("listed", "private/cancel-all-orders", "{}"),
        (
            "listed",
            "private/get-open-orders",
            r#"{"instrument_name":"BTC_USD"}"#,
        ),
        (
            "listed",
            "private/create-order-list",
            r#"{"order_list":[{"instrument_name":"BTC_USD"}]}"#,
        ),
        ("narrow", "private/advanced/create-order", "{}"),
        ("narrow", READ, "{}"),
    ] {
        sheet.title(&format!("{name}: {method} {params}"));
        let token = issued
            .iter()
            .find(|(given, _)| *given == name)
            .unwrap()
            .1
            .value("CRYPTO_PROXY_TOKEN");
        let mut request = call(method, params);
        request.headers[0].1 = token;
        tell_call(sheet, &daemon, &request);
    }
    sheet.title("a caller who may only diagnose");
    let mut request = call(READ, "{}");
    request.headers[0].1 = issued[5].1.value("CRYPTO_PROXY_DIAG_TOKEN");
    sheet.answer(&http::ask(daemon.at, &request));
}

/// Short deadlines, one place, and the end.
fn deadlines(sheet: &mut Sheet) {
    let house = House::new();
    let daemon = daemon(
        &house,
        &[
            ("CRYPTO_PROXY__CALLS__DEADLINE_MS", "1500"),
            ("CRYPTO_PROXY__UPSTREAM__CONNECT_DEADLINE_MS", "1000"),
            ("CRYPTO_PROXY__CALLS__MAX_IN_FLIGHT", "1"),
            ("CRYPTO_PROXY__LISTENER__MAX_CONNECTIONS", "8"),
        ],
    );
    sheet.heading("deadlines and room");
    house.once(ORDER, r#"{"do":"hang"}"#);
    let mut waits = Connection::to(daemon.at);
    waits.send(&call(ORDER, ORDER_PARAMS));
    house.received(ORDER, 1);
    sheet.title("no room");
    tell_call(sheet, &daemon, &call(READ, "{}"));
    sheet.title("more idle connections than there are places keep no call out");
    let idle: Vec<Connection> = (0..8).map(|_| Connection::to(daemon.at)).collect();
    tell_call(sheet, &daemon, &call(READ, "{}"));
    sheet.title("/health all the same");
    sheet.answer(&http::ask(daemon.at, &Request::get("/health")));
    drop(idle);
    sheet.title("no complete answer within the deadline");
    tell_recorded(sheet, &daemon, &waits.answer());

    house.once(ORDER, r#"{"do":"hang"}"#);
    waits.send(&call(ORDER, ORDER_PARAMS));
    house.received(ORDER, 2);
    // Calls whose heads came before the stop are still answered.
    let mut open = ["/proxy/private", "/exchange/v1/private/user-balance"].map(|path| {
        let mut connection = Connection::to(daemon.at);
        let request = Request::post(path)
            .token(TOKEN)
            .header("Content-Type", "application/json");
        connection.send(&request.header("Content-Length", "40").unsized_body(""));
        (path, connection)
    });
    // Connections are taken in their order: whoever came before an answer to these was heard.
    for _ in 0..2 {
        http::ask(daemon.at, &Request::get("/health"));
    }
    daemon.process.signal(rustix::process::Signal::TERM);
    daemon.process.wait(&["stopping: "]);
    for (path, connection) in &mut open {
        sheet.title(&format!("{path} while stopping"));
        connection.write(br#"{"id":1,"method":"private/user-balance"}"#);
        tell_recorded(sheet, &daemon, &connection.answer());
    }
    sheet.title("the call that was under way");
    tell_recorded(sheet, &daemon, &waits.answer());
    let (code, _) = daemon.process.ended();
    sheet.line(&format!("exit code {code:?}"));
}

/// Ways on which nothing is reached.
fn unreachable(sheet: &mut Sheet) {
    let house = House::new();
    let silent = Silent::new();
    let secure = house.base().replace("http://", "https://");
    let queued = format!("http://{}/exchange/v1", silent.at);
    sheet.heading("no connection to the exchange");
    for (title, base) in [
        ("nobody listens", "http://127.0.0.1:1/exchange/v1"),
        ("no TLS", &secure),
        ("no name", "https://no-such-name.invalid/exchange/v1"),
        ("no connection in time", &queued),
    ] {
        sheet.title(title);
        let daemon = daemon(
            &house,
            &[
                ("CRYPTO_REST_BASE", base),
                (
                    "CRYPTO_PROXY__UPSTREAM__ALLOW_UNKNOWN_BASE",
                    "no-such-name.invalid",
                ),
                ("CRYPTO_PROXY__UPSTREAM__CONNECT_DEADLINE_MS", "1000"),
            ],
        );
        tell_call(sheet, &daemon, &call(ORDER, ORDER_PARAMS));
    }
}
