//! The market: a handful of instruments at prices that never move.
//!
//! Guarantees: the shapes of the public methods, whose answers never depend on the account.
//! `depth` and `count` are honoured up to the documented maximum. The same moment gives the same answer.
//! Does not: match orders, move prices or keep a book: book, candles and trades are made up at the one price that an
//! instrument has. `start_ts` and `end_ts` are ignored.

use serde_json::{Value, json};

use super::{amount::Amount, json::Json, settings::Refusal};

/// From one level of the book to the next, as a part of the price: the deepest level is still above zero.
const STEP: &str = "0.0001";
const MAX_DEPTH: usize = 50;
const MAX_CANDLES: usize = 300;
const MAX_TRADES: usize = 150;
/// Entries when nobody asks for a number of them [documents].
const DEFAULT_COUNT: usize = 25;
/// More trades than these never happened.
const TRADES: usize = 60;
const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// One tradable thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instrument {
    pub(super) name: &'static str,
    pub(super) base: &'static str,
    pub(super) quote: &'static str,
    price: &'static str,
}

const fn instrument(
    name: &'static str,
    base: &'static str,
    quote: &'static str,
    price: &'static str,
) -> Instrument {
    Instrument {
        name,
        base,
        quote,
        price,
    }
}

const INSTRUMENTS: [Instrument; 20] = [
    instrument("BTC_USD", "BTC", "USD", "60000"),
    instrument("BTC_USDT", "BTC", "USDT", "60000"),
    instrument("ETH_USD", "ETH", "USD", "3000"),
    instrument("ETH_USDT", "ETH", "USDT", "3000"),
    instrument("ETH_BTC", "ETH", "BTC", "0.05"),
    instrument("CRO_USD", "CRO", "USD", "0.1"),
    instrument("CRO_USDT", "CRO", "USDT", "0.1"),
    instrument("SOL_USD", "SOL", "USD", "150"),
    instrument("SOL_USDT", "SOL", "USDT", "150"),
    instrument("XRP_USD", "XRP", "USD", "0.5"),
    instrument("XRP_USDT", "XRP", "USDT", "0.5"),
    instrument("ADA_USD", "ADA", "USD", "0.4"),
    instrument("ADA_USDT", "ADA", "USDT", "0.4"),
    instrument("DOGE_USD", "DOGE", "USD", "0.1"),
    instrument("DOGE_USDT", "DOGE", "USDT", "0.1"),
    instrument("ONE_USD", "ONE", "USD", "0.02"),
    instrument("ONE_USDT", "ONE", "USDT", "0.02"),
    instrument("USDT_USD", "USDT", "USD", "1"),
    instrument("BTCUSD-PERP", "BTC", "USD", "60000"),
    instrument("ETHUSD-PERP", "ETH", "USD", "3000"),
];

/// The instrument of this name.
pub(super) fn find(name: &str) -> Option<&'static Instrument> {
    INSTRUMENTS
        .iter()
        .find(|instrument| instrument.name == name)
}

impl Instrument {
    /// Whether it is a perpetual future: it moves positions, not balances.
    pub(super) fn is_perpetual(&self) -> bool {
        self.name.ends_with("-PERP")
    }

    pub(super) fn price(&self) -> Amount {
        Amount::parse(self.price).unwrap_or_default()
    }

    fn describe(&self) -> Value {
        let (decimals, tick) = self.precision();
        let mut shown = json!({
            "symbol": self.name,
            "inst_type": if self.is_perpetual() { "PERPETUAL_SWAP" } else { "CCY_PAIR" },
            "display_name": self.name.replace('_', "/"),
            "base_ccy": self.base,
            "quote_ccy": self.quote,
            "quote_decimals": decimals,
            "quantity_decimals": 6,
            "price_tick_size": tick,
            "qty_tick_size": "0.000001",
            "max_leverage": "50",
            "tradable": true,
            "expiry_timestamp_ms": 0,
            "beta_product": false,
            "margin_buy_enabled": true,
            "margin_sell_enabled": true,
            "product_type": "DIGITAL_CURRENCIES",
        });
        if let (Some(members), true) = (shown.as_object_mut(), self.is_perpetual()) {
            let underlying = json!(self.name.replace("-PERP", "-INDEX"));
            members.insert("underlying_symbol".to_owned(), underlying);
        }
        shown
    }

