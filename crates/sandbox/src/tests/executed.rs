//! The record of what was executed: a line before every answer, and before every fault that eats it.

use std::{path::PathBuf, time::Duration};

use tempfile::TempDir;

use super::{
    orders::{code, result},
    streams::Socket,
    *,
};

const ORDER: &str = "private/create-order";

/// A stand-in that records to a file of its own.
struct Recorded {
    exchange: FakeExchange,
    running: Running,
    client: Client,
    directory: TempDir,
}

impl Recorded {
    async fn start() -> Self {
        Self::start_in(TempDir::new().unwrap()).await
    }

    async fn start_in(directory: TempDir) -> Self {
        let key = ApiKey::new(KEY, SECRET).permissions([
            Permission::Read,
            Permission::Trade,
            Permission::Withdraw,
        ]);
        let exchange = FakeExchange::new(Settings::default().and_key(key));
        exchange.record_executed(&file(&directory)).unwrap();
        let running = exchange.start().await.unwrap();
        Self {
            client: Client::new(&running),
            exchange,
            running,
            directory,
        }
    }

    /// The same file, and a stand-in that knows nothing else.
    async fn restart(self) -> Self {
        self.running.shutdown().await;
        Self::start_in(self.directory).await
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(file(&self.directory)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn told(&self) -> Vec<(String, Value, Value)> {
        self.lines()
            .into_iter()
            .map(|line| {
                let method = line["method"].as_str().unwrap().to_owned();
                (method, line["client_oid"].clone(), line["quantity"].clone())
            })
            .collect()
    }

    /// The nonce of the body.
    async fn post(&self, method: &str, params: Value) -> Value {
        let body = self.client.signed(method, &params);
        let path = format!("/exchange/v1/{method}");
        self.client.post(&path, &body).await;
        serde_json::from_str::<Value>(&body).unwrap()["nonce"].clone()
    }
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("executed.jsonl")
}

fn withdrawal(client_wid: &str) -> Value {
    json!({ "currency": "BTC", "amount": "1", "address": "invented-address", "client_wid": client_wid })
}

#[tokio::test]
async fn a_line_tells_what_was_asked_and_what_became_of_it() {
    let recorded = Recorded::start().await;
    let nonce = recorded.post(ORDER, limit_order("a")).await;
    let text = std::fs::read_to_string(file(&recorded.directory)).unwrap();
    let order = recorded.exchange.order("a").unwrap();
    let line = &recorded.lines()[0];
    assert_eq!(
        text,
        format!(
            "{{\"arrived_ms\":{},\"executed_ms\":{},\"method\":\"private/create-order\",\"nonce\":{nonce},\"id\":7,\
             \"client_oid\":\"a\",\"order_id\":{},\"instrument\":\"BTC_USD\",\"side\":\"BUY\",\"quantity\":\"0.01\"}}\n",
            line["arrived_ms"], line["executed_ms"], order["order_id"],
        )
    );
    assert_eq!(line["executed_ms"], order["create_time"]);
    assert!(line["arrived_ms"].as_i64() <= line["executed_ms"].as_i64());
}

#[tokio::test]
async fn each_order_amendment_and_transfer_has_its_line_and_nothing_else_has() {
    let recorded = Recorded::start().await;
    let client = &recorded.client;
    result(client, ORDER, limit_order("a")).await;
    assert_eq!(code(client, ORDER, limit_order("a")).await, (400, 204));
    let mut nameless = limit_order("");
    nameless["client_oid"] = json!(null);
    let nonce = recorded.post(ORDER, nameless).await;
    let list = json!({ "contingency_type": "LIST", "order_list": [limit_order("b"), limit_order("a"), limit_order("c")] });
    result(client, "private/create-order-list", list).await;
    let group = json!({ "order_list": [limit_order("d"), limit_order("e")] });
    result(client, "private/advanced/create-oco", group).await;
    let amend = json!({ "orig_client_oid": "a", "new_price": "1", "new_quantity": "2" });
    result(client, "private/amend-order", amend.clone()).await;
    let mut renamed = amend;
    renamed["client_oid"] = json!("f");
    result(client, "private/amend-order", renamed).await;
    result(client, "private/create-withdrawal", withdrawal("w")).await;
    let moved = json!({ "from": "x", "to": "y", "currency": "CRO", "amount": "5" });
    result(client, "private/create-subaccount-transfer", moved).await;
    let deal = json!({ "cl_deal_id": "deal" });
    result(client, "private/otc/request-deal", deal).await;
    let position = json!({ "instrument_name": "BTCUSD-PERP", "type": "MARKET" });
    result(client, "private/close-position", position).await;
    for (method, params) in [
        ("private/get-open-orders", json!({})),
        ("private/cancel-order", json!({ "client_oid": "b" })),
        ("private/cancel-all-orders", json!({})),
        ("private/change-account-leverage", json!({})),
    ] {
        let _ = result(client, method, params).await;
    }
    let mut socket = Socket::user(&recorded.running).await;
    let batch = json!({ "creates": [limit_order("g")], "cancels": [{ "client_oid": "c" }] });
    let frame = json!({ "id": "9", "method": "private/batch-order-request", "params": batch });
    assert_eq!(socket.ask(frame).await["code"], 0);
    let told: Vec<_> = recorded
        .lines()
        .iter()
        .map(|line| {
            let method = line["method"].as_str().unwrap();
            let method = method.rsplit_once('/').unwrap().1.to_owned();
            (method, line["client_oid"].clone(), line["quantity"].clone())
        })
        .collect();
    let expected = [
        ("create-order", json!("a"), json!("0.01")),
        ("create-order", json!(null), json!("0.01")),
        ("create-order-list", json!("b"), json!("0.01")),
        ("create-order-list", json!("c"), json!("0.01")),
        ("create-oco", json!("d"), json!("0.01")),
        ("create-oco", json!("e"), json!("0.01")),
        ("amend-order", json!(null), json!("2")),
        ("amend-order", json!("f"), json!("2")),
        ("create-withdrawal", json!("w"), json!("1")),
        ("create-subaccount-transfer", json!(null), json!("5")),
        ("request-deal", json!("deal"), json!(null)),
        ("close-position", json!(null), json!(null)),
        ("batch-order-request", json!("g"), json!("0.01")),
    ]
    .map(|(method, name, quantity)| (method.to_owned(), name, quantity));
    assert_eq!(told, expected);
    let lines = recorded.lines();
    assert_eq!(lines[1]["nonce"], nonce);
    assert_eq!(
        (&lines[12]["nonce"], &lines[12]["id"]),
        (&json!(null), &json!(9))
    );
    let listed = serde_json::to_value(recorded.exchange.executed_calls()).unwrap();
    assert_eq!(listed, json!(lines));
}

#[tokio::test]
async fn a_line_stands_for_whatever_was_executed_before_its_answer_was_lost() {
    let recorded = Recorded::start().await;
    let executing = [
        Fault::cut_after(),
        Fault::reset_after(),
        Fault::cut_within(),
        Fault::reset_within(),
        Fault::code(50001).after(),
        Fault::reply(Canned::html(502, "<html>")).after(),
        Fault::reply(Canned::json(200, "{\"code\":")).after(),
        Fault::wire([WireStep::Write("HTTP/1.1 2".into())]).after(),
    ];
    for (number, fault) in (1..).zip(executing) {
        recorded.exchange.script(ORDER, fault);
        let order = limit_order(&number.to_string());
        let reply = recorded.client.try_call(ORDER, order).await;
        assert!(reply.is_none_or(|reply| reply.status != 200 || reply.body == "{\"code\":"));
        assert_eq!(recorded.lines().len(), number, "fault {number}");
    }
    let placed = recorded.lines().len();
    for fault in [
        Fault::cut_before(),
        Fault::reset_before(),
        Fault::code(50001),
        Fault::reply(Canned::html(502, "<html>")),
    ] {
        recorded.exchange.script(ORDER, fault);
        let _ = recorded.client.try_call(ORDER, limit_order("never")).await;
    }
    let (sent, executed) = (placed as u64 + 4, placed as u64);
    assert_eq!(
        (recorded.exchange.count(ORDER), recorded.lines().len()),
        (sent, placed)
    );
    for (fault, more) in [(Fault::hang_before(), 0), (Fault::hang_after(), 1)] {
        recorded.exchange.script(ORDER, fault);
        let client = Client::new(&recorded.running);
        let sent = recorded.exchange.count(ORDER);
        let hanging = tokio::spawn(async move { client.try_call(ORDER, limit_order("h")).await });
        recorded.exchange.wait_received(ORDER, sent + 1).await;
        recorded
            .exchange
            .wait_executed(ORDER, executed + more)
            .await;
        assert_eq!(recorded.lines().len() as u64, executed + more);
        recorded.exchange.release();
        let _ = hanging.await;
    }
}

#[tokio::test]
async fn a_restarted_stand_in_keeps_the_names_and_goes_on_in_the_file() {
    let recorded = Recorded::start().await;
    result(&recorded.client, ORDER, limit_order("a")).await;
    let mut nameless = limit_order("");
    nameless["client_oid"] = json!(null);
    let nonce = recorded.post(ORDER, nameless).await;
    let amend =
        json!({ "orig_client_oid": "a", "new_price": "1", "new_quantity": "2", "client_oid": "b" });
    result(&recorded.client, "private/amend-order", amend).await;
    let withdraw = "private/create-withdrawal";
    result(&recorded.client, withdraw, withdrawal("w")).await;
    let before = recorded.lines();
    let recorded = recorded.restart().await;
    for name in ["a", "b", &nonce.to_string()] {
        let again = code(&recorded.client, ORDER, limit_order(name)).await;
        assert_eq!(again, (400, 204), "{name}");
    }
    let again = code(&recorded.client, withdraw, withdrawal("w")).await;
    assert_eq!(again, (400, 40006));
    assert_eq!(recorded.lines(), before);
    result(&recorded.client, ORDER, limit_order("w")).await;
    result(&recorded.client, withdraw, withdrawal("a")).await;
    let after = recorded.lines();
    assert_eq!(after[..4], before);
    let mut ids: Vec<_> = after.iter().map(|line| line["order_id"].as_str()).collect();
    ids.remove(2);
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((after.len(), ids.len()), (6, count), "no id is given twice");
}

#[tokio::test]
async fn a_file_that_is_no_record_is_refused_with_the_reason() {
    let directory = TempDir::new().unwrap();
    let exchange = FakeExchange::new(Settings::default());
    assert!(exchange.record_executed(directory.path()).is_err());
    let recorded = Recorded::start().await;
    result(&recorded.client, ORDER, limit_order("a")).await;
    let good = std::fs::read_to_string(file(&recorded.directory)).unwrap();
    let path = directory.path().join("file");
    for bad in ["rubbish", "{}", "{\"arrived_ms\":1"] {
        std::fs::write(&path, format!("{good}{bad}\n")).unwrap();
        let problem = exchange.record_executed(&path).unwrap_err().to_string();
        assert!(problem.starts_with("line 2 is no line"), "{problem}");
    }
    std::fs::write(&path, good.trim_end()).unwrap();
    exchange.record_executed(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), good);
}

#[tokio::test]
async fn a_record_that_cannot_be_written_ends_the_stand_in_and_all_executions() {
    let exchange = FakeExchange::new(Settings::with_key(KEY, SECRET));
    exchange.record_executed(Path::new("/dev/full")).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let ended = tokio::spawn({
        let exchange = exchange.clone();
        async move { run(&exchange, listener, std::future::pending()).await }
    });
    let running = exchange.start().await.unwrap();
    let client = Client::new(&running);
    for name in ["a", "b"] {
        assert_eq!(code(&client, ORDER, limit_order(name)).await, (400, 50001));
    }
    let problem = ended.await.unwrap().unwrap_err().to_string();
    assert!(
        problem.contains("the record of what was executed"),
        "{problem}"
    );
    assert!(exchange.order("b").is_none());
}

#[tokio::test]
async fn a_call_is_executed_late_though_its_caller_is_gone() {
    let recorded = Recorded::start().await;
    let late = Duration::from_millis(30);
    for (number, fault) in (1..).zip([
        Fault::cut_before(),
        Fault::reset_before(),
        Fault::reply(Canned::html(502, "<html>")),
        Fault::code(50001),
    ]) {
        recorded.exchange.script(ORDER, fault.executed_late(late));
        let order = limit_order(&number.to_string());
        let reply = recorded.client.try_call(ORDER, order).await;
        assert!(reply.is_none_or(|reply| reply.json_code() != Some(0)));
        recorded.exchange.wait_executed(ORDER, number).await;
    }
    recorded
        .exchange
        .script(ORDER, Fault::hang_before().executed_late(late));
    let client = Client::new(&recorded.running);
    let hanging = tokio::spawn(async move { client.try_call(ORDER, limit_order("5")).await });
    recorded.exchange.wait_executed(ORDER, 5).await;
    assert!(!hanging.is_finished());
    hanging.abort();
    recorded
        .exchange
        .script(ORDER, Fault::cut_before().executed_late(late));
    let mut socket = Socket::user(&recorded.running).await;
    let frame = json!({ "id": 1, "method": ORDER, "params": limit_order("6") });
    socket.send(frame).await;
    assert_eq!(socket.end().await, None);
    recorded.exchange.wait_executed(ORDER, 6).await;
    recorded
        .exchange
        .script(ORDER, Fault::none().executed_late(late));
    assert_eq!(
        code(&recorded.client, ORDER, limit_order("7")).await,
        (200, 0)
    );
    let lines = recorded.exchange.executed_calls();
    assert_eq!(lines.len(), 7, "once each");
    for line in lines {
        assert!(line.executed_ms - line.arrived_ms >= 30, "{line:?}");
    }
    assert_eq!(recorded.told().len(), 7);
}

#[tokio::test]
async fn a_late_call_is_judged_when_it_came_and_a_refused_one_is_never_executed() {
    let recorded = Recorded::start().await;
    let late = Duration::from_millis(1);
    recorded
        .exchange
        .script_always(ORDER, Fault::cut_before().executed_late(late));
    let stranger = Client::with_key(&recorded.running, KEY, "another secret");
    assert!(stranger.try_call(ORDER, limit_order("a")).await.is_none());
    let mut stale = Client::new(&recorded.running);
    stale.clock_offset_ms = -90_000;
    assert!(stale.try_call(ORDER, limit_order("b")).await.is_none());
    let reply = recorded.client.try_call(ORDER, limit_order("c")).await;
    assert!(reply.is_none());
    recorded.exchange.wait_executed(ORDER, 1).await;
    let told = recorded.told();
    assert_eq!((told.len(), &told[0].1), (1, &json!("c")));
}

#[tokio::test]
async fn an_answer_is_cut_in_its_middle() {
    let recorded = Recorded::start().await;
    for (fault, orderly) in [(Fault::cut_within(), true), (Fault::reset_within(), false)] {
        let whole = recorded.client.get("/ip").await;
        recorded.exchange.script("/ip", fault);
        let mut connection = recorded.client.connect().await;
        let request = b"GET /ip HTTP/1.1\r\nHost: x\r\n\r\n";
        connection.send(request).await;
        let (bytes, was_orderly) = connection.rest().await;
        if !orderly {
            assert!(!was_orderly);
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            was_orderly && head.starts_with("HTTP/1.1 200 OK\r\n"),
            "{head}"
        );
        assert!(head.contains(&format!("content-length: {}", whole.body.len())));
        assert_eq!(body, &whole.body[..whole.body.len() / 2]);
    }
}
