//! Callers that were issued, as the daemon loads them.

use super::*;
use crate::callers::{CallerText, Edit, Issued};
use gateway::access::{Arrival, Peer};

const NOW: u64 = 1_900_000_000_000;

impl Case {
    /// With a state directory, and the usual configuration file beside the callers.
    pub(super) fn with_state(self) -> Self {
        let state = self.folder.path().join("state").display().to_string();
        self.env("STATE_DIRECTORY", &state)
    }

    pub(super) fn edit<T>(&self, change: impl FnOnce(Edit<'_>) -> T) -> T {
        let files = crate::config::callers::files(&self.sources(), None);
        change(Edit::begin(&files, NOW).unwrap())
    }

    pub(super) fn issue(&self, wish: CallerText) -> Issued {
        self.edit(|edit| edit.issue(wish)).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub(super) fn trader(name: &str) -> CallerText {
    CallerText {
        name: name.into(),
        preset: Some("trade".into()),
        ..CallerText::default()
    }
}

#[test]
fn an_issued_caller_shows_its_token_or_signs_with_its_virtual_key() {
    let case = Case::good().with_state();
    let issued = case.issue(trader("one"));
    let (key, secret) = issued.signing.as_ref().unwrap();
    let config = case.load();
    let caller = config
        .callers
        .authenticate(issued.token.reveal().as_bytes())
        .unwrap();
    assert_eq!(
        (&*caller.name, &caller.policy.allow_classes),
        ("one", &[Class::Read, Class::Trade].into())
    );
    let signing = config.callers.holder(key).unwrap();
    assert_eq!(&*signing.caller.name, "one");
    assert_eq!(
        format!("{:?}", secret.verifier()),
        format!("{:?}", signing.verifier)
    );
    assert!(
        config.callers.authenticate(TOKEN.as_bytes()).is_some(),
        "the default caller stays"
    );
    assert_eq!(
        config.report.callers[0].shown,
        "may read trade; generation 1"
    );
}

#[test]
fn the_default_token_may_be_absent_where_callers_were_issued() {
    let case = Case::empty()
        .env("CRYPTO_API_KEY", KEY)
        .env("CRYPTO_API_SECRET", SECRET)
        .with_state();
    case.fails_with(&["CRYPTO_PROXY_TOKEN", "not configured"]);
    let diagnose = CallerText {
        name: "ops".into(),
        diagnose: true,
        ..CallerText::default()
    };
    let token = case.issue(diagnose).token;
    case.fails_with(&["CRYPTO_PROXY_TOKEN", "not configured"]);
    case.issue(trader("one"));
    let callers = case.load().callers;
    let here = Arrival {
        source: &Peer::Unix { uid: None },
        now_ms: NOW,
    };
    assert!(callers.authenticate(token.reveal().as_bytes()).is_none());
    assert_eq!(
        callers
            .authenticate_diagnosing(token.reveal().as_bytes(), here)
            .as_deref(),
        Some("ops")
    );
}

#[test]
fn an_older_copy_of_the_file_loads_without_what_was_revoked_and_says_so() {
    let case = Case::good().with_state();
    let issued = case.issue(trader("one"));
    let backup = fs::read(case.path("callers.toml")).unwrap();
    case.edit(|edit| edit.revoke("one")).unwrap();
    fs::write(case.path("callers.toml"), backup).unwrap();
    let callers = case.load().callers;
    assert!(
        callers
            .authenticate(issued.token.reveal().as_bytes())
            .is_none()
    );
    assert!(callers.holder(&issued.signing.unwrap().0).is_none());
    case.warns_of(&["caller one", "was revoked and stays so"]);
}

#[test]
fn what_the_daemon_remembers_at_its_start_holds_against_a_file_from_before() {
    let case = Case::good().with_state();
    let issued = case.issue(trader("one"));
    let first = fs::read(case.path("callers.toml")).unwrap();
    case.edit(|edit| edit.rotate("one", 0)).unwrap();
    // A state directory of before that rotation, and then a start with the file of after it.
    fs::write(case.path("state/callers.marks"), "").unwrap();
    case.load().pending_revocations.unwrap().store().unwrap();
    fs::write(case.path("callers.toml"), first).unwrap();
    let token = issued.token.reveal().as_bytes();
    let caller = case.load().callers.authenticate(token);
    assert!(
        caller.is_none_or(|caller| caller.policy.access.expires_ms == Some(NOW)),
        "its end is remembered"
    );
}

#[test]
fn a_rotations_end_is_held_by_the_clock() {
    let case = Case::good().with_state();
    let issued = case.issue(trader("one"));
    case.edit(|edit| edit.rotate("one", 86_400_000)).unwrap();
    let callers = case.load().callers;
    let caller = callers
        .authenticate(issued.token.reveal().as_bytes())
        .unwrap();
    assert_eq!(caller.policy.access.expires_ms, Some(NOW + 86_400_000));
    let key = &issued.signing.unwrap().0;
    assert_eq!(
        callers.holder(key).unwrap().caller.policy.access.expires_ms,
        Some(NOW + 86_400_000)
    );
}

#[test]
fn where_it_cannot_be_told_what_was_revoked_or_issued_nobody_starts() {
    let rows = [
        (
            "callers.toml",
            Some("version = 1\nx = 1\n"),
            ["callers.toml:2", "unknown field"],
        ),
        (
            "state/callers.marks",
            Some("nonsense"),
            ["callers", "not understood"],
        ),
        (
            "state/callers.master",
            Some("nonsense"),
            ["callers", "not a master key"],
        ),
        (
            "state/callers.master",
            None,
            ["no master key", "revoke all"],
        ),
    ];
    each(rows, |(name, text, parts)| {
        let case = Case::good().with_state();
        case.issue(trader("one"));
        let _ = fs::remove_file(case.path(name));
        if let Some(text) = text {
            fs::write(case.path(name), text).unwrap();
            fs::set_permissions(case.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        case.fails_with(&parts);
    });
    let case = Case::good().with_state();
    case.issue(trader("one"));
    fs::set_permissions(
        case.path("state/callers.master"),
        fs::Permissions::from_mode(0o604),
    )
    .unwrap();
    case.fails_with(&["others can read this master key", "0604"]);
    Case::good()
        .toml("[callers]\nfile = \"/nonexistent/callers.toml\"")
        .fails_with(&["/nonexistent/callers.toml"]);
}

#[test]
fn the_units_credential_counts_before_the_state_directory() {
    let case = Case::good().with_state();
    let issued = case.issue(trader("one"));
    let master = fs::read_to_string(case.path("state/callers.master")).unwrap();
    fs::remove_file(case.path("state/callers.master")).unwrap();
    let case = case.credential("callers.master", &master);
    assert!(
        case.load()
            .callers
            .holder(&issued.signing.unwrap().0)
            .is_some()
    );
    let case = case.credential("callers.master", &"ab".repeat(32));
    case.fails_with(&["another master key"]);
}

#[test]
fn what_we_issue_is_no_credential_of_the_exchange_and_no_default_token() {
    for prefix in ["cpvk_", "cpvs_", "cpt_"] {
        let value = format!("{prefix}invented0123456789invented");
        for name in ["CRYPTO_API_KEY", "CRYPTO_API_SECRET"] {
            Case::good().env(name, &value).fails_with(&[
                name,
                &format!("begins with {prefix} "),
                "does not know it",
            ]);
        }
    }
    for prefix in ["cpvk_", "cpvs_"] {
        let value = format!("{prefix}invented0123456789invented");
        Case::good()
            .env("CRYPTO_PROXY_TOKEN", &value)
            .fails_with(&["CRYPTO_PROXY_TOKEN", "cannot be a token"]);
    }
    let case = Case::good().with_state();
    let token = case.issue(trader("one")).token.reveal().to_owned();
    case.env("CRYPTO_PROXY_TOKEN", &token)
        .fails_with(&["CRYPTO_PROXY_TOKEN", "another caller"]);
}
