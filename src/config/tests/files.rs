//! Files that decide who may do what: whose they are, who can write them, and what is made of that at the start.

use std::{os::unix::fs::chown, path::Path};

use super::{callers::trader, *};

const FILES: [&str; 5] = [
    "config.toml",
    "callers.toml",
    "state/callers.marks",
    "state/callers.master",
    "roots.pem",
];

/// With one of every file that decides who may do what, as the daemon finds them.
fn with_every_file() -> Case {
    let case = Case::good().with_state().file("roots.pem", "", 0o644);
    let roots = case.path("roots.pem").display().to_string();
    // Nothing is encrypted: whose file it is counts all the same, and what it holds does not.
    let base = "http://127.0.0.1:9/exchange/v1";
    let upstream = format!("[upstream]\nbase_url = \"{base}\"\nca_file = \"{roots}\"\n");
    let case = case.toml(&upstream);
    case.issue(trader("one"));
    case
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_others_can_write_keeps_the_daemon_from_starting() {
    with_every_file().load();
    let secret = "state/callers.master";
    for name in FILES {
        each([0o666, 0o664, 0o646, 0o602, 0o620], |mode| {
            let case = with_every_file();
            set_mode(&case.path(name), mode);
            let path = case.path(name).display().to_string();
            let shown = format!("{mode:04o}");
            if name == secret {
                case.fails_with(&[&path, &shown]);
            } else {
                case.fails_with(&[&path, &shown, "can write it", &format!("chmod go-w {path}")]);
            }
        });
        let readable = [0o400, 0o600, 0o444, 0o644];
        each(readable.into_iter().filter(|_| name != secret), |mode| {
            let case = with_every_file();
            set_mode(&case.path(name), mode);
            case.load();
        });
    }
}

#[test]
fn what_belongs_to_a_stranger_keeps_the_daemon_from_starting() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give a file away");
        return;
    }
    each(FILES, |name| {
        let case = with_every_file();
        chown(case.path(name), Some(64_322), None).unwrap();
        let path = case.path(name).display().to_string();
        case.fails_with(&[&path, "belongs to uid 64322", "chown", "chmod go-w"]);
    });
    // The daemon's own user owns its state directory: root, who looks on its behalf, trusts it.
    let case = with_every_file();
    for name in ["state", "state/callers.marks", "state/callers.master"] {
        chown(case.path(name), Some(64_321), None).unwrap();
    }
    case.load();
}

#[test]
fn credentials_that_systemd_or_a_container_hands_over_are_taken() {
    let with = |mode: u32| {
        let case = Case::empty().credential("crypto_api_key", KEY);
        let case = case.credential("crypto_api_secret", SECRET);
        let case = case.credential("crypto_proxy_token", TOKEN);
        set_mode(&case.path("credentials/crypto_api_key"), mode);
        case
    };
    each([0o400, 0o440, 0o444, 0o644], |mode| drop(with(mode).load()));
    each([0o666, 0o460], |mode| {
        let problems = with(mode).problems().to_string();
        assert!(problems.contains("can write it"), "{problems}");
    });
    // As Kubernetes mounts them: links through a directory that is exchanged as a whole.
    let case = with(0o444);
    let data = case.path("credentials/..data");
    fs::create_dir(&data).unwrap();
    fs::rename(case.path("credentials/crypto_api_key"), data.join("k")).unwrap();
    let link = case.path("credentials/crypto_api_key");
    std::os::unix::fs::symlink("..data/k", link).unwrap();
    case.load();
}

