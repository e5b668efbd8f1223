//! `diagnose --alone` in scenes of the stand-in and of a past, and every code that the product knows.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    calls::{ORDER_PARAMS, call},
    commands::environment,
    house::{House, KEY, SECRET, Silent},
    http::{self, Request},
    normal::report,
    process::Env,
    shape::Sheet,
};

const READ: &str = "private/user-balance";
const ORDER: &str = "private/create-order";
const OTHER_KEY: &str = "invented-other-key";
const OTHER_SECRET: &str = "invented-other-secret-of-the-transcript";

/// Scenes without a past: what the stand-in is, what it is scripted to do, and what the environment file has beside.
fn present() -> Vec<(&'static str, Value, Value, &'static str)> {
    let key = |change: Value| {
        let mut key = json!({ "api_key": KEY });
        key.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        json!({ "keys": [key] })
    };
    let always = |target: &str, fault: Value| json!({ "target": target, "always": fault });
    let code = |target: &str, code: i64| always(target, json!({ "do": "code", "code": code }));
    let none = || json!({ "target": "none", "clear": true });
    let page =
        json!({ "do": "reply", "status": 403, "content_type": "text/html", "body": "<html>" });
    vec![
        ("healthy", json!({}), none(), ""),
        (
            "a wrong secret",
            key(json!({ "api_secret": OTHER_SECRET })),
            none(),
            "",
        ),
        (
            "a key that is disabled",
            key(json!({ "state": "disabled" })),
            none(),
            "",
        ),
        (
            "an address that is not listed, 40103",
            key(json!({ "whitelist": ["8.8.4.4"] })),
            none(),
            "",
        ),
        (
            "no right to read",
            key(json!({ "permissions": ["trade"] })),
            none(),
            "",
        ),
        (
            "no right to trade",
            key(json!({ "permissions": ["read"] })),
            none(),
            "",
        ),
        (
            "the clock ahead",
            json!({ "clock_offset_ms": 90_000 }),
            none(),
            "",
        ),
        (
            "the clock behind",
            json!({ "clock_offset_ms": -90_000 }),
            none(),
            "",
        ),
        (
            "40102 with a clock that is right",
            json!({}),
            code("*", 40102),
            "",
        ),
        ("maintenance", json!({}), code("*", 9_010_001), ""),
        (
            "a budget",
            json!({}),
            code("private/get-order-history", 42901),
            "",
        ),
        (
            "the tier",
            json!({}),
            code("private/get-open-orders", 40104),
            "",
        ),
        (
            "one method",
            json!({}),
            code("private/get-open-orders", 40101),
            "",
        ),
        (
            "some methods",
            json!({}),
            json!([
                code("private/get-open-orders", 40101),
                code("private/get-order-history", 40101)
            ]),
            "",
        ),
        ("the edge", json!({}), always("*", page), ""),
        ("cut", json!({}), always("*", json!({ "do": "cut" })), ""),
        (
            "a label in quotes",
            json!({}),
            none(),
            "CRYPTO_API_KEY_LABEL=\"a desk\"\n",
        ),
        (
            "expected addresses, and services that agree",
            json!({ "apparent_address": "1.1.1.1" }),
            none(),
            "CRYPTO_EXPECTED_IP=8.8.4.4\n{services}",
        ),
        (
            "not expected, and 40101",
            json!({ "apparent_address": "1.1.1.1", "unlisted": { "code": 40101 },
                    "keys": [{ "api_key": KEY, "whitelist": ["8.8.4.4"] }] }),
            none(),
            "CRYPTO_EXPECTED_IP=8.8.4.4\n{services}",
        ),
    ]
}

/// The whole subject.
pub(crate) fn tell() -> String {
    let mut sheet = Sheet::default();
    sheet.heading("scenes of the stand-in");
    for (title, state, script, further) in present() {
        let house = House::new();
        house.state(state);
        if let Some(scripts) = script.as_array() {
            scripts
                .iter()
                .for_each(|script| house.script(script.clone()));
        } else {
            house.script(script);
        }
        let services = format!("CRYPTO_PROXY__EGRESS__SERVICES={}\n", house.services());
        let text = environment(&house, &[]) + &further.replace("{services}", &services);
        diagnose(&mut sheet, &house, title, &text, &[]);
        if title == "healthy" || title == "a wrong secret" {
            sheet.title(&format!("{title}, key paths"));
            let said = house.run(&[&DIAGNOSE[..], &["--json"]].concat());
            sheet.paths(&serde_json::from_str(&said.out).unwrap());
            for symptom in [
                "only-flagged-orders",
                "only-margin-orders",
                "invented-headers",
                "fails-elsewhere",
            ] {
                diagnose(&mut sheet, &house, symptom, &text, &["--symptom", symptom]);
            }
            diagnose(
                &mut sheet,
                &house,
                "--probe-trade",
                &text,
                &["--probe-trade"],
            );
        }
    }
    files(&mut sheet);
    pasts(&mut sheet);
    asked(&mut sheet);
    sheet.0
}

