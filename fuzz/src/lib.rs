//! Fuzz targets: every parser that strangers reach, at the door where they reach it.
//!
//! A whole daemon serves on a unix socket, before a stand-in exchange; each input is what one connection says. Beside "no
//! panic" each target checks that nobody without a credential reaches the private methods of the exchange, that what the
//! exchange receives is what an independent reading finds in the input, that every answer is well-formed and holds no secret,
//! and that an input is answered in bounded time. `fuzz/run.sh` lets libFuzzer look for inputs; `cargo test` replays those
//! that are kept in `fuzz/corpus`; `fuzz/plants.sh` shows that planted slips are found. How to add one: CONTRIBUTING.md.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a target says by a panic what it found"
)]

mod answers;
mod pieces;
mod reference;
mod targets;
mod world;

pub use pieces::{Text, change};

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its folder in the corpus.
    pub name: &'static str,
    /// How its inputs are written.
    pub text: Text,
    /// Panics where a property does not hold.
    pub check: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 6] = [
    target("head", Text::Http, targets::head),
    target("body", Text::Json, targets::body),
    target("signed", Text::Json, targets::signed),
    target("query", Text::Query, targets::query),
    target("frames", Text::Json, targets::frames),
    target("readers", Text::Json, targets::readers),
];

const fn target(name: &'static str, text: Text, check: fn(&[u8])) -> Target {
    Target { name, text, check }
}
