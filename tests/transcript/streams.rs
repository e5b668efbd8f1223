//! `/exchange/v1/user` and `/market`: openings that are refused, frames that are refused, and close codes.

use std::thread;

use serde_json::json;

use crate::{
    house::{Daemon, House, Issued, TOKEN},
    http::{self, Request},
    log::tell_events,
    normal::normal,
    shape::Sheet,
    signing::{Pair, nonce},
    websocket::{Frame, Socket, opening},
};

const USER: &str = "/exchange/v1/user";
const MARKET: &str = "/exchange/v1/market";

/// Frames of somebody who is logged in: each is answered by us.
const FRAMES: [&str; 40] = [
    "nonsense",
    "[]",
    "{}",
    r#"{"id":7}"#,
    r#"{"method":"private/user-balance"}"#,
    r#"{"id":"x","method":"private/user-balance"}"#,
    r#"{"id":7,"id":8,"method":"private/user-balance"}"#,
    r#"{"id":7,"method":7}"#,
    r#"{"id":7,"method":"private/No"}"#,
    r#"{"id":7,"method":"private/not-in-the-catalogue"}"#,
    r#"{"id":7,"method":"private/create-withdrawal","params":{}}"#,
    r#"{"id":7,"method":"private/user-balance","params":[]}"#,
    r#"{"id":7,"method":"private/user-balance","params":{"a":1,"a":2}}"#,
    r#"{"id":7,"method":"private/user-balance","params":{"ä":1}}"#,
    r#"{"id":7,"method":"private/user-balance","params":{"a":[[[[[[[[[1]]]]]]]]]}}"#,
    r#"{"id":7,"method":"private/user-balance","nonce":"x"}"#,
    r#"{"id":7,"method":"private/batch-order-request","params":{"amends":[]}}"#,
    r#"{"id":7,"method":"private/batch-order-request","params":{"creates":{}}}"#,
    r#"{"id":7,"method":"private/batch-order-request","params":{"creates":[{"instrument_name":"BTC_USD"}]}}"#,
    r#"{"id":7,"method":"private/batch-order-request","params":{"creates":[{"instrument_name":"ETH_USD"}],"cancels":[{"order_id":"1"}]}}"#,
    r#"{"id":7,"method":"private/create-order","params":{"instrument_name":"BTC_USD"}}"#,
    r#"{"id":7,"method":"private/cancel-order","params":{"order_id":"1"}}"#,
    r#"{"id":7,"method":"private/set-cancel-on-disconnect","params":{"scope":"ACCOUNT"}}"#,
    r#"{"id":7,"method":"private/set-cancel-on-disconnect","params":{"scope":"CONNECTION","x":1}}"#,
    r#"{"id":7,"method":"public/get-tickers"}"#,
    r#"{"id":7,"method":"public/heartbeat"}"#,
    r#"{"id":7,"method":"no-such-method"}"#,
    r#"{"id":7,"method":"subscribe"}"#,
    r#"{"id":7,"method":"subscribe","params":{"channels":[]}}"#,
    r#"{"id":7,"method":"subscribe","params":{"channels":"user.order"}}"#,
    r#"{"id":7,"method":"subscribe","params":{"channels":["no.such"]}}"#,
    r#"{"id":7,"method":"subscribe","params":{"channels":["ticker.BTC_USD"]}}"#,
    r#"{"id":7,"method":"subscribe","params":{"channels":["user.order.BTC_USD"]}}"#,
    r#"{"id":7,"method":"subscribe","params":{"channels":["user.otc_deals"]}}"#,
    r#"{"id":7,"method":"subscribe","params":{"channels":["user.order"],"other":1}}"#,
    r#"{"method":"subscribe","params":{"channels":["no.such"]}}"#,
    r#"{"id":7,"method":"unsubscribe","params":{"channels":["no.such"]}}"#,
    r#"{"id":7,"method":"public/auth","api_key":"x","nonce":1,"sig":"y"}"#,
    r#"{"id":-1,"method":"private/user-balance"}"#,
    r#"{"id":99999999999999999999,"method":"private/user-balance"}"#,
];

/// The whole subject.
pub(crate) fn tell() -> String {
    // Each login takes a second, because the exchange asks for it: the parts run beside each other.
    let parts: [fn(&mut Sheet); 4] = [openings, known, ends, limits];
    let told = parts.map(|part| {
        thread::spawn(move || {
            let mut sheet = Sheet::default();
            part(&mut sheet);
            sheet.0
        })
    });
    told.map(|part| part.join().unwrap()).join("\n")
}

