//! libFuzzer around the target that `FUZZ_TARGET` names.
#![no_main]
#![expect(clippy::expect_used, reason = "fuzz/run.sh names a target")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fuzz::Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let found = fuzz::TARGETS.into_iter().find(|(name, _)| *name == wanted);
        found.expect("a target of this name").1
    });
    target(data);
});