    /// Decimals of a price, and its smallest step: fewer for dear things, as on the exchange.
    fn precision(&self) -> (u8, &'static str) {
        if self.price() >= Amount::parse("1000").unwrap_or_default() {
            (2, "0.01")
        } else {
            (6, "0.000001")
        }
    }

    fn ticker(&self, now_ms: i64) -> Value {
        let price = self.price;
        json!({
            "i": self.name, "h": price, "l": price, "a": price, "v": "1000", "vv": "1000000", "c": "0",
            "b": price, "k": price, "oi": "0", "t": now_ms,
        })
    }
}

/// Answers a public method; one without behaviour here gives an empty list.
pub(super) fn answer(method: &str, params: &Json, now_ms: i64) -> Result<Value, Refusal> {
    Ok(match method {
        "public/get-instruments" => listed(Instrument::describe),
        "public/get-tickers" => {
            tickers(params.text("instrument_name"), now_ms).ok_or(Refusal::code(209))?
        }
        "public/get-book" => book(named(params)?, params, now_ms),
        "public/get-candlestick" => candles(named(params)?, params, now_ms)?,
        "public/get-trades" => trades(named(params)?, params, now_ms),
        _ => json!({ "data": [] }),
    })
}

/// All tickers, or one; `None` for one that does not exist.
pub(super) fn tickers(name: Option<&str>, now_ms: i64) -> Option<Value> {
    Some(match name {
        Some(name) => json!({ "data": [find(name)?.ticker(now_ms)] }),
        None => listed(|instrument| instrument.ticker(now_ms)),
    })
}

fn listed(describe: impl Fn(&Instrument) -> Value) -> Value {
    json!({ "data": INSTRUMENTS.iter().map(describe).collect::<Vec<_>>() })
}

fn named(params: &Json) -> Result<&'static Instrument, Refusal> {
    find(params.text("instrument_name").ok_or(Refusal::code(40004))?).ok_or(Refusal::code(209))
}

/// The result of `public/get-book`.
fn book(instrument: &Instrument, params: &Json, now_ms: i64) -> Value {
    let depth = number(params, "depth", MAX_DEPTH, MAX_DEPTH);
    let step = instrument
        .price()
        .times(Amount::parse(STEP).unwrap_or_default())
        .unwrap_or_default();
    let mut distance = Amount::ZERO;
    let (mut bids, mut asks) = (Vec::new(), Vec::new());
    for _ in 0..depth {
        distance = distance.plus(step);
        bids.push(level(instrument.price().minus(distance)));
        asks.push(level(instrument.price().plus(distance)));
    }
    json!({
        "instrument_name": instrument.name,
        "depth": depth,
        "data": [{ "bids": bids, "asks": asks, "t": now_ms }],
    })
}

/// Price, quantity, and how many orders.
fn level(price: Amount) -> [String; 3] {
    [price.to_string(), "1".to_owned(), "1".to_owned()]
}

/// The result of `public/get-candlestick`, oldest first. An unknown timeframe is an error of the caller's.
fn candles(instrument: &Instrument, params: &Json, now_ms: i64) -> Result<Value, Refusal> {
    let interval = params.text("timeframe").unwrap_or("1m");
    let length_ms = length_ms(interval).ok_or(Refusal::code(40004))?;
    let count = number(params, "count", DEFAULT_COUNT, MAX_CANDLES);
    let newest = now_ms - now_ms.rem_euclid(length_ms);
    let price = instrument.price;
    let opened = (0_i64..).take(count).map(|back| newest - back * length_ms);
    let mut data: Vec<_> = opened
        .map(|t| json!({ "o": price, "h": price, "l": price, "c": price, "v": "1", "t": t }))
        .collect();
    data.reverse();
    Ok(json!({ "instrument_name": instrument.name, "interval": interval, "data": data }))
}

