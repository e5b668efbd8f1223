//! The file, the marks and the master key together: what was revoked does not come back.

use std::{fs, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

use super::*;

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;

struct Desk {
    folder: TempDir,
    files: CallerFiles,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = CallerFiles {
            file: folder.path().join("etc").join(FILE_NAME),
            named: false,
            state_directory: Some(folder.path().join("state")),
            credential: None,
            origin: None,
        };
        Self { folder, files }
    }

    fn issue(&self, name: &str) -> Issued {
        let wanted = CallerText {
            name: name.to_owned(),
            preset: Some("trade".into()),
            ..CallerText::default()
        };
        Edit::begin(&self.files, NOW)
            .unwrap()
            .issue(wanted)
            .unwrap()
    }

    fn edit(&self, now_ms: u64) -> Edit<'_> {
        Edit::begin(&self.files, now_ms).unwrap()
    }

    /// The generations of a caller that are valid at a time, as the daemon would see them.
    fn valid(&self, name: &str, now_ms: u64) -> Vec<u32> {
        let (_, entries) = self.files.read().unwrap();
        let mut revocations = Revocations::read(&self.files).unwrap();
        entries
            .iter()
            .for_each(|entry| revocations.merge_entry(entry));
        let of_name = entries.iter().filter(|entry| entry.name == name);
        let all = of_name.flat_map(|entry| {
            entry
                .generations
                .iter()
                .map(|generation| (entry.id, generation.number))
        });
        all.filter(|(id, number)| revocations.of(*id).validity(*number, now_ms).is_ok())
            .map(|(_, number)| number)
            .collect()
    }

    fn backup(&self) -> String {
        fs::read_to_string(&self.files.file).unwrap()
    }

    fn restore(&self, backup: &str) {
        fs::write(&self.files.file, backup).unwrap();
    }
}

#[test]
fn nothing_that_could_imitate_a_caller_is_written_anywhere_but_in_the_master_key() {
    let desk = Desk::new();
    let issued = desk.issue("one");
    let (key, secret) = issued.signing.as_ref().unwrap();
    assert!(issued.token.reveal().starts_with(TOKEN_PREFIX) && issued.token.reveal().len() == 68);
    for file in [desk.files.file.clone(), desk.files.revocations().unwrap()] {
        let text = fs::read_to_string(&file).unwrap();
        for part in [&issued.token.reveal()[4..12], &secret.reveal()[5..13]] {
            assert!(!text.contains(part), "{}", file.display());
        }
        assert!(text.contains(&key.id.to_string()));
    }
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let state = desk.files.state_directory.clone().unwrap();
    assert_eq!(
        (
            mode(&desk.files.file),
            mode(&state),
            mode(&state.join(MASTER_NAME))
        ),
        (0o644, 0o700, 0o600)
    );
    assert_eq!(format!("{issued:?}").matches("cpt_").count(), 0);
}

#[test]
fn two_generations_are_valid_during_a_rotation_and_one_after_it() {
    let desk = Desk::new();
    desk.issue("one");
    let issued = desk.edit(NOW).rotate("one", DAY).unwrap();
    assert_eq!(
        (
            issued.generation,
            desk.valid("one", NOW),
            desk.valid("one", NOW + DAY)
        ),
        (2, vec![1, 2], vec![2])
    );
    assert!(matches!(
        desk.edit(NOW).rotate("one", DAY),
        Err(CallersError::Rotating(_))
    ));
    assert_eq!(desk.edit(NOW).finish("one").unwrap(), 2);
    assert_eq!(desk.valid("one", NOW), [2]);
    assert!(matches!(
        desk.edit(NOW).finish("one"),
        Err(CallersError::NotRotating(_))
    ));
    // Where the grace is over, there is nothing to finish.
    desk.edit(NOW).rotate("one", DAY).unwrap();
    assert_eq!(
        desk.edit(NOW + DAY).rotate("one", DAY).unwrap().generation,
        4
    );
    assert_eq!(desk.valid("one", NOW + DAY), [3, 4]);
}

