//! What the exchange echoes of a request leaves without our key, our secret and the call's signature.

use std::net::SocketAddr;

use sandbox::Canned;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::support::{Answer, TestProxy, contract::READ};

/// An exchange that refuses every call and echoes it whole, once as it came and once as a string in a string.
async fn echoing(content_type: &'static str) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (bodies, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = read_body(&mut stream).await;
            let original = serde_json::to_string(&body).unwrap();
            let echo = format!(r#"{{"code":40101,"original":{original},"request":{body}}}"#);
            let head = format!(
                "HTTP/1.1 401 Unauthorized\r\ncontent-type: {content_type}\r\nconnection: close"
            );
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{echo}", echo.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            bodies.send(body).unwrap();
        }
    });
    (address, received)
}

async fn read_body(stream: &mut TcpStream) -> String {
    let mut request = String::new();
    while !request.ends_with("\"}") {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        request.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
    request.split_once("\r\n\r\n").unwrap().1.to_owned()
}

async fn echoed(content_type: &'static str) -> (TestProxy, Answer, String) {
    let (address, mut received) = echoing(content_type).await;
    let proxy = TestProxy::builder()
        .base(format!("http://{address}/exchange/v1"))
        .start()
        .await;
    let answer = proxy.call_text(READ, "{}").await;
    let request: Value = serde_json::from_str(&received.recv().await.unwrap()).unwrap();
    let signature = request["sig"].as_str().unwrap().to_owned();
    assert_eq!(
        (signature.len(), request["api_key"].as_str()),
        (64, Some(&*proxy.canaries.key))
    );
    (proxy, answer, signature)
}

#[tokio::test]
async fn an_echoed_request_loses_key_and_signature_and_stays_json() {
    let (proxy, answer, signature) = echoed("application/json").await;
    let inner = answer.inner();
    assert_eq!(
        inner["request"]["api_key"],
        "*".repeat(proxy.canaries.key.len())
    );
    assert_eq!(inner["request"]["sig"], "*".repeat(64));
    let original: Value = serde_json::from_str(inner["original"].as_str().unwrap()).unwrap();
    assert_eq!(original, inner["request"]);
    assert!(!answer.text().contains(&signature));
    assert!(
        proxy
            .record(&answer)
            .text()
            .contains(" code=40101 outcome=answered scrubbed ")
    );
}

#[tokio::test]
async fn an_echo_that_is_not_json_is_scrubbed_as_well() {
    let (proxy, answer, signature) = echoed("text/html").await;
    assert!(answer.inner().is_string() && !answer.text().contains(&signature));
    assert!(
        proxy
            .record(&answer)
            .text()
            .contains(" outcome=unknown why=inconclusive_answer content_type=text/html scrubbed ")
    );
}

#[tokio::test]
async fn no_signature_stands_in_any_line() {
    let (proxy, _, signature) = echoed("application/json").await;
    let lines = proxy.lines.lines();
    let all = lines
        .iter()
        .map(|line| format!("{} {:?}", line.text(), line.fields().collect::<Vec<_>>()));
    let all = all.collect::<String>();
    assert!(
        all.contains("event=signing") && !all.contains(&signature[..8]),
        "{all}"
    );
}

#[tokio::test]
async fn the_api_secret_is_overwritten_wherever_it_stands() {
    let proxy = TestProxy::start().await;
    let secret = &proxy.canaries.secret;
    let body = format!(r#"{{"code":0,"message":"{secret}{secret}","{secret}":[ "x{secret}y" ]}}"#);
    let answer = proxy.pass_on(Canned::json(200, body.clone())).await;
    let expected = body.replace(secret.as_str(), &"*".repeat(secret.len()));
    assert_eq!(
        answer.text(),
        format!(r#"{{"status":200,"body":{expected},"rid":1}}"#)
    );
    assert!(proxy.record(&answer).text().contains(" scrubbed "));
}

// Issue 10, row 13.
#[tokio::test]
async fn key_and_secret_are_overwritten_in_the_encodings_of_an_echo() {
    let proxy = TestProxy::start().await;
    for secret in [&proxy.canaries.key, &proxy.canaries.secret] {
        let escaped: String = secret
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect();
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for spelling in [
            escaped.clone(),
            escaped.replace('\\', "\\\\"),
            percent,
            secret.to_uppercase(),
            hex::encode(secret),
            hex::encode_upper(secret),
        ] {
            let body = format!(r#"{{"code":0,"original":"api_key={spelling}&x"}}"#);
            let answer = proxy.pass_on(Canned::json(200, body)).await;
            assert_eq!(
                answer.inner()["original"],
                format!("api_key={}&x", "*".repeat(spelling.len())),
                "{spelling}"
            );
            assert!(proxy.record(&answer).text().contains(" scrubbed "));
        }
    }
}

#[tokio::test]
async fn an_answer_without_secrets_is_not_said_to_be_scrubbed() {
    let proxy = TestProxy::start().await;
    let answer = proxy.call_text(READ, "{}").await;
    assert!(!proxy.record(&answer).text().contains("scrubbed"));
}
