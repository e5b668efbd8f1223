//! What is overwritten, what is not, and that JSON stays JSON.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::*;

const KEY: &str = "key-invented-0f3Zq";
const SECRET: &str = "secret\"inv>nted?/+x~";
const SIGNATURE: &str = "00ff00ff00ff00ff00ff00ff00ff00ff";

fn scrub(answer: &str) -> (String, bool) {
    let scrubber = Scrubber::new([KEY, SECRET]);
    let answer = Bytes::copy_from_slice(answer.as_bytes());
    let (bytes, scrubbed) = scrubber.scrub(answer.clone(), SIGNATURE);
    assert_eq!(bytes.len(), answer.len());
    assert_eq!(scrubber.finds(&answer, SIGNATURE), scrubbed);
    (String::from_utf8(bytes.to_vec()).unwrap(), scrubbed)
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn unicode(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn an_echoed_request_loses_key_and_signature_and_stays_json() {
    let echo = format!(r#"{{"original":"api_key={KEY}&sig={SIGNATURE}","again":"{KEY}"}}"#);
    let (text, scrubbed) = scrub(&echo);
    let stars = "*".repeat(KEY.len());
    assert!(scrubbed);
    assert_eq!(
        text,
        format!(
            r#"{{"original":"api_key={stars}&sig={}","again":"{stars}"}}"#,
            "*".repeat(SIGNATURE.len())
        )
    );
    let cut = &SIGNATURE[..SIGNATURE_BEGINNING];
    assert_eq!(scrub(cut).0, "*".repeat(cut.len()), "a beginning of it");
}

#[test]
fn key_and_secret_are_overwritten_in_every_spelling() {
    for secret in [KEY, SECRET] {
        let mixed: String = secret
            .char_indices()
            .map(|(at, char)| {
                if at % 2 == 0 {
                    char.to_ascii_uppercase()
                } else {
                    char
                }
            })
            .collect();
        let quoted = json(secret);
        let quoted = &quoted[1..quoted.len() - 1];
        for spelling in [
            secret.to_owned(),
            secret.to_uppercase(),
            secret.to_lowercase(),
            mixed,
            quoted.to_owned(),
            unicode(secret),
            unicode(secret).to_uppercase().replace("\\U", "\\u"),
            secret.replace('n', "\\u006e"),
            secret.replace('n', "\\x6E"),
            secret.replace('/', "\\/"),
            percent(secret),
            percent(secret).to_lowercase(),
            secret.replace('e', "%65"),
            percent(&unicode(secret)),
            json(&unicode(secret))[1..].trim_end_matches('"').to_owned(),
            hex::encode(secret),
            hex::encode_upper(secret),
            percent(&hex::encode(secret)),
        ] {
            for (before, after) in [("", ""), ("api_key=", "&x"), ("\\n", "\\n"), ("%20", "%")] {
                let (text, scrubbed) = scrub(&format!("{before}{spelling}{after}"));
                let expected = format!("{before}{}{after}", "*".repeat(spelling.len()));
                assert_eq!((text, scrubbed), (expected, true), "{spelling}");
            }
        }
    }
}

#[test]
fn key_and_secret_are_overwritten_in_base64_but_for_an_edge_that_others_share() {
    for secret in [KEY, SECRET] {
        for before in ["", "u", "u:", "user:"] {
            let whole = format!("{before}{secret}:and more");
            for encoded in [STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
                let (text, scrubbed) = scrub(&format!(r#"{{"a":"{encoded}"}}"#));
                let stars = text.matches('*').count();
                assert!(scrubbed && stars + 4 > secret.len() * 4 / 3, "{text}");
            }
        }
    }
}

#[test]
fn the_signature_is_overwritten_where_it_is_escaped() {
    for spelling in [unicode(SIGNATURE), percent(SIGNATURE)] {
        assert_eq!(scrub(&spelling).0, "*".repeat(spelling.len()));
    }
}

#[test]
fn json_stays_json_in_whatever_the_secret_was_hidden() {
    for text in [
        format!(r#"{{"code":0,"a":"{}"}}"#, unicode(KEY)),
        format!(r#"{{"code":0,"a":{}}}"#, json(&json(SECRET))),
        format!(r#"{{"code":0,"a":{}}}"#, json(&json(&json(SECRET)))),
        format!(r#"{{"code":0,"{}":[1]}}"#, percent(SECRET)),
    ] {
        let (clean, scrubbed) = scrub(&text);
        assert!(scrubbed, "{text}");
        let parsed: serde_json::Value = serde_json::from_str(&clean).unwrap();
        assert_eq!(parsed["code"], 0);
    }
}

#[test]
fn an_answer_without_secrets_is_the_same_bytes() {
    for text in [
        "",
        "%",
        "\\",
        "\\u",
        "\\u00",
        "%4",
        "100 % \\\\ \\u20ac",
        r#"{"code":0,"a":"x\"y\u0041"}"#,
        "key-invented-0f3Z",
    ] {
        let answer = Bytes::copy_from_slice(text.as_bytes());
        let (same, scrubbed) = Scrubber::new([KEY, SECRET]).scrub(answer.clone(), SIGNATURE);
        assert!(!scrubbed && same.as_ptr() == answer.as_ptr(), "{text}");
    }
}

#[test]
fn a_secret_is_found_wherever_it_stands() {
    for secret in ["abcd", "0123456789abcdef", &"k".repeat(300)] {
        let scrubber = Scrubber::new([secret, "another-invented-secret"]);
        for before in 0..64 {
            let text = format!("{}{secret}{}", "-".repeat(before), "-".repeat(64 - before));
            let (clean, _) = scrubber.scrub(Bytes::from(text), SIGNATURE);
            let expected = format!(
                "{}{}{}",
                "-".repeat(before),
                "*".repeat(secret.len()),
                "-".repeat(64 - before)
            );
            assert_eq!(clean, expected.as_bytes());
        }
    }
}
