//! Defaults, layers, bounds.

use super::*;

#[test]
fn credentials_alone_give_the_components_defaults_and_no_warning() {
    let config = Case::good().load();
    assert_eq!(config.startup_warnings(), Vec::<String>::new());
    assert_eq!(
        config.server.listen,
        [Address::Tcp("127.0.0.1:9000".parse().unwrap())]
    );
    assert_eq!(
        config.upstream.base.to_string(),
        "https://api.crypto.com/exchange/v1"
    );
    assert_eq!(config.gateway.deadline, Duration::from_secs(12));
    assert_eq!(config.gateway.dialect, Dialect::Documented);
    assert_eq!(config.egress.services.len(), 3);
    assert_eq!(config.expected, Expected::Unstated);
    assert_eq!(config.key_label, None);
    let caller = config.callers.authenticate(TOKEN.as_bytes()).unwrap();
    assert_eq!(
        (&*caller.name, &caller.policy),
        ("default", &Policy::default())
    );
}

#[test]
fn the_environment_overrides_the_file_and_named_variables_override_both() {
    let case = Case::good()
        .toml("listen = [\"127.0.0.1:1\"]\n[calls]\ndeadline_ms = 5000\nmax_in_flight = 7\n");
    let case = case
        .env("CRYPTO_PROXY__CALLS__DEADLINE_MS", "6000")
        .env("CRYPTO_PROXY__LISTEN", "127.0.0.1:2");
    assert_eq!(
        case.load().server.listen,
        [Address::Tcp("127.0.0.1:2".parse().unwrap())]
    );
    let case = case.env(
        "CRYPTO_PROXY_LISTEN",
        "127.0.0.1:3, unix:/run/invented.sock [::1]:4",
    );
    let config = case.load();
    let listen = ["127.0.0.1:3", "[::1]:4"].map(|text| Address::Tcp(text.parse().unwrap()));
    assert_eq!(
        config.server.listen,
        [
            listen[0].clone(),
            Address::Unix("/run/invented.sock".into()),
            listen[1].clone()
        ]
    );
    assert_eq!(config.gateway.deadline, Duration::from_millis(6000));
    assert_eq!(config.gateway.max_in_flight, 7);
    let source = |key: &str| {
        config
            .report
            .settings
            .iter()
            .find(|row| row.key == key)
            .unwrap()
            .source
            .to_string()
    };
    assert_eq!(source("listen"), "variable CRYPTO_PROXY_LISTEN");
    assert_eq!(
        source("calls.deadline_ms"),
        "variable CRYPTO_PROXY__CALLS__DEADLINE_MS"
    );
    assert!(source("calls.max_in_flight").ends_with("config.toml:4:1"));
    assert_eq!(source("log.level"), "default");
}

#[test]
fn the_report_has_every_setting_once() {
    let mut shown: Vec<_> = Case::good()
        .load()
        .report
        .settings
        .into_iter()
        .map(|row| row.key)
        .collect();
    let mut known: Vec<_> = table::SETTINGS
        .iter()
        .map(|setting| setting.key.to_owned())
        .collect();
    shown.sort();
    known.sort();
    assert_eq!(shown, known);
}

#[test]
fn an_empty_variable_hides_nothing() {
    let case = Case::good().toml("[calls]\nmax_in_flight = 7\n");
    let case = case
        .env("CRYPTO_PROXY__CALLS__MAX_IN_FLIGHT", "")
        .env("CRYPTO_REST_BASE", " ");
    assert_eq!(case.load().gateway.max_in_flight, 7);
}

#[test]
fn the_named_variables_of_the_contract_are_heard() {
    let case = Case::good()
        .env("CRYPTO_REST_BASE", "https://uat-api.3ona.co/exchange/v1")
        .env("CRYPTO_AUTH_DIAG", "true")
        .env("CRYPTO_EXPECTED_IP", "1.1.1.1,8.8.8.8")
        .env("CRYPTO_API_KEY_LABEL", "desk label");
    let config = case.load();
    assert_eq!(config.upstream.base.host(), "uat-api.3ona.co");
    assert!(config.gateway.signing_lines);
    assert_eq!(
        config.expected,
        Expected::Listed(vec!["1.1.1.1".parse().unwrap(), "8.8.8.8".parse().unwrap()])
    );
    assert_eq!(config.key_label.as_deref(), Some("desk label"));
}

