//! Channels: what can be subscribed to, what a subscriber gets first, and what later.
//!
//! Guarantees: names and shapes as the documents and the client libraries know them. Does not: know sockets.

use serde_json::{Value, json};

use super::{
    super::{
        account::{Account, Change, Family},
        market,
    },
    Side,
};

/// Levels of a book when none are asked for [documents].
const DEPTH: u32 = 50;

/// A channel that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Orders(Family, Option<String>),
    Trades(Option<String>),
    Balance,
    Positions,
    PositionBalance,
    Ticker(String),
    Book(String, u32),
    MarketTrades(String),
    Candles(String, String),
}

impl Channel {
    /// The channel of this name, where the side has it.
    pub(super) fn parse(name: &str, side: Side) -> Option<Self> {
        match side {
            Side::User => Self::of_user(name),
            Side::Market => Self::of_market(name),
        }
    }

    fn of_user(name: &str) -> Option<Self> {
        let listed = |name: &str| market::find(name).map(|it| Some(it.name.to_owned()));
        match name {
            "user.order" => return Some(Self::Orders(Family::Plain, None)),
            "user.advance.order" | "user.advanced.order" => {
                return Some(Self::Orders(Family::Advanced, None));
            }
            "user.trade" => return Some(Self::Trades(None)),
            "user.balance" => return Some(Self::Balance),
            "user.positions" => return Some(Self::Positions),
            "user.position_balance" => return Some(Self::PositionBalance),
            _ => {}
        }
        if let Some(instrument) = name.strip_prefix("user.order.") {
            return Some(Self::Orders(Family::Plain, listed(instrument)?));
        }
        if let Some(instrument) = name
            .strip_prefix("user.advance.order.")
            .or_else(|| name.strip_prefix("user.advanced.order."))
        {
            return Some(Self::Orders(Family::Advanced, listed(instrument)?));
        }
        Some(Self::Trades(listed(name.strip_prefix("user.trade.")?)?))
    }

    fn of_market(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        let listed = |name: &str| market::find(name).map(|it| it.name.to_owned());
        match *parts.as_slice() {
            ["ticker", instrument] => Some(Self::Ticker(listed(instrument)?)),
            ["trade", instrument] => Some(Self::MarketTrades(listed(instrument)?)),
            ["book", instrument] => Some(Self::Book(listed(instrument)?, DEPTH)),
            ["book", instrument, depth] => {
                Some(Self::Book(listed(instrument)?, depth.parse().ok()?))
            }
            ["candlestick", interval, instrument] => {
                Some(Self::Candles(interval.to_owned(), listed(instrument)?))
            }
            _ => None,
        }
    }

    /// The members of `result` beside `subscription` and `data`.
    pub(super) fn describe(&self) -> Value {
        match self {
            Self::Orders(family, instrument) => {
                if *family == Family::Plain {
                    of_account("user.order", instrument.as_deref())
                } else {
                    named("user.advance.order", instrument.as_deref())
                }
            }
            Self::Trades(instrument) => of_account("user.trade", instrument.as_deref()),
            Self::Balance => named("user.balance", None),
            Self::Positions => named("user.positions", None),
            Self::PositionBalance => named("user.position_balance", None),
            Self::Ticker(instrument) => named("ticker", Some(instrument)),
            Self::MarketTrades(instrument) => named("trade", Some(instrument)),
            Self::Book(instrument, depth) => {
                json!({ "channel": "book", "instrument_name": instrument, "depth": depth })
            }
            Self::Candles(interval, instrument) => {
                json!({ "channel": "candlestick", "instrument_name": instrument, "interval": interval, "depth": 300 })
            }
        }
    }