const DIAGNOSE: [&str; 6] = [
    "diagnose",
    "--alone",
    "--config",
    "config.toml",
    "--env-file",
    "crypto.env",
];

fn diagnose(sheet: &mut Sheet, house: &House, title: &str, environment: &str, further: &[&str]) {
    sheet.title(title);
    house.write_private("crypto.env", environment);
    sheet.said(&house.run(&[&DIAGNOSE[..], further].concat()), report);
}

/// What the environment file alone makes of it.
fn files(sheet: &mut Sheet) {
    sheet.heading("environment files");
    let house = House::new();
    let silent = Silent::new();
    let good = environment(&house, &[]);
    let based = |base: &str| {
        format!(
            "{}CRYPTO_REST_BASE={base}\n",
            environment(&house, &["CRYPTO_REST_BASE"])
        )
    };
    for (title, text) in [
        ("nothing", String::new()),
        ("half a pair", environment(&house, &["CRYPTO_API_SECRET"])),
        (
            "quotes around the secret",
            good.replace(SECRET, &format!("'\"{SECRET}\"'")),
        ),
        (
            "key and secret swapped",
            good.replace(KEY, "invented-x")
                .replace(SECRET, KEY)
                .replace("invented-x", SECRET),
        ),
        ("a wrong base", good.replace("/exchange/v1", "/v2")),
        ("nobody listens", based("http://127.0.0.1:1/exchange/v1")),
        (
            "no TLS",
            based(&house.base().replace("http://", "https://")),
        ),
        (
            "no name",
            based("https://no-such-name.invalid/exchange/v1")
                + "CRYPTO_PROXY__UPSTREAM__ALLOW_UNKNOWN_BASE=no-such-name.invalid\n",
        ),
        (
            "no connection in time",
            based(&format!("http://{}/exchange/v1", silent.at))
                + "CRYPTO_PROXY__UPSTREAM__CONNECT_DEADLINE_MS=1000\n",
        ),
        (
            "a setting that is refused",
            good + "CRYPTO_PROXY__LOG__LEVEL=loud\n",
        ),
    ] {
        diagnose(sheet, &house, title, &text, &[]);
    }
}

/// Runs of the daemon before the diagnosis: a pair, and calls with what the exchange does to each.
type Runs = &'static [(
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
)];

