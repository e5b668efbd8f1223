//! `/health`, `/ready`, `/`, `/diag/…`, other paths and verbs; the JSON that monitors read.

use serde_json::{Value, json};

use crate::{
    calls::call,
    house::{DIAG_TOKEN, House, TOKEN},
    http::{self, Request},
    normal::normal_with_durations,
    shape::Sheet,
};

/// Queries of a run that are not understood.
const QUERIES: [&str; 7] = [
    "key_updated=yesterday",
    "file_key_fp=xyz",
    "symptom=nothing-known",
    "symptom=fails-elsewhere&symptom=fails-elsewhere",
    "other=1",
    "key_updated=2026-01-31T09:30:00Z&key_updated=2026-01-31T09:30:00Z",
    "key_updated=%zz",
];

/// The whole subject.
pub(crate) fn tell() -> String {
    let mut sheet = Sheet::default();
    plain(&mut sheet);
    diagnosis(&mut sheet);
    troubled(&mut sheet);
    sheet.0
}

fn plain(sheet: &mut Sheet) {
    let house = House::new();
    let daemon = house.serve(&[("CRYPTO_PROXY_DIAG_TOKEN", "")]);
    sheet.heading("routes without a token");
    for (verb, path) in [
        ("GET", "/health"),
        ("HEAD", "/health"),
        ("POST", "/health"),
        ("GET", "/ready"),
        ("GET", "/"),
        ("GET", "/?copy"),
        ("POST", "/"),
        ("GET", "/no/such"),
        ("GET", "/proxy/private"),
        ("DELETE", "/proxy/private"),
        ("OPTIONS", "/proxy/private"),
        ("GET", "/diag/run"),
        ("POST", "/diag/crypto-auth"),
        ("GET", "/diag"),
        ("GET", "http://127.0.0.1/health"),
    ] {
        sheet.title(&format!("{verb} {path}"));
        sheet.answer(&http::ask(daemon.at, &Request::new(verb, path)));
    }
    for (title, request) in [
        (
            "a foreign Host",
            Request::get("/health").host(Some("page.example")),
        ),
        (
            "a program that takes anything",
            Request::get("/").header("Accept", "*/*"),
        ),
        (
            "a request id of the caller",
            Request::get("/health").header("X-Request-Id", "invented"),
        ),
    ] {
        sheet.title(title);
        sheet.answer(&http::ask(daemon.at, &request));
    }
    for (title, path, token) in [
        ("an order, without a token", "/orders/invented", None),
        (
            "an order that nobody placed",
            "/orders/invented",
            Some(TOKEN),
        ),
        (
            "an order by a name with a broken escape",
            "/orders/%zz",
            Some(TOKEN),
        ),
    ] {
        sheet.title(title);
        let request = Request::get(path);
        let request = match token {
            Some(token) => request.token(token),
            None => request,
        };
        sheet.answer(&http::ask(daemon.at, &request));
    }
    sheet.title("the diagnosis where it is off");
    sheet.answer(&http::ask(
        daemon.at,
        &Request::get("/diag/crypto-auth").token(TOKEN),
    ));
}

