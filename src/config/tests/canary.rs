//! Nothing that can be printed holds a part of a credential, wherever it was pasted.

use super::*;

/// Everything a load can print.
fn everything(case: &Case) -> String {
    let inspection = inspect(&case.sources());
    let lines: Vec<String> = inspection
        .config
        .iter()
        .flat_map(Config::startup_warnings)
        .collect();
    let short: Vec<_> = inspection
        .config
        .iter()
        .flat_map(|config| config.standing_warnings.clone())
        .collect();
    format!(
        "{inspection:?}\n{}\n{lines:?}\n{short:?}",
        inspection.problems
    )
}

/// Secrets that no credential variable holds, so that only their looks give them away.
const UNCONFIGURED: [&str; 3] = [
    "cxakp_Tn8-invented-one-Vq",
    "Hj4wQz8LmN2pRt6VxB9c",
    "5f0e1d2c3b4a59687786a5b4c3d2e1f05f0e1d2c3b4a59687786a5b4c3d2e1f0",
];

fn assert_clean(case: &Case) {
    let text = everything(case).to_lowercase();
    for secret in [KEY, SECRET, TOKEN].into_iter().chain(UNCONFIGURED) {
        let chars: Vec<char> = secret.to_lowercase().chars().collect();
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
        Case::good()
            .env("CRYPTO_API_KEY", SECRET)
            .env("CRYPTO_API_SECRET", KEY),
        Case::good().env("CRYPTO_API_SECRET", ""),
        Case::good()
            .env("CRYPTOCOM_API_KEY", TOKEN)
            .env("CRYPTOCOM_API_SECRET", KEY),
        Case::good()
            .env("CRYPTO_PROXY_LISTEN", "0.0.0.0:1")
            .env("CRYPTO_PROXY_TOKEN", &TOKEN[..12]),
    ] {
        assert_clean(&case);
    }
}

#[test]
fn where_a_secret_was_pasted_into_a_setting() {
    for key in [
        "CRYPTO_REST_BASE",
        "CRYPTO_PROXY_LISTEN",
        "CRYPTO_EXPECTED_IP",
        "CRYPTO_AUTH_DIAG",
        "CRYPTO_API_KEY_LABEL",
    ] {
        for secret in [KEY, SECRET, TOKEN].into_iter().chain(UNCONFIGURED) {
            assert_clean(&Case::good().env(key, secret));
            assert_clean(&Case::good().env(key, &format!("https://{secret}.example")));
        }
    }
    for toml in [
        format!(
            "[policy]\nallow_methods = [\"private/{}\"]",
            KEY.to_lowercase()
        ),
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
fn where_a_secret_is_the_name_of_a_variable_or_of_a_file() {
    for secret in [KEY, SECRET, TOKEN].into_iter().chain(UNCONFIGURED) {
        let names = [
            "CRYPTO_PROXY__",
            "CRYPTO_PROXY_",
            "CRYPTO_PROXY__LOG__",
            "CRYPTO_PROXY__LOG_",
        ];
        for name in names.map(|begin| format!("{begin}{secret}")) {
            let case = Case::good().env(&name, "1");
            assert_clean(&case);
            assert_clean(&case.env_file("x.env", &format!("{name}=1\n")));
        }
        let case = Case::good()
            .env("CRYPTO_PROXY__LOG_X", "1")
            .env(&format!("CRYPTO_PROXY__{secret}"), "1");
        assert!(
            case.problems().to_string().contains("CRYPTO_PROXY__LOG_X"),
            "only what shows a secret is withheld"
        );
        assert_clean(&Case::good().env("CRYPTO_PROXY_CONFIG", secret));
        assert_clean(
            &Case::good().env("CRYPTO_PROXY_CONFIG", &format!("/etc/{secret}/config.toml")),
        );
        assert_clean(&Case::good().env("CREDENTIALS_DIRECTORY", secret));
        assert_clean(&Case::good().env_file(
            secret,
            &format!("{secret}=\nCRYPTO_PROXY_LISTEN={secret}\n"),
        ));
    }
}

#[test]
fn where_a_secret_that_no_variable_holds_was_pasted_into_the_configuration_file() {
    for secret in UNCONFIGURED {
        for toml in [
            format!(
                "[policy]\nallow_methods = [\"private/{}\"]",
                secret.to_lowercase()
            ),
            format!("[log]\nlevel = \"{secret}\""),
            format!("{secret} = 1"),
            format!("[{secret}]\na = 1"),
            format!("allowed_hosts = [\"{secret}\"]"),
            format!("api_secret = {secret}"),
            format!("[upstream]\nbase_url = \"http://127.0.0.1:1/{secret}\""),
        ] {
            assert_clean(&Case::good().toml(&toml));
        }
    }
}

#[test]
fn where_a_secret_is_the_keys_label_it_is_no_label() {
    for secret in [KEY, SECRET, TOKEN].into_iter().chain(UNCONFIGURED) {
        let case = Case::good().env("CRYPTO_API_KEY_LABEL", &format!("desk {secret}"));
        assert_eq!(
            case.load().key_label.as_deref(),
            Some("(withheld: would show a part of a credential)")
        );
        assert_clean(&case);
    }
    let config = Case::good()
        .env("CRYPTO_API_KEY_LABEL", "Desk 2026 Production")
        .load();
    assert_eq!(config.key_label.as_deref(), Some("Desk 2026 Production"));
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

/// Values that hold public words: what an open quote runs into, a shell's placeholder that nobody filled in, and a token
/// that is made of this program's name.
#[test]
fn names_of_variables_and_of_this_program_are_no_secrets_whatever_a_value_holds() {
    let token = format!("CRYPTO_PROXY_TOKEN={TOKEN}\n");
    let rows = [
        (
            format!("CRYPTO_API_KEY=\"{KEY}\nCRYPTO_API_SECRET={SECRET}\n"),
            "CRYPTO_API_SECRET",
        ),
        (
            format!("CRYPTO_API_KEY=\"{KEY}\"\nCRYPTO_API_SECRET='{SECRET}\n{token}"),
            "CRYPTO_PROXY_TOKEN",
        ),
        (
            format!("CRYPTO_API_KEY=${{CRYPTO_API_KEY}}\n{token}"),
            "CRYPTO_API_SECRET",
        ),
        (
            format!("CRYPTO_API_KEY=${{CRYPTO_API_KEY:?put it into /etc/crypto.env}}\n{token}"),
            "CRYPTO_API_SECRET",
        ),
        (
            format!("CRYPTO_PROXY_TOKEN=crypto-proxy-{TOKEN}\n"),
            "systemctl restart crypto-proxy",
        ),
        (
            format!("CRYPTO_API_SECRET=CRYPTO_API_SECRET\n{token}"),
            "CRYPTO_API_KEY",
        ),
    ];
    each(rows, |(text, missing)| {
        let case = Case::empty().env_file("x.env", &text);
        assert_clean(&case);
        let text = case.problems().to_string();
        assert!(
            text.contains(missing) && !text.contains("(withheld"),
            "{text}"
        );
    });
}

/// Its words are public, and the whole of it is a secret all the same.
#[test]
fn where_a_token_is_made_of_public_words_it_is_not_shown_whole() {
    let token = "crypto-proxy-CRYPTO_PROXY_TOKEN-1";
    let case = Case::good()
        .env("CRYPTO_PROXY_TOKEN", token)
        .toml(&format!("[log]\nlevel = \"{token}\""));
    let text = everything(&case);
    assert!(
        !text.contains(token) && text.contains("log.level"),
        "{text}"
    );
}
