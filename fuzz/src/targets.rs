//! The targets. What each input means stands at its function.

use protocol::{
    call::Call,
    caller_request::CallerRequest,
    canonical::{self, Dialect},
    client_dialects::{self, ClientDialect},
    frame::Frame,
};
use sandbox::Received;
use serde_json::{Value, value::RawValue};

use crate::{
    answers::{self, Answer},
    reference::{Head, Members, is_private_method, params_string},
    world::{self, Said, TOKEN, Until, VIRTUAL_KEY, World, count},
};

/// The bytes of a connection: heads, bodies, and whatever is sent behind them. An input that holds the token may make as
/// many calls as it shows it.
pub(crate) fn head(data: &[u8]) {
    world::with(|world| {
        let shown = count(data, TOKEN.as_bytes());
        let Said { heard, sent_on } = calls_at_most(world, shown, data, Until::Quiet);
        let may_be_head = count(data, b"HEAD ") > 0;
        let heard = answers::read(&heard, may_be_head);
        // Who reads more requests than were written was made to read a body as one.
        let written = count(data, b"HTTP/1.");
        let refused = usize::from(heard.answers.iter().any(|answer| answer.status == 400));
        assert!(
            heard.answers.len() <= written + refused,
            "an answer too much"
        );
        if let (Some(head), Some(first)) = (Head::read(data), heard.answers.first()) {
            let only = if written == 1 { &*sent_on } else { &[] };
            check_head(&head, first, only);
        }
        if let Some(stream) = heard.stream {
            answers::frames(&stream);
        }
    });
}

/// What a plainly written head must not open.
fn check_head(head: &Head<'_>, answer: &Answer, sent_on: &[Received]) {
    let is_good = answer.status < 400;
    if !head.names_a_host_of_ours() {
        assert!(!is_good && sent_on.is_empty(), "served under any name");
    }
    if !head.shows(TOKEN) {
        assert!(!sent_on.iter().any(is_private), "a call without the token");
    }
    if head.is_of_a_page()
        && !["/", "/exchange/v1/user", "/exchange/v1/market"].contains(&head.path)
    {
        assert!(!sent_on.iter().any(is_private), "a call of a page");
    }
}

/// The body of a call at `/proxy/private`, by a caller with a token.
pub(crate) fn body(data: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Value>(data)
        && let Some(params) = request.get("params")
        && let Ok(raw) = RawValue::from_string(params.to_string())
    {
        check_params(&raw);
    }
    world::with(|world| {
        let head = format!("POST /proxy/private HTTP/1.1\r\nx-proxy-token: {TOKEN}\r\n");
        let (answer, sent_on) = one(world, 1, &request(&head, data));
        if let Some(sent) = sent_on.first() {
            assert!(answer.status != 422, "refused, and sent on");
            // Editors and old programs put a byte order mark before it, which is skipped.
            let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
            check_sent(
                &Members::read(data).expect("what is sent on was JSON"),
                sent,
            );
        }
    });
}

/// A request goes on only where every reader reads the same in it, and as it was read.
fn check_sent(asked: &Members<'_>, sent: &Received) {
    let method = asked
        .text("method")
        .expect("what is sent on names a method");
    assert_eq!(sent.method, method, "another method than was asked for");
    assert!(is_private_method(&method), "{method:?} is no method");
    let goes_on = Members::read(&sent.body).expect("a body of ours is JSON");
    assert_eq!(goes_on.text("method"), Some(method));
    let params = asked.last("params").unwrap_or("{}");
    assert_eq!(
        goes_on.last("params").unwrap_or("{}"),
        params,
        "other params"
    );
    for name in ["method", "params"] {
        assert!(asked.count(name) < 2, "{name} stands twice");
    }
}

/// A signed request: first the body as it is, with a signature in place of one that is all zeros; then the same bytes as
/// the params of a request that is signed as the documents say.
pub(crate) fn signed(data: &[u8]) {
    check_request(data);
    world::with(|world| {
        signed_body(world, data);
        if let Ok(params) = serde_json::from_slice(data) {
            signed_params(world, params);
        }
    });
}

