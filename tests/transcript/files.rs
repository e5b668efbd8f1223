//! What is written to the disk: callers, marks, the history with its tables, the support bundle; names, modes, key paths.

use std::{collections::BTreeSet, fs};

use rusqlite::Connection;
use serde_json::Value;

use crate::{
    calls::{ORDER_PARAMS, call},
    commands::environment,
    house::{DIAG_TOKEN, House},
    http::{self, Request},
    normal::{normal_with_durations, report},
    shape::Sheet,
    signing::{Pair, nonce},
};

const CONFIG: [&str; 2] = ["--config", "config.toml"];

/// `caller`, and its files.
pub(crate) fn callers() -> String {
    let (mut sheet, house) = (Sheet::default(), House::new());
    let full = [
        "--preset",
        "trade",
        "--allow",
        "private/staking/*",
        "--deny",
        "private/cancel-all-orders",
        "--instrument",
        "BTC_USD",
        "--orders-by-id",
        "--source",
        "192.0.2.0/24",
        "--uid",
        "4242",
        "--expires",
        "90d",
    ];
    for arguments in [
        &["list"][..],
        &["add", "backend"],
        &["add", "backend", "--out", "backend.env"],
        &["add", "backend", "--out", "again.env"],
        &["add", "other", "--out", "backend.env"],
        &[&["add", "bot", "--out", "bot.env"][..], &full].concat(),
        &["add", "monitor", "--diagnose", "--out", "monitor.env"],
        &[
            "add",
            "treasurer",
            "--preset",
            "full",
            "--out",
            "treasurer.env",
        ],
        &[
            "add",
            "exact",
            "--allow",
            "transfer",
            "--expires",
            "2099-01-01",
            "--out",
            "exact.env",
        ],
        &["list"],
        &["show", "bot"],
        &["show", "monitor"],
        &["show", "nobody"],
        &["rotate", "backend", "--out", "backend-2.env"],
        &["rotate", "backend", "--out", "backend-3.env"],
        &["rotate", "bot", "--grace", "0s", "--out", "bot-2.env"],
        &["rotate", "bot", "--grace", "soon", "--out", "bot-3.env"],
        &["show", "backend"],
        &["show", "bot"],
        &["rotate", "backend", "--finish"],
        &["rotate", "backend", "--finish"],
        &["show", "backend"],
        &["revoke", "treasurer"],
        &["revoke", "treasurer"],
        &["list"],
    ] {
        sheet.title(&format!("crypto-proxy caller {}", arguments.join(" ")));
        sheet.said(
            &house.run(&[&["caller"], arguments, &CONFIG].concat()),
            normal_with_durations,
        );
    }
    tell_files(&mut sheet, &house);
    let before = fs::read(house.path("callers.toml")).unwrap();
    for arguments in [&["revoke", "bot"][..], &["revoke", "--all"]] {
        sheet.title(&format!("crypto-proxy caller {}", arguments.join(" ")));
        sheet.said(
            &house.run(&[&["caller"], arguments, &CONFIG].concat()),
            normal_with_durations,
        );
        fs::write(house.path("callers.toml"), &before).unwrap();
        sheet.title("after callers.toml was restored: crypto-proxy caller list");
        sheet.said(
            &house.run(&[&["caller", "list"][..], &CONFIG].concat()),
            normal_with_durations,
        );
    }
    sheet.0
}

/// The marks stand in the order of ids that were made up.
fn sorted(text: &str) -> String {
    let mut blocks: Vec<&str> = text.split("\n[").collect();
    blocks[1..].sort_unstable();
    blocks
        .iter()
        .map(|block| block.trim_end())
        .collect::<Vec<_>>()
        .join("\n\n[")
}

fn tell_files(sheet: &mut Sheet, house: &House) {
    sheet.heading("files");
    for name in [
        "callers.toml",
        "backend.env",
        "monitor.env",
        "state/callers.master",
        "state/callers.marks",
    ] {
        sheet.title(name);
        sheet.mode(&house.path(""), name);
        if name.ends_with("master") {
            let bytes = fs::read(house.path(name)).unwrap();
            sheet.line(&format!("{} bytes", bytes.len()));
        } else {
            let text = normal_with_durations(&fs::read_to_string(house.path(name)).unwrap());
            let text = if name.ends_with("marks") {
                sorted(&text)
            } else {
                text
            };
            text.lines().for_each(|line| sheet.line(line));
        }
    }
}