const GOOD: &str = r#"{"do":"pass"}"#;
const REFUSED: &str = r#"{"do":"code","code":40101}"#;
const UNLISTED: &str = r#"{"do":"code","code":40103}"#;
const PASTS: [(&str, Runs); 9] = [
    (
        "half rotated",
        &[
            (KEY, SECRET, &[(READ, GOOD)]),
            (KEY, OTHER_SECRET, &[(READ, GOOD)]),
        ],
    ),
    (
        "half rotated and mended",
        &[
            (KEY, SECRET, &[(READ, GOOD)]),
            (KEY, OTHER_SECRET, &[(READ, GOOD)]),
            (OTHER_KEY, OTHER_SECRET, &[(READ, GOOD)]),
        ],
    ),
    (
        "another pair",
        &[
            (KEY, SECRET, &[(READ, GOOD)]),
            (OTHER_KEY, OTHER_SECRET, &[(READ, GOOD)]),
        ],
    ),
    (
        "orders are refused and reads are not",
        &[(KEY, SECRET, &[(READ, GOOD), (ORDER, REFUSED)])],
    ),
    (
        "an order beyond the balance",
        &[(
            KEY,
            SECRET,
            &[(READ, GOOD), (ORDER, r#"{"do":"code","code":306}"#)],
        )],
    ),
    (
        "a trigger order",
        &[(
            KEY,
            SECRET,
            &[(READ, GOOD), (ORDER, r#"{"do":"code","code":140001}"#)],
        )],
    ),
    (
        "refused here",
        &[(
            KEY,
            SECRET,
            &[(READ, GOOD), ("private/create-withdrawal", GOOD)],
        )],
    ),
    (
        "in turns",
        &[(
            KEY,
            SECRET,
            &[
                (READ, GOOD),
                (READ, REFUSED),
                (READ, GOOD),
                (READ, REFUSED),
                (READ, GOOD),
                (READ, REFUSED),
            ],
        )],
    ),
    (
        "not listed within the hour",
        &[(KEY, SECRET, &[(READ, GOOD), (READ, UNLISTED)])],
    ),
];

fn pasts(sheet: &mut Sheet) {
    sheet.heading("with a recorded past");
    for (title, runs) in PASTS {
        let house = House::new();
        let mut text = String::new();
        for (key, secret, calls) in runs {
            let daemon = house.serve(&[("CRYPTO_API_KEY", key), ("CRYPTO_API_SECRET", secret)]);
            for (method, fault) in *calls {
                house.once(method, fault);
                http::ask(
                    daemon.at,
                    &call(method, if *method == ORDER { ORDER_PARAMS } else { "{}" }),
                );
            }
            daemon.process.stop();
            text = environment(&house, &[])
                .replace(KEY, key)
                .replace(SECRET, secret);
        }
        diagnose(sheet, &house, title, &text, &[]);
    }
    let house = House::new();
    let daemon = house.serve(&[]);
    http::ask(daemon.at, &call(READ, "{}"));
    daemon.process.stop();
    house.state(json!({ "keys": [{ "api_key": KEY, "state": "disabled" }] }));
    diagnose(
        sheet,
        &house,
        "changed at the exchange",
        &environment(&house, &[]),
        &["--key-updated", "2026-01-31T09:30:00Z"],
    );
    let elsewhere = environment(&house, &[]).replace("127.0.0.1", "localhost");
    let daemon = house.serve(&[(
        "CRYPTO_REST_BASE",
        &house.base().replace("127.0.0.1", "localhost"),
    )]);
    http::ask(daemon.at, &call(READ, "{}"));
    daemon.process.stop();
    diagnose(sheet, &house, "another base URL", &elsewhere, &[]);
    house.state(json!({ "keys": [{ "api_key": OTHER_KEY, "api_secret": OTHER_SECRET }] }));
    let _running = house.serve(&[]);
    let other = environment(&house, &[])
        .replace(KEY, OTHER_KEY)
        .replace(SECRET, OTHER_SECRET);
    diagnose(sheet, &house, "not restarted", &other, &[]);
}

/// The running daemon is asked.
fn asked(sheet: &mut Sheet) {
    sheet.heading("the running daemon");
    let house = House::new();
    house.write_private("crypto.env", &environment(&house, &[]));
    house.write_private(
        "other.env",
        &environment(&house, &[]).replace("of-the-diagnosis", "of-another"),
    );
    let daemon = house.serve(&[]);
    let url = format!("http://{}", daemon.at);
    let env = Env::new();
    for (title, file, further) in [
        ("a token that it does not take", "other.env", &[][..]),
        ("a run", "crypto.env", &[]),
        ("too soon", "crypto.env", &[]),
    ] {
        sheet.title(title);
        let arguments = [
            &[
                "diagnose",
                "--config",
                "config.toml",
                "--env-file",
                file,
                "--url",
                &url,
            ][..],
            further,
        ]
        .concat();
        sheet.said(&house.run_with(&env, &arguments), report);
    }
    sheet.title("another daemon answers");
    let at = house.url();
    sheet.said(
        &house.run(&[
            "diagnose",
            "--config",
            "config.toml",
            "--env-file",
            "crypto.env",
            "--url",
            &at,
        ]),
        report,
    );
    http::ask(daemon.at, &Request::get("/health"));
}

/// Every code of the manual that stands in the binary, and what looks like one and is not in the manual.
pub(crate) fn codes() -> String {
    let manual =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnosis.md"))
            .unwrap();
    let documented: BTreeSet<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|code| code.starts_with("CP-"))
        .collect();
    let binary = fs::read(crate::process::binary()).unwrap();
    let is_code = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'-';
    let starts = binary
        .windows(3)
        .enumerate()
        .filter(|(_, three)| *three == b"CP-")
        .map(|(at, _)| at);
    let found: BTreeSet<String> = starts
        .map(|at| {
            binary[at..]
                .iter()
                .take_while(|byte| is_code(byte))
                .map(|byte| char::from(*byte))
                .collect()
        })
        .collect();
    let mut sheet = Sheet::default();
    sheet.heading("codes of the manual that stand in the binary");
    for code in &documented {
        let word = if found.iter().any(|text| text.starts_with(code)) {
            ""
        } else {
            " is not in the binary"
        };
        sheet.line(&format!("{code}{word}"));
    }
    sheet.heading("what looks like a code in the binary and is not in the manual");
    let strange = found
        .iter()
        .filter(|text| text.len() > 5 && !documented.iter().any(|code| text.starts_with(code)));
    strange.for_each(|text| sheet.line(text));
    sheet.0
}
