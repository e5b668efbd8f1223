//! libFuzzer around the target that `FUZZ_TARGET` names.
#![no_main]
#![expect(clippy::expect_used, reason = "fuzz/run.sh names a target")]

use std::{fs, path::Path, sync::OnceLock};

use fuzz::Target;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

static TARGET: OnceLock<Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let wanted = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let found = fuzz::TARGETS.into_iter().find(|one| one.name == wanted);
        found.expect("a target of this name")
    })
}

fuzz_target!(|data: &[u8]| {
    (target().check)(data);
});

/// The inputs that are kept for the target.
fn kept() -> &'static [Vec<u8>] {
    static KEPT: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    KEPT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let files = fs::read_dir(folder.join(target().name)).expect("a corpus");
        let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
        paths.sort();
        paths.into_iter().flat_map(fs::read).collect()
    })
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let (kind, number) = (seed % 4, seed / 4);
    let input = match kind {
        // The engine's own changes to bytes find what nobody thought of.
        0 | 1 => return fuzzer_mutate(data, size, max_size),
        // It prefers what is new to it, which is mostly refused early. So what goes far has its turns, too.
        2 => kept().get(number as usize % kept().len().max(1)),
        _ => None,
    };
    let input = input.map_or_else(|| data.get(..size).unwrap_or_default(), Vec::as_slice);
    let mut changed = fuzz::change(input, target().text, number);
    changed.truncate(max_size);
    if let Some(room) = data.get_mut(..changed.len()) {
        room.copy_from_slice(&changed);
    }
    changed.len()
});
