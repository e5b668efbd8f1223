//! Frames as clients send them, and as an attacker would.

use super::*;

fn parse(text: &str) -> Result<Frame<'_>, InvalidFrame> {
    Frame::parse(text).1
}

#[test]
fn what_goes_on_is_what_was_read_and_nothing_else() {
    let text = r#" {"params":{ "b":"\u0041" },"x":[1],"nonce":"17","sig":"s","api_key":"k","id":"42","method":"private\/x"} "#;
    let frame = parse(text).unwrap();
    assert_eq!(
        frame.to_be_sent(),
        r#"{"id":"42","method":"private/x","params":{ "b":"\u0041" },"nonce":"17"}"#
    );
    assert_eq!(
        (frame.id.map(RequestId::value), frame.nonce),
        (Some(42), Some(17))
    );
    assert_eq!(
        parse(r#"{"method":"subscribe"}"#).unwrap().to_be_sent(),
        r#"{"method":"subscribe"}"#
    );
}

#[test]
fn a_member_that_stands_twice_is_refused_however_it_is_written() {
    for (text, name) in [
        (
            r#"{"method":"private/x","id":1,"method":"private/y"}"#,
            "method",
        ),
        (
            r#"{"method":"private/x","id":1,"me\u0074hod":"private/y"}"#,
            "method",
        ),
        (
            r#"{"method":"private/x","params":{},"params":{}}"#,
            "params",
        ),
        (r#"{"id":1,"id":2,"method":"subscribe"}"#, "id"),
    ] {
        let (reply_to, refused) = Frame::parse(text);
        assert_eq!(refused.unwrap_err(), InvalidFrame::Twice(name), "{text}");
        let id = if name == "method" { "1" } else { "-1" };
        assert_eq!(reply_to.id, id, "{text}");
    }
}

#[test]
fn a_member_that_is_null_is_none_and_a_byte_order_mark_is_no_part_of_the_frame() {
    let frame = parse(
        "\u{feff}{\"id\":1,\"method\":\"private/x\",\"params\": null,\"nonce\":null,\"api_key\":null,\"sig\":null}",
    )
    .unwrap();
    assert_eq!(frame.to_be_sent(), r#"{"id":1,"method":"private/x"}"#);
    let without_id = parse(r#"{"id":null,"method":"subscribe"}"#).unwrap();
    assert!(without_id.id.is_none());
    assert_eq!(without_id.to_be_sent(), r#"{"method":"subscribe"}"#);
}

#[test]
fn what_is_no_frame_is_said_and_echoed_as_the_exchange_does() {
    for text in [
        "",
        "{",
        "[]",
        "7",
        "{}{}",
        "\u{feff}\u{feff}{}",
        "[{\"method\":\"subscribe\"}]",
    ] {
        assert_eq!(Frame::parse(text).0, ReplyTo::default(), "{text}");
        assert_eq!(
            parse(text).unwrap_err(),
            InvalidFrame::NotAnObject,
            "{text}"
        );
    }
    for (text, member) in [
        (r#"{"id":1}"#, "method"),
        (r#"{"id":1,"method":7}"#, "method"),
        (r#"{"id":1,"method":"private/../x"}"#, "method"),
        (r#"{"id":1.5,"method":"private/x"}"#, "id"),
        (r#"{"id":-1,"method":"private/x"}"#, "id"),
        (r#"{"id":1,"method":"private/x","params":[]}"#, "params"),
        (r#"{"id":null,"method":null}"#, "method"),
        (r#"{"id":1,"method":"private/x","nonce":"x"}"#, "nonce"),
    ] {
        assert_eq!(
            parse(text).unwrap_err(),
            InvalidFrame::Member(member),
            "{text}"
        );
    }
    let (echo, _) = Frame::parse(r#"{"id":"7","method":"private/x","params":[]}"#);
    assert_eq!((echo.id.as_str(), &*echo.method), ("\"7\"", "private/x"));
}

#[test]
fn each_kind_of_frame_is_told_apart() {
    let request = |method: &str| {
        parse(&format!(r#"{{"id":1,"method":"{method}"}}"#))
            .unwrap()
            .request
    };
    assert_eq!(request("public/auth"), Request::LogIn);
    assert_eq!(
        request("public/respond-heartbeat"),
        Request::RespondHeartbeat
    );
    assert_eq!(request("unsubscribe"), Request::Unsubscribe);
    assert_eq!(request("public/get-tickers"), Request::Other);
    assert!(matches!(
        request("private/not-invented-yet"),
        Request::Private(_)
    ));
}

#[test]
fn channels_are_a_list_of_texts() {
    let channels = |params: &str| {
        let text = format!(r#"{{"method":"subscribe","params":{params}}}"#);
        parse(&text)
            .unwrap()
            .channels()
            .map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(
        channels(r#"{"channels":["user.order","user.b\u0061lance"]}"#).unwrap(),
        ["user.order", "user.balance"]
    );
    for params in [
        "{}",
        r#"{"channels":[]}"#,
        r#"{"channels":"x"}"#,
        r#"{"channels":[1]}"#,
    ] {
        assert_eq!(
            channels(params),
            Err(InvalidFrame::Member("params.channels")),
            "{params}"
        );
    }
    assert!(channels(r#"{"channels":["ticker.x"],"channels":["user.order"]}"#).is_err());
}

#[test]
fn a_heading_is_read_where_it_is_clear() {
    let heading = Heading::read(r#"{"id":"7","method":"private/x","code":"0","result":{"id":9}}"#);
    assert_eq!(
        heading,
        Heading {
            id: Some(7),
            method: Some("private/x".into()),
            code: Some(0)
        }
    );
    assert_eq!(
        Heading::read(r#"{"id":-1,"method":"ERROR","code":40001}"#).id,
        None
    );
    assert_eq!(Heading::read(r#"{"id":1,"id":2,"code":0}"#).id, None);
    assert_eq!(Heading::read("nonsense"), Heading::default());
}

#[test]
fn a_login_claims_its_key_id_and_nonce_and_has_no_params() {
    let sig = "0f".repeat(32);
    let login = |rest: &str| format!(r#"{{"method":"public/auth","api_key":"k"{rest}}}"#);
    let text = login(&format!(
        r#","id":"11","nonce":"17","params":{{ }},"sig":"{sig}""#
    ));
    let frame = parse(&text).unwrap();
    let claim = frame.signature().unwrap();
    assert_eq!(
        (claim.method, claim.id, &*claim.api_key),
        ("public/auth", "11", "k")
    );
    assert_eq!(
        (claim.nonce, claim.nonce_text, claim.params.is_none()),
        (17, "17", true)
    );
    assert_eq!(hex::encode(claim.signature), sig);
    for (rest, reason) in [
        (
            format!(r#","id":1,"nonce":1,"sig":"{sig}00""#),
            SignatureMissing::Signature,
        ),
        (
            r#","id":1,"nonce":1"#.to_owned(),
            SignatureMissing::Signature,
        ),
        (
            format!(r#","nonce":1,"sig":"{sig}""#),
            SignatureMissing::Signature,
        ),
        (
            format!(r#","id":1,"nonce":1,"params":{{"a":1}},"sig":"{sig}""#),
            SignatureMissing::Signature,
        ),
        (format!(r#","id":1,"sig":"{sig}""#), SignatureMissing::Nonce),
    ] {
        let text = login(&rest);
        assert_eq!(
            parse(&text).unwrap().signature().err(),
            Some(reason),
            "{text}"
        );
    }
}