#[test]
fn every_secret_can_stand_in_a_file_that_a_variable_names() {
    let with = |mode: u32| {
        let rows = [
            ("CRYPTO_API_KEY", KEY),
            ("CRYPTO_API_SECRET", SECRET),
            ("CRYPTO_PROXY_TOKEN", TOKEN),
            ("CRYPTO_PROXY_DIAG_TOKEN", "Hd5invented-token-of-diagnosis"),
        ];
        rows.into_iter().fold(Case::empty(), |case, (name, value)| {
            let case = case.file(name, &format!("{value}\n"), mode);
            let path = case.path(name);
            case.env(&format!("{name}_FILE"), path.to_str().unwrap())
        })
    };
    let quiet = with(0o400).load();
    assert_eq!(quiet.startup_warnings(), Vec::<String>::new());
    assert!(quiet.callers.has_diagnosing());
    with(0o444).warns_of(&["CRYPTO_API_SECRET", "readable by every user"]);
    each([0o466, 0o420], |mode| {
        let problems = with(mode).problems().to_string();
        assert!(problems.contains("can write it"), "{problems}");
    });
    let case = with(0o400).env("CRYPTO_API_SECRET_FILE", "/nonexistent/secret");
    case.fails_with(&["/nonexistent/secret", "there is no such file"]);
    // A key in the variable and its secret in the file are a pair.
    let mut case = with(0o400);
    case.env.retain(|(name, _)| name != "CRYPTO_API_KEY_FILE");
    case.env("CRYPTO_API_KEY", KEY).load();
    each(["CRYPTO_API_KEY", "CRYPTO_PROXY_TOKEN"], |name| {
        with(0o400)
            .env(name, "Xy8invented-other-value")
            .fails_with(&[
                &format!("{name}_FILE"),
                &format!("{name} is set, too"),
                "keep one of the two",
            ]);
    });
}

#[test]
fn what_kubernetes_sets_for_a_service_of_our_name_is_not_warned_of() {
    let case = Case::good()
        .env("CRYPTO_PROXY_SERVICE_HOST", "10.96.0.7")
        .env("CRYPTO_PROXY_SERVICE_PORT", "9000")
        .env("CRYPTO_PROXY_SERVICE_PORT_HTTP", "9000")
        .env("CRYPTO_PROXY_PORT", "tcp://10.96.0.7:9000")
        .env("CRYPTO_PROXY_PORT_9000_TCP", "tcp://10.96.0.7:9000")
        .env("CRYPTO_PROXY_PORT_9000_TCP_PROTO", "tcp")
        .env("CRYPTO_PROXY_PORT_9000_TCP_PORT", "9000")
        .env("CRYPTO_PROXY_PORT_9000_TCP_ADDR", "10.96.0.7");
    assert_eq!(case.load().startup_warnings(), Vec::<String>::new());
    case.env("CRYPTO_PROXY_PORT", "9000")
        .warns_of(&["CRYPTO_PROXY_PORT", "no setting of this name"]);
}

#[test]
fn an_environment_file_that_others_can_write_is_warned_of_because_systemd_reads_it() {
    let text =
        format!("CRYPTO_API_KEY={KEY}\nCRYPTO_API_SECRET={SECRET}\nCRYPTO_PROXY_TOKEN={TOKEN}\n");
    for mode in [0o666, 0o620] {
        let case = Case::empty().env_file("crypto.env", &text);
        set_mode(&case.path("crypto.env"), mode);
        case.warns_of(&["crypto.env", "can write it", "chmod go-w"]);
    }
}

#[test]
fn a_directory_in_which_every_user_can_exchange_the_file_is_warned_of() {
    let case = with_every_file();
    set_mode(case.folder.path(), 0o777);
    case.warns_of(&[
        "config.toml",
        "every user can put another file in its place",
    ]);
    set_mode(case.folder.path(), 0o1777);
    assert!(case.load().startup_warnings().is_empty());
}

#[test]
fn marks_that_are_gone_bring_nobody_back() {
    let case = Case::good().with_state();
    case.load();
    case.issue(trader("one"));
    let older = fs::read(case.path("callers.toml")).unwrap();
    case.edit(|edit| edit.revoke("one")).unwrap();
    fs::remove_file(case.path("state/callers.marks")).unwrap();
    // Nobody is left in the file, so nobody can come back.
    case.load();
    fs::write(case.path("callers.toml"), older).unwrap();
    case.fails_with(&["callers.marks", "revoked", "restore", "revoke --all"]);
    let files = crate::config::callers::files(&case.sources(), None);
    assert!(crate::callers::Edit::begin(&files, 0).is_err());
    // The remedy.
    crate::callers::Edit::revoke_all(&files, 0).unwrap();
    case.issue(trader("two"));
    case.load();
}
