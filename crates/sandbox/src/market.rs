//! The market: a handful of instruments at prices that never move.
//!
//! Guarantees: the shapes of the public methods, whose answers never depend on the account.
//! Does not: match orders, move prices or keep a book: what `get-book` shows is made up around the price.

mod data;

use serde_json::{Value, json};

use super::{amount::Amount, json::Json, settings::Refusal};

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
        json!({
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
        })
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
        "public/get-book" => data::book(named(params)?, params, now_ms),
        "public/get-candlestick" => data::candles(named(params)?, params, now_ms)?,
        "public/get-trades" => data::trades(named(params)?, params, now_ms),
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
