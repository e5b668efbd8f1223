//! Signatures of real clients fit one of the renderings, and no other signature does.

use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::Sha256;

use super::*;
use crate::caller_request::{CallerRequest, CallerSignature};

#[derive(Deserialize)]
struct File {
    secret: String,
    bodies: Vec<Signed>,
}

#[derive(Deserialize)]
struct Signed {
    name: String,
    body: String,
}

fn bodies() -> File {
    serde_json::from_str(include_str!("../../data/client_bodies.json")).unwrap()
}

fn fits(secret: &str, shown: &CallerSignature<'_>, rendering: ClientDialect) -> bool {
    let params = shown.params.map_or(Some(String::new()), |params| {
        params_string(params, rendering)
    });
    let Some(params) = params else { return false };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    for part in [
        shown.method,
        shown.id,
        &shown.api_key,
        &params,
        shown.nonce_text,
    ] {
        mac.update(part.as_bytes());
    }
    mac.verify_slice(&shown.signature).is_ok()
}

fn render(params: &str) -> [Option<String>; 3] {
    let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
    ClientDialect::ALL.map(|rendering| params_string(&raw, rendering))
}

#[test]
fn every_body_of_a_real_client_fits_one_rendering() {
    let File { secret, bodies } = bodies();
    assert!(bodies.len() > 20);
    for Signed { name, body } in bodies {
        let body = CallerRequest::parse(body.as_bytes()).unwrap();
        let shown = body.signature().unwrap();
        let fitting: Vec<_> = ClientDialect::ALL
            .into_iter()
            .filter(|way| fits(&secret, &shown, *way))
            .collect();
        assert!(!fitting.is_empty(), "{name}");
        assert!(
            ClientDialect::ALL
                .into_iter()
                .all(|way| !fits("another invented secret", &shown, way)),
            "{name}"
        );
    }
}

#[test]
fn each_rendering_is_needed_by_some_client() {
    let File { secret, bodies } = bodies();
    for rendering in ClientDialect::ALL {
        let others = || {
            ClientDialect::ALL
                .into_iter()
                .filter(move |other| *other != rendering)
        };
        let alone = bodies.iter().any(|signed| {
            let body = CallerRequest::parse(signed.body.as_bytes()).unwrap();
            let shown = body.signature().unwrap();
            fits(&secret, &shown, rendering) && others().all(|other| !fits(&secret, &shown, other))
        });
        // What the Python clients sign is for the most part what is documented; the documented one has other clients.
        assert!(
            alone || rendering == ClientDialect::Documented,
            "{rendering:?}"
        );
    }
}

#[test]
fn the_documented_rendering_is_that_of_the_vectors() {
    #[derive(Deserialize)]
    struct Vectors {
        vectors: Vec<Vector>,
    }
    #[derive(Deserialize)]
    struct Vector {
        name: String,
        params_json: Option<String>,
        params_string: Option<String>,
        unanimous: bool,
        proxy: String,
    }
    let file: Vectors = serde_json::from_str(catalogue::SIGNING_VECTORS).unwrap();
    let unanimous: Vec<_> = file
        .vectors
        .into_iter()
        .filter(|vector| vector.unanimous && vector.proxy.starts_with("sign"))
        .collect();
    assert!(unanimous.len() >= 30, "{}", unanimous.len());
    for Vector {
        name,
        params_json,
        params_string,
        ..
    } in unanimous
    {
        let rendered = params_json.map_or(Some(String::new()), |params| render(&params)[0].clone());
        assert_eq!(rendered, params_string, "{name}");
    }
}

#[test]
fn booleans_nulls_and_nested_values_tell_the_renderings_apart() {
    let texts = |params| render(params).map(Option::unwrap);
    assert_eq!(
        texts(r#"{"b":"2","a":true}"#),
        ["atrueb2", "aTrueb2", "aTrueb2"]
    );
    assert_eq!(texts(r#"{"a":null}"#), ["anull", "anull", "aNone"]);
    assert_eq!(
        texts(r#"{"a":{"z":"1","b":[null]}}"#),
        [
            "abnullz1",
            "a{'z': '1', 'b': [None]}",
            "a{'z': '1', 'b': [None]}"
        ]
    );
}

#[test]
fn what_readers_disagree_about_and_what_is_too_deep_is_rendered_by_none() {
    assert_eq!(render(r#"{"a":1,"\u0061":2}"#), [None, None, None]);
    assert_eq!(render(r#"{"a":"\ud800"}"#), [None, None, None]);
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(render(&deep), [None, None, None]);
}

#[test]
fn params_are_plausible_up_to_a_depth_and_a_number_of_values_and_texts_count_as_one() {
    let plausible = |params: &str| {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        is_plausible(&raw)
    };
    let deep = |levels| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let many = |values| format!(r#"{{"a":[{}1]}}"#, "1,".repeat(values));
    assert!(plausible("{}") && plausible(&deep(7)) && !plausible(&deep(8)));
    assert!(plausible(&many(1000)) && !plausible(&many(1024)));
    let text = r#"[{,\"]\\"#.repeat(2000);
    assert!(plausible(&format!(r#"{{"a":"{text}"}}"#)));
    assert!(!plausible(&format!(
        r#"{{"a":"\\","b":[{}1]}}"#,
        "1,".repeat(1024)
    )));
}
