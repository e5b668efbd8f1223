//! The command line: every `--help`, `--version`, refusals of flags, and exit codes with the words beside them.

use crate::{
    house::{DIAG_TOKEN, House, KEY, SECRET, TOKEN},
    normal::normal_with_durations,
    process::Said,
    shape::Sheet,
};

/// Every subcommand.
const COMMANDS: [&[&str]; 22] = [
    &[],
    &["serve"],
    &["check"],
    &["caller"],
    &["caller", "add"],
    &["caller", "list"],
    &["caller", "show"],
    &["caller", "rotate"],
    &["caller", "revoke"],
    &["diagnose"],
    &["smoke"],
    &["fingerprint"],
    &["history"],
    &["orders"],
    &["orders", "resolve"],
    &["ledger"],
    &["ledger", "check"],
    &["support-bundle"],
    &["demo"],
    &["self-test"],
    &["sandbox"],
    &["help"],
];

/// Command lines that are not understood.
const REFUSED: [&[&str]; 38] = [
    &[],
    &["no-such-command"],
    &["--no-such-flag"],
    &["serve", "surplus"],
    &["serve", "--config"],
    &["check", "--no-such-flag"],
    &["caller"],
    &["caller", "add"],
    &["caller", "add", "one", "--diagnose", "--preset", "read"],
    &["caller", "add", "one", "--preset", "everything"],
    &["caller", "add", "Two", "--out", "x.env"],
    &["caller", "add", "two"],
    &[
        "caller",
        "add",
        "two",
        "--source",
        "10.0.0.1/8",
        "--out",
        "x.env",
    ],
    &["caller", "add", "two", "--uid", "x", "--out", "x.env"],
    &[
        "caller",
        "add",
        "two",
        "--expires",
        "2001-01-01",
        "--out",
        "x.env",
    ],
    &[
        "caller",
        "add",
        "two",
        "--expires",
        "soon",
        "--out",
        "x.env",
    ],
    &[
        "caller", "add", "two", "--allow", "tra*de", "--out", "x.env",
    ],
    &["caller", "add", "two", "--instrument", "", "--out", "x.env"],
    &["caller", "show", "two"],
    &["caller", "rotate", "two", "--out", "x.env"],
    &["caller", "rotate", "two", "--grace", "1h", "--finish"],
    &["caller", "revoke"],
    &["diagnose", "--symptom", "nothing-known"],
    &["diagnose", "--key-updated", "yesterday"],
    &["diagnose", "--url", "ftp://x"],
    &["diagnose", "--alone", "--url", "http://127.0.0.1:9000"],
    &["diagnose", "--json", "--html", "-"],
    &["diagnose", "--probe-trade"],
    &["diagnose", "--db", "x.db"],
    &["history", "--since", "yesterday"],
    &["history", "--outcome", "good"],
    &["history", "--changes", "--between"],
    &["orders", "--most", "0"],
    &["orders", "--open", "resolve", "x"],
    &["orders", "resolve", "x", "--executed"],
    &["orders", "resolve", "x", "--why", "y"],
    &["support-bundle", "--db", "x.db", "--state-dir", "x"],
    &["sandbox", "--listen", "nowhere"],
];

/// The whole subject.
pub(crate) fn tell() -> String {
    let mut sheet = Sheet::default();
    let house = House::new();
    helps(&mut sheet, &house);
    sheet.heading("command lines that are refused");
    for arguments in REFUSED {
        said(&mut sheet, arguments, &house.run(arguments));
    }
    codes(&mut sheet, &house);
    compared(&mut sheet, &house);
    sheet.0
}

fn said(sheet: &mut Sheet, arguments: &[&str], said: &Said) {
    sheet.title(&format!("crypto-proxy {}", arguments.join(" ")));
    sheet.said(said, normal_with_durations);
}

fn helps(sheet: &mut Sheet, house: &House) {
    sheet.heading("what each command says of itself");
    let raw = |text: &str| text.to_owned();
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let arguments = [command, &[flag]].concat();
            sheet.title(&format!("crypto-proxy {}", arguments.join(" ")));
            sheet.said(&house.run(&arguments), raw);
        }
    }
    for arguments in [&["--version"][..], &["-V"], &["help", "caller", "add"]] {
        sheet.title(&format!("crypto-proxy {}", arguments.join(" ")));
        sheet.said(&house.run(arguments), raw);
    }
}

