//! Pairs, tokens, and what copying does to them.

use super::*;
use gateway::access::{Arrival, Peer};

const HERE: Arrival<'static> = Arrival {
    source: &Peer::Unix { uid: None },
    now_ms: 0,
};

const OTHER_KEY: &str = "Vb2invented-other-1234";
const OTHER_SECRET: &str = "cxakp_Tn8invented-other-secret-text";

fn without_pair() -> Case {
    Case::empty().env("CRYPTO_PROXY_TOKEN", TOKEN)
}

fn fingerprint(config: &Config) -> String {
    config.credentials.key.fingerprint()
}

fn fingerprint_of(key: &str) -> String {
    gateway::secret::ApiKey::new(key.to_owned()).fingerprint()
}

#[test]
fn every_alias_gives_a_pair_and_the_report_says_which() {
    each(names::PAIRS, |(key, secret)| {
        let config = without_pair().env(key, KEY).env(secret, SECRET).load();
        assert_eq!(fingerprint(&config), fingerprint_of(KEY), "{key}");
        let row = &config.report.credentials[0];
        assert_eq!(
            (row.key.as_str(), row.source.to_string()),
            (key, format!("variable {key}"))
        );
        let shown = format!(
            "present, 20 characters, not published, fingerprint {}",
            fingerprint_of(KEY)
        );
        assert_eq!(row.shown, shown);
        assert_eq!(
            config.report.credentials[1].shown,
            "present, 39 characters, not published"
        );
    });
}

#[test]
fn the_first_complete_pair_wins_and_halves_are_never_mixed() {
    let half = without_pair().env("CRYPTO_API_KEY", OTHER_KEY);
    let case = half
        .env("CRYPTO_COM_API_KEY", KEY)
        .env("CRYPTO_COM_API_SECRET", SECRET);
    assert_eq!(fingerprint(&case.load()), fingerprint_of(KEY));
    case.warns_of(&[
        "CRYPTO_API_KEY",
        "incomplete pair",
        "CRYPTO_API_SECRET is not set",
    ]);
    let mixed = without_pair()
        .env("CRYPTO_API_KEY", KEY)
        .env("CRYPTO_COM_API_SECRET", SECRET);
    assert_eq!(mixed.problems().errors().count(), 2);
}

#[test]
fn halves_in_two_sources_are_no_pair() {
    let case = without_pair()
        .env("CRYPTO_API_KEY", KEY)
        .env_file("x.env", &format!("CRYPTO_API_SECRET={SECRET}\n"));
    let text = case.problems().to_string();
    assert!(
        text.contains("CRYPTO_API_KEY is set without CRYPTO_API_SECRET"),
        "{text}"
    );
    assert!(
        text.contains("CRYPTO_API_SECRET is set without CRYPTO_API_KEY"),
        "{text}"
    );
}

#[test]
fn a_second_pair_that_differs_is_said_and_one_that_is_the_same_is_not() {
    let same = Case::good()
        .env("CRYPTOCOM_API_KEY", KEY)
        .env("CRYPTOCOM_API_SECRET", SECRET);
    assert!(same.load().warnings.is_empty());
    let other = same.env("CRYPTOCOM_API_SECRET", OTHER_SECRET);
    other.warns_of(&[
        "CRYPTOCOM_API_KEY, CRYPTOCOM_API_SECRET",
        "differs from the pair in use: CRYPTO_API_KEY",
    ]);
    assert_eq!(
        other.load().standing_warnings,
        ["a second pair of credentials is configured, and differs"]
    );
}

#[test]
fn sources_come_in_order_credentials_files_environment() {
    let pair = |key: &str| format!("CRYPTO_API_KEY={key}\nCRYPTO_API_SECRET={SECRET}\n");
    let case = Case::good().env("CRYPTO_API_KEY", "Aa1invented-in-env-x");
    assert_eq!(
        fingerprint(&case.load()),
        fingerprint_of("Aa1invented-in-env-x")
    );
    let case = case.env_file("x.env", &pair("Bb2invented-in-file-x"));
    assert_eq!(
        fingerprint(&case.load()),
        fingerprint_of("Bb2invented-in-file-x")
    );
    let case = case
        .credential("crypto_api_key", "Cc3invented-single-x\n")
        .credential("CRYPTO_API_SECRET", SECRET);
    assert_eq!(
        fingerprint(&case.load()),
        fingerprint_of("Cc3invented-single-x")
    );
    let case = case.credential("crypto.env", &pair("Dd4invented-first-xx"));
    assert_eq!(
        fingerprint(&case.load()),
        fingerprint_of("Dd4invented-first-xx")
    );
}

#[test]
fn one_new_line_at_the_end_of_a_single_file_is_no_dirt() {
    let case = without_pair().credential("CRYPTO_API_KEY", &format!("{KEY}\n"));
    let case = case.credential("CRYPTO_API_SECRET", &format!("{SECRET}\n"));
    assert!(case.load().warnings.is_empty());
}

