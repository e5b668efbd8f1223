//! Nothing that can be printed holds a part of a credential, wherever it was pasted.

use super::*;

/// Everything a load can print.
fn everything(case: &Case) -> String {
    let examined = examine(&case.sources());
    let lines: Vec<String> = examined.config.iter().flat_map(Config::startup_warnings).collect();
    let short: Vec<_> = examined.config.iter().flat_map(Config::ready_warnings).collect();
    format!("{examined:?}\n{}\n{lines:?}\n{short:?}", examined.problems)
}

fn assert_clean(case: &Case) {
    let text = everything(case);
    for secret in [KEY, SECRET, TOKEN] {
        let chars: Vec<char> = secret.chars().collect();
        for part in chars.windows(8).map(|part| part.iter().collect::<String>()) {
            assert!(!text.contains(&part), "{part} in {text}");
        }
    }
}

#[test]
fn where_everything_is_right() {
    assert_clean(&Case::good());
}

#[test]
fn where_values_are_dirty_swapped_or_halved() {
    for case in [
        Case::good().env("CRYPTO_API_KEY", &format!("\"{KEY}\" ")),
        Case::good().env("CRYPTO_API_KEY", &format!("{KEY} {SECRET}")),
        Case::good().env("CRYPTO_API_KEY", SECRET).env("CRYPTO_API_SECRET", KEY),
        Case::good().env("CRYPTO_API_SECRET", ""),
        Case::good().env("CRYPTOCOM_API_KEY", TOKEN).env("CRYPTOCOM_API_SECRET", KEY),
        Case::good().env("CRYPTO_PROXY_LISTEN", "0.0.0.0:1").env("CRYPTO_PROXY_TOKEN", &TOKEN[..12]),
    ] {
        assert_clean(&case);
    }
}

#[test]
fn where_a_secret_was_pasted_into_a_setting() {
    for key in
        ["CRYPTO_REST_BASE", "CRYPTO_PROXY_LISTEN", "CRYPTO_EXPECTED_IP", "CRYPTO_AUTH_DIAG", "CRYPTO_API_KEY_LABEL"]
    {
        for secret in [KEY, SECRET, TOKEN] {
            assert_clean(&Case::good().env(key, secret));
            assert_clean(&Case::good().env(key, &format!("https://{secret}.example")));
        }
    }
    for toml in [
        format!("[policy]\nallow_methods = [\"private/{}\"]", KEY.to_lowercase()),
        format!("[log]\nlevel = \"{SECRET}\""),
        format!("{SECRET} = 1"),
        format!("CRYPTO_API_SECRET = \"{SECRET}\""),
        format!("CRYPTO_API_SECRET = {SECRET}"),
        format!("[egress]\nservices = [\"http://{TOKEN}.example\"]"),
    ] {
        assert_clean(&Case::good().toml(&toml));
    }
}

#[test]
fn where_an_environment_file_is_broken() {
    for text in [
        format!("{SECRET}\n"),
        format!("export CRYPTO_API_SECRET={SECRET}\n"),
        format!("CRYPTO_API_SECRET=\"{SECRET}\n"),
        format!("{SECRET}==\n{KEY}=\n{KEY}=\n"),
        format!("CRYPTO_API_KEY={KEY}\nCRYPTO_API_KEY={TOKEN}\n"),
    ] {
        assert_clean(&Case::good().env_file("x.env", &text));
    }
}