const TO_CREATE: &str = "POST /exchange/v1/private/create-order HTTP/1.1\r\n";
/// What stands for a nonce that is in time, and for the signature.
const NO_NONCE: &str = "1700000000000";
const NO_SIG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn signed_body(world: &World, data: &[u8]) {
    let mut body = data.to_vec();
    if let Some(text) = std::str::from_utf8(data)
        .ok()
        .filter(|text| text.contains(NO_SIG))
    {
        let text = text.replace(NO_NONCE, &world.nonce().to_string());
        let sig = Members::read(text.as_bytes()).and_then(|asked| sign(world, &asked));
        body = text.replace(NO_SIG, &sig.unwrap_or_default()).into_bytes();
    }
    let (answer, sent_on) = one(world, 1, &request(TO_CREATE, &body));
    let Some(sent) = sent_on.first() else {
        assert!(answer.status >= 400, "{}", answer.status);
        return;
    };
    let asked = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
    let asked = Members::read(asked).expect("what is sent on was JSON");
    check_sent(&asked, sent);
    for name in asked.names() {
        let is_documented = ["id", "method", "api_key", "params", "nonce", "sig"].contains(&name);
        assert!(is_documented && asked.count(name) == 1, "{name:?}");
    }
    assert_eq!(asked.text("api_key").as_deref(), Some(VIRTUAL_KEY));
    let sig = asked.text("sig").map(|sig| sig.to_ascii_lowercase());
    assert!(sig.is_some() && sig == sign(world, &asked), "not signed");
}

/// The signature that the documents ask for.
fn sign(world: &World, asked: &Members<'_>) -> Option<String> {
    let digits = |name| Some(asked.last(name)?.trim_matches('"').to_owned());
    let params = match asked.last("params") {
        Some(params) => params_string(&serde_json::from_str(params).ok()?),
        None => String::new(),
    };
    let parts = [
        asked.text("method")?,
        digits("id").unwrap_or_default(),
        asked.text("api_key")?,
        params,
        digits("nonce")?,
    ];
    Some(world.sign(&parts.concat()))
}

fn signed_params(world: &World, params: &RawValue) {
    check_params(params);
    // A member that is null is none.
    let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(params.get())
    else {
        return;
    };
    let (params, nonce) = (params.get(), world.nonce());
    let text = ["private/create-order1", VIRTUAL_KEY, &params_string(&value)].concat();
    let sig = world.sign(&format!("{text}{nonce}"));
    let body = format!(
        "{{\"id\":1,\"method\":\"private/create-order\",\"api_key\":\"{VIRTUAL_KEY}\",\"params\":{params},\
         \"nonce\":{nonce},\"sig\":\"{sig}\"}}"
    );
    check_request(body.as_bytes());
    let (answer, sent_on) = one(world, 1, &request(TO_CREATE, body.as_bytes()));
    let can_be_signed =
        CallerRequest::parse(body.as_bytes()).is_ok_and(|asked| parse_call(asked.params).is_some());
    assert!(
        !can_be_signed || answer.status != 401,
        "a good signature is refused"
    );
    if let Some(sent) = sent_on.first() {
        check_sent(&Members::read(body.as_bytes()).expect("our own JSON"), sent);
    }
}

/// Path and query of a public call, behind `/exchange/v1/public/`.
pub(crate) fn query(data: &[u8]) {
    if data.iter().any(|byte| b"\r\n ".contains(byte)) {
        return; // that is the target `head`
    }
    let request = [
        b"GET /exchange/v1/public/",
        data,
        b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ]
    .concat();
    world::with(|world| {
        let (_, sent_on) = one(world, 0, &request);
        let asked = data.split(|byte| *byte == b'#').next().unwrap_or_default();
        let asked = std::str::from_utf8(asked).unwrap_or_default();
        let (path, query) = match asked.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (asked, None),
        };
        for sent in sent_on {
            assert_eq!(
                sent.method.strip_prefix("public/"),
                Some(path),
                "another method"
            );
            assert_eq!(
                sent.query.as_deref(),
                query,
                "another query than was asked for"
            );
            assert!(
                query.is_none_or(|query| query.len() <= 2048),
                "a long query"
            );
        }
    });
}

