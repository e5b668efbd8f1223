//! A policy in one line, for people.

use std::fmt::{Display, Write as _};

use super::{AccessRules, Policy};

/// What a caller may do, and from where.
pub(super) fn policy(policy: &Policy) -> String {
    let allowed = list(&policy.allow_classes)
        .chain(list(&policy.allow_methods))
        .chain(list(&policy.allow_patterns));
    let denied = list(&policy.deny_classes)
        .chain(list(&policy.deny_methods))
        .chain(list(&policy.deny_patterns));
    let (allowed, denied) = (sorted(allowed), sorted(denied));
    let mut line = if allowed.is_empty() {
        "may nothing".to_owned()
    } else {
        format!("may {allowed}")
    };
    if !denied.is_empty() {
        let _ = write!(line, ", not {denied}");
    }
    if let Some(instruments) = &policy.instruments {
        let ids = if instruments.orders_by_id {
            " and orders by id"
        } else {
            ""
        };
        let _ = write!(line, ", on {}{ids}", sorted(list(&instruments.names)));
    }
    line + &limits(&policy.access)
}

/// Where and when it may call.
pub(super) fn limits(limits: &AccessRules) -> String {
    let mut line = String::new();
    if !limits.sources.is_empty() {
        let _ = write!(line, ", from {}", sorted(list(&limits.sources)));
    }
    if !limits.uids.is_empty() {
        let _ = write!(line, ", as uid {}", sorted(list(&limits.uids)));
    }
    if let Some(end) = limits.expires_ms {
        let _ = write!(line, ", until {}", crate::callers::moment(end));
    }
    line
}

fn list<'a, T: Display + 'a>(
    items: impl IntoIterator<Item = &'a T>,
) -> impl Iterator<Item = String> {
    items.into_iter().map(ToString::to_string)
}

fn sorted(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    items.sort();
    items.join(" ")
}
