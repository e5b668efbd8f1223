//! The rules: what a pattern of evidence puts forward, and what it excludes.
//!
//! One list serves a diagnosis and a hint: a rule whose evidence is not there puts nothing forward. Does not: sort or
//! count.

use crate::{
    causes::{Cause, Likelihood, evidence::Evidence, hypothesis::Hypothesis},
    key_pairs::{Half, Origin},
    verdict::Objection,
};

mod call;
mod connection;
mod pair;
mod recorded;
mod refusal;

/// What a rule puts forward.
type Rule = fn(&Evidence<'_>) -> Vec<Hypothesis>;

/// Every rule, in the order of causes that are equally likely.
pub(super) const ALL: &[Rule] = &[
    recorded::in_doubt,
    recorded::journal_away,
    pair::published,
    pair::not_there,
    pair::suspicious,
    pair::signing_code,
    connection::not_reached,
    connection::answered_by_others,
    connection::maintenance,
    connection::outage,
    call::alone,
    refusal::nonce,
    refusal::address,
    refusal::tier_or_budget,
    refusal::half_rotated,
    refusal::clock,
    refusal::address_unsaid,
    refusal::asked_elsewhere,
    call::never_accepted,
    refusal::before_and_after,
    refusal::nothing_else_known,
    refusal::some_of_them,
    recorded::another_pair,
    recorded::not_restarted,
    recorded::trades_refused,
    recorded::in_turns,
    recorded::single_methods,
    recorded::codes,
    recorded::foreign_scheme,
    recorded::refused_here,
    recorded::not_recorded,
    recorded::told,
    pair::dirt,
];

/// The cause that an objection names by itself, whoever meets it; none where more must be asked.
pub(crate) const fn named(objection: Objection) -> Option<(Cause, Likelihood)> {
    match objection {
        Objection::Address => Some((Cause::IpNotListed, Likelihood::VeryLikely)),
        Objection::Tier => Some((Cause::UserTier, Likelihood::VeryLikely)),
        Objection::Maintenance => Some((Cause::Maintenance, Likelihood::VeryLikely)),
        // Who used it up, the exchange does not say.
        Objection::Budget => Some((Cause::RateLimit, Likelihood::Likely)),
        Objection::Edge => Some((Cause::EdgeBlocked, Likelihood::Likely)),
        Objection::Outage => Some((Cause::Outage, Likelihood::Likely)),
        Objection::Refused | Objection::Nonce => None,
    }
}

/// How likely half a rotation is by what the history tells of the pair, where nothing was accepted with it.
const fn half_rotated_likelihood(origin: Origin) -> Option<Likelihood> {
    match origin {
        Origin::Half { worked: true, .. } => Some(Likelihood::VeryLikely),
        Origin::Half {
            worked: false,
            replaced: Half::Key,
        } => Some(Likelihood::Likely),
        // A secret that follows a key mends as often as it breaks, where the pair before never worked.
        Origin::Half {
            worked: false,
            replaced: Half::Secret,
        }
        | Origin::TwoStarts => Some(Likelihood::Possible),
        Origin::First | Origin::Proven | Origin::Replaced => None,
    }
}

/// The budget of a method, in words.
fn budget_words(method: &str) -> Option<String> {
    let limit = catalogue::methods::find(method)?.rate_limit;
    Some(format!(
        "its budget is {} per {} ms ({})",
        limit.limit, limit.window_ms, limit.scope
    ))
}