#[test]
fn aliases_of_named_variables_count_and_differences_are_said() {
    let case = Case::good()
        .env("EXCHANGE_CUSTOM_BASE_URL", "http://127.0.0.1:1/x")
        .env("AWS_INSTANCE_IP", "any");
    let config = case.load();
    assert!(config.upstream.base.is_loopback());
    assert_eq!(config.expected, Expected::Any);
    let case = case.env("CRYPTO_REST_BASE", "http://127.0.0.1:2/x");
    assert_eq!(
        case.load().upstream.base.to_string(),
        "http://127.0.0.1:2/x"
    );
    case.warns_of(&["EXCHANGE_CUSTOM_BASE_URL", "CRYPTO_REST_BASE"]);
}

#[test]
fn the_address_watch_is_off_beside_a_stand_in_unless_services_are_named() {
    let stand_in = Case::good().env("CRYPTO_REST_BASE", "http://127.0.0.1:1/x");
    assert!(stand_in.load().egress.services.is_empty());
    let named = stand_in.env(
        "CRYPTO_PROXY__EGRESS__SERVICES",
        "http://127.0.0.1:2/a http://127.0.0.1:2/b",
    );
    assert_eq!(named.load().egress.services.len(), 2);
    assert!(
        Case::good()
            .toml("[egress]\nenabled = false\n")
            .load()
            .egress
            .services
            .is_empty()
    );
}

#[test]
fn the_way_is_watched_beside_the_exchange_and_beside_a_stand_in_where_it_is_switched_on() {
    let reach = |case: &Case| case.load().reach;
    assert_eq!(
        reach(&Case::good()),
        reach::Settings {
            enabled: true,
            interval: Duration::from_secs(300)
        }
    );
    let other = Case::good().toml("[reach]\nenabled = false\ninterval_s = 30\n");
    assert_eq!(
        reach(&other),
        reach::Settings {
            enabled: false,
            interval: Duration::from_secs(30)
        }
    );
    let stand_in = Case::good().env("CRYPTO_REST_BASE", "http://127.0.0.1:1/x");
    assert!(!reach(&stand_in).enabled);
    assert!(reach(&stand_in.env("CRYPTO_PROXY__REACH__ENABLED", "true")).enabled);
}

#[test]
fn the_history_is_bounded_by_calls_and_days() {
    let config = Case::good()
        .toml("[history]\nmax_calls = 5000\nmax_age_days = 7\n")
        .load();
    assert_eq!(
        (config.history.enabled, config.history.max_calls),
        (true, 5000)
    );
    assert_eq!(config.history.max_age, Duration::from_secs(7 * 86_400));
    assert_eq!(Case::good().load().history, history::Settings::default());
    assert!(
        !Case::good()
            .env("CRYPTO_PROXY__HISTORY__ENABLED", "false")
            .load()
            .history
            .enabled
    );
}

#[test]
fn the_digest_of_the_settings_tells_others_from_the_same() {
    let digest = |toml: &str| Case::good().toml(toml).load().report.digest();
    let same = digest("");
    assert_eq!(
        (digest("[log]\nlevel = \"info\""), same.len()),
        (same.clone(), 16),
        "a default that is written out"
    );
    assert_ne!(digest("[calls]\nmax_in_flight = 7"), same);
}

#[test]
fn policies_add_classes_and_narrow() {
    let toml = "[policy]\nallow_classes = [\"transfer\"]\ndeny_classes = [\"trade\"]\n\
                allow_methods = [\"private/new-thing\"]\ndeny_methods = [\"private/user-balance\"]\n";
    let config = Case::good().toml(toml).load();
    let policy = &config
        .callers
        .authenticate(TOKEN.as_bytes())
        .unwrap()
        .policy;
    assert_eq!(
        policy.allow_classes,
        [Class::Read, Class::Trade, Class::Transfer].into()
    );
    assert_eq!(policy.deny_classes, [Class::Trade].into());
    assert!(policy.allow_methods.contains("private/new-thing"));
    assert!(policy.deny_methods.contains("private/user-balance"));
    Case::good()
        .toml(toml)
        .warns_of(&["policy.allow_methods", "does not know private/new-thing"]);
}

