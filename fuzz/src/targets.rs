//! The targets. What each input means stands at its function.

use std::{borrow::Cow, collections::BTreeMap};

use protocol::{
    call::Call,
    caller_request::CallerRequest,
    canonical::{self, Dialect},
    client_dialects::{self, ClientDialect},
    frame::Frame,
};
use serde_json::{Value, value::RawValue};

use crate::{
    answers::{self, Answer},
    reference::params_string,
    world::{self, Private, TOKEN, VIRTUAL_KEY, World, count, nonce},
};

/// The bytes of a connection: heads, bodies, and whatever is sent behind them. An input that holds the token may make as
/// many calls as it shows it.
pub(crate) fn head(data: &[u8]) {
    world::with(|world| {
        let shown = count(data, TOKEN.as_bytes());
        let heard = calls_at_most(world, shown, data);
        let may_be_head = count(data, b"HEAD ") > 0;
        let heard = answers::read(&heard, may_be_head);
        // Who reads more requests than were written was made to read a body as one.
        let written = count(data, b"HTTP/1.");
        let refused = usize::from(heard.answers.iter().any(|answer| answer.status == 400));
        assert!(
            heard.answers.len() <= written + refused,
            "an answer too much"
        );
        if let Some(stream) = heard.stream {
            answers::frames(&stream);
        }
    });
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
        let before = world.private();
        let answer = only(&calls_at_most(world, 1, &request(&head, data)));
        if world.private() != before {
            // Editors and old programs put a byte order mark before it, which is skipped.
            let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
            // As text: a member that nobody reads may be a number beyond every float.
            let members: BTreeMap<Cow<'_, str>, &RawValue> =
                serde_json::from_slice(data).expect("what is sent on was JSON");
            assert!(
                members
                    .get("method")
                    .is_some_and(|method| method.get().starts_with('"')),
                "what is sent on names a method"
            );
            assert!(answer.status != 422, "refused, and sent on");
        }
    });
}

/// A signed request: first the body as it is, which nobody signed; then the same bytes as the params of a request that
/// is signed as the documents say.
pub(crate) fn signed(data: &[u8]) {
    check_request(data);
    let head = "POST /exchange/v1/private/create-order HTTP/1.1\r\n";
    world::with(|world| {
        let answer = only(&calls_at_most(world, 0, &request(head, data)));
        assert!((400..500).contains(&answer.status), "{}", answer.status);
        let Ok(params) = serde_json::from_slice::<&RawValue>(data) else {
            return;
        };
        check_params(params);
        let Ok(value) = serde_json::from_str(params.get()) else {
            return;
        };
        let (params, nonce) = (params.get(), nonce());
        let text = ["private/create-order1", VIRTUAL_KEY, &params_string(&value)].concat();
        let sig = world.sign(&format!("{text}{nonce}"));
        let body = format!(
            "{{\"id\":1,\"method\":\"private/create-order\",\"api_key\":\"{VIRTUAL_KEY}\",\"params\":{params},\
             \"nonce\":{nonce},\"sig\":\"{sig}\"}}"
        );
        check_request(body.as_bytes());
        only(&calls_at_most(world, 1, &request(head, body.as_bytes())));
    });
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
        only(&calls_at_most(world, 0, &request));
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
    if is_raw {
        bytes.extend_from_slice(data);
        most = data.len();
    } else {
        for line in data.split(|byte| *byte == b'\n') {
            check_frame(line);
            push_frame(&mut bytes, line);
            most += 1;
        }
    }
    // The proxy's own login, and each frame once.
    let most = if is_user && is_known { most + 1 } else { 0 };
    world::with(|world| {
        let heard = answers::read(&calls_at_most(world, most, &bytes), false);
        let stream = heard.stream.expect("the proxy agrees to a stream");
        answers::frames(&stream);
    });
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
/// exchange believes.
fn calls_at_most(world: &World, most: usize, bytes: &[u8]) -> Vec<u8> {
    let before = world.private();
    let heard = world.say(bytes);
    let Private {
        received,
        authenticated,
    } = world.private();
    let (received, authenticated) = (
        received - before.received,
        authenticated - before.authenticated,
    );
    assert!(
        received <= most as u64,
        "{received} calls where {most} are allowed"
    );
    assert_eq!(
        received, authenticated,
        "a signature that the exchange does not believe"
    );
    heard
}

fn request(head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let rest = format!(
        "host: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    [head.as_bytes(), rest.as_bytes(), body].concat()
}

fn only(heard: &[u8]) -> Answer {
    let mut heard = answers::read(heard, false);
    assert_eq!(heard.answers.len(), 1, "one request has one answer");
    heard.answers.remove(0)
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
    let Ok(call) = Call::parse(
        protocol::call::RequestId::BACKEND,
        "private/create-order",
        Some(raw),
        Dialect::Documented,
    ) else {
        return;
    };
    assert_eq!(call.params.text(), raw.get());
    let value: Value = serde_json::from_str(raw.get()).expect("what is signed is JSON");
    assert_eq!(call.params.canonical(), params_string(&value));
    let compact = RawValue::from_string(value.to_string()).expect("JSON");
    let again = canonical::params_string(&compact, Dialect::Documented);
    assert_eq!(again.as_deref(), Ok(call.params.canonical()));
}

/// A request that is read, written as it goes on and read again says the same.
fn check_request(bytes: &[u8]) {
    let Ok(first) = CallerRequest::parse(bytes) else {
        return;
    };
    let _ = first.signature();
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
