//! What the answers have to hold: the members of the documents' examples, and those that the documents call optional
//! though client libraries cannot do without them.

use super::*;

const ORDER: &str = "account_id order_id client_oid order_type time_in_force side exec_inst quantity limit_price \
    order_value maker_fee_rate taker_fee_rate avg_price cumulative_quantity cumulative_value cumulative_fee status \
    update_user_id order_date instrument_name fee_instrument_name create_time create_time_ns update_time \
    ref_price ref_price_type";
/// A leg of a group has these besides.
const LEG: &str = "list_id contingency_type leg_id";
/// A looked-up order, or an ended one, has this besides.
const REASON: &str = "reason";
const PLACED: &str = "order_id client_oid";
const ACCOUNT: &str = "uuid hierarchy master_account_uuid margin_account_uuid enabled tradable name email \
    margin_access derivatives_access create_time update_time two_fa_enabled kyc_level suspended terminated";
const TRADE: &str = "account_id event_date journal_type traded_quantity traded_price fees fee_credits order_id \
    trade_id trade_match_id client_oid taker_side side instrument_name fee_instrument_name create_time \
    create_time_ns transact_time_ns match_count match_index";

/// Method, params, where in the result, and the members that stand there. The orders of `prepare` are there.
fn documented() -> Vec<(&'static str, Value, &'static str, Vec<&'static str>)> {
    let (all, plain) = (json!({}), json!({ "client_oid": "resting" }));
    let balance = "total_available_balance total_margin_balance total_initial_margin total_position_im \
        total_haircut total_maintenance_margin total_position_cost total_cash_balance total_collateral_value \
        total_session_unrealized_pnl instrument_name total_session_realized_pnl is_liquidating \
        total_effective_leverage position_limit used_position_limit total_isolated_cash_balance \
        isolated_positions position_balances";
    let optional =
        "total_risk_exposure total_borrow margin_score has_risk terminatable credit_limits";
    let held = "instrument_name quantity market_value collateral_eligible haircut collateral_amount \
        max_withdrawal_balance reserved_qty hourly_interest_rate";
    let position = "account_id quantity cost open_position_pnl open_pos_cost session_pnl update_timestamp_ms \
        instrument_name type";
    let withdrawal =
        "currency client_wid fee create_time id update_time amount address status txid network_id";
    let network = "network_id withdrawal_fee withdraw_enabled min_withdrawal_amount deposit_enabled \
        confirmation_required";
    let rates = "spot_tier deriv_tier effective_spot_maker_rate_bps effective_spot_taker_rate_bps \
        effective_deriv_maker_rate_bps effective_deriv_taker_rate_bps";
    let instrument = "symbol inst_type display_name base_ccy quote_ccy quote_decimals quantity_decimals \
        price_tick_size qty_tick_size max_leverage tradable expiry_timestamp_ms";
    vec![
        (
            "private/user-balance",
            all.clone(),
            "/data/0",
            vec![balance, optional],
        ),
        (
            "private/user-balance",
            all.clone(),
            "/data/0/position_balances/0",
            vec![held],
        ),
        (
            "private/get-positions",
            all.clone(),
            "/data/0",
            vec![position],
        ),
        (
            "private/get-accounts",
            all.clone(),
            "",
            vec!["this_account master_account sub_account_list"],
        ),
        (
            "private/get-accounts",
            all.clone(),
            "/this_account",
            vec!["uuid hierarchy"],
        ),
        (
            "private/get-accounts",
            all.clone(),
            "/master_account",
            vec![ACCOUNT],
        ),
        ("private/get-fee-rate", all.clone(), "", vec![rates]),
        (
            "private/get-open-orders",
            all.clone(),
            "/data/0",
            vec![ORDER],
        ),
        ("private/get-order-detail", plain, "", vec![ORDER, REASON]),
        (
            "private/get-order-history",
            all.clone(),
            "/data/0",
            vec![ORDER, REASON],
        ),
        ("private/get-trades", all.clone(), "/data/0", vec![TRADE]),
        (
            "private/advanced/get-open-orders",
            all.clone(),
            "/data/0",
            vec![ORDER, LEG],
        ),
        (
            "private/advanced/get-order-detail",
            json!({ "client_oid": "leg-2" }),
            "",
            vec![ORDER, LEG, REASON],
        ),
        (
            "private/advanced/get-order-history",
            all.clone(),
            "/data/0",
            vec![ORDER, REASON],
        ),
        (
            "private/get-currency-networks",
            all.clone(),
            "",
            vec!["update_time currency_map"],
        ),
        (
            "private/get-currency-networks",
            all.clone(),
            "/currency_map/BTC",
            vec!["full_name default_network network_list"],
        ),
        (
            "private/get-currency-networks",
            all.clone(),
            "/currency_map/BTC/network_list/0",
            vec![network],
        ),
        (
            "private/get-withdrawal-history",
            all,
            "/withdrawal_list/0",
            vec![withdrawal],
        ),
        (
            "private/create-withdrawal",
            json!({ "currency": "BTC", "amount": "0.01", "address": "invented" }),
            "",
            vec!["id amount fee symbol address client_wid create_time network_id"],
        ),
        (
            "private/create-order",
            limit_order("another"),
            "",
            vec![PLACED],
        ),
        (
            "private/cancel-order",
            json!({ "client_oid": "another" }),
            "",
            vec![PLACED],
        ),
        (
            "private/amend-order",
            json!({ "orig_client_oid": "resting", "new_price": "1", "new_quantity": "1" }),
            "",
            vec![PLACED],
        ),
        (
            "private/create-order-list",
            json!({ "contingency_type": "LIST", "order_list": [limit_order("listed")] }),
            "/0",
            vec!["code index client_oid order_id"],
        ),
        (
            "public/get-instruments",
            Value::Null,
            "/data/0",
            vec![instrument],
        ),
        (
            "public/get-instruments",
            Value::Null,
            "/data/18",
            vec![instrument, "underlying_symbol product_type"],
        ),
        (
            "public/get-tickers",
            Value::Null,
            "/data/0",
            vec!["h l a i v vv oi c b k t"],
        ),
        (
            "public/get-trades?instrument_name=BTC_USD",
            Value::Null,
            "/data/0",
            vec!["d t tn q p s i m"],
        ),
        (
            "public/get-book?instrument_name=BTC_USD",
            Value::Null,
            "/data/0",
            vec!["bids asks t"],
        ),
        (
            "public/get-candlestick?instrument_name=BTC_USD",
            Value::Null,
            "/data/0",
            vec!["o h l c v t"],
        ),
    ]
}