#[test]
fn unusable_values_are_errors_with_place_and_remedy() {
    let rows = [
        (
            "[calls]\ndeadline_ms = 0",
            ["config.toml:2:1", "from 500 to 60000"],
        ),
        (
            "[calls]\ndeadline_ms = -1",
            ["config.toml:2:1", "from 500 to 60000"],
        ),
        (
            "[calls]\ndeadline_ms = \"12000\"",
            ["wrong type (string)", "a whole number without quotes"],
        ),
        (
            "[calls]\ndeadline_ms = 13000",
            ["not less than listener.drain_deadline_ms", "raise"],
        ),
        (
            "[upstream]\nconnect_deadline_ms = 12000",
            ["not less than calls.deadline_ms", "lower it"],
        ),
        (
            "[listener]\nmax_head_bytes = 100",
            ["max_head_bytes", "from 8192"],
        ),
        (
            "[history]\nmax_calls = 10",
            ["history.max_calls", "from 1000"],
        ),
        (
            "[log]\nlevel = \"warm\"",
            ["log.level = warm", "did you mean warn?"],
        ),
        (
            "[calls]\norder_list_exec_inst = \"x\"",
            ["exec_inst", "write one of refuse, flat"],
        ),
        ("listen = []", ["names no address", "127.0.0.1:9000"]),
        (
            "listen = [\"127.0.0.1\"]",
            ["listen = 127.0.0.1", "add a port: 127.0.0.1:9000"],
        ),
        (
            "allowed_hosts = [\"http://x\"]",
            ["is not a host name", "no scheme"],
        ),
        (
            "[listener]\nallowed_origins = [\"*\"]",
            ["is not an origin", "no wildcard"],
        ),
        (
            "[listener]\nallowed_origins = [\"null\"]",
            ["is not an origin", "not null"],
        ),
        (
            "[listener]\nallowed_origins = [\"https://*.page.example\"]",
            ["is not an origin", "no wildcard"],
        ),
        (
            "[listener]\nallowed_origins = [\"https://page.example/\"]",
            ["is not an origin", "no path"],
        ),
        (
            "[listener]\nallowed_origins = [\"page.example\"]",
            ["is not an origin", "https://page.example"],
        ),
        (
            "[policy]\nallow_classes = [\"trad\"]",
            ["is not a class", "did you mean trade?"],
        ),
        (
            "[policy]\nallow_methods = [\"public/auth\"]",
            ["policy.allow_methods", "private/create-order"],
        ),
        (
            "[upstream]\nbase_url = \"https://replay.example/\"",
            ["replay.example", "allow_unknown_base"],
        ),
        (
            "[upstream]\nbase_url = \"http://api.crypto.com/\"",
            ["must be https", "config.toml:2:1"],
        ),
        (
            "[egress]\nservices = [\"http://api.ipify.org\"]\nenabled = false",
            ["is not https", "egress.services"],
        ),
        (
            "[egress]\nexpected = [\"1.1.1.0/24\"]",
            ["egress.expected = 1.1.1.0/24", "single addresses"],
        ),
        (
            "[public]\nsources = [\"192.0.2\"]",
            ["public.sources = 192.0.2", "192.0.2.0/24"],
        ),
        (
            "[reach]\ninterval_s = 29",
            ["reach.interval_s = 29", "from 30 to 86400"],
        ),
        (
            "[public]\ncalls_per_s = 0",
            ["public.calls_per_s = 0", "from 1"],
        ),
    ];
    each(rows, |(toml, parts)| {
        Case::good().toml(toml).fails_with(&parts);
    });
}

#[test]
fn the_exchange_shaped_api_takes_networks_and_single_addresses() {
    let text = "[public]\nsources = [\"192.0.2.0/24\", \"2001:db8::1\"]\n[exchange_v1]\ndeadline_ms = 4500";
    let http = Case::good().toml(text).load().http.exchange_v1;
    let sources: Vec<_> = http
        .public_sources
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(sources, ["192.0.2.0/24", "2001:db8::1/128"]);
    assert_eq!(http.deadline, Duration::from_millis(4500));
}

#[test]
fn doubtful_values_are_warnings() {
    let rows = [
        (
            "[calls]\ndeadline_ms = 14600\n[listener]\ndrain_deadline_ms = 20000",
            ["calls.deadline_ms", "15 s"],
        ),
        (
            "[listener]\ndrain_deadline_ms = 20001",
            ["listener.drain_deadline_ms", "TimeoutStopSec=25"],
        ),
        (
            "listen = [\"0.0.0.0:9000\"]",
            ["clear text", "0.0.0.0:9000"],
        ),
        (
            "[upstream]\nbase_url = \"https://api.crypto.com/v2\"",
            ["upstream.base_url", "not the documented one"],
        ),
        (
            "[upstream]\nbase_url = \"https://x.example/\"\nallow_unknown_base = \"x.example\"",
            ["replay", "x.example"],
        ),
        (
            "[egress]\nservices = [\"https://api.ipify.org\"]",
            ["egress.services", "two must agree"],
        ),
        (
            "[egress]\nexpected = [\"10.0.0.1\"]",
            ["egress.expected", "not a public address"],
        ),
        (
            "[exchange_v1]\ndeadline_ms = 5000",
            ["exchange_v1.deadline_ms", "gives up after 5 s"],
        ),
        (
            "[exchange_v1]\ndeadline_ms = 3000",
            ["exchange_v1.deadline_ms", "connect_deadline_ms"],
        ),
        (
            "[listener]\nmax_connections = 10",
            ["listener.max_connections", "calls.max_in_flight"],
        ),
        (
            "[listener]\nsocket_group = \"invented\"",
            ["listener.socket_group", "no unix socket"],
        ),
        (
            "[policy]\nallow_methods = [\"private/auth-typo\"]",
            ["policy.allow_methods", "does not know"],
        ),
    ];
    each(rows, |(toml, parts)| {
        Case::good().toml(toml).warns_of(&parts);
    });
}

