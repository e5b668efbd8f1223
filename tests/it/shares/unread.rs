//! The bytes of answers that callers do not read, which keep nobody else out. Issue 10, row 3.

use std::{collections::BTreeMap, time::Duration};

use sandbox::{Canned, Fault, WireStep};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{
    BALANCE, CANCEL_ALL, CREATE, READER, as_reader, until, with_a_reader, with_a_reader_and,
};
use crate::support::{PATIENCE, TestProxy, connection::order, downstream::Downstream};

#[tokio::test]
async fn a_caller_that_does_not_read_its_answers_is_refused_further_reads_and_nobody_else_is() {
    const ENOUGH: usize = 24;
    let proxy = with_a_reader().await;
    let long = format!(r#"{{"id":1,"code":0,"x":"{}"}}"#, "x".repeat(1_000_000));
    proxy
        .exchange()
        .script_always(BALANCE, Fault::reply(Canned::json(200, long)));
    let token = &*proxy.canaries.token;
    let plain = proxy.request(BALANCE, &json!({})).replace(token, READER);
    let body = format!(r#"{{"id":1,"method":"{BALANCE}","params":{{}}}}"#);
    let head = proxy.head(body.len(), "").replace(token, READER);
    let v1 = head.replace("/proxy/private", &format!("/exchange/v1/{BALANCE}")) + &body;
    let mut readers = Vec::new();
    let mut statuses = Vec::new();
    // Each pays for its answer; a million bytes each fill 24 MiB, and some more where a reader was given up meanwhile.
    for number in 0..3 * ENOUGH {
        let mut reader = Downstream::connect_narrow(proxy.address()).await;
        reader
            .write(if number % 2 == 0 { &plain } else { &v1 })
            .await;
        let mut line = [0; 12];
        let read = timeout(PATIENCE, reader.stream.read_exact(&mut line)).await;
        read.expect("an answer in time").expect("an answer");
        readers.push(reader);
        statuses.push(String::from_utf8_lossy(&line[9..]).into_owned());
        if statuses.last().is_some_and(|status| status != "200") {
            break;
        }
    }
    let (refused, answered) = statuses.split_last().unwrap();
    assert!(["503", "429"].contains(&refused.as_str()), "{statuses:?}");
    assert!(answered.len() >= ENOUGH, "{statuses:?}");
    let sent = proxy.exchange().count(BALANCE);
    assert_eq!(sent, answered.len() as u64, "what is refused is not sent");
    proxy
        .wait_line(&["caller=reader", "outcome=refused why=unread_caller"])
        .await;
    // Without the harness's look at every byte, and again where this busy machine stood still.
    let ask = async |token: &str, method: &str, params: Value| loop {
        let request = proxy.request(method, &params);
        let request = request.replace(&*proxy.canaries.token, token);
        let mut connection = proxy.connect().await;
        connection.write(&request).await;
        let answer = connection.answer().await;
        if !answer.text().contains("was not running") {
            return answer;
        }
    };
    let answer = ask(READER, BALANCE, json!({})).await;
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let words = "24 MiB of answers to this caller wait to be read already; nothing was sent";
    assert!(answer.text().contains(words), "{}", answer.text());
    for (token, method, params) in [
        (READER, CREATE, order("reader-1")),
        (READER, CANCEL_ALL, json!({})),
        (token, CREATE, order("neighbour-1")),
        (token, BALANCE, json!({})),
    ] {
        let outcome = ask(token, method, params).await.outcome();
        assert_eq!(outcome, "answered", "{method}");
    }
    drop(readers);
    let given_back =
        async { while ask(READER, BALANCE, json!({})).await.outcome() != "answered" {} };
    timeout(PATIENCE, given_back)
        .await
        .expect("the room is given back");
}

// The same where all calls are under way before the first answer comes.
#[tokio::test]
async fn long_answers_that_come_at_once_wait_at_the_exchange_for_room() {
    const CALLS: usize = 60;
    let proxy = with_a_reader_and(|config| {
        config.gateway.deadline = Duration::from_secs(3);
    })
    .await;
    let mut readers = ask_at_once(&proxy, BALANCE, CALLS).await;
    let mut statuses = BTreeMap::<String, usize>::new();
    for reader in &mut readers {
        let mut line = [0; 12];
        let read = timeout(PATIENCE, reader.stream.read_exact(&mut line)).await;
        read.expect("an answer in time").expect("an answer");
        let status = String::from_utf8_lossy(&line[9..]).into_owned();
        *statuses.entry(status).or_default() += 1;
    }
    assert!(statuses["200"] <= 26, "{statuses:?}");
    assert_eq!(statuses["200"] + statuses["504"], CALLS, "{statuses:?}");
    proxy
        .wait_line(&["caller=reader", "outcome=unknown why=others_unread"])
        .await;
}

/// As many calls of the reader, who reads slowly, get answers of a million bytes at the same moment.
async fn ask_at_once(proxy: &TestProxy, method: &str, calls: usize) -> Vec<Downstream> {
    let long = format!(r#"{{"id":1,"code":0,"x":"{}"}}"#, "x".repeat(1_000_000));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{long}",
        long.len()
    );
    let later = [WireStep::Hang, WireStep::Write(answer.into())];
    proxy.exchange().script_always(method, Fault::wire(later));
    let call = proxy.request(method, &json!({}));
    let call = call.replace(&*proxy.canaries.token, READER);
    let mut readers = Vec::new();
    for _ in 0..calls {
        let mut reader = Downstream::connect_narrow(proxy.address()).await;
        reader.write(&call).await;
        readers.push(reader);
    }
    proxy.exchange().wait_received(method, calls as u64).await;
    proxy.exchange().release();
    readers
}

#[tokio::test]
async fn what_one_caller_leaves_unread_refuses_nobody_who_left_nothing() {
    const CALLS: usize = 30;
    let proxy = with_a_reader().await;
    let mut held = Vec::new();
    for (method, params) in [(CANCEL_ALL, json!({})), (CREATE, order("neighbour-1"))] {
        let mut readers = ask_at_once(&proxy, method, CALLS).await;
        for reader in &mut readers {
            let mut line = [0; 12];
            let read = timeout(PATIENCE, reader.stream.read_exact(&mut line)).await;
            read.expect("an answer in time").expect("an answer");
        }
        held.extend(readers);
        proxy.exchange().clear_script(method);
        let refused = as_reader(&proxy, method, json!({})).await;
        let words = "of answers to this caller wait to be read already";
        assert!(refused.text().contains(words), "{}", refused.text());
        let answer = proxy.call(method, params).await;
        assert_eq!(answer.outcome(), "answered", "{method}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_read_that_waits_for_room_gives_its_place_up_when_its_caller_hangs_up() {
    const CALLS: usize = 60;
    let proxy = with_a_reader_and(|config| config.gateway.deadline = 4 * PATIENCE).await;
    let readers = ask_at_once(&proxy, BALANCE, CALLS).await;
    // Some have their answers and leave them unread; all others wait at the exchange.
    let under_way = || proxy.gateway.in_flight();
    until(&proxy, "what there is room for came", || {
        under_way() < CALLS - 20
    })
    .await;
    let mut unread = Vec::new();
    for reader in readers {
        let mut byte = [0];
        let has_answer = timeout(Duration::from_millis(1), reader.stream.peek(&mut byte)).await;
        if has_answer.is_ok() {
            unread.push(reader);
        }
    }
    until(&proxy, "the places are free", || under_way() == 0).await;
    proxy
        .wait_line(&["caller=reader", "outcome=unknown why=caller_gone"])
        .await;
}
