//! Files, variables, and names that are nearly right.

use super::*;

fn usual(path: PathBuf) -> EnvironmentFile {
    EnvironmentFile {
        path,
        is_optional: true,
    }
}

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
        default_env_files: vec![usual(case.folder.path().join("crypto.env"))],
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
        default_env_files: vec![usual(case.folder.path().join("crypto.env"))],
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
        default_env_files: vec![usual("/nonexistent/crypto.env".into())],
        ..case.sources()
    })
    .unwrap();
}

/// The files of a unit, and what a remedy then names.
#[test]
fn what_systemd_handed_over_is_put_right_where_the_unit_reads_it() {
    let rows = [
        (vec!["/etc/crypto.env"], "/etc/crypto.env"),
        (vec!["/srv/app/secret.env"], "/srv/app/secret.env"),
        (
            vec!["/etc/crypto.env", "/run/odd.env"],
            "/etc/crypto.env or /run/odd.env",
        ),
        (vec![], "the unit (systemctl cat crypto-proxy.service)"),
    ];
    each(rows, |(files, place)| {
        let unit = Unit {
            name: "crypto-proxy.service".to_owned(),
            environment_files: files.iter().map(|path| usual(path.into())).collect(),
            ..Unit::default()
        };
        let under = |case: Case| Sources {
            unit: Some(unit.clone()),
            ..case.sources()
        };
        let dirty = inspect(&under(
            Case::good().env("CRYPTO_API_KEY", &format!("'{KEY}'")),
        ));
        assert_eq!(dirty.pair.source.as_deref(), Some(place));
        let wrong = load(&under(Case::good().env("CRYPTO_PROXY_LISTEN", "x"))).unwrap_err();
        for text in [dirty.problems.to_string(), wrong.to_string()] {
            assert!(text.contains(&format!(", from {place}): ")), "{text}");
        }
        let missing = load(&under(Case::empty())).unwrap_err().to_string();
        assert!(
            missing.contains(&format!(
                "set CRYPTO_API_KEY and CRYPTO_API_SECRET in {place}, "
            )),
            "{missing}"
        );
    });
}

/// Whoever looks on behalf of the daemon reads what the unit reads, and the last word counts.
#[test]
fn the_files_of_the_unit_are_read_as_systemd_reads_them() {
    let pair = |key: &str| {
        format!("CRYPTO_API_KEY={key}\nCRYPTO_API_SECRET={SECRET}\nCRYPTO_PROXY_TOKEN={TOKEN}\n")
    };
    let case = Case::empty()
        .file("a.env", &pair("invented-key-of-file-a"), 0o600)
        .file("b.env", &pair("invented-key-of-file-b"), 0o600);
    let of = |names: [&str; 2], is_optional| {
        let files = names.map(|name| EnvironmentFile {
            path: case.folder.path().join(name),
            is_optional,
        });
        let unit = Unit {
            environment_files: files.to_vec(),
            ..Unit::default()
        };
        let sources = Sources {
            unit: Some(unit),
            ..case.sources()
        };
        inspect(&sources.with_env_files(Vec::new()))
    };
    for (names, used) in [
        (["a.env", "b.env"], "b.env"),
        (["b.env", "a.env"], "a.env"),
        (["absent.env", "a.env"], "a.env"),
        (["a.env", "absent.env"], "a.env"),
    ] {
        let inspection = of(names, true);
        let source = inspection.pair.source.unwrap_or_default();
        assert!(source.ends_with(used), "{names:?}: {source}");
        assert!(inspection.config.is_some(), "{}", inspection.problems);
    }
    let needed = of(["absent.env", "a.env"], false).problems.to_string();
    assert!(needed.contains("there is no such file"), "{needed}");
}

fn of_the_shipped_unit() -> Unit {
    Unit {
        has_own_user: true,
        ..Unit::default()
    }
}

#[test]
fn what_the_units_own_user_cannot_read_or_listen_on_keeps_it_from_starting() {
    let pem = "-----BEGIN CERTIFICATE-----\n";
    let inspected = |case: &Case, unit: Option<Unit>| {
        inspect(&Sources {
            run_as: RunAs::Root,
            unit,
            default_config_file: case.folder.path().join("conf/config.toml"),
            ..case.sources()
        })
    };
    let case = || {
        let case = Case::good().file("conf/config.toml", "", 0o644);
        fs::set_permissions(case.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        case
    };
    let base = ("CRYPTO_REST_BASE", "http://127.0.0.1:9/exchange/v1");
    let roots = |case: Case| {
        let path = case.folder.path().join("ca.pem").display().to_string();
        case.file("ca.pem", pem, 0o600)
            .env("CRYPTO_PROXY__UPSTREAM__CA_FILE", &path)
    };
    let rows = [
        (
            "config.toml",
            case().file("conf/config.toml", "", 0o600),
            "conf/config.toml has mode 0600",
        ),
        (
            "bundle",
            roots(case().env(base.0, base.1)),
            "ca.pem has mode 0600",
        ),
        (
            "port",
            case().env("CRYPTO_PROXY_LISTEN", "127.0.0.1:1"),
            "the unit's own user may not listen",
        ),
    ];
    for (what, case, reason) in rows {
        // Some containers let everybody listen everywhere.
        if what == "port" && crate::config::settings::first_port_of_all() <= 1 {
            continue;
        }
        let refused = inspected(&case, Some(of_the_shipped_unit()));
        let errors: Vec<String> = refused.problems.errors().map(ToString::to_string).collect();
        let [error] = errors.as_slice() else {
            panic!("{what}: {errors:#?}")
        };
        assert!(error.contains(reason), "{what}: {error}");
        let unknown = inspected(&case, None);
        assert!(unknown.config.is_some(), "{what}: {}", unknown.problems);
    }
    let may = Unit {
        may_bind_low_ports: true,
        ..of_the_shipped_unit()
    };
    let low = case().env("CRYPTO_PROXY_LISTEN", "127.0.0.1:1");
    assert!(inspected(&low, Some(may)).config.is_some());
    // Of its own start the daemon lets the kernel judge.
    let daemon = Sources {
        unit: Some(of_the_shipped_unit()),
        ..low.sources()
    };
    assert!(inspect(&daemon).config.is_some());
}

#[test]
fn one_address_that_is_part_of_another_is_refused_and_the_two_families_are_not() {
    let rows = [
        ("0.0.0.0:9000,127.0.0.1:9000", true),
        ("127.0.0.1:9000,0.0.0.0:9000", true),
        ("[::]:9000,127.0.0.1:9000", true),
        ("[::]:9000,0.0.0.0:9000", true),
        ("[::]:9000,[::1]:9000", true),
        ("0.0.0.0:9000,[::1]:9000", false),
        ("127.0.0.1:9000,[::1]:9000", false),
        ("0.0.0.0:9000,127.0.0.1:9001", false),
        ("0.0.0.0:0,127.0.0.1:0", false),
    ];
    each(rows, |(listen, refused)| {
        let inspection = inspect(&Case::good().env("CRYPTO_PROXY_LISTEN", listen).sources());
        let text = inspection.problems.to_string();
        assert_eq!(text.contains("is part of"), refused, "{text}");
        assert_eq!(inspection.config.is_none(), refused, "{text}");
    });
}
