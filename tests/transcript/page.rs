//! The status page: signed in, refused, slowed down, and off.

use std::collections::BTreeSet;

use crate::{
    calls::call,
    house::{DIAG_TOKEN, House},
    http::{self, Request},
    normal::normal_with_durations,
    shape::Sheet,
};

/// The whole subject.
pub(crate) fn tell() -> String {
    let mut sheet = Sheet::default();
    let house = House::new();
    let off = house.serve(&[("CRYPTO_PROXY_DIAG_TOKEN", "")]);
    sheet.heading("no token is set");
    tell_page(&mut sheet, &http::ask(off.at, &page()));
    off.process.stop();
    let daemon = house.serve(&[("CRYPTO_API_KEY_LABEL", "a-desk")]);
    let signed = |password: &str| {
        page().header(
            "Authorization",
            &format!("Basic {}", base64(&format!("x:{password}"))),
        )
    };
    for (title, request) in [
        ("no Authorization", page()),
        ("Origin", page().header("Origin", "https://page.example")),
        (
            "anything else than Basic",
            page().header("Authorization", "Bearer invented"),
        ),
        ("signed in, before any call", signed(DIAG_TOKEN)),
    ] {
        sheet.heading(title);
        tell_page(&mut sheet, &http::ask(daemon.at, &request));
    }
    for (method, fault) in [
        ("private/user-balance", r#"{"do":"pass"}"#),
        ("private/create-order", r#"{"do":"code","code":40101}"#),
    ] {
        house.once(method, fault);
        http::ask(daemon.at, &call(method, "{}"));
    }
    daemon.process.wait(&["event=hint "]);
    http::ask(daemon.at, &Request::post("/diag/run").token(DIAG_TOKEN));
    sheet.heading("signed in, after a call that was refused and a run");
    let copy = Request {
        line: "GET /?copy HTTP/1.1".to_owned(),
        ..signed(DIAG_TOKEN)
    };
    tell_page(&mut sheet, &http::ask(daemon.at, &copy));
    sheet.heading("a wrong token");
    tell_page(&mut sheet, &http::ask(daemon.at, &signed("invented-wrong")));
    sheet.0
}

fn page() -> Request {
    Request::get("/").header("Accept", "text/html")
}

fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

fn tell_page(sheet: &mut Sheet, answer: &http::Answer) {
    let mut head = http::Answer {
        line: answer.line.clone(),
        headers: answer.headers.clone(),
        body: String::new(),
    };
    head.headers
        .iter_mut()
        .filter(|(name, _)| name == "content-length")
        .for_each(|(_, value)| *value = "<n>".to_owned());
    sheet.head(&head);
    let body = normal_with_durations(&answer.body).replace("<n> s ago", "just now");
    let mut rest = body.as_str();
    let mut plain = String::new();
    while let Some((before, drawing)) = rest.split_once("<svg") {
        let (drawing, after) = drawing.split_once("</svg>").unwrap_or((drawing, ""));
        plain.push_str(before);
        plain.push_str(&format!("<svg{}\n</svg>", drawn(drawing)));
        rest = after;
    }
    plain.push_str(rest);
    plain
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .for_each(|line| sheet.line(line));
}

/// A drawing follows the time of day: each of its elements once, without numbers.
fn drawn(drawing: &str) -> String {
    let (head, elements) = drawing.split_once('>').unwrap_or((drawing, ""));
    let elements: BTreeSet<String> = elements
        .split('<')
        .map(|element| numberless(element.trim()))
        .collect();
    let elements = elements
        .iter()
        .filter(|element| !element.is_empty() && !element.starts_with('/'));
    let elements: String = elements.map(|element| format!("\n<{element}")).collect();
    format!("{}>{elements}", numberless(head))
}

fn numberless(text: &str) -> String {
    let mut out = String::new();
    for next in text.chars() {
        if !next.is_ascii_digit() {
            out.push(next);
        } else if !out.ends_with(['#', '.']) {
            out.push('#');
        }
    }
    out.replace("#.#", "#").replace("#.", "#")
}