fn serve(house: &House) -> Daemon {
    house.serve(&[
        ("CRYPTO_PROXY__CALLS__DEADLINE_MS", "1500"),
        ("CRYPTO_PROXY__UPSTREAM__CONNECT_DEADLINE_MS", "1000"),
        ("CRYPTO_PROXY__STREAMS__MAX_MESSAGE_BYTES", "65536"),
    ])
}

/// Callers that were issued.
fn known(sheet: &mut Sheet) {
    let house = House::new();
    let issued = house.issue("bot", &["--preset", "trade", "--instrument", "ETH_USD"]);
    let daemon = serve(&house);
    logins(sheet, &daemon, &Pair::of(&issued));
    frames(sheet, &daemon, &issued);
    daemon.process.wait_streams_ended();
    sheet.heading("lines of the log");
    tell_events(
        sheet,
        &["call", "stream", "refused"],
        &daemon.process.stop().1,
    );
}

fn tell_frame(sheet: &mut Sheet, frame: &Frame) {
    sheet.line(&match frame {
        Frame::Text(text) => format!("text {}", normal(text)),
        Frame::Closed(Some((code, reason))) => format!("close {code} {reason}"),
        Frame::Closed(None) => "close without a code".to_owned(),
        Frame::Lost => "no close frame".to_owned(),
    });
}

fn openings(sheet: &mut Sheet) {
    let house = House::new();
    let daemon = serve(&house);
    sheet.heading("openings");
    let plain = |path: &str| Request::get(path).token(TOKEN);
    for (title, request) in [
        ("user", opening(USER)),
        ("market", opening(MARKET)),
        ("with the token", opening(USER).token(TOKEN)),
        (
            "Origin",
            opening(USER).header("Origin", "https://page.example"),
        ),
        ("a foreign Host", opening(USER).host(Some("page.example"))),
        (
            "a wrong token",
            opening(USER).token("invented-wrong-token-of-nobody"),
        ),
        ("no handshake", plain(USER)),
        (
            "another version",
            plain(MARKET)
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket"),
        ),
        ("a wrong verb", Request::post(USER).token(TOKEN)),
    ] {
        sheet.title(title);
        sheet.answer(&Socket::open(daemon.at, &request).1);
    }
    let closed = house.serve(&[
        ("CRYPTO_PROXY__PUBLIC__SOURCES", "192.0.2.0/24"),
        ("STATE_DIRECTORY", ""),
    ]);
    sheet.title("market from where public calls are not relayed for");
    sheet.answer(&http::ask(closed.at, &opening(MARKET)));
    let streamless = [
        ("CRYPTO_REST_BASE", "https://other.invalid/exchange/v1"),
        (
            "CRYPTO_PROXY__UPSTREAM__ALLOW_UNKNOWN_BASE",
            "other.invalid",
        ),
    ];
    let without = house.serve(
        &[
            &streamless[..],
            &[
                ("STATE_DIRECTORY", ""),
                ("CRYPTO_PROXY__REACH__ENABLED", "false"),
            ],
        ]
        .concat(),
    );
    sheet.title("no streams beside this base URL");
    sheet.answer(&http::ask(without.at, &opening(USER)));
    let narrow = [
        ("CRYPTO_PROXY__PUBLIC__CALLS_PER_S", "1"),
        ("CRYPTO_PROXY__STREAMS__MAX_SOCKETS", "4"),
    ];
    let narrow = house.serve(
        &[
            &narrow[..],
            &[
                ("STATE_DIRECTORY", ""),
                ("CRYPTO_PROXY__STREAMS__MAX_PER_CALLER", "4"),
            ],
        ]
        .concat(),
    );
    let first = Socket::open(narrow.at, &opening(MARKET));
    sheet.title("beyond the budget of public calls");
    let mut asked = http::ask(narrow.at, &opening(MARKET));
    let mut open = vec![first];
    while asked.status() != 429 {
        asked = http::ask(narrow.at, &opening(MARKET));
    }
    sheet.answer(&asked);
    sheet.title("too many streams");
    loop {
        let (socket, answer) = Socket::open(narrow.at, &opening(USER).token(TOKEN));
        if answer.status() != 101 {
            sheet.answer(&answer);
            break;
        }
        open.push((socket, answer));
    }
}