/// The environment file of a scene; `without` are names whose lines are left out.
pub(crate) fn environment(house: &House, without: &[&str]) -> String {
    let lines = [
        format!("CRYPTO_API_KEY={KEY}"),
        format!("CRYPTO_API_SECRET={SECRET}"),
        format!("CRYPTO_PROXY_TOKEN={TOKEN}"),
        format!("CRYPTO_PROXY_DIAG_TOKEN={DIAG_TOKEN}"),
        format!("CRYPTO_REST_BASE={}", house.base()),
    ];
    let kept = lines.iter().filter(|line| {
        !without
            .iter()
            .any(|name| line.starts_with(&format!("{name}=")))
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// Commands that end with each of the exit codes.
fn codes(sheet: &mut Sheet, house: &House) {
    sheet.heading("exit codes");
    house.write_private("crypto.env", &environment(house, &[]));
    house.write_private("none.env", "");
    let elsewhere = "CRYPTO_REST_BASE=http://127.0.0.1:1/exchange/v1\n";
    house.write_private(
        "away.env",
        &format!("{}{elsewhere}", environment(house, &["CRYPTO_REST_BASE"])),
    );
    house.write_private(
        "no-token.env",
        &environment(house, &["CRYPTO_PROXY_DIAG_TOKEN"]),
    );
    house.write("broken.toml", "listen = [");
    house.write(
        "no.db",
        &"no database at all, and long enough to be looked at. ".repeat(40),
    );
    let good = &["--config", "config.toml", "--env-file", "crypto.env"][..];
    let none = &["--config", "config.toml", "--env-file", "none.env"][..];
    let away = &["--config", "config.toml", "--env-file", "away.env"][..];
    let no_token = &["--config", "config.toml", "--env-file", "no-token.env"][..];
    let broken = &["--config", "broken.toml", "--env-file", "crypto.env"][..];
    for (command, further) in [
        (&["self-test"][..], &[][..]),
        (&["smoke"], good),
        (&["smoke"], none),
        (&["smoke"], away),
        (&["smoke"], broken),
        (&["fingerprint"], good),
        (&["fingerprint"], none),
        (&["fingerprint"], broken),
        (&["serve"], &["--config", "broken.toml"]),
        (&["serve"], &["--config", "no-such.toml"]),
        (&["diagnose"], none),
        (&["diagnose"], no_token),
        (&["diagnose", "--url", "http://127.0.0.1:1"], good),
        (&["diagnose", "--url", "http://127.0.0.1:1"], no_token),
        (&["diagnose", "--url", "unix:no-such.sock"], good),
        (
            &["diagnose", "--alone", "--html", "no/such/page.html"],
            good,
        ),
        (&["history", "--db", "no-such.db"], &[]),
        (&["history", "--db", "no.db"], &[]),
        (&["caller", "list", "--config", "config.toml"], &[]),
        (&["caller", "list", "--config", "broken.toml"], &[]),
        (&["caller", "list", "--config", "no-such.toml"], &[]),
        (
            &["caller", "revoke", "--all", "--config", "config.toml"],
            &[],
        ),
        (
            &[
                "support-bundle",
                "--db",
                "no-such.db",
                "--out",
                "no/such/x.tar",
            ],
            good,
        ),
        (
            &["support-bundle", "--db", "no-such.db", "--out", "no-suffix"],
            good,
        ),
        (&["sandbox", "--listen", "192.0.2.1:0"], &[]),
        (&["sandbox", "--executed", "no-such/executed.jsonl"], &[]),
    ] {
        let arguments = [command, further].concat();
        said(sheet, &arguments, &house.run(&arguments));
    }
}

/// `check --compare-key`, and the demonstration.
fn compared(sheet: &mut Sheet, house: &House) {
    sheet.heading("check --compare-key");
    let other =
        "CRYPTO_API_KEY=invented-other-key\nCRYPTO_API_SECRET=invented-other-secret-000000\n";
    house.write_private("other.env", other);
    for (title, given) in [
        ("the key", KEY),
        ("its secret", SECRET),
        ("the token", TOKEN),
        ("another key", "invented-key-of-nobody"),
        ("nothing", ""),
        ("two words", "invented two words"),
    ] {
        for files in [
            &["--env-file", "crypto.env"][..],
            &["--env-file", "crypto.env", "--env-file", "other.env"],
        ] {
            let arguments = [
                &["check", "--compare-key", "--config", "config.toml"],
                files,
            ]
            .concat();
            sheet.title(&format!("{title}: crypto-proxy {}", arguments.join(" ")));
            sheet.said(&house.run_fed(&arguments, given), normal_with_durations);
        }
    }
    sheet.title("no pair: crypto-proxy check --compare-key");
    let none = [
        "check",
        "--compare-key",
        "--config",
        "config.toml",
        "--env-file",
        "none.env",
    ];
    sheet.said(&house.run_fed(&none, KEY), normal_with_durations);
    sheet.heading("demo --exit");
    let demo = house.run(&["demo", "--exit"]);
    sheet.said(&demo, shown_without_keys);
}

/// The demonstration's pair is made up at each start.
fn shown_without_keys(text: &str) -> String {
    let words = normal_with_durations(text);
    let lines = words.lines().map(|line| {
        let words = line
            .split(' ')
            .map(|word| match word.split_once("key_fp=") {
                Some((before, _)) => format!("{before}key_fp=<fp>"),
                None => word.to_owned(),
            });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}
