//! The rules: what a pattern of findings puts forward, and what it excludes.
//!
//! Guarantees: the order of the rules is the order of causes that are equally likely. Does not: sort or count.

use crate::causes::{evidence::Evidence, hypothesis::Hypothesis};

mod calls;
mod connection;
mod pair;
mod refusal;

/// A rule.
type Rule = fn(&Evidence<'_>) -> Vec<Hypothesis>;

/// In order.
pub(super) const ALL: &[Rule] = &[
    pair::published,
    pair::not_there,
    pair::suspicious,
    pair::signing_code,
    connection::not_reached,
    connection::answered_by_others,
    connection::maintenance,
    refusal::nonce,
    refusal::address,
    refusal::tier,
    refusal::budget,
    refusal::half_rotated,
    refusal::clock,
    refusal::address_unsaid,
    refusal::asked_elsewhere,
    refusal::before_and_after,
    refusal::nothing_else_known,
    refusal::some_of_them,
    calls::not_restarted,
    calls::trades_refused,
    calls::in_turns,
    calls::single_methods,
    calls::codes,
    calls::refused_here,
    calls::told,
    pair::dirt,
];