/// A stream: the first byte says which and for whom, and whether the rest are bytes of the wire or one text frame in each
/// line.
pub(crate) fn frames(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let (is_user, is_known, is_raw) = (kind & 1 != 0, kind & 2 != 0, kind & 4 != 0);
    let side = if is_user { "user" } else { "market" };
    let mut bytes = format!(
        "GET /exchange/v1/{side} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    );
    if is_known {
        bytes.push_str(&format!("x-proxy-token: {TOKEN}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    let mut most = 0;
    let mut asked = Vec::new();
    if is_raw {
        bytes.extend_from_slice(data);
        most = data.len();
    } else {
        for line in data.split(|byte| *byte == b'\n') {
            check_frame(line);
            push_frame(&mut bytes, line);
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            asked.extend(Members::read(line));
            most += 1;
        }
    }
    // The proxy's own login, and each frame once.
    let most = if is_user && is_known { most + 1 } else { 0 };
    world::with(|world| {
        let Said { heard, sent_on } = calls_at_most(world, most, &bytes, Until::Quiet);
        let heard = answers::read(&heard, false);
        let stream = heard.stream.expect("the proxy agrees to a stream");
        answers::frames(&stream);
        for sent in sent_on.iter().filter(|sent| sent.verb == "WS" && !is_raw) {
            let goes_on = Members::read(&sent.body).expect("a frame of ours is JSON");
            if sent.method != "public/auth" {
                let is_of_it = |asked: &Members<'_>| is_same_frame(asked, &goes_on);
                assert!(
                    asked.iter().any(is_of_it),
                    "nobody asked for {}",
                    sent.method
                );
            }
        }
    });
}

/// Members that a frame to the exchange may have.
const OF_FRAMES: [&str; 4] = ["id", "method", "params", "nonce"];
/// Members that a subscription may have.
const OF_SUBSCRIPTIONS: [&str; 5] = [
    "channels",
    "book_subscription_type",
    "book_update_frequency",
    "bookSubscriptionType",
    "bookUpdateFrequency",
];

/// Whether a frame that goes on says what this one asks for, and everybody reads the same in it.
fn is_same_frame(asked: &Members<'_>, goes_on: &Members<'_>) -> bool {
    let is_same = |name: &&str| asked.count(name) < 2 && asked.last(name) == goes_on.last(name);
    let method = asked.text("method").unwrap_or_default();
    let params = Members::read(asked.last("params").unwrap_or("{}").as_bytes());
    let is_subscription = method.ends_with("subscribe");
    let is_fair = params.as_ref().is_some_and(|params| {
        params.names().all(|name| {
            params.count(name) == 1 && (!is_subscription || OF_SUBSCRIPTIONS.contains(&name))
        })
    });
    goes_on.text("method") == Some(method)
        && is_fair
        && goes_on.names().all(|name| OF_FRAMES.contains(&name))
        && ["id", "nonce"].iter().all(is_same)
        && (is_same(&"params")
            || (is_subscription && params.is_some_and(|params| is_part_of(goes_on, &params))))
        && asked.count("method") == 1
}

/// Whether a subscription goes on with a part of its channels, in their order, and is the same else.
fn is_part_of(goes_on: &Members<'_>, asked: &Members<'_>) -> bool {
    let channels = |of: &Members<'_>| -> Option<Vec<String>> {
        serde_json::from_str(of.last("channels")?).ok()
    };
    let Some(params) = Members::read(goes_on.last("params").unwrap_or("{}").as_bytes()) else {
        return false;
    };
    let (Some(part), Some(all)) = (channels(&params), channels(asked)) else {
        return false;
    };
    let mut all = all.iter();
    !part.is_empty()
        && part.iter().all(|one| all.any(|other| other == one))
        && OF_SUBSCRIPTIONS
            .iter()
            .filter(|name| **name != "channels")
            .all(|name| params.last(name) == asked.last(name))
        && params.names().all(|name| OF_SUBSCRIPTIONS.contains(&name))
}

/// The pure readers behind the doors, without a daemon: many more inputs in the same time. The input is the body of a
/// call, a frame and params at once.
pub(crate) fn readers(data: &[u8]) {
    check_request(data);
    check_frame(data);
    if let Ok(params) = serde_json::from_slice(data) {
        check_params(params);
        for dialect in ClientDialect::ALL {
            let _ = client_dialects::params_string(params, dialect);
        }
    }
}

/// Says these bytes. No more requests may reach the private methods than `most`, and each with a signature that the
/// exchange believes. What reached them, and the public methods.
fn calls_at_most(world: &World, most: usize, bytes: &[u8], until: Until) -> Said {
    let mut said = world.say(bytes, until);
    // That a stream was opened.
    said.sent_on
        .retain(|sent| !["user", "market"].contains(&sent.method.as_str()));
    let calls: Vec<_> = said
        .sent_on
        .iter()
        .filter(|sent| is_private(sent))
        .collect();
    assert!(
        calls.len() <= most,
        "where {most} calls are allowed: {calls:#?}"
    );
    assert!(
        calls.iter().all(|sent| sent.authenticated),
        "a signature that the exchange does not believe"
    );
    said
}

fn is_private(sent: &Received) -> bool {
    sent.method.starts_with("private/") || sent.method == "public/auth"
}

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let rest = format!(
        "host: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), rest.as_bytes(), body].concat()
}

/// The answer to one request that asks for the end of its connection, and what went on.
fn one(world: &World, most: usize, request: &[u8]) -> (Answer, Vec<Received>) {
    let said = calls_at_most(world, most, request, Until::End);
    let mut heard = answers::read(&said.heard, false);
    assert_eq!(heard.answers.len(), 1, "one request has one answer");
    (heard.answers.remove(0), said.sent_on)
}

/// A text frame of a client, with the mask 0, which leaves it as it is.
fn push_frame(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.push(0x81);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((text.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend_from_slice(text);
}

/// What can be signed is signed as another reader of the documents signs it, and reads the same when it is read again.
fn check_params(raw: &RawValue) {
    let Some(call) = parse_call(Some(raw)) else {
        return;
    };
    assert_eq!(call.params.text(), raw.get());
    let value: Value = serde_json::from_str(raw.get()).expect("what is signed is JSON");
    assert_eq!(call.params.canonical(), params_string(&value));
    let compact = RawValue::from_string(value.to_string()).expect("JSON");
    let again = canonical::params_string(&compact, Dialect::Documented);
    assert_eq!(again.as_deref(), Ok(call.params.canonical()));
}

fn parse_call(params: Option<&RawValue>) -> Option<Call> {
    let id = protocol::call::RequestId::BACKEND;
    Call::parse(id, "private/create-order", params, Dialect::Documented).ok()
}

/// A request that is read, written as it goes on and read again says the same.
fn check_request(bytes: &[u8]) {
    let Ok(first) = CallerRequest::parse(bytes) else {
        return;
    };
    let asked = Members::read(bytes).expect("what is read is an object");
    assert_eq!(asked.text("method").as_deref(), Some(&*first.method));
    assert_eq!(asked.last("params"), first.params.map(RawValue::get));
    if let Ok(shown) = first.signature() {
        assert_eq!(asked.text("api_key").as_deref(), Some(&*shown.api_key));
        let sig = asked.text("sig").map(|sig| sig.to_ascii_lowercase());
        assert_eq!(sig, Some(hex::encode(shown.signature)));
    }
    let Some(id) = first.id else {
        return;
    };
    let Ok(call) = Call::parse(id, &first.method, first.params, Dialect::Documented) else {
        return;
    };
    let call = call.written_as(first.layout);
    let draft = call.request().draft("key");
    let written = draft.signed(1_700_000_000_000, &"0".repeat(64));
    let written = written.expect("a nonce and a signature of their lengths");
    let second = CallerRequest::parse(&written).expect("what is written can be read");
    assert_eq!(
        (second.id, &second.method, second.params.map(RawValue::get)),
        (first.id, &first.method, first.params.map(RawValue::get))
    );
}

/// A frame that is read, written as it goes on and read again says the same.
fn check_frame(line: &[u8]) {
    let Some(first) = std::str::from_utf8(line)
        .ok()
        .and_then(|text| Frame::parse(text).1.ok())
    else {
        return;
    };
    let written = first.to_be_sent();
    let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let asked = Members::read(text).expect("what is read is an object");
    let goes_on = Members::read(written.as_bytes()).expect("what is written is an object");
    for name in ["id", "params", "nonce"] {
        assert_eq!(asked.last(name), goes_on.last(name), "another {name}");
    }
    assert_eq!(asked.text("method"), goes_on.text("method"));
    // Whatever they say, the next readers of a frame take it.
    let _ = (first.signature(), first.channels());
    let second = Frame::parse(&written)
        .1
        .expect("what is written can be read");
    assert_eq!(
        (
            second.id,
            &second.request,
            second.nonce,
            second.params.map(RawValue::get)
        ),
        (
            first.id,
            &first.request,
            first.nonce,
            first.params.map(RawValue::get)
        )
    );
    assert!(second.api_key.is_none() && second.sig.is_none());
    assert_eq!(written, second.to_be_sent());
}
