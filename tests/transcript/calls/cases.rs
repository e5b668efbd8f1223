//! The tables of calls: what the exchange does, what a caller sends.

use super::{ORDER, ORDER_PARAMS, READ};

/// A fault for a read: what it is, and how it is scripted.
pub(super) const ANSWERS: [(&str, &str); 25] = [
    ("a good answer", r#"{"do":"pass"}"#),
    ("40101", r#"{"do":"code","code":40101}"#),
    ("40102", r#"{"do":"code","code":40102}"#),
    ("40103", r#"{"do":"code","code":40103}"#),
    ("306", r#"{"do":"code","code":306}"#),
    ("42901", r#"{"do":"code","code":42901}"#),
    ("50001", r#"{"do":"code","code":50001}"#),
    ("40801", r#"{"do":"code","code":40801}"#),
    ("120009", r#"{"do":"code","code":120009}"#),
    ("9010001", r#"{"do":"code","code":9010001}"#),
    ("10001", r#"{"do":"code","code":10001}"#),
    (
        "a code that is not documented",
        r#"{"do":"reply","status":200,"content_type":"application/json","body":"{\"code\":7777777}"}"#,
    ),
    (
        "no code",
        r#"{"do":"reply","status":200,"content_type":"application/json","body":"{\"result\":{}}"}"#,
    ),
    (
        "a code in quotes",
        r#"{"do":"reply","status":200,"content_type":"application/json","body":"{\"code\":\"0\"}"}"#,
    ),
    (
        "several codes",
        r#"{"do":"reply","status":200,"content_type":"application/json","body":"{\"code\":0,\"code\":306}"}"#,
    ),
    (
        "HTML",
        r#"{"do":"reply","status":403,"content_type":"text/html","body":"<html>a page</html>"}"#,
    ),
    (
        "text",
        r#"{"do":"reply","status":200,"content_type":"text/plain","body":"a text"}"#,
    ),
    (
        "no type",
        r#"{"do":"reply","status":200,"body":"{\"code\":0}"}"#,
    ),
    (
        "nothing",
        r#"{"do":"reply","status":200,"content_type":"application/json","body":""}"#,
    ),
    (
        "malformed JSON",
        r#"{"do":"reply","status":200,"content_type":"application/json","body":"{\"code\":0"}"#,
    ),
    (
        "a redirect",
        r#"{"do":"reply","status":302,"content_type":"text/html","headers":{"location":"/elsewhere"},"body":""}"#,
    ),
    (
        "compressed",
        r#"{"do":"reply","status":200,"content_type":"application/json","headers":{"content-encoding":"gzip"},"body":"{}"}"#,
    ),
    ("cut before a byte", r#"{"do":"cut"}"#),
    ("reset", r#"{"do":"reset"}"#),
    (
        "cut amid the body",
        r#"{"do":"wire","steps":[{"write":"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"code\":0"}]}"#,
    ),
];

/// Calls that nobody answers: method and params.
pub(super) const IN_DOUBT: [(&str, &str, &str); 13] = [
    (
        "a new order with client_oid",
        ORDER,
        r#"{"instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"50000.00","quantity":"0.01","client_oid":"invented-1"}"#,
    ),
    ("a new order without", ORDER, ORDER_PARAMS),
    (
        "a client_oid that is not repeated",
        ORDER,
        r#"{"instrument_name":"BTC_USD","side":"BUY","type":"MARKET","quantity":"0.01","client_oid":"no such, sign"}"#,
    ),
    (
        "an advanced order",
        "private/advanced/create-order",
        r#"{"instrument_name":"BTC_USD","client_oid":"invented-2"}"#,
    ),
    (
        "a list of orders",
        "private/create-order-list",
        r#"{"contingency_type":"LIST","order_list":[{"instrument_name":"BTC_USD","client_oid":"invented-3"},{"instrument_name":"BTC_USD","client_oid":"invented-4"}]}"#,
    ),
    (
        "a cancellation by client_oid",
        "private/cancel-order",
        r#"{"client_oid":"invented-5"}"#,
    ),
    (
        "a cancellation by order_id",
        "private/cancel-order",
        r#"{"order_id":"4611686018427387904"}"#,
    ),
    (
        "a change by client_oid",
        "private/amend-order",
        r#"{"orig_client_oid":"invented-6","new_price":"1","new_quantity":"1"}"#,
    ),
    (
        "all orders",
        "private/cancel-all-orders",
        r#"{"instrument_name":"BTC_USD"}"#,
    ),
    (
        "a position",
        "private/close-position",
        r#"{"instrument_name":"BTCUSD-PERP","type":"MARKET"}"#,
    ),
    (
        "a withdrawal",
        "private/create-withdrawal",
        r#"{"currency":"CRO","amount":"1","address":"invented","client_wid":"invented-7"}"#,
    ),
    ("a read", READ, "{}"),
    (
        "a read of an order",
        "private/get-order-detail",
        r#"{"client_oid":"invented-8"}"#,
    ),
];

/// Params that can be signed, and those that cannot.
pub(super) const PARAMS: [&str; 28] = [
    r#"{"a":"text","b":true,"c":9223372036854775807,"d":null,"e":[],"f":{}}"#,
    r#"{"a":["x","y"],"b":[1,2],"c":{"d":{"e":"f"}}}"#,
    r#"{"order_list":[{"instrument_name":"BTC_USD","price":"1"}]}"#,
    r#"{"a":0.1,"b":50000.5}"#,
    r#"{"a":50000.0}"#,
    r#"{"price":50000.0}"#,
    r#"{"a":1e-05}"#,
    r#"{"a":0.1234567890123456}"#,
    r#"{"a":[0.1]}"#,
    r#"{"a":18446744073709551616}"#,
    r#"{"a":-0}"#,
    r#"{"a":[null]}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"a":{"b":1,"b":2}}"#,
    r#"{"ä":1}"#,
    r#"{"a":"\ud800"}"#,
    r#"{"a":[[["x"]]]}"#,
    r#"{"a":{"b":{"c":{"d":1}}}}"#,
    r#"{"order_list":[{"exec_inst":["POST_ONLY"]}]}"#,
    r#"{"order_list":[{"exec_inst":"POST_ONLY"}]}"#,
    r#"{"exec_inst":["POST_ONLY"]}"#,
    r#"{"a":[true]}"#,
    r#"{"a":["x",1]}"#,
    r#"{"a":[{"b":["x"]}]}"#,
    "[]",
    "null",
    "7",
    r#""text""#,
];

/// Bodies that are no call, or name a method that is refused.
pub(super) const BODIES: [&str; 25] = [
    "",
    "nonsense",
    "[]",
    "7",
    "{}",
    r#"{"method":7}"#,
    r#"{"method":null}"#,
    r#"{"method":""}"#,
    r#"{"method":"private/user-balance","method":"private/user-balance"}"#,
    r#"{"method":"private/user-balance","params":{},"params":{}}"#,
    r#"{"method":"private/user-balance","params":{"a":1}"#,
    r#"{"method":"private/user-balance","id":1,"nonce":2,"api_key":"invented","sig":"invented","other":[]}"#,
    r#"{"method":"user-balance"}"#,
    r#"{"method":"private/../user-balance"}"#,
    r#"{"method":"private/User-Balance"}"#,
    r#"{"method":"private/a/b/c/d"}"#,
    r#"{"method":"public/get-tickers"}"#,
    r#"{"method":"private/not-in-the-catalogue"}"#,
    r#"{"method":"private/create-withdrawal"}"#,
    r#"{"method":"private/staking/stake"}"#,
    r#"{"method":"private/create-subaccount-transfer"}"#,
    r#"{"method":"private/change-account-leverage"}"#,
    r#"{"method":"private/set-cancel-on-disconnect"}"#,
    r#"{"method":"private/batch-order-request"}"#,
    r#"{"method":"private/get-trades","params":{"instrument_name":"BTC_USD"}}"#,
];