fn diagnosis(sheet: &mut Sheet) {
    let house = House::new();
    let daemon = house.serve(&[
        ("CRYPTO_PROXY__REACH__ENABLED", "true"),
        ("CRYPTO_API_KEY_LABEL", "a-desk"),
    ]);
    daemon.process.wait(&["event=reach "]);
    let known = |token: &str| http::ask(daemon.at, &Request::get("/diag/crypto-auth").token(token));
    let run = |query: &str| {
        http::ask(
            daemon.at,
            &Request::post(&format!("/diag/run{query}")).token(DIAG_TOKEN),
        )
    };
    sheet.heading("/diag/…");
    sheet.title("a caller's token");
    sheet.answer(&known(TOKEN));
    sheet.title("Origin");
    let origin = Request::get("/diag/crypto-auth")
        .token(DIAG_TOKEN)
        .header("Origin", "https://page.example");
    sheet.answer(&http::ask(daemon.at, &origin));
    for query in QUERIES {
        sheet.title(query);
        sheet.answer(&run(&format!("?{query}")));
    }
    house.once("private/create-order", r#"{"do":"code","code":40101}"#);
    http::ask(daemon.at, &call("private/create-order", "{}"));
    daemon.process.wait(&["event=hint "]);
    sheet.title("before any run");
    tell_object(sheet, &known(DIAG_TOKEN));
    sheet.title("a run");
    let answer =
        run("?symptom=fails-elsewhere&key_updated=2026-01-31T09:30:00Z&file_key_fp=0a1b2c3d");
    tell_object(sheet, &answer);
    sheet.title("after it");
    tell_object(sheet, &known(DIAG_TOKEN));
    for _ in 1..5 {
        run("");
    }
    sheet.title("too many");
    let mut soon = run("");
    let seconds = soon.header("retry-after").unwrap().to_owned();
    soon.body = soon.body.replace(&format!(" {seconds} s"), " <n> s");
    soon.headers
        .iter_mut()
        .filter(|(name, _)| name == "retry-after")
        .for_each(|(_, value)| *value = "<n>".to_owned());
    sheet.answer(&soon);
}

/// The head, every key path, and the whole without times.
fn tell_object(sheet: &mut Sheet, answer: &http::Answer) {
    for (name, value) in &answer.headers {
        if !["date", "content-length", "x-request-id"].contains(&name.as_str()) {
            sheet.line(&format!("{name}: {value}"));
        }
    }
    let value: Value = serde_json::from_str(&answer.body)
        .unwrap_or_else(|error| panic!("{error}: {}", answer.body));
    sheet.paths(&value);
    let members: Vec<&str> = top_level(&answer.body);
    sheet.line(&format!("members in this order: {}", members.join(" ")));
    sheet.line(&normal_with_durations(
        &serde_json::to_string_pretty(&value).unwrap(),
    ));
}

/// The names of an object's own members, as they stand.
fn top_level(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut escaped, mut from) = (0, false, false, 0);
    let mut names = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !quoted => (quoted, from) = (true, at + 1),
            b'"' => {
                quoted = false;
                if depth == 1 && text[at + 1..].starts_with(':') {
                    names.push(&text[from..at]);
                }
            }
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth -= 1,
            _ => {}
        }
    }
    names
}

/// `/ready` while something is wrong.
fn troubled(sheet: &mut Sheet) {
    let house = House::new();
    house.state(json!({ "clock_offset_ms": 20_000, "apparent_address": "1.1.1.1" }));
    let services = house.services();
    let daemon = house.serve(&[
        ("CRYPTO_PROXY__EGRESS__ENABLED", "true"),
        ("CRYPTO_PROXY__EGRESS__SERVICES", &services),
        ("CRYPTO_EXPECTED_IP", "8.8.4.4"),
    ]);
    sheet.heading("/ready while something is wrong");
    daemon.process.wait(&["event=address drift"]);
    house.script(json!({ "target": "*", "always": { "do": "code", "code": 40101 } }));
    for _ in 0..4 {
        http::ask(daemon.at, &call("private/user-balance", "{}"));
    }
    daemon.process.wait(&["event=alarm", "alarm=all_refused"]);
    sheet.title("warnings");
    sheet.answer(&http::ask(daemon.at, &Request::get("/ready")));
    house.script(json!({ "target": "*", "clear": true, "always": { "do": "cut" } }));
    let away = house.serve(&[
        ("CRYPTO_REST_BASE", "http://127.0.0.1:1/exchange/v1"),
        ("STATE_DIRECTORY", ""),
    ]);
    for _ in 0..3 {
        http::ask(away.at, &call("private/user-balance", "{}"));
    }
    sheet.title("not reached");
    sheet.answer(&http::ask(away.at, &Request::get("/ready")));
}
