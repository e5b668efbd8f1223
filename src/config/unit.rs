//! What the installed unit says of where variables come from, and of who runs the daemon: read from its file and drop-ins.
//!
//! The daemon itself sees variables, and not the file that systemd read them from. Nobody is asked for it: the files can be
//! read by everybody. Guarantees: drop-ins count as systemd counts them (a name once, the nearest folder first, in the
//! order of names), and an empty assignment takes those before it away. Does not: expand specifiers or wildcards, or know
//! what was changed since systemd read it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The unit that this project installs.
const INSTALLED: &str = "crypto-proxy.service";
/// Where systemd looks for units, the nearest first.
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// What a unit says, as far as it is asked here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// The files that variables are read from, in order: the last word counts.
    pub environment_files: Vec<EnvironmentFile>,
    /// Whether the daemon runs as another user than root.
    pub has_own_user: bool,
    /// Whether it may listen on ports that are root's.
    pub may_bind_low_ports: bool,
}

/// A file of `EnvironmentFile=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it may be missing.
    pub is_optional: bool,
}

impl Unit {
    /// The unit that this process is the daemon of.
    pub(super) fn of_this_process() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let name = group.rsplit('/').next()?;
        if !name.ends_with(".service") {
            return None;
        }
        Self::read(name, &FOLDERS.map(Path::new))
    }

    /// The unit that this project installs, where it is.
    pub(super) fn installed() -> Option<Self> {
        Self::read(INSTALLED, &FOLDERS.map(Path::new))
    }

    /// Reads a unit from these folders, the nearest first.
    pub(super) fn read(name: &str, folders: &[&Path]) -> Option<Self> {
        let main = folders
            .iter()
            .find_map(|folder| fs::read_to_string(folder.join(name)).ok())?;
        let mut unit = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        let mut user = User::default();
        for text in std::iter::once(main).chain(drop_ins(name, folders)) {
            for (key, value) in assignments(&text) {
                unit.take(&key, &value, &mut user);
            }
        }
        unit.has_own_user = user.is_dynamic || !matches!(&*user.name, "" | "root" | "0");
        Some(unit)
    }

    fn take(&mut self, key: &str, value: &str, user: &mut User) {
        match key {
            "EnvironmentFile" if value.is_empty() => self.environment_files.clear(),
            "EnvironmentFile" => {
                let path = value.strip_prefix('-');
                self.environment_files.push(EnvironmentFile {
                    path: path.unwrap_or(value).trim_matches('"').into(),
                    is_optional: path.is_some(),
                });
            }
            "AmbientCapabilities" => {
                self.may_bind_low_ports = !value.is_empty()
                    && (self.may_bind_low_ports || value.contains("CAP_NET_BIND_SERVICE"));
            }
            "DynamicUser" => user.is_dynamic = matches!(value, "yes" | "true" | "1" | "on"),
            "User" => value.clone_into(&mut user.name),
            _ => {}
        }
    }

    /// Where variables stand that this unit hands over, in words.
    pub(super) fn place_of_variables(&self) -> String {
        let files: Vec<String> = self
            .environment_files
            .iter()
            .map(|file| file.path.display().to_string())
            .collect();
        if files.is_empty() {
            return format!("the unit (systemctl cat {})", self.name);
        }
        files.join(" or ")
    }
}

#[derive(Default)]
struct User {
    is_dynamic: bool,
    name: String,
}

fn drop_ins(name: &str, folders: &[&Path]) -> Vec<String> {
    let mut found = BTreeMap::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder.join(format!("{name}.d"))) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().map(ToOwned::to_owned);
            if let Some(name) = name.filter(|_| path.extension().is_some_and(|end| end == "conf")) {
                found.entry(name).or_insert(path);
            }
        }
    }
    // Of one that cannot be read, such as a link to /dev/null, nothing counts.
    let texts = found.into_values().map(fs::read_to_string);
    texts.filter_map(Result::ok).collect()
}

/// The assignments of the section `[Service]`; a line that ends in a backslash goes on in the next one.
fn assignments(text: &str) -> Vec<(String, String)> {
    let (mut found, mut in_service) = (Vec::new(), false);
    for line in text.replace("\\\n", " ").lines().map(str::trim) {
        if line.starts_with('[') {
            in_service = line == "[Service]";
        } else if let Some((key, value)) = line.split_once('=')
            && in_service
            && !line.starts_with(['#', ';'])
        {
            found.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Option<Unit> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (near, far) = (folder.path().join("etc"), folder.path().join("lib"));
        Unit::read(INSTALLED, &[&near, &far])
    }

    fn places(files: &[(&str, &str)]) -> String {
        read(files).unwrap().place_of_variables()
    }

    #[test]
    fn the_shipped_unit_has_a_user_of_its_own_and_reads_the_usual_file() {
        let text = include_str!("../../crypto-proxy.service");
        let unit = read(&[("etc/crypto-proxy.service", text)]).unwrap();
        assert_eq!(unit.place_of_variables(), "/etc/crypto.env");
        assert!(unit.environment_files[0].is_optional);
        assert!(unit.has_own_user && !unit.may_bind_low_ports);
    }

    #[test]
    fn drop_ins_count_as_systemd_counts_them() {
        let main = "etc/crypto-proxy.service";
        let text =
            "[Unit]\nEnvironmentFile=/no\n[Service]\nEnvironmentFile=-/a\n#EnvironmentFile=/no\n";
        let of = |name: &str| format!("etc/crypto-proxy.service.d/{name}.conf");
        let far = "lib/crypto-proxy.service.d/b.conf";
        let more = "[Service]\nEnvironmentFile = \\\n /b\n";
        let none = "[Service]\nEnvironmentFile=\n";
        assert_eq!(read(&[]), None);
        assert_eq!(places(&[(main, text)]), "/a");
        assert_eq!(places(&[(main, text), (&of("b"), more)]), "/a or /b");
        assert_eq!(places(&[(main, text), (far, more)]), "/a or /b");
        let masked = [(main, text), (&*of("b"), ""), (far, more)];
        assert_eq!(places(&masked), "/a");
        let replaced = [(main, text), (&*of("a"), none), (far, more)];
        assert_eq!(places(&replaced), "/b");
        let taken_away = [(main, text), (&*of("c"), none), (far, more)];
        assert_eq!(
            places(&taken_away),
            "the unit (systemctl cat crypto-proxy.service)"
        );
        assert_eq!(places(&[(main, text), (&of("b.txt/x"), more)]), "/a");
    }

    #[test]
    fn users_and_capabilities_are_the_last_ones_said() {
        for (text, own_user, low_ports) in [
            ("", false, false),
            ("User=root\n", false, false),
            ("User=proxy\n", true, false),
            ("DynamicUser=yes\nDynamicUser=no\n", false, false),
            ("AmbientCapabilities=CAP_NET_BIND_SERVICE\n", false, true),
            (
                "AmbientCapabilities=CAP_NET_BIND_SERVICE\nAmbientCapabilities=\n",
                false,
                false,
            ),
        ] {
            let unit = read(&[("lib/crypto-proxy.service", &format!("[Service]\n{text}"))]);
            let unit = unit.unwrap();
            assert_eq!(
                (unit.has_own_user, unit.may_bind_low_ports),
                (own_user, low_ports),
                "{text}"
            );
        }
    }
}