#[test]
fn missing_half_and_empty_credentials_are_told_apart() {
    without_pair().fails_with(&[
        "CRYPTO_API_KEY, CRYPTO_API_SECRET",
        "not configured",
        "systemctl restart",
    ]);
    without_pair()
        .env("CRYPTO_API_KEY", "")
        .fails_with(&["variable CRYPTO_API_KEY", "the value is empty"]);
    without_pair().env("CRYPTO_API_KEY", KEY).fails_with(&[
        "CRYPTO_API_SECRET",
        "incomplete pair",
        "set CRYPTO_API_SECRET",
    ]);
    let without_token = Case::empty()
        .env("CRYPTO_API_KEY", KEY)
        .env("CRYPTO_API_SECRET", SECRET);
    without_token.fails_with(&["CRYPTO_PROXY_TOKEN", "not configured", "openssl rand"]);
}

#[test]
fn copied_dirt_is_taken_off_with_a_warning_that_shows_lengths_only() {
    let case = Case::good().env("CRYPTO_API_SECRET", &format!(" \u{feff}\"{SECRET}\"\r"));
    case.warns_of(&["CRYPTO_API_SECRET", "removed: 44 characters, 39 without"]);
    assert!(
        case.load()
            .credentials
            .secret
            .equals(&Case::good().load().credentials.secret)
    );
    Case::good()
        .env("CRYPTO_API_SECRET", "invented secret text")
        .fails_with(&["CRYPTO_API_SECRET", "white space inside"]);
}

#[test]
fn suspicious_pairs_are_said() {
    let pair = |key: &str, secret: &str| {
        Case::good()
            .env("CRYPTO_API_KEY", key)
            .env("CRYPTO_API_SECRET", secret)
    };
    pair(SECRET, KEY).warns_of(&["CRYPTO_API_KEY", "is the secret in the key's place?"]);
    pair("Kq7invented-key-much-longer-than-it", "Zr5invented-secret")
        .warns_of(&["are they swapped?"]);
    pair("invent12", SECRET).warns_of(&["CRYPTO_API_KEY", "suspiciously short: 8 characters"]);
    pair("invent1", SECRET).fails_with(&["CRYPTO_API_KEY", "too short: 7 characters"]);
    pair(SECRET, SECRET).fails_with(&["same text"]);
}

#[test]
fn a_short_token_is_refused_wherever_we_listen() {
    let names = ["CRYPTO_PROXY_TOKEN", "CRYPTO_PROXY_DIAG_TOKEN"];
    let listen = ["127.0.0.1:1", "unix:/run/invented", "0.0.0.0:1"];
    let tokens = [
        ("x", "1 characters"),
        ("invented-15-byt", "15 characters"),
        // What copying added does not count.
        (" \"invented-15-byt\"\r", "15 characters"),
    ];
    each(names, |name| {
        for (token, length) in tokens {
            for listen in listen {
                let case = Case::good().env("CRYPTO_PROXY_LISTEN", listen);
                let said = format!("too short: {length}, 16 at least");
                case.env(name, token)
                    .fails_with(&[name, &said, "openssl rand -hex 32"]);
            }
        }
        let long = Case::good().env(name, "invented-16-byte").load();
        assert!(long.warnings.is_empty(), "{:?}", long.warnings);
    });
}

#[test]
fn a_token_is_no_number() {
    let config = Case::good()
        .env("CRYPTO_PROXY_TOKEN", "0070000000000000")
        .load();
    assert!(config.callers.authenticate(b"0070000000000000").is_some());
    assert!(config.callers.authenticate(b"70000000000000").is_none());
}

/// Examines a case against a list on which this key, secret and token stand.
fn against_a_list(case: &Case) -> Inspection {
    let digest = |text: &str| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text));
    let list = serde_json::json!({
        "api_keys": [digest(KEY)], "api_secrets": [digest(SECRET)], "proxy_tokens": [digest(TOKEN)],
    });
    inspect_with(&Published::read(&list.to_string()), &case.sources())
}

#[test]
fn published_credentials_are_refused_on_the_real_exchange() {
    let inspection = against_a_list(&Case::good());
    assert!(inspection.config.is_none());
    let errors: Vec<_> = inspection
        .problems
        .errors()
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(
        errors[0].contains("CRYPTO_API_KEY") && errors[0].contains("was published"),
        "{errors:#?}"
    );
    assert!(
        errors[1].contains("CRYPTO_API_SECRET") && errors[1].contains("revoke"),
        "{errors:#?}"
    );
}

#[test]
fn published_credentials_are_a_warning_beside_a_stand_in() {
    let inspection = against_a_list(&Case::good().env("CRYPTO_REST_BASE", "http://127.0.0.1:1/x"));
    let config = inspection.config.unwrap();
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
    assert!(
        config
            .report
            .credentials
            .iter()
            .all(|row| row.shown.contains("PUBLISHED"))
    );
}

