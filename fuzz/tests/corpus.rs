//! Every input that is kept, against its target.
#![cfg(test)]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A panic in a task of the daemon is caught there; here it counts nevertheless.
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn every_input_that_is_kept_holds() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let (mut inputs, mut wrong) = (0, Vec::new());
    for target in fuzz::TARGETS {
        let mut paths: Vec<_> = fs::read_dir(corpus.join(target.name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            let input = fs::read(&path).unwrap();
            let before = PANICS.load(Ordering::Relaxed);
            let ended = catch_unwind(AssertUnwindSafe(|| (target.check)(&input)));
            if ended.is_err() || PANICS.load(Ordering::Relaxed) > before {
                wrong.push(path);
            }
            inputs += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        (100..=500).contains(&inputs),
        "the corpus is small, and there: {inputs}"
    );
}