#[test]
fn the_longest_drain_that_the_unit_waits_for_is_no_warning() {
    let config = Case::good()
        .toml("[listener]\ndrain_deadline_ms = 20000")
        .load();
    assert_eq!(config.startup_warnings(), Vec::<String>::new());
    let unit = include_str!("../../../crypto-proxy.service");
    assert!(
        unit.contains("\nTimeoutStopSec=25\n") && unit.contains("\nLimitNOFILE=8192\n"),
        "settings.rs names both"
    );
}

#[test]
fn more_connections_than_open_files_are_a_warning_and_a_shell_is_called_one() {
    let warnings = |case: &Case, run_as, open_files| {
        let sources = Sources {
            run_as,
            open_files: Some(open_files),
            ..case.sources()
        };
        load(&sources).unwrap().startup_warnings()
    };
    // 1024 connections, 256 calls and 64 cancellations, 16 public calls, two for each of 512 streams, and the reserve.
    let (default, enough) = (Case::good(), 1024 + 256 + 64 + 16 + 2 * 512 + 64);
    assert_eq!(
        warnings(&default, RunAs::Daemon, enough),
        Vec::<String>::new()
    );
    let [warning] = warnings(&default, RunAs::Daemon, enough - 1)
        .try_into()
        .unwrap();
    let parts = [
        "listener.max_connections",
        "2448 open files",
        "this process may have 2447",
        "LimitNOFILE=",
    ];
    assert!(parts.iter().all(|part| warning.contains(part)), "{warning}");
    for run_as in [RunAs::Root, RunAs::User] {
        assert_eq!(
            warnings(&default, run_as, 1024),
            Vec::<String>::new(),
            "the defaults fit the unit"
        );
        let set = Case::good().toml("[listener]\nmax_connections = 9000\n");
        let [warning] = warnings(&set, run_as, 1024).try_into().unwrap();
        assert!(
            warning.contains("this shell may have 1024") && warning.contains("8192 as shipped"),
            "{warning}"
        );
    }
}

#[test]
fn more_memory_than_the_unit_gives_is_a_warning_of_the_daemon() {
    let warnings = |case: &Case, run_as, memory| {
        let sources = Sources {
            run_as,
            memory,
            ..case.sources()
        };
        load(&sources).unwrap().startup_warnings()
    };
    let (default, raised) = (
        Case::good(),
        Case::good().toml("[streams]\nmax_sockets = 4096\n"),
    );
    assert_eq!(
        warnings(&default, RunAs::Daemon, Some(512 << 20)),
        Vec::<String>::new(),
        "the defaults fit the unit"
    );
    let [warning] = warnings(&raised, RunAs::Daemon, Some(512 << 20))
        .try_into()
        .unwrap();
    let parts = ["listener.max_connections", "may have 512", "MemoryMax="];
    assert!(parts.iter().all(|part| warning.contains(part)), "{warning}");
    for (run_as, memory) in [(RunAs::Daemon, None), (RunAs::User, Some(1 << 20))] {
        assert_eq!(warnings(&raised, run_as, memory), Vec::<String>::new());
    }
}

#[test]
fn all_problems_are_reported_together() {
    let case = Case::empty().toml("listne = 1\n[calls]\ndeadline_ms = 0\n[log]\nsink = \"x\"\n");
    let text = case.problems().to_string();
    for part in [
        "did you mean listen?",
        "calls.deadline_ms = 0",
        "log.sink = x",
        "CRYPTO_API_KEY",
        "CRYPTO_PROXY_TOKEN",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn few_warnings_reach_readiness_and_those_say_little() {
    let case = Case::good()
        .env("CRYPTO_PROXY_LISTEN", "0.0.0.0:9000 [::]:9001")
        .env("AWS_INSTANCE_IP", "10.0.0.1");
    let config = case.load();
    assert_eq!(config.startup_warnings().len(), 3);
    assert_eq!(
        config.standing_warnings,
        ["listens beyond loopback, in clear text"]
    );
}
