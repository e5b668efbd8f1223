//! Files, variables, and names that are nearly right.

use super::*;

#[test]
fn a_named_file_must_be_there_and_the_usual_one_need_not() {
    let mut case = Case::good();
    case.load();
    case.toml = true;
    case.fails_with(&["config.toml", "there is no such file"]);
    Case::good()
        .env("CRYPTO_PROXY_CONFIG", "/nonexistent/x.toml")
        .fails_with(&["/nonexistent/x.toml"]);
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_and_never_defaults() {
    Case::good()
        .toml("listen = [\n\"127.0.0.1:1\"\ndeadline")
        .fails_with(&["config.toml:3:", "is not TOML"]);
    let folder = Case::good().file("config.toml/x", "", 0o644);
    let named = Case {
        toml: true,
        ..folder
    };
    named.fails_with(&["config.toml", "cannot be read"]);
    let case = Case::good();
    fs::write(case.folder.path().join("config.toml"), b"# \n\xff").unwrap();
    Case { toml: true, ..case }.fails_with(&["line 2 is not UTF-8"]);
}

#[test]
fn unknown_keys_are_errors_with_the_nearest_name() {
    let rows = [
        (
            "listn = [\"127.0.0.1:1\"]",
            ["config.toml:1:1", "did you mean listen?"],
        ),
        (
            "[calls]\n\ndeadlin_ms = 1",
            ["config.toml:3:1", "did you mean calls.deadline_ms?"],
        ),
        (
            "[upstrem]\nbase_url = \"x\"",
            ["config.toml:1:2", "did you mean upstream?"],
        ),
        (
            "max_in_flight = 3",
            ["config.toml:1:1", "did you mean calls.max_in_flight?"],
        ),
        ("calls = 5", ["calls", "no setting of this name"]),
        ("[xyzzy]\na = 1", ["xyzzy", "remove it"]),
    ];
    each(rows, |(toml, parts)| {
        Case::good().toml(toml).fails_with(&parts);
    });
}

#[test]
fn secrets_have_no_place_in_the_configuration_file() {
    let rows = [
        "CRYPTO_API_KEY",
        "crypto_api_secret",
        "CRYPTO_PROXY_TOKEN",
        "api_secret",
        "token",
    ];
    each(rows, |key| {
        let case = Case::good().toml(&format!("{key} = \"invented-value-in-toml\""));
        case.fails_with(&["secrets do not belong", "/etc/crypto.env"]);
        assert!(!case.problems().to_string().contains("invented-value"));
    });
    Case::good()
        .toml("[upstream]\napi_key = \"x\"")
        .fails_with(&["secrets do not belong"]);
}

#[test]
fn misspelt_variables_are_loud() {
    let set = |name| Case::good().env(name, "x");
    let rows = [
        ("CRYPTO_PROXY_TOKKEN", "did you mean CRYPTO_PROXY_TOKEN?"),
        (
            "CRYPTO_PROXY__CALLS__DEADLINE",
            "did you mean CRYPTO_PROXY__CALLS__DEADLINE_MS?",
        ),
    ];
    each(rows, |(name, said)| set(name).fails_with(&[name, said]));
    let rows = [
        ("CRYPTO_PROXY_SERVER_HOST", "no setting"),
        ("CRYPTO_API_SECRTE", "did you mean CRYPTO_API_SECRET?"),
        ("CRYPTO_EXPECTED_IPS", "did you mean CRYPTO_EXPECTED_IP?"),
    ];
    each(rows, |(name, said)| set(name).warns_of(&[name, said]));
}

#[test]
fn the_backends_own_variables_and_strangers_are_passed_over() {
    let case = Case::good()
        .env("CRYPTO_PROXY_URL", "http://127.0.0.1:9000")
        .env("USE_CRYPTO_PROXY", "true");
    let case = case
        .env("HTTP_PROXY", "http://x")
        .env("SSL_CERT_FILE", "/x")
        .env("RUST_LOG", "trace");
    assert_eq!(case.load().startup_warnings(), Vec::<String>::new());
}

#[test]
fn earlier_sources_win_over_later_ones() {
    let case = Case::good().env("CRYPTO_PROXY_LISTEN", "127.0.0.1:1");
    let case = case
        .env_file("a.env", "CRYPTO_PROXY_LISTEN=127.0.0.1:2\n")
        .env_file("b.env", "CRYPTO_PROXY_LISTEN=127.0.0.1:3");
    assert_eq!(
        case.load().server.listen,
        [Address::Tcp("127.0.0.1:2".parse().unwrap())]
    );
    let case = case.credential("crypto.env", "\nCRYPTO_PROXY_LISTEN='127.0.0.1:4'\n");
    let config = case.load();
    assert_eq!(
        config.server.listen,
        [Address::Tcp("127.0.0.1:4".parse().unwrap())]
    );
    let row = config
        .report
        .settings
        .iter()
        .find(|row| row.key == "listen")
        .unwrap();
    assert!(
        row.source
            .to_string()
            .ends_with("credentials/crypto.env:2 CRYPTO_PROXY_LISTEN"),
        "{}",
        row.source
    );
}

#[test]
fn an_environment_file_that_cannot_be_read_is_never_called_not_configured() {
    let case = Case {
        env_files: vec!["/nonexistent/crypto.env".into()],
        ..Case::empty()
    };
    case.fails_with(&["/nonexistent/crypto.env", "there is no such file"]);
    assert!(!case.problems().to_string().contains("not configured"));
}

#[test]
fn findings_of_environment_files_are_warnings_by_line() {
    let text = format!(
        "# x\nexport CRYPTO_PROXY_LISTEN=127.0.0.1:1\nnonsense\nCRYPTO_API_KEY={KEY}\r\nCRYPTO_API_SECRET=\"{SECRET}\"\n\
                        CRYPTO_PROXY_TOKEN=first-invented-token\nCRYPTO_PROXY_TOKEN={TOKEN}\n"
    );
    let case = Case::empty().env_file("crypto.env", &text);
    let rows = [
        [
            "crypto.env:2)",
            "systemd ignores lines that begin with export",
        ],
        ["crypto.env:3)", "no NAME=value"],
        ["crypto.env:4)", "carriage returns"],
        ["CRYPTO_PROXY_TOKEN", "crypto.env:6): set again"],
    ];
    each(rows, |parts| {
        case.warns_of(&parts);
    });
    let config = case.load();
    let secret = config
        .report
        .credentials
        .iter()
        .find(|row| row.key == "CRYPTO_API_SECRET")
        .unwrap();
    assert!(
        secret.shown.contains("quotes removed by systemd"),
        "{}",
        secret.shown
    );
    assert!(
        secret
            .source
            .to_string()
            .ends_with("crypto.env:5 CRYPTO_API_SECRET")
    );
    assert!(config.callers.authenticate(TOKEN.as_bytes()).is_some());
}

#[test]
fn a_byte_order_mark_before_a_variable_of_ours_is_an_error_where_systemd_reads_the_file() {
    let pair = format!("CRYPTO_API_KEY={KEY}\nCRYPTO_API_SECRET={SECRET}\n");
    let text = format!("\u{feff}CRYPTO_PROXY_TOKEN={TOKEN}\n{pair}");
    let case = Case::empty().env_file("crypto.env", &text);
    case.fails_with(&[
        "CRYPTO_PROXY_TOKEN",
        "crypto.env:1)",
        "systemd ignores this line",
        "sed -i",
    ]);
    // The daemon's own parser is not bothered.
    let case = Case::empty().credential("crypto.env", &text);
    case.warns_of(&["crypto.env:1)", "begins with a byte order mark"]);
    // Neither is systemd where the mark hides nothing that the daemon listens to.
    for first in [
        "# a comment",
        "",
        "CRYPTO_PROXY_URL=http://127.0.0.1:9000",
        "PATH=/bin",
        "CRYPTO_PROXY_TOKEN=",
    ] {
        let text = format!("\u{feff}{first}\n{pair}CRYPTO_PROXY_TOKEN={TOKEN}\n");
        Case::empty()
            .env_file("crypto.env", &text)
            .warns_of(&["begins with a byte order mark"]);
    }
}

#[test]
fn readable_by_others_is_a_warning_for_plain_files_only() {
    let text =
        format!("CRYPTO_API_KEY={KEY}\nCRYPTO_API_SECRET={SECRET}\nCRYPTO_PROXY_TOKEN={TOKEN}\n");
    let path = |case: &Case| case.folder.path().join("crypto.env");
    each(
        [(0o640, "its group"), (0o644, "every user")],
        |(mode, who)| {
            let case = Case::empty()
                .env_file("crypto.env", &text)
                .file("crypto.env", &text, mode);
            case.warns_of(&[path(&case).to_str().unwrap(), who, "chmod 600"]);
        },
    );
    assert!(
        Case::empty()
            .env_file("crypto.env", &text)
            .load()
            .warnings
            .is_empty()
    );
    assert!(
        Case::empty()
            .credential("crypto.env", &text)
            .load()
            .warnings
            .is_empty()
    );
}

#[test]
fn root_is_told_of_a_usual_file_that_the_daemons_own_user_cannot_read() {
    let open = fs::Permissions::from_mode(0o755);
    let warnings = |run_as, mode, named: bool| {
        let case = Case::good().file("conf/config.toml", "", mode);
        fs::set_permissions(case.folder.path(), open.clone()).unwrap();
        let file = case.folder.path().join("conf/config.toml");
        let config_file = named.then(|| case.folder.path().join("conf/../conf/config.toml"));
        let sources = Sources {
            run_as,
            config_file,
            default_config_file: file,
            ..case.sources()
        };
        load(&sources).unwrap().startup_warnings()
    };
    for mode in [0o600, 0o640] {
        let [warning] = warnings(RunAs::Root, mode, false).try_into().unwrap();
        let said = format!("conf/config.toml has mode {mode:04o}");
        assert!(
            warning.contains(&said) && warning.contains("chmod o+r"),
            "{warning}"
        );
    }
    assert_eq!(warnings(RunAs::Root, 0o644, false), Vec::<String>::new());
    assert_eq!(
        warnings(RunAs::Root, 0o600, true),
        Vec::<String>::new(),
        "a named file is not the unit's"
    );
    assert_eq!(warnings(RunAs::Daemon, 0o600, false), Vec::<String>::new());
    let case = Case::good().file("conf/config.toml", "", 0o644);
    fs::set_permissions(case.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let default_config_file = case.folder.path().join("conf/config.toml");
    let sources = Sources {
        run_as: RunAs::Root,
        default_config_file,
        ..case.sources()
    };
    let [warning] = load(&sources)
        .unwrap()
        .startup_warnings()
        .try_into()
        .unwrap();
    assert!(
        warning.contains("has mode 0700") && warning.contains("chmod o+x"),
        "{warning}"
    );
}

#[test]
fn the_units_file_is_read_by_default_and_may_be_absent_where_the_variables_are() {
    let absent = |case: Case| Sources {
        default_env_file: Some(case.folder.path().join("crypto.env")),
        ..case.sources()
    };
    let problems = load(&absent(Case::empty())).unwrap_err().to_string();
    assert!(
        problems.contains("crypto.env): there is no such file"),
        "{problems}"
    );
    assert!(!problems.contains("not configured"), "{problems}");
    let config = load(&absent(Case::good())).unwrap();
    assert!(config.startup_warnings()[0].contains("the variables of this process alone"));
    let text =
        format!("CRYPTO_API_KEY={KEY}\nCRYPTO_API_SECRET={SECRET}\nCRYPTO_PROXY_TOKEN={TOKEN}\n");
    let case = Case::empty().file("crypto.env", &text, 0o600);
    let sources = Sources {
        default_env_file: Some(case.folder.path().join("crypto.env")),
        ..case.sources()
    };
    load(&sources).unwrap();
}

#[test]
fn a_credentials_directory_that_is_not_there_is_an_error() {
    Case::good()
        .env("CREDENTIALS_DIRECTORY", "/nonexistent/x")
        .fails_with(&["CREDENTIALS_DIRECTORY", "no such file"]);
}

#[test]
fn where_environment_files_are_named_the_units_own_is_not_read() {
    let text =
        format!("CRYPTO_API_KEY={KEY}\nCRYPTO_API_SECRET={SECRET}\nCRYPTO_PROXY_TOKEN={TOKEN}\n");
    let case = Case::empty().env_file("named.env", &text);
    load(&Sources {
        default_env_file: Some("/nonexistent/crypto.env".into()),
        ..case.sources()
    })
    .unwrap();
}