/// Both spellings that the documents know.
fn length_ms(interval: &str) -> Option<i64> {
    Some(match interval {
        "1m" | "M1" => MINUTE_MS,
        "5m" | "M5" => 5 * MINUTE_MS,
        "15m" | "M15" => 15 * MINUTE_MS,
        "30m" | "M30" => 30 * MINUTE_MS,
        "1h" | "H1" => 60 * MINUTE_MS,
        "2h" | "H2" => 120 * MINUTE_MS,
        "4h" | "H4" => 240 * MINUTE_MS,
        "12h" | "H12" => 720 * MINUTE_MS,
        "1D" | "D1" => DAY_MS,
        "7D" => 7 * DAY_MS,
        "14D" => 14 * DAY_MS,
        "1M" => 30 * DAY_MS,
        _ => return None,
    })
}

/// The result of `public/get-trades`, newest first: one a second, of either side in turn.
fn trades(instrument: &Instrument, params: &Json, now_ms: i64) -> Value {
    let count = number(params, "count", DEFAULT_COUNT, MAX_TRADES).min(TRADES);
    let newest = now_ms - now_ms.rem_euclid(SECOND_MS);
    let seconds = (0_i64..).take(count).map(|back| newest - back * SECOND_MS);
    let data: Vec<_> = seconds.map(|t| trade(instrument, t)).collect();
    json!({ "data": data })
}

fn trade(instrument: &Instrument, t: i64) -> Value {
    let side = if (t / SECOND_MS) % 2 == 0 {
        "buy"
    } else {
        "sell"
    };
    let id = t.to_string();
    json!({
        "d": id, "m": id, "t": t, "tn": format!("{t}000000"), "q": "0.001", "p": instrument.price, "s": side,
        "i": instrument.name,
    })
}

fn number(params: &Json, name: &str, default: usize, max: usize) -> usize {
    params
        .text(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
        .min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitcoin() -> &'static Instrument {
        find("BTC_USD").unwrap()
    }

    fn asked(name: &str, value: &str) -> Json {
        Json::Object(vec![(name.to_owned(), Json::Text(value.to_owned()))])
    }

    #[test]
    fn the_best_bid_is_below_the_best_ask() {
        let book = book(bitcoin(), &asked("depth", "2"), 1_000);
        assert_eq!(
            book["data"][0]["bids"],
            json!([["59994", "1", "1"], ["59988", "1", "1"]])
        );
        assert_eq!(
            book["data"][0]["asks"],
            json!([["60006", "1", "1"], ["60012", "1", "1"]])
        );
        let whole = super::book(bitcoin(), &asked("depth", "1000"), 1_000);
        assert_eq!(
            whole["data"][0]["bids"].as_array().unwrap().len(),
            MAX_DEPTH
        );
    }

    #[test]
    fn candles_open_on_multiples_of_their_length_oldest_first() {
        let candles = candles(bitcoin(), &asked("timeframe", "5m"), 1_700_000_123_456).unwrap();
        let opened: Vec<_> = candles["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|candle| candle["t"].as_i64().unwrap())
            .collect();
        assert_eq!(
            (opened.len(), opened.last()),
            (DEFAULT_COUNT, Some(&1_700_000_100_000))
        );
        assert!(
            opened
                .windows(2)
                .all(|pair| pair[1] - pair[0] == 5 * MINUTE_MS)
        );
        assert_eq!(
            super::candles(bitcoin(), &asked("timeframe", "3m"), 0),
            Err(Refusal::code(40004))
        );
    }

    #[test]
    fn trades_are_newest_first_and_no_two_are_the_same() {
        let trades = trades(bitcoin(), &asked("count", "1000"), 1_700_000_123_456);
        let ids: Vec<_> = trades["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|trade| trade["d"].as_str().unwrap())
            .collect();
        assert_eq!((ids.len(), ids[0]), (TRADES, "1700000123000"));
        assert!(ids.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