fn logins(sheet: &mut Sheet, daemon: &Daemon, pair: &Pair) {
    sheet.heading("logins");
    let mut socket = Socket::open(daemon.at, &opening(USER)).0;
    let good = pair.login(nonce());
    sheet.title("good, then a command");
    tell_frame(sheet, &socket.ask(&good));
    let answer = socket.ask(r#"{"id":7,"method":"private/user-balance","nonce":1}"#);
    sheet.line(
        if matches!(answer, Frame::Text(text) if text.contains("\"code\":0")) {
            "answered"
        } else {
            "not answered"
        },
    );
    let wrong = Pair {
        secret: "invented-wrong".to_owned(),
        ..pair.clone()
    };
    let mut again = Socket::open(daemon.at, &opening(USER)).0;
    sheet.title("seen before");
    tell_frame(sheet, &again.ask(&good));
    tell_frame(sheet, &again.next());
    let mut stranger = Socket::open(daemon.at, &opening(USER)).0;
    for (title, frame) in [
        ("a wrong signature", wrong.login(nonce())),
        ("a nonce too far away", pair.login(nonce() - 120_000)),
        (
            "no signature",
            r#"{"id":5,"method":"public/auth"}"#.to_owned(),
        ),
        (
            "before the login",
            r#"{"id":7,"method":"private/user-balance"}"#.to_owned(),
        ),
        (
            "a subscription before the login",
            r#"{"id":7,"method":"subscribe","params":{"channels":["user.order"]}}"#.to_owned(),
        ),
        ("no frame", "nonsense".to_owned()),
        ("no object", "[]".to_owned()),
    ] {
        sheet.title(title);
        tell_frame(sheet, &stranger.ask(&frame));
    }
    sheet.title("the eighth frame without a login");
    stranger.text("{}");
    tell_frame(sheet, &stranger.next());
    tell_frame(sheet, &stranger.next());
}

fn with_token(daemon: &Daemon, path: &str, token: &str) -> Socket {
    let (socket, answer) = Socket::open(daemon.at, &opening(path).token(token));
    assert_eq!(answer.status(), 101, "{}", answer.body);
    socket
}

fn frames(sheet: &mut Sheet, daemon: &Daemon, issued: &Issued) {
    sheet.heading("frames of a caller with a list of instruments");
    let mut socket = with_token(daemon, USER, &issued.value("CRYPTO_PROXY_TOKEN"));
    for frame in FRAMES {
        sheet.title(frame);
        tell_frame(sheet, &socket.ask(frame));
    }
    sheet.heading("frames on the market stream");
    let mut market = Socket::open(daemon.at, &opening(MARKET)).0;
    for frame in [
        r#"{"id":7,"method":"subscribe","params":{"channels":["user.order"]}}"#,
        r#"{"id":7,"method":"subscribe","params":{"channels":["ticker.BTC_USD"],"other":1}}"#,
        r#"{"id":7,"method":"private/user-balance"}"#,
        r#"{"id":7,"method":"public/auth","api_key":"x","nonce":1,"sig":"y"}"#,
        "nonsense",
    ] {
        sheet.title(frame);
        tell_frame(sheet, &market.ask(frame));
    }
}

/// How sockets end, by whom, and what is told of commands under way.
fn ends(sheet: &mut Sheet) {
    let house = House::new();
    let daemon = serve(&house);
    sheet.heading("ends");
    type End = fn(&mut Socket, &House);
    let ends: [(&str, End); 9] = [
        ("binary, no UTF-8", |socket, _| socket.send(2, b"\xff")),
        ("too long", |socket, _| socket.send(1, &vec![b'x'; 65_537])),
        ("not UTF-8", |socket, _| socket.send(1, &[0xff])),
        ("not WebSocket", |socket, _| socket.raw(&[0xff; 16])),
        ("the client closes", |socket, _| socket.close(1000, "bye")),
        ("the exchange closes", |_, house| {
            house.tell_streams(json!({ "do": "close", "code": 1013, "reason": "restarting" }))
        }),
        (
            "the exchange closes with a code that may not be sent",
            |_, house| {
                house.tell_streams(json!({ "do": "close", "code": 1005, "reason": "" }));
            },
        ),
        ("the connection to the exchange is cut", |_, house| {
            house.tell_streams(json!({ "do": "cut" }))
        }),
        ("a frame of the exchange that is too long", |_, house| {
            house.tell_streams(json!({ "do": "text", "side": "user", "text": "x".repeat(65_537) }));
        }),
    ];
    for (name, (title, end)) in ('a'..).zip(ends) {
        sheet.title(title);
        let mut socket = with_token(&daemon, USER, TOKEN);
        house.script(json!({ "target": "private/user-balance", "clear": true }));
        // Answered, so that both sockets stand.
        assert!(matches!(
            socket.ask(r#"{"id":1,"method":"private/user-balance"}"#),
            Frame::Text(_)
        ));
        house.once("private/create-order", r#"{"do":"hang"}"#);
        let sent = house.count("private/create-order");
        socket.text(&format!(
            r#"{{"id":7,"method":"private/create-order","params":{{"instrument_name":"BTC_USD","client_oid":"invented-{name}"}},"nonce":17}}"#
        ));
        house.received("private/create-order", sent + 1);
        tell_frame(
            sheet,
            &socket.ask(r#"{"id":7,"method":"private/get-open-orders"}"#),
        );
        end(&mut socket, &house);
        loop {
            let frame = socket.next();
            tell_frame(sheet, &frame);
            if !matches!(frame, Frame::Text(_)) {
                break;
            }
        }
        house.script(json!({ "target": "private/create-order", "clear": true }));
    }
    sheet.title("no answer within the deadline, with and without client_oid or nonce");
    let mut socket = with_token(&daemon, USER, TOKEN);
    // Answered, so that the login is over.
    assert!(matches!(
        socket.ask(r#"{"id":1,"method":"private/user-balance"}"#),
        Frame::Text(_)
    ));
    for (method, frame) in [
        (
            "private/create-order",
            r#"{"id":7,"method":"private/create-order","params":{"instrument_name":"BTC_USD","client_oid":"invented-2"},"nonce":17}"#,
        ),
        (
            "private/create-order",
            r#"{"id":8,"method":"private/create-order","params":{"instrument_name":"BTC_USD"}}"#,
        ),
        (
            "private/user-balance",
            r#"{"id":9,"method":"private/user-balance"}"#,
        ),
    ] {
        house.once(method, r#"{"do":"hang"}"#);
        tell_frame(sheet, &socket.ask(frame));
    }
    stop(sheet, &house, daemon);
}

fn limits(sheet: &mut Sheet) {
    let house = House::new();
    sheet.heading("limits, and an exchange that is away or refuses our login");
    let narrow = house.serve(&[
        ("STATE_DIRECTORY", ""),
        ("CRYPTO_PROXY__STREAMS__MAX_PER_CALLER", "1"),
        ("CRYPTO_PROXY__STREAMS__MAX_COMMANDS", "1"),
        ("CRYPTO_PROXY__STREAMS__LOGIN_DEADLINE_MS", "1000"),
    ]);
    let mut first = with_token(&narrow, USER, TOKEN);
    house.script(
        json!({ "target": "private/create-order", "clear": true, "once": [{ "do": "hang" }] }),
    );
    sheet.title("too many commands");
    first
        .text(r#"{"id":7,"method":"private/create-order","params":{"instrument_name":"BTC_USD"}}"#);
    tell_frame(
        sheet,
        &first.ask(r#"{"id":8,"method":"private/user-balance"}"#),
    );
    sheet.title("too many streams of one caller");
    tell_frame(sheet, &with_token(&narrow, USER, TOKEN).next());
    sheet.title("no login in time");
    tell_frame(sheet, &Socket::open(narrow.at, &opening(USER)).0.next());
    let away = house.serve(&[
        ("STATE_DIRECTORY", ""),
        ("CRYPTO_REST_BASE", "http://127.0.0.1:1/exchange/v1"),
    ]);
    for (title, path) in [
        ("user: the exchange is away", USER),
        ("market: the exchange is away", MARKET),
    ] {
        sheet.title(title);
        let mut socket = with_token(&away, path, TOKEN);
        socket.text(r#"{"id":7,"method":"subscribe","params":{"channels":["ticker.BTC_USD"]}}"#);
        loop {
            let frame = socket.next();
            tell_frame(sheet, &frame);
            if !matches!(frame, Frame::Text(_)) {
                break;
            }
        }
    }
    drop(first);
    narrow.process.wait_streams_ended();
    tell_events(sheet, &["call", "stream"], &narrow.process.stop().1);
    tell_events(sheet, &["call", "stream"], &away.process.stop().1);
    sheet.title("our login is refused");
    let house = House::new();
    let pair = Pair::of(&house.issue("bot", &[]));
    let wrong = house.serve(&[("CRYPTO_API_SECRET", "invented-other-secret-0123456789")]);
    let mut socket = Socket::open(wrong.at, &opening(USER)).0;
    tell_frame(sheet, &socket.ask(&pair.login(nonce())));
    tell_frame(sheet, &socket.next());
}

fn stop(sheet: &mut Sheet, house: &House, daemon: Daemon) {
    sheet.heading("a stop");
    let mut socket = with_token(&daemon, USER, TOKEN);
    house.script(json!({ "target": "*", "clear": true }));
    assert!(matches!(
        socket.ask(r#"{"id":1,"method":"private/user-balance"}"#),
        Frame::Text(_)
    ));
    let (code, said) = daemon.process.stop();
    tell_frame(sheet, &socket.next());
    sheet.line(&format!("exit code {code:?}"));
    sheet.heading("lines of the log");
    tell_events(sheet, &["call", "stream"], &said);
}