fn trigger(client_oid: &str, kind: &str, ref_price: &str) -> Value {
    json!({
        "instrument_name": "BTC_USD", "side": "SELL", "type": kind, "quantity": "0.01", "ref_price": ref_price,
        "price": "50000", "client_oid": client_oid,
    })
}

/// A withdrawal, a group of two, and an order of each fate: resting, done at once, on margin, triggered and cancelled.
async fn prepare(client: &Client) {
    let group =
        json!({ "order_list": [limit_order("leg-1"), trigger("leg-2", "STOP_LOSS", "40000")] });
    let mut done = limit_order("done");
    done["type"] = json!("MARKET");
    let mut perpetual = done.clone();
    (perpetual["instrument_name"], perpetual["client_oid"]) =
        (json!("BTCUSD-PERP"), json!("perpetual"));
    for (method, params) in [
        (
            "private/advanced/create-order",
            trigger("triggered", "STOP_LIMIT", "40000"),
        ),
        (
            "private/advanced/cancel-order",
            json!({ "client_oid": "triggered" }),
        ),
        ("private/advanced/create-oco", group),
        ("private/create-order", limit_order("resting")),
        ("private/create-order", done),
        ("private/create-order", perpetual),
        (
            "private/create-withdrawal",
            json!({ "currency": "BTC", "amount": "0.01", "address": "invented" }),
        ),
    ] {
        let reply = client.call(method, params).await;
        assert_eq!(reply.status, 200, "{method}: {}", reply.body);
    }
}

#[tokio::test]
async fn answers_have_the_members_of_the_documents_examples() {
    let (exchange, running) = started().await;
    exchange.change(|settings| {
        let all = [Permission::Read, Permission::Trade, Permission::Withdraw];
        settings.put_key(ApiKey::new(KEY, SECRET).permissions(all));
    });
    let client = Client::new(&running);
    prepare(&client).await;
    let mut missing = Vec::new();
    for (method, params, place, members) in documented() {
        let reply = if params.is_null() {
            client.get(&format!("/exchange/v1/{method}")).await
        } else {
            client.call(method, params).await
        };
        let answer = reply.json();
        let found = answer["result"].pointer(place);
        for member in members.iter().flat_map(|list| list.split_whitespace()) {
            if found.and_then(|found| found.get(member)).is_none() {
                missing.push(format!("{method} {place} {member}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{} missing: {missing:#?}",
        missing.len()
    );
}

#[tokio::test]
async fn a_group_is_looked_up_and_cancelled_by_its_list_id() {
    for (kind, contingency, legs) in [("oco", "OCO", 2), ("oto", "OTO", 2), ("otoco", "OTOCO", 3)] {
        let (_exchange, running) = started().await;
        let client = Client::new(&running);
        let mut list = vec![limit_order("leg-1"), trigger("leg-2", "STOP_LOSS", "40000")];
        list.extend((legs == 3).then(|| trigger("leg-3", "TAKE_PROFIT", "70000")));
        let placed = client
            .call(
                &format!("private/advanced/create-{kind}"),
                json!({ "order_list": list }),
            )
            .await
            .json();
        let list_id = placed["result"]["list_id"].clone();
        let asked = json!({ "list_id_list": [list_id] });
        let look_up = async || {
            let reply = client
                .call("private/advanced/get-order-list-detail", asked.clone())
                .await;
            let found = reply.json()["result"]["data"].as_array().unwrap().clone();
            found
                .iter()
                .map(|leg| {
                    [&leg["leg_id"], &leg["contingency_type"], &leg["status"]]
                        .map(|it| it.as_str().unwrap().to_owned())
                })
                .collect::<Vec<_>>()
        };
        let expected = |status: &str| -> Vec<_> {
            (1..=legs)
                .map(|leg| [leg.to_string(), contingency.to_owned(), status.to_owned()])
                .collect()
        };
        assert_eq!(look_up().await, expected("ACTIVE"), "{kind}");
        let cancel = format!("private/advanced/cancel-{kind}");
        let reply = client.call(&cancel, json!({ "list_id": list_id })).await;
        assert_eq!(
            reply.body,
            format!(r#"{{"id":7,"method":"{cancel}","code":0}}"#)
        );
        assert_eq!(look_up().await, expected("CANCELED"), "{kind}");
        let again = client
            .call(&cancel, json!({ "list_id": list_id }))
            .await
            .json();
        assert_eq!(again["code"], 316, "{kind}");
    }
}