#[test]
fn an_older_copy_of_the_file_brings_no_revoked_generation_back() {
    let desk = Desk::new();
    desk.issue("one");
    let first = desk.backup();
    desk.edit(NOW).rotate("one", DAY).unwrap();
    let second = desk.backup();
    desk.restore(&first);
    assert_eq!(
        (desk.valid("one", NOW), desk.valid("one", NOW + DAY)),
        (vec![1], vec![]),
        "the end of a rotation stays"
    );
    desk.restore(&second);
    desk.edit(NOW).finish("one").unwrap();
    desk.restore(&first);
    assert!(desk.valid("one", NOW).is_empty());
    desk.restore(&second);
    assert_eq!(desk.valid("one", NOW), [2]);
    desk.edit(NOW).revoke("one").unwrap();
    for older in [&first, &second] {
        desk.restore(older);
        assert!(desk.valid("one", NOW).is_empty());
    }
}

#[test]
fn an_older_state_directory_brings_nothing_back_either() {
    let desk = Desk::new();
    desk.issue("one");
    let revocations = desk.files.revocations().unwrap();
    let older = fs::read_to_string(&revocations).unwrap();
    desk.edit(NOW).rotate("one", DAY).unwrap();
    desk.edit(NOW).finish("one").unwrap();
    fs::write(&revocations, older).unwrap();
    assert_eq!(desk.valid("one", NOW), [2]);
}

#[test]
fn a_number_is_never_issued_twice_also_not_after_an_older_file() {
    let desk = Desk::new();
    let first = desk.issue("one");
    let backup = desk.backup();
    let second = desk.edit(NOW).rotate("one", 0).unwrap();
    desk.restore(&backup);
    let third = desk.edit(NOW).rotate("one", 0).unwrap();
    assert_eq!(third.generation, 3);
    let secret = |issued: &Issued| issued.signing.as_ref().unwrap().1.reveal().to_owned();
    assert!(secret(&first) != secret(&second) && secret(&second) != secret(&third));
    assert_eq!(desk.valid("one", NOW), [3]);
}

#[test]
fn a_name_that_comes_again_has_another_id_and_another_secret() {
    let desk = Desk::new();
    let first = desk.issue("one");
    assert!(matches!(
        desk.edit(NOW).issue(CallerText {
            name: "one".into(),
            ..CallerText::default()
        }),
        Err(CallersError::Exists(_))
    ));
    desk.edit(NOW).revoke("one").unwrap();
    let again = desk.issue("one");
    assert_ne!(first.signing.unwrap().0.id, again.signing.unwrap().0.id);
}

#[test]
fn revoking_all_works_on_damaged_files_and_makes_another_master_key() {
    let desk = Desk::new();
    desk.issue("one");
    let (backup, state) = (desk.backup(), desk.files.state_directory.clone().unwrap());
    let master = fs::read_to_string(state.join(MASTER_NAME)).unwrap();
    assert_eq!(Edit::revoke_all(&desk.files, NOW).unwrap(), Some(1));
    assert_ne!(fs::read_to_string(state.join(MASTER_NAME)).unwrap(), master);
    desk.restore(&backup);
    assert!(desk.valid("one", NOW).is_empty());
    assert!(matches!(
        desk.edit(NOW).rotate("one", 0),
        Err(CallersError::MasterOther(_))
    ));
    desk.restore("nonsense");
    fs::write(desk.files.revocations().unwrap(), "nonsense").unwrap();
    fs::write(state.join(MASTER_NAME), "nonsense").unwrap();
    assert!(matches!(
        Edit::begin(&desk.files, NOW),
        Err(CallersError::Faulty(..))
    ));
    assert_eq!(Edit::revoke_all(&desk.files, NOW).unwrap(), None);
    desk.issue("two");
    assert_eq!(desk.valid("two", NOW), [1]);
}

#[test]
fn a_master_key_is_refused_where_others_can_read_it_it_is_missing_or_a_link() {
    let desk = Desk::new();
    desk.issue("one");
    let path = desk
        .files
        .state_directory
        .as_ref()
        .unwrap()
        .join(MASTER_NAME);
    let rotate = || desk.edit(NOW).rotate("one", 0).unwrap_err();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(rotate(), CallersError::MasterOpen(_, 0o640)));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&path, desk.folder.path().join("elsewhere")).unwrap();
    assert!(matches!(rotate(), CallersError::MasterMissing(_)));
    std::os::unix::fs::symlink(desk.folder.path().join("elsewhere"), &path).unwrap();
    assert!(matches!(rotate(), CallersError::Unreadable(..)));
}

