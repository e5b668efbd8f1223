//! Params of a command that is not signed: what a stream carries after its login.
//!
//! Guarantees: an object without a key that stands twice anywhere in it, so that every reader reads the same; keys of
//! printable ASCII, as over REST; bounded depth. What implementations sign differently does not matter here, and is allowed.

use serde_json::value::RawValue;

use crate::json::Members;

/// Deeper params than any document shows are refused.
const MAX_DEPTH: u8 = 8;

/// Why params cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// No object.
    #[error("params must be a JSON object")]
    NotAnObject,
    /// A key stands twice in one object: readers disagree about which one counts.
    #[error("a key stands twice in params; send it once")]
    DuplicateKey,
    /// A key beyond printable ASCII: no document knows one, and what looks like a known one is not it.
    #[error("a key in params has characters beyond printable ASCII")]
    KeyNotAscii,
    /// Nested too deep.
    #[error("params are nested too deeply")]
    TooDeep,
    /// A text that is no text, such as half a surrogate pair.
    #[error("params hold a broken string")]
    BrokenString,
    /// A batch with anything but the documented members.
    #[error(
        "a batch holds instrument_name, cancels and creates, both lists of objects, and nothing else"
    )]
    Batch,
    /// A subscription with anything but the documented members.
    #[error(
        "a subscription holds channels, book_subscription_type and book_update_frequency, and nothing else"
    )]
    Subscription,
}

/// Members of a subscription: the documented ones (vendor documents), and how ccxt spells them.
const OF_SUBSCRIPTIONS: [&str; 5] = [
    "channels",
    "book_subscription_type",
    "book_update_frequency",
    "bookSubscriptionType",
    "bookUpdateFrequency",
];

/// Checks the params of a subscription: plain values beside the channels, which the caller of this reads.
pub(crate) fn check_subscription(params: &RawValue) -> Result<(), Ambiguous> {
    check(params)?;
    let Members(members) =
        serde_json::from_str(params.get()).map_err(|_| Ambiguous::BrokenString)?;
    let is_plain = |raw: &RawValue| !raw.get().starts_with(['{', '[']);
    let is_known = |(name, raw): &(std::borrow::Cow<'_, str>, &RawValue)| {
        OF_SUBSCRIPTIONS.contains(&&**name) && (name == "channels" || is_plain(raw))
    };
    if members.iter().all(is_known) {
        Ok(())
    } else {
        Err(Ambiguous::Subscription)
    }
}

pub(super) fn check(params: &RawValue) -> Result<(), Ambiguous> {
    if params.get().starts_with('{') {
        object(params, MAX_DEPTH)
    } else {
        Err(Ambiguous::NotAnObject)
    }
}

fn object(raw: &RawValue, depth: u8) -> Result<(), Ambiguous> {
    let Members(mut members) =
        serde_json::from_str(raw.get()).map_err(|_| Ambiguous::BrokenString)?;
    if !members
        .iter()
        .all(|(key, _)| key.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
    {
        return Err(Ambiguous::KeyNotAscii);
    }
    members
        .iter()
        .try_for_each(|(_, value)| any(value, depth))?;
    members.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let twice = members
        .windows(2)
        .any(|pair| matches!(pair, [(left, _), (right, _)] if left == right));
    if twice {
        Err(Ambiguous::DuplicateKey)
    } else {
        Ok(())
    }
}

fn any(raw: &RawValue, depth: u8) -> Result<(), Ambiguous> {
    let deeper = || depth.checked_sub(1).ok_or(Ambiguous::TooDeep);
    match raw.get().as_bytes().first() {
        Some(b'{') => object(raw, deeper()?),
        Some(b'[') => {
            let depth = deeper()?;
            let items: Vec<&RawValue> =
                serde_json::from_str(raw.get()).map_err(|_| Ambiguous::BrokenString)?;
            items.into_iter().try_for_each(|item| any(item, depth))
        }
        Some(b'"') => serde_json::from_str::<String>(raw.get())
            .map(drop)
            .map_err(|_| Ambiguous::BrokenString),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Call, InvalidCall, Method, RequestId};

    fn call(method: &str, params: &str) -> Result<Call, InvalidCall> {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        Call::parse_unsigned(
            RequestId::BACKEND,
            Method::parse(method).unwrap(),
            Some(&raw),
        )
    }

    fn problem(params: &str) -> Option<InvalidCall> {
        call("private/x", params).err()
    }

    #[test]
    fn what_readers_sign_differently_may_be_sent_unsigned() {
        for params in [
            r#"{"order_list":[{"exec_inst":["POST_ONLY"]}]}"#,
            r#"{"a":50000.00,"b":[null]}"#,
            "{}",
        ] {
            assert_eq!(problem(params), None, "{params}");
        }
    }

    #[test]
    fn what_readers_read_differently_may_not() {
        for (params, reason) in [
            (r#"{"a":1,"\u0061":2}"#, Ambiguous::DuplicateKey),
            (
                r#"{"creates":[{"side":"BUY","side":"SELL"}]}"#,
                Ambiguous::DuplicateKey,
            ),
            ("[]", Ambiguous::NotAnObject),
            (r#"{"a":"\ud800"}"#, Ambiguous::BrokenString),
            (r#"{"a":[{"sid\u0435":1}]}"#, Ambiguous::KeyNotAscii),
            (r#"{"a\u0000":1}"#, Ambiguous::KeyNotAscii),
        ] {
            assert_eq!(
                problem(params),
                Some(InvalidCall::Ambiguous(reason)),
                "{params}"
            );
        }
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
        assert_eq!(
            problem(&deep),
            Some(InvalidCall::Ambiguous(Ambiguous::TooDeep))
        );
    }

    #[test]
    fn a_batch_is_taken_apart_into_the_calls_that_it_amounts_to() {
        let batch = |params| call("private/batch-order-request", params).unwrap().parts();
        let parts = batch(
            r#"{"instrument_name":"X","creates":[{"side":"BUY"}],"cancels":[{"order_id":"1"}]}"#,
        )
        .unwrap();
        let shown: Vec<_> = parts
            .iter()
            .map(|part| (part.method.as_str(), part.params.text()))
            .collect();
        assert_eq!(
            shown,
            [
                ("private/create-order", r#"{"side":"BUY"}"#),
                ("private/cancel-order", r#"{"order_id":"1"}"#)
            ]
        );
        for odd in [
            r#"{"amends":[]}"#,
            r#"{"creates":{}}"#,
            r#"{"creates":[1]}"#,
            r#"{"creates":null}"#,
        ] {
            assert!(batch(odd).is_err(), "{odd}");
        }
        assert!(
            call("private/create-order", "{}")
                .unwrap()
                .parts()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_connection_guards_itself_by_one_method_with_one_scope_and_nothing_else() {
        let guards = |method, params| call(method, params).unwrap().guards_its_connection();
        let method = "private/set-cancel-on-disconnect";
        assert!(
            guards(method, r#"{"scope":"CONNECTION"}"#)
                && guards(method, r#"{"sco\u0070e":"CONNECTION"}"#)
        );
        for params in [
            "{}",
            r#"{"scope":"ACCOUNT"}"#,
            r#"{"scope":"connection"}"#,
            r#"{"scope":"CONNECTION","x":1}"#,
            r#"{"x":1}"#,
        ] {
            assert!(!guards(method, params), "{params}");
        }
        assert!(!guards("private/create-order", r#"{"scope":"CONNECTION"}"#));
    }
}