#[test]
fn a_published_token_is_refused_beyond_loopback_and_loud_elsewhere() {
    let case = Case::good().env("CRYPTO_REST_BASE", "http://127.0.0.1:1/x");
    let config = against_a_list(&case).config.unwrap();
    assert!(
        config
            .standing_warnings
            .contains(&"the proxy token was published; replace it".to_owned())
    );
    let beyond = against_a_list(&case.env("CRYPTO_PROXY_LISTEN", "0.0.0.0:1"));
    let errors: Vec<_> = beyond.problems.errors().map(ToString::to_string).collect();
    assert!(
        matches!(&errors[..], [error] if error.contains("beyond this machine")),
        "{errors:#?}"
    );
}

#[test]
fn a_token_must_not_be_a_credential_of_the_exchange() {
    each([KEY, SECRET], |value| {
        Case::good()
            .env("CRYPTO_PROXY_TOKEN", value)
            .fails_with(&["CRYPTO_PROXY_TOKEN", "callers must not have"]);
    });
}

#[test]
fn credentials_that_cannot_be_used_are_in_the_report_all_the_same() {
    let case = Case::good()
        .env("CRYPTO_PROXY_TOKEN", "short-invented")
        .env("CRYPTO_PROXY_LISTEN", "0.0.0.0:1");
    let inspection = inspect(&case.env("CRYPTO_API_KEY", "invent1").sources());
    let shown: Vec<_> = inspection
        .report
        .credentials
        .iter()
        .map(|row| row.shown.as_str())
        .collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(
        shown[0].starts_with("present, 7 characters")
            && shown[2].starts_with("present, 14 characters"),
        "{shown:?}"
    );
    assert!(inspection.config.is_none());
}

const DIAG: &str = "Hx4invented-diagnosis-token-text";

fn with_diagnosis(token: &str) -> Case {
    Case::good().env("CRYPTO_PROXY_DIAG_TOKEN", token)
}

#[test]
fn a_token_of_the_diagnosis_is_optional_and_opens_nothing_else() {
    assert!(!Case::good().load().callers.has_diagnosing());
    assert!(!with_diagnosis(" ").load().callers.has_diagnosing());
    let config = with_diagnosis(&format!(" '{DIAG}'\r")).load();
    assert_eq!(
        config
            .callers
            .authenticate_diagnosing(DIAG.as_bytes(), HERE)
            .as_deref(),
        Some(OPERATOR)
    );
    assert!(config.callers.authenticate(DIAG.as_bytes()).is_none());
    assert!(
        config
            .callers
            .authenticate_diagnosing(TOKEN.as_bytes(), HERE)
            .is_none()
    );
    let row = config
        .report
        .credentials
        .iter()
        .find(|row| row.key == "CRYPTO_PROXY_DIAG_TOKEN")
        .unwrap();
    assert_eq!(row.shown, "present, 32 characters, not published");
    assert!(
        config.pair.flaws.is_empty(),
        "what is wrong with a token is not about the pair: {:?}",
        config.pair.flaws
    );
    let read = Case::good()
        .credential("crypto_proxy_diag_token", DIAG)
        .load();
    assert!(
        read.callers.has_diagnosing(),
        "from the unit's credentials as well"
    );
}

#[test]
fn a_token_of_the_diagnosis_is_neither_the_callers_nor_a_part_of_the_pair() {
    let quoted = format!("\"{TOKEN}\"");
    let rows = [
        (TOKEN, "the same as CRYPTO_PROXY_TOKEN"),
        (&quoted, "the same as"),
        (KEY, "API key or secret"),
        (SECRET, "API key or secret"),
    ];
    each(rows, |(token, said)| {
        with_diagnosis(token).fails_with(&["CRYPTO_PROXY_DIAG_TOKEN", said])
    });
}

#[test]
fn a_published_token_of_the_diagnosis_is_said() {
    let sources = with_diagnosis("invented-and-listed").sources();
    let published = format!(
        r#"{{"proxy_tokens":["{}"],"api_keys":[],"api_secrets":[]}}"#,
        hex::encode(<sha2::Sha256 as sha2::Digest>::digest(
            "invented-and-listed"
        ))
    );
    let inspection = inspect_with(&Published::read(&published), &sources);
    assert!(
        inspection
            .problems
            .to_string()
            .contains("CRYPTO_PROXY_DIAG_TOKEN"),
        "{}",
        inspection.problems
    );
    assert!(
        inspection.problems.to_string().contains("was published"),
        "{}",
        inspection.problems
    );
}

#[test]
fn what_the_daemon_is_asked_with_is_found_and_never_printed() {
    let sources = with_diagnosis(DIAG)
        .env(
            "CRYPTO_PROXY_LISTEN",
            "unix:/run/invented.sock,127.0.0.1:9001",
        )
        .sources();
    let endpoint = inspect(&sources).endpoint;
    assert_eq!(endpoint.listen.len(), 2);
    assert_eq!(endpoint.token.as_ref().unwrap().header().unwrap(), DIAG);
    assert!(
        !format!(
            "{endpoint:?} {:?}",
            endpoint.token.as_ref().unwrap().header()
        )
        .contains("invented-diagnosis")
    );
}
