//! What an account tells about itself.
//!
//! Guarantees: the shapes of the documented replies; newest first; `instrument_name`, `limit`, the times of the order
//! history and all params of the withdrawal history are honoured. Open orders come all at once.
//! Does not: page anything else. A method without behaviour gives an empty list.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{amount::Amount, authentication::ParsedCall, json::Json, market, settings::Refusal},
    ACCOUNT_ID, Account, Family, Status, list,
    order::{Order, required},
};

/// Entries in an answer when no `limit` is given [documents].
const DEFAULT_LIMIT: usize = 100;
/// Withdrawals on a page when no `page_size` is given, and at most [documents].
const DEFAULT_PAGE: usize = 20;
const MAX_PAGE: usize = 200;
/// A time from here on is in nanoseconds, before it in milliseconds: the year 33658 or January 1970.
const FIRST_NANOSECONDS: i64 = 1_000_000_000_000_000;

/// The result of a method that only looks.
pub(super) fn answer(
    account: &Account,
    asked: &ParsedCall,
    family: Family,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let params = &asked.params;
    Ok(match asked.method.as_str() {
        "private/get-open-orders" | "private/advanced/get-open-orders" => {
            open_orders(account, params, family)
        }
        "private/get-trigger-orders" => trigger_orders(account, params),
        "private/get-order-history" | "private/advanced/get-order-history" => {
            history(account, params, family)?
        }
        "private/get-order-detail" | "private/advanced/get-order-detail" => {
            detail(account, params, family)?
        }
        "private/advanced/get-order-list-detail" => of_lists(account, params),
        "private/get-trades" => data(
            account
                .trades
                .iter()
                .filter(|trade| of_instrument(trade, params))
                .cloned(),
            params,
        ),
        "private/user-balance" => user_balance(account),
        "private/get-account-summary" => summary(account),
        "private/get-positions" => of_one(position_list(account, now_ms), params),
        "private/get-accounts" => accounts(now_ms),
        "private/get-currency-networks" => networks(account, now_ms),
        "private/get-fee-rate" => fee_rate(),
        "private/get-instrument-fee-rate" => instrument_fee_rate(params)?,
        "private/get-deposit-history" => json!({ "deposit_list": [] }),
        "private/get-withdrawal-history" => withdrawal_history(account, params)?,
        _ => json!({ "data": [] }),
    })
}

fn open_orders(account: &Account, params: &Json, family: Family) -> Value {
    let shown = list(account, params, |order| {
        order.family == family && order.status == Status::Active
    });
    json!({ "data": shown.collect::<Vec<_>>() })
}

fn trigger_orders(account: &Account, params: &Json) -> Value {
    let shown = list(account, params, |order| {
        order.status == Status::Active && !matches!(order.kind.as_str(), "LIMIT" | "MARKET")
    });
    data(shown, params)
}

/// Both ends of the time count: the documents are silent about them.
fn history(account: &Account, params: &Json, family: Family) -> Result<Value, Refusal> {
    let (start, end) = times(params, "start_time", "end_time")?;
    let shown = list(account, params, move |order| {
        order.family == family
            && order.status != Status::Active
            && (start..=end).contains(&order.created_ms.saturating_mul(1_000_000))
    });
    Ok(data(shown, params))
}

/// Newest first, as they were entered.
fn withdrawal_history(account: &Account, params: &Json) -> Result<Value, Refusal> {
    let (start, end) = times(params, "start_ts", "end_ts")?;
    let created = |withdrawal: &Value| {
        let created_ms = withdrawal.get("create_time").and_then(Value::as_i64);
        created_ms.unwrap_or_default().saturating_mul(1_000_000)
    };
    let is_like = |withdrawal: &Value, field: &str| {
        params
            .text(field)
            .is_none_or(|wanted| withdrawal.get(field).is_some_and(|it| it == wanted))
    };
    let meant = account.withdrawals.iter().filter(|withdrawal| {
        is_like(withdrawal, "currency")
            && is_like(withdrawal, "status")
            && (start..=end).contains(&created(withdrawal))
    });
    let size = number(params, "page_size")
        .unwrap_or(DEFAULT_PAGE)
        .min(MAX_PAGE);
    let before = number(params, "page")
        .unwrap_or_default()
        .saturating_mul(size);
    let page: Vec<_> = meant.skip(before).take(size).collect();
    Ok(json!({ "withdrawal_list": page }))
}