#[test]
fn every_fault_is_told_with_its_line() {
    let good = "version = 1\n[[caller]]\nname = \"one\"\nid = \"000102030405060708090a0b\"\n\
                created = \"2026-01-31T22:10:00Z\"\npreset = \"read\"\n";
    let digest = "0".repeat(64);
    let generation = format!(
        "[[caller.generation]]\nnumber = 1\ntoken_sha256 = \"{digest}\"\nissued = \"2026-01-31T22:10:00Z\"\n"
    );
    assert!(entry::parse(&format!("{good}{generation}")).is_ok());
    for (change, key, part) in [
        (
            "name = \"one\"|name = \"One\"",
            "name",
            "is not a valid name",
        ),
        (
            "name = \"one\"|name = \"default\"",
            "name",
            "taken by the proxy",
        ),
        ("090a0b\"|090a0B\"", "id", "is not an id"),
        (
            "preset = \"read\"|preset = \"all\"",
            "preset",
            "is not a preset",
        ),
        (
            "preset = \"read\"|allow = [\"public\"]",
            "allow",
            "not a class, method, pattern or channel",
        ),
        (
            "preset = \"read\"|allow = [\"private/*x\"]",
            "allow",
            "not a class, method, pattern or channel",
        ),
        (
            "preset = \"read\"|deny = [\"private/../x\"]",
            "deny",
            "not a class, method, pattern or channel",
        ),
        (
            "preset = \"read\"|instruments = []",
            "instruments",
            "the list is empty",
        ),
        (
            "preset = \"read\"|instruments = [\"BTC USD\"]",
            "instruments",
            "not the name of an instrument",
        ),
        (
            "preset = \"read\"|sources = []",
            "sources",
            "the list is empty",
        ),
        (
            "preset = \"read\"|sources = [\"10.0.0.1/8\"]",
            "sources",
            "beyond its prefix",
        ),
        (
            "preset = \"read\"|sources = [\"localhost\"]",
            "sources",
            "not an address or network",
        ),
        ("preset = \"read\"|uids = [65534]", "uids", "nobody"),
        (
            "preset = \"read\"|expires = \"soon\"",
            "expires",
            "is not a valid time",
        ),
        (
            "preset = \"read\"|preset = \"read\"\ndiagnose = true",
            "diagnose",
            "nothing else",
        ),
        ("preset = \"read\"|x = 1", "callers file", "unknown field"),
        ("version = 1|version = 2", "version", "not known here"),
        ("number = 1|number = 0", "generation", "counted up from 1"),
        (
            "token_sha256 = \"0|token_sha256 = \"x",
            "generation.token_sha256",
            "is no SHA-256",
        ),
        (
            "number = 1|number = 1\nuntil = \"2026-01-31T22:10:00Z\"",
            "generation.until",
            "older of two",
        ),
    ] {
        let (from, to) = change.split_once('|').unwrap();
        let text = format!("{good}{generation}");
        assert!(text.contains(from), "{from}");
        let faults = entry::parse(&text.replacen(from, to, 1)).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        let Fault {
            line,
            key: about,
            text,
            remedy,
            ..
        } = &faults[0];
        assert!(
            about.ends_with(key) && text.contains(part) && !remedy.is_empty() && *line > 0,
            "{faults:#?}"
        );
    }
    let duplicates = entry::parse(&format!(
        "{good}{generation}{}{generation}",
        good.replace("version = 1\n", "")
    ));
    let faults = duplicates.unwrap_err();
    assert_eq!(
        faults
            .iter()
            .map(|fault| fault.key.as_str())
            .collect::<Vec<_>>(),
        ["name", "id", "generation.token_sha256"]
    );
    assert!(faults.iter().all(|fault| fault.line == 11), "{faults:#?}");
}
