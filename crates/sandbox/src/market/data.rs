//! What the market is said to have done: book, candles and trades at the one price that an instrument has.
//!
//! Guarantees: the shapes of `public/get-book`, `public/get-candlestick` and `public/get-trades` as their readers parse
//! them; `depth` and `count` are honoured up to the documented maximum. The same moment gives the same answer.
//! Does not: page by time (`start_ts` and `end_ts` are ignored), or know the orders of the account.

use serde_json::{Value, json};

use super::{
    super::{amount::Amount, json::Json, settings::Refusal},
    Instrument,
};

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

/// The result of `public/get-book`.
pub(super) fn book(instrument: &Instrument, params: &Json, now_ms: i64) -> Value {
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
pub(super) fn candles(
    instrument: &Instrument,
    params: &Json,
    now_ms: i64,
) -> Result<Value, Refusal> {
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
pub(super) fn trades(instrument: &Instrument, params: &Json, now_ms: i64) -> Value {
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
        super::super::find("BTC_USD").unwrap()
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