/// From when to when, in nanoseconds; what is not said is open.
fn times(params: &Json, start: &str, end: &str) -> Result<(i64, i64), Refusal> {
    let time = |field: &str, default: i64| match params.text(field).map(str::parse::<i64>) {
        None => Ok(default),
        Some(Ok(time)) if time < FIRST_NANOSECONDS => Ok(time.saturating_mul(1_000_000)),
        Some(Ok(time)) => Ok(time),
        Some(Err(_)) => Err(Refusal::code(40005)),
    };
    let (start, end) = (time(start, 0)?, time(end, i64::MAX)?);
    if start > end {
        return Err(Refusal::code(40005));
    }
    Ok((start, end))
}

fn number(params: &Json, field: &str) -> Option<usize> {
    params.text(field)?.parse().ok()
}

fn of_lists(account: &Account, params: &Json) -> Value {
    let named = params.items("list_id_list").iter();
    let list_ids: Vec<_> = named.filter_map(Json::as_scalar).collect();
    let legs = list::of_lists(account, &list_ids);
    json!({ "data": legs.map(|(_, order)| order.describe(ACCOUNT_ID)).collect::<Vec<_>>() })
}

fn list(
    account: &Account,
    params: &Json,
    is_meant: impl Fn(&Order) -> bool,
) -> impl Iterator<Item = Value> {
    let orders = account
        .orders
        .values()
        .rev()
        .filter(move |order| is_meant(order));
    orders
        .map(|order| order.describe(ACCOUNT_ID))
        .filter(|order| of_instrument(order, params))
}

fn detail(account: &Account, params: &Json, family: Family) -> Result<Value, Refusal> {
    let order = account
        .named(params, family)?
        .and_then(|id| account.orders.get(&id));
    order
        .map(|order| order.describe(ACCOUNT_ID))
        .ok_or(Refusal::code(40401))
}

pub(super) fn user_balance(account: &Account) -> Value {
    let total = worth(account).to_string();
    let balances: Vec<_> = account
        .balances
        .iter()
        .map(|(currency, amount)| position_balance(currency, *amount))
        .collect();
    json!({ "data": [{
        "instrument_name": "USD",
        "total_available_balance": total,
        "total_margin_balance": total,
        "total_initial_margin": "0",
        "total_position_im": "0",
        "total_haircut": "0",
        "total_maintenance_margin": "0",
        "total_position_cost": "0",
        "total_cash_balance": total,
        "total_collateral_value": total,
        "total_session_unrealized_pnl": "0",
        "total_session_realized_pnl": "0",
        "total_effective_leverage": "0",
        "is_liquidating": false,
        "position_limit": "3000000",
        "used_position_limit": "0",
        "total_isolated_cash_balance": "0",
        "isolated_positions": [],
        "total_risk_exposure": "0",
        "total_borrow": "0",
        "margin_score": "0",
        "has_risk": false,
        "terminatable": true,
        "credit_limits": [],
        "position_balances": balances,
    }]})
}

fn worth(account: &Account) -> Amount {
    let values = account
        .balances
        .iter()
        .map(|(currency, amount)| in_usd(currency, *amount));
    values.fold(Amount::ZERO, Amount::plus)
}

fn summary(account: &Account) -> Value {
    let entry = |(currency, amount): (&String, &Amount)| {
        let amount = amount.to_string();
        json!({ "balance": amount, "available": amount, "order": "0", "stake": "0", "currency": currency })
    };
    json!({ "accounts": account.balances.iter().map(entry).collect::<Vec<_>>() })
}

