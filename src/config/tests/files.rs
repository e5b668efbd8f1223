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
    let case = case.toml(&format!("[upstream]\nca_file = \"{roots}\"\n"));
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
