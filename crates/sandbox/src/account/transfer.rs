//! Money that leaves or moves without an order: withdrawals, transfers, products.
//!
//! Guarantees: a withdrawal is completed at once; a `client_wid` is taken once for good, whichever method took it.
//! Does not: behave for anything but crypto withdrawals: the other methods succeed, have their line in the record, and
//! change nothing.

use serde_json::{Value, json};

use super::{
    super::{
        amount::Amount, authentication::ParsedCall, executed::Deed, json::Json, settings::Refusal,
    },
    Account, Change, MAX_KEPT,
    order::{name, required},
};
use catalogue::methods::{self, Class, ClientId};

/// Longest `client_wid`, in characters. The documents name none; this one bounds the memory.
const MAX_CLIENT_WID: usize = 100;
/// Longest text of a call without behaviour that its line in the record keeps.
const MAX_TEXT: usize = 100;

/// Takes note of a call that succeeds without any behaviour here, where it would move money.
pub(super) fn note(account: &mut Account, asked: &ParsedCall) -> Result<(), Refusal> {
    if asked.method == "private/fiat/fiat-create-withdraw" {
        take_client_wid(account, &asked.params)?;
    }
    account.deeds.extend(deed_without_behaviour(asked));
    Ok(())
}

pub(super) fn withdraw(
    account: &mut Account,
    params: &Json,
    now_ms: i64,
) -> Result<Value, Refusal> {
    let (currency, address) = (required(params, "currency")?, required(params, "address")?);
    let amount = Amount::positive(required(params, "amount")?).ok_or(Refusal::code(40004))?;
    if account.balance(currency) < amount {
        return Err(Refusal::code(30024));
    }
    let client_wid = take_client_wid(account, params)?;
    account.add(currency, Amount::ZERO.minus(amount));
    account.changes.push(Change::Balance);
    let (id, amount) = (account.fresh_id(), amount.to_string());
    account.deeds.push(Deed {
        client_oid: client_wid.clone(),
        order_id: Some(id.to_string()),
        instrument: Some(currency.to_owned()),
        side: None,
        quantity: Some(amount.clone()),
    });
    let client_wid = client_wid.unwrap_or_default();
    account.withdrawals.push_front(withdrawal(
        id,
        &client_wid,
        currency,
        &amount,
        address,
        now_ms,
    ));
    account.withdrawals.truncate(MAX_KEPT);
    Ok(json!({
        "id": id,
        "client_wid": client_wid,
        "symbol": currency,
        "amount": amount,
        "fee": "0",
        "address": address,
        "create_time": now_ms,
        "network_id": currency,
    }))
}

/// The name of a new withdrawal, which is taken by this. The documents say nothing of a repeated one; what they have
/// for "duplicate request received" is 40006.
fn take_client_wid(account: &mut Account, params: &Json) -> Result<Option<String>, Refusal> {
    if params.member("client_wid").and_then(Json::as_text) == Some("") {
        return Ok(None);
    }
    let client_wid = name(params, "client_wid", MAX_CLIENT_WID)?;
    if let Some(wid) = &client_wid
        && !account.client_wids.insert(wid.clone())
    {
        return Err(Refusal::code(40006));
    }
    Ok(client_wid)
}

/// What a call did that moves money and has no behaviour here; nothing for reads, settings and cancellations.
fn deed_without_behaviour(asked: &ParsedCall) -> Option<Deed> {
    let info = methods::find(&asked.method)?;
    let moves_money = match info.class {
        Class::Trade => !info.cancels_orders(),
        Class::Products | Class::Transfer => true,
        Class::Public | Class::Read | Class::AccountAdmin => false,
    };
    let text = |field: &str| {
        let text = asked.params.text(field)?;
        Some(text.chars().take(MAX_TEXT).collect())
    };
    moves_money.then(|| Deed {
        client_oid: match info.client_id {
            ClientId::Other(field) => text(field),
            ClientId::None
            | ClientId::NewOrder
            | ClientId::NewOrders
            | ClientId::Batch
            | ClientId::ExistingOrder => None,
        },
        order_id: None,
        instrument: text("instrument_name").or_else(|| text("currency")),
        side: text("side"),
        quantity: text("quantity").or_else(|| text("amount")),
    })
}

/// A withdrawal as the history shows it: completed at once.
fn withdrawal(
    id: u64,
    client_wid: &str,
    currency: &str,
    amount: &str,
    address: &str,
    now_ms: i64,
) -> Value {
    json!({
        "id": id.to_string(),
        "client_wid": client_wid,
        "currency": currency,
        "network_id": currency,
        "amount": amount,
        "fee": "0",
        "address": address,
        "status": "5",
        "txid": "",
        "create_time": now_ms,
        "update_time": now_ms,
    })
}