pub(super) fn position_list(account: &Account, now_ms: i64) -> Value {
    let open = account
        .positions
        .iter()
        .filter(|(_, quantity)| **quantity != Amount::ZERO);
    let entry = |(name, quantity): (&&str, &Amount)| {
        let cost = market::find(name)
            .and_then(|it| it.price().times(*quantity))
            .unwrap_or_default()
            .to_string();
        json!({
            "account_id": ACCOUNT_ID,
            "instrument_name": name,
            "type": "PERPETUAL_SWAP",
            "quantity": quantity.to_string(),
            "cost": cost,
            "open_pos_cost": cost,
            "open_position_pnl": "0",
            "session_pnl": "0",
            "update_timestamp_ms": now_ms,
        })
    };
    json!({ "data": open.map(entry).collect::<Vec<_>>() })
}

fn networks(account: &Account, now_ms: i64) -> Value {
    let entry = |currency: &String| (currency.clone(), network(currency));
    let map: BTreeMap<_, _> = account.balances.keys().map(entry).collect();
    json!({ "update_time": now_ms, "currency_map": map })
}

fn position_balance(currency: &str, amount: Amount) -> Value {
    let (quantity, value) = (amount.to_string(), in_usd(currency, amount).to_string());
    json!({
        "instrument_name": currency,
        "quantity": quantity,
        "market_value": value,
        "collateral_eligible": "true",
        "haircut": "0",
        "collateral_amount": value,
        "max_withdrawal_balance": quantity,
        "reserved_qty": "0",
        "hourly_interest_rate": "0",
    })
}

fn in_usd(currency: &str, amount: Amount) -> Amount {
    match market::find(&format!("{currency}_USD")) {
        Some(instrument) => instrument.price().times(amount).unwrap_or_default(),
        None => amount,
    }
}

/// Nothing costs a fee here.
fn fee_rate() -> Value {
    json!({
        "spot_tier": "1",
        "deriv_tier": "1",
        "effective_spot_maker_rate_bps": "0",
        "effective_spot_taker_rate_bps": "0",
        "effective_deriv_maker_rate_bps": "0",
        "effective_deriv_taker_rate_bps": "0",
    })
}

fn instrument_fee_rate(params: &Json) -> Result<Value, Refusal> {
    let instrument =
        market::find(required(params, "instrument_name")?).ok_or(Refusal::code(209))?;
    Ok(json!({
        "instrument_name": instrument.name,
        "effective_maker_rate_bps": "0",
        "effective_taker_rate_bps": "0",
    }))
}

fn accounts(now_ms: i64) -> Value {
    json!({
        "this_account": { "uuid": ACCOUNT_ID, "hierarchy": "MASTER" },
        "master_account": {
            "uuid": ACCOUNT_ID,
            "hierarchy": "MASTER",
            "master_account_uuid": ACCOUNT_ID,
            "margin_account_uuid": ACCOUNT_ID,
            "email": "nobody@example.org",
            "two_fa_enabled": true,
            "kyc_level": "ADVANCED",
            "suspended": false,
            "terminated": false,
            "label": "stand-in",
            "enabled": true,
            "tradable": true,
            "name": "Stand-in",
            "margin_access": "DEFAULT",
            "derivatives_access": "DEFAULT",
            "create_time": now_ms,
            "update_time": now_ms,
            "system_label": "FORMER_MASTER_MARGIN",
        },
        "sub_account_list": [],
    })
}

fn network(currency: &str) -> Value {
    json!({
        "full_name": currency,
        "default_network": currency,
        "network_list": [{
            "network_id": currency,
            "withdrawal_fee": "0",
            "withdraw_enabled": true,
            "min_withdrawal_amount": "0",
            "deposit_enabled": true,
            "confirmation_required": 1,
        }],
    })
}

fn of_instrument(entry: &Value, params: &Json) -> bool {
    params
        .text("instrument_name")
        .is_none_or(|name| entry.get("instrument_name").is_some_and(|it| it == name))
}

/// The entries of the instrument that is named, if one is.
fn of_one(mut answer: Value, params: &Json) -> Value {
    if let Some(entries) = answer.get_mut("data").and_then(Value::as_array_mut) {
        entries.retain(|entry| of_instrument(entry, params));
    }
    answer
}

fn data(entries: impl Iterator<Item = Value>, params: &Json) -> Value {
    let limit = number(params, "limit").unwrap_or(DEFAULT_LIMIT);
    json!({ "data": entries.take(limit).collect::<Vec<_>>() })
}
