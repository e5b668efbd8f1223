//! Fuzz targets: every parser that strangers reach, at the door where they reach it.
//!
//! A whole daemon serves on a unix socket, before a stand-in exchange; each input is what one connection says. Beside "no
//! panic" each target checks that nobody without a credential reaches the private methods of the exchange, that every answer is
//! well-formed and holds no secret, that what is signed is what an independent reading of the documents signs, and that an
//! input is answered in bounded time. `fuzz/run.sh` lets libFuzzer look for inputs; `cargo test` replays those that are
//! kept in `fuzz/corpus`. How to add one: CONTRIBUTING.md.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a target says by a panic what it found"
)]

mod answers;
mod reference;
mod targets;
mod world;

/// A target: it panics where a property does not hold.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in the corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("head", targets::head),
    ("body", targets::body),
    ("signed", targets::signed),
    ("query", targets::query),
    ("frames", targets::frames),
    ("readers", targets::readers),
];