/// The tables of the history, what stands in them after a run, and the command that shows it.
pub(crate) fn history() -> String {
    let (mut sheet, house) = (Sheet::default(), House::new());
    past(&house);
    sheet.heading("files in the state directory");
    let mut names: Vec<_> = fs::read_dir(house.path("state"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    names.sort();
    for name in names {
        sheet.mode(&house.path("state"), &name.to_string_lossy());
    }
    sheet.title("replay.json");
    let text = fs::read_to_string(house.path("state/replay.json")).unwrap();
    match serde_json::from_str(&text) {
        Ok(value) => sheet.paths(&value),
        Err(_) => sheet.line(&normal_with_durations(&text)),
    }
    tables(
        &mut sheet,
        &Connection::open(house.path("state/history.db")).unwrap(),
    );
    sheet.heading("crypto-proxy history");
    for arguments in [
        &[][..],
        &["--json"],
        &["--changes"],
        &["--changes", "--json"],
        &["--between"],
        &["--between", "--json"],
        &["--between", "--method", "private/user-balance"],
        &["--since", "2h", "--outcome", "unknown"],
        &["--outcome", "not_sent", "--json"],
        &["--since", "2000-01-01", "--until", "2000-01-02"],
        &["--caller", "nobody"],
        &["--limit", "1"],
    ] {
        sheet.title(&format!("crypto-proxy history {}", arguments.join(" ")));
        let said = house.run(&[&["history", "--db", "state/history.db"], arguments].concat());
        sheet.said(&said, normal_with_durations);
        let rows = said
            .out
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        rows.for_each(|row| sheet.paths(&row));
    }
    sheet.0
}

/// Calls of every outcome, changes, and refused requests.
fn past(house: &House) {
    let pair = Pair::of(&house.issue("bot", &["--preset", "read"]));
    let daemon = house.serve(&[]);
    let order = "private/create-order";
    for (method, params, fault) in [
        ("private/user-balance", "{}", r#"{"do":"pass"}"#),
        (order, ORDER_PARAMS, r#"{"do":"pass"}"#),
        (order, "{}", r#"{"do":"code","code":306}"#),
        (order, "{}", r#"{"do":"code","code":40101}"#),
        (order, "{}", r#"{"do":"cut"}"#),
        ("private/create-withdrawal", "{}", r#"{"do":"pass"}"#),
    ] {
        house.once(method, fault);
        http::ask(daemon.at, &call(method, params));
    }
    let signed = pair.request(order, "{}", "", nonce());
    for _ in 0..2 {
        http::ask(
            daemon.at,
            &Request::post("/exchange/v1/private/create-order").json(&signed),
        );
    }
    http::ask(daemon.at, &Request::post("/proxy/private").json("{}"));
    http::ask(
        daemon.at,
        &Request::get("/diag/crypto-auth")
            .token(DIAG_TOKEN)
            .host(Some("page.example")),
    );
    daemon.process.stop();
    let other = [
        ("CRYPTO_API_KEY", "invented-other-key"),
        ("CRYPTO_API_SECRET", "invented-other-secret-0123456789"),
    ];
    let daemon = house.serve(
        &[
            &other[..],
            &[("CRYPTO_REST_BASE", "http://127.0.0.1:1/exchange/v1")],
        ]
        .concat(),
    );
    http::ask(daemon.at, &call(order, ORDER_PARAMS));
    daemon.process.stop();
    let daemon = house.serve(&[]);
    daemon.process.signal(rustix::process::Signal::KILL);
    daemon.process.ended();
    house
        .serve(&[("CRYPTO_PROXY__CALLS__DEADLINE_MS", "11000")])
        .process
        .stop();
}

fn tables(sheet: &mut Sheet, database: &Connection) {
    let column = |query: &str| -> Vec<String> {
        let mut statement = database.prepare(query).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, Option<String>>(0))
            .unwrap();
        rows.map(|row| row.unwrap().unwrap_or_else(|| "null".to_owned()))
            .collect()
    };
    sheet.heading("tables");
    sheet.line(&format!(
        "user_version {}",
        column("SELECT CAST(user_version AS TEXT) FROM pragma_user_version").join("")
    ));
    for name in
        column("SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
    {
        let columns = format!(
            "SELECT name || ' ' || type || CASE \"notnull\" WHEN 1 THEN ' not null' ELSE '' END FROM pragma_table_info('{name}')"
        );
        sheet.line(&format!("{name}: {}", column(&columns).join(", ")));
    }
    sheet.heading("words in the rows");
    for (table, name) in [
        ("calls", "caller"),
        ("calls", "method"),
        ("calls", "class"),
        ("calls", "outcome"),
        ("calls", "why"),
        ("calls", "verdict"),
        ("changes", "kind"),
        ("state", "kind"),
        ("mark", "mark"),
        ("refused", "why"),
    ] {
        let words: BTreeSet<String> = column(&format!("SELECT DISTINCT {name} FROM {table}"))
            .into_iter()
            .collect();
        sheet.line(&format!(
            "{table}.{name}: {}",
            words.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    sheet.title("changes");
    let hidden = "CASE WHEN kind IN ('configuration', 'base_url', 'gap') THEN '…' ELSE ifnull(before, 'null') || ' → ' || ifnull(after, 'null') END";
    column(&format!(
        "SELECT kind || ' ' || {hidden} FROM changes ORDER BY id"
    ))
    .iter()
    .for_each(|line| sheet.line(line));
}

/// The archive for the exchange's support.
pub(crate) fn support_bundle() -> String {
    let (mut sheet, house) = (Sheet::default(), House::new());
    past(&house);
    house.write_private("crypto.env", &environment(&house, &[]));
    let arguments = [
        "support-bundle",
        "--config",
        "config.toml",
        "--env-file",
        "crypto.env",
        "--out",
    ];
    sheet.title("crypto-proxy support-bundle");
    sheet.said(
        &house.run(&[&arguments[..], &["ticket.tar"]].concat()),
        sizes,
    );
    sheet.mode(&house.path(""), "ticket.tar");
    sheet.title("again, over the same file");
    sheet.said(
        &house.run(&[&arguments[..], &["ticket.tar"]].concat()),
        sizes,
    );
    let mut archive = tar::Archive::new(fs::File::open(house.path("ticket.tar")).unwrap());
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let name = normal_with_durations(&member.path().unwrap().display().to_string());
        let mut text = String::new();
        std::io::Read::read_to_string(&mut member, &mut text).unwrap();
        sheet.heading(&format!("{:04o} {name}", member.header().mode().unwrap()));
        match serde_json::from_str(&text) {
            Ok(value) => sheet.paths(&value),
            Err(_) => system(&report(&text))
                .lines()
                .for_each(|line| sheet.line(line)),
        }
    }
    sheet.0
}

/// The sizes of members follow the lengths of what was measured.
fn sizes(text: &str) -> String {
    let text = normal_with_durations(text);
    let is_size = |word: &str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_digit());
    let clean = |word| if is_size(word) { "<n>" } else { word };
    let lines = text
        .lines()
        .map(|line| line.split(' ').map(clean).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// A row of the ticket's table of probes: its sixth cell is how long it took.
fn probe(line: &str) -> String {
    let mut cells: Vec<&str> = line.split(" | ").collect();
    let is_time =
        |cell: &&mut &str| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
    if let (7, Some(cell)) = (cells.len(), cells.get_mut(5).filter(is_time)) {
        *cell = "<n>";
    }
    cells.join(" | ")
}

/// The machine's own facts.
fn system(text: &str) -> String {
    let text: String = text.lines().map(|line| probe(line) + "\n").collect();
    let names = ["kernel", "Kernel", "linux", "Linux"];
    let line = |line: &str| match names.iter().find_map(|name| line.find(name)) {
        Some(at) => format!("{}<machine>", &line[..at]),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
