//! Channels of the streams: which read of the account a channel amounts to.
//!
//! Guarantees: a channel of the account is judged as the method that shows the same; one that is not in the table has no
//! such method, and policy judges it by its own name. Source: the vendor's WebSocket pages, `data/methods.json`
//! (`user_channels`).

/// Longest channel name that is looked at, in bytes.
const MAX_BYTES: usize = 128;

/// Channels by name, or by what stands before `.{instrument}`, and the method that shows the same.
/// Some have two names in the vendor's pages.
const OF_THE_ACCOUNT: [(&str, &str); 12] = [
    ("user.order", "private/get-open-orders"),
    ("user.advance.order", "private/advanced/get-open-orders"),
    ("user.advanced.order", "private/advanced/get-open-orders"),
    ("user.trade", "private/get-trades"),
    ("user.transactions", "private/get-transactions"),
    ("user.balance", "private/user-balance"),
    ("user.positions", "private/get-positions"),
    ("user.account_risk", "private/user-balance"),
    ("user.position_balance", "private/get-positions"),
    (
        "user.otc_qr_requests",
        "private/otc/get-open-quote-requests",
    ),
    ("user.otc_qr_quotes", "private/otc/get-open-quotes"),
    ("user.otc_deals", "private/otc/get-open-deals"),
];

/// What a channel of the account tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfTheAccount<'a> {
    /// The method that shows the same.
    pub method: &'static str,
    /// The instrument that it is limited to, where its name has one.
    pub instrument: Option<&'a str>,
}

/// What this channel of the account tells, if it is one.
#[must_use]
pub fn of_the_account(channel: &str) -> Option<OfTheAccount<'_>> {
    OF_THE_ACCOUNT.iter().find_map(|(name, method)| {
        let instrument = match channel.strip_prefix(name)? {
            "" => None,
            rest => Some(rest.strip_prefix('.').filter(|rest| is_part(rest))?),
        };
        Some(OfTheAccount { method, instrument })
    })
}

/// Whether this is written as a channel of the account, also where it is not known what it tells.
#[must_use]
pub fn is_of_the_account(channel: &str) -> bool {
    channel.starts_with("user.") && is_plain(channel)
}

/// Whether this can be a channel of the market: nothing of an account, and no character that needs care.
#[must_use]
pub fn is_of_the_market(channel: &str) -> bool {
    !channel.to_ascii_lowercase().starts_with("user") && is_plain(channel)
}

/// Whether a name may be repeated in a text: it is short, and has no character that needs care.
#[must_use]
pub fn is_plain(channel: &str) -> bool {
    channel.len() <= MAX_BYTES && channel.split('.').all(is_part)
}

fn is_part(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods;

    #[test]
    fn every_channel_of_the_account_amounts_to_a_method_of_the_catalogue() {
        for (channel, method) in OF_THE_ACCOUNT {
            assert_eq!(
                of_the_account(channel),
                Some(OfTheAccount {
                    method,
                    instrument: None
                })
            );
            assert!(
                methods::find(method).is_some_and(|info| info.class == methods::Class::Read),
                "{method}"
            );
        }
        for (channel, method, instrument) in [
            (
                "user.order.BTCUSD-PERP",
                "private/get-open-orders",
                "BTCUSD-PERP",
            ),
            (
                "user.advance.order.BTC_USD",
                "private/advanced/get-open-orders",
                "BTC_USD",
            ),
            (
                "user.advanced.order.BTC_USD",
                "private/advanced/get-open-orders",
                "BTC_USD",
            ),
        ] {
            assert_eq!(
                of_the_account(channel),
                Some(OfTheAccount {
                    method,
                    instrument: Some(instrument)
                })
            );
        }
    }

    #[test]
    fn other_names_are_no_channels_of_the_account() {
        for channel in [
            "",
            "user",
            "user.orders",
            "user.order.",
            "user.order.a.b",
            "ticker.BTC_USD",
            "user.order\n",
        ] {
            assert_eq!(of_the_account(channel), None, "{channel:?}");
        }
    }

    #[test]
    fn what_is_written_as_a_channel_of_the_account_is_one_whether_known_or_not() {
        for channel in ["user.order", "user.not-invented.yet", "user.x.BTC_USD"] {
            assert!(is_of_the_account(channel), "{channel}");
        }
        for channel in [
            "user", "user.", "user..x", "user.x y", "User.x", "ticker.x", "user.\"x",
        ] {
            assert!(!is_of_the_account(channel), "{channel}");
        }
    }

    #[test]
    fn channels_of_the_market_are_plain_names_outside_the_account() {
        for channel in [
            "ticker.BTC_USD",
            "book.BTCUSD-PERP.10",
            "candlestick.1m.BTC_USD",
            "settlement",
        ] {
            assert!(is_of_the_market(channel), "{channel}");
        }
        for channel in [
            "",
            "user",
            "user.order",
            "USER.order",
            "ticker.",
            "ticker.a b",
            "ticker.a\"",
            &"a.".repeat(99),
        ] {
            assert!(!is_of_the_market(channel), "{channel:?}");
        }
    }
}
