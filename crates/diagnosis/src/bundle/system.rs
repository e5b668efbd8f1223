//! What this runs on, as far as a support desk asks.
//!
//! Guarantees: the name of the system and of its kernel; not the name of the machine. Does not: fail.

use std::{fs, io::Read};

/// Bytes of a file that are read at most.
const MAX_BYTES: u64 = 16 * 1024;
const MAX_CHARS: usize = 120;

/// The operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Its name and version, as it calls itself.
    pub os: String,
    /// Its kernel and the machine's architecture.
    pub kernel: String,
}

impl System {
    /// This one.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let release = ["/etc/os-release", "/usr/lib/os-release"]
            .into_iter()
            .find_map(read);
        let os = release
            .as_deref()
            .and_then(pretty_name)
            .unwrap_or_else(|| "not known".to_owned());
        let uname = rustix::system::uname();
        let parts = [uname.sysname(), uname.release(), uname.machine()]
            .map(|part| part.to_string_lossy().into_owned());
        Self {
            os,
            kernel: parts.join(" "),
        }
    }
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

fn pretty_name(release: &str) -> Option<String> {
    let value = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name: String = value
        .trim()
        .trim_matches(['"', '\''])
        .chars()
        .take(MAX_CHARS)
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_has_a_name_and_a_kernel() {
        assert_eq!(
            pretty_name("ID=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n").unwrap(),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(
            (pretty_name("ID=x\n"), pretty_name("PRETTY_NAME=\n")),
            (None, None)
        );
        let here = System::of_this_machine();
        assert!(
            here.kernel.contains("Linux ") && !here.os.is_empty(),
            "{here:?}"
        );
    }
}
