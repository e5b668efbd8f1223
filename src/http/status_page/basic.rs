//! The password of HTTP Basic.
//!
//! Guarantees: exactly one header of bearable length; what was decoded is wiped. Does not: look at the user's name, or
//! ask for UTF-8: a token is bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use zeroize::Zeroizing;

use gateway::auth::MAX_TOKEN_BYTES;

/// A user's name, the colon and the longest token, in base64.
const MAX_VALUE_BYTES: usize = 2 * MAX_TOKEN_BYTES;

/// What stands behind the first colon.
pub(super) fn password(headers: &HeaderMap) -> Option<Zeroizing<Vec<u8>>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let value = value.as_bytes();
    if value.len() > MAX_VALUE_BYTES {
        return None;
    }
    let (scheme, encoded) = value.split_at_checked(value.iter().position(|byte| *byte == b' ')?)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(encoded.trim_ascii()).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    pair.get(colon + 1..)
        .map(|password| Zeroizing::new(password.to_vec()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Option<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::AUTHORIZATION,
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        password(&headers).map(|password| password.to_vec())
    }

    fn basic(pair: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn the_password_is_everything_behind_the_first_colon_in_any_bytes() {
        for (pair, expected) in [
            (&b"op:invented"[..], &b"invented"[..]),
            (b":in:vented:", b"in:vented:"),
            (b"x:\xff\x00\xfe", b"\xff\x00\xfe"),
        ] {
            assert_eq!(of(&[&basic(pair)]).as_deref(), Some(expected));
        }
        let lower = String::from_utf8(basic(b"op:invented"))
            .unwrap()
            .replace("Basic", "bAsIc ");
        assert_eq!(of(&[lower.as_bytes()]).as_deref(), Some(&b"invented"[..]));
    }

    #[test]
    fn everything_else_is_no_password() {
        let good = basic(b"op:invented");
        let long = basic(&[b'x'; 4000]);
        let cases: [&[&[u8]]; 8] = [
            &[],
            &[&good, &good],
            &[b"Bearer invented"],
            &[b"Basic"],
            &[b"Basic %%%"],
            &[&basic(b"no colon")],
            &[&long],
            &[b"\xff\xfe"],
        ];
        for case in cases {
            assert_eq!(of(case), None);
        }
    }
}