    /// What a subscriber gets first; `None` where nothing has happened yet.
    pub(super) fn snapshot(&self, account: &Account, now_ms: i64) -> Option<Value> {
        let data = match self {
            Self::Orders(family, instrument) => account.open_now(*family, instrument.as_deref()),
            Self::Trades(_) => return None,
            Self::Balance => account.balance_now(),
            Self::Positions => account.positions_now(now_ms),
            Self::PositionBalance => position_balance(account, now_ms),
            Self::Ticker(instrument) => market::tickers(Some(instrument), now_ms)?
                .get_mut("data")?
                .take(),
            Self::MarketTrades(instrument) => trades(instrument, now_ms),
            Self::Book(instrument, _) => book(instrument, now_ms),
            Self::Candles(_, instrument) => candles(instrument, now_ms),
        };
        let is_empty = data.as_array().is_some_and(Vec::is_empty);
        (!is_empty || !matches!(self, Self::Orders(..))).then_some(data)
    }

    /// The `data` of each update that these changes are worth.
    pub(super) fn updates(&self, changes: &[Change], account: &Account, now_ms: i64) -> Vec<Value> {
        let moved = || changes.iter().any(Change::moves_money);
        match self {
            Self::Orders(family, instrument) => changes
                .iter()
                .filter_map(|change| match change {
                    Change::Order {
                        family: of, shown, ..
                    } if of == family && fits(shown, instrument) => Some(json!([shown])),
                    Change::Order { .. } | Change::Trade(_) | Change::Balance => None,
                })
                .collect(),
            Self::Trades(instrument) => changes
                .iter()
                .filter_map(|change| match change {
                    Change::Trade(shown) if fits(shown, instrument) => Some(json!([shown])),
                    Change::Order { .. } | Change::Trade(_) | Change::Balance => None,
                })
                .collect(),
            Self::Balance if moved() => vec![account.balance_now()],
            Self::Positions if moved() => vec![account.positions_now(now_ms)],
            Self::PositionBalance if moved() => vec![position_balance(account, now_ms)],
            Self::Balance | Self::Positions | Self::PositionBalance => Vec::new(),
            Self::Ticker(_) | Self::Book(..) | Self::MarketTrades(_) | Self::Candles(..) => {
                Vec::new()
            }
        }
    }
}

/// The exchange names the instrument in `channel`, too: ccxt knows both forms, bittrade waits for this one alone.
fn of_account(channel: &str, instrument: Option<&str>) -> Value {
    match instrument {
        Some(instrument) => named(&format!("{channel}.{instrument}"), Some(instrument)),
        None => named(channel, None),
    }
}

fn named(channel: &str, instrument: Option<&str>) -> Value {
    match instrument {
        Some(instrument) => json!({ "channel": channel, "instrument_name": instrument }),
        None => json!({ "channel": channel }),
    }
}

fn fits(shown: &Value, instrument: &Option<String>) -> bool {
    instrument
        .as_ref()
        .is_none_or(|name| shown.get("instrument_name").is_some_and(|it| it == name))
}

fn position_balance(account: &Account, now_ms: i64) -> Value {
    let mut balances = account.balance_now();
    let held = balances
        .get_mut(0)
        .and_then(|all| all.get_mut("position_balances"))
        .map(Value::take);
    json!([{ "balances": held.unwrap_or_default(), "positions": account.positions_now(now_ms) }])
}

fn price(instrument: &str) -> String {
    market::find(instrument)
        .map(|it| it.price().to_string())
        .unwrap_or_default()
}

fn trades(instrument: &str, now_ms: i64) -> Value {
    let id = now_ms.to_string();
    json!([{ "d": id, "t": now_ms, "q": "0.1", "p": price(instrument), "s": "BUY", "i": instrument, "m": id }])
}

fn book(instrument: &str, now_ms: i64) -> Value {
    let level = json!([price(instrument), "1", "1"]);
    json!([{ "bids": [level], "asks": [level], "t": now_ms, "tt": now_ms, "u": now_ms, "cs": 0 }])
}

fn candles(instrument: &str, now_ms: i64) -> Value {
    let price = price(instrument);
    let start = now_ms - now_ms.rem_euclid(60_000);
    json!([{ "o": price, "h": price, "l": price, "c": price, "v": "1", "t": start, "ut": now_ms }])
}
