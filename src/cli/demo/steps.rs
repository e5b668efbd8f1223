//! The five calls of the demo, and what each must bring.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use serde_json::{Value, json};
use url::Url;

use crate::telemetry::Captured;
use gateway::{connect::Resolver, record::CALL_TAG, upstream};

/// Characters of an answer that are printed.
const SHOWN: usize = 320;
/// The proxy's own deadline is 12 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a call to the proxy is made.
pub(super) struct Proxy {
    client: reqwest::Client,
    url: Url,
    token: String,
}

/// One call, and what must come of it.
struct Step {
    title: &'static str,
    method: &'static str,
    params: Value,
    token: Token,
    status: u16,
    code: Option<i64>,
}

#[derive(PartialEq, Eq)]
enum Token {
    Ours,
    Wrong,
}

impl Proxy {
    pub(super) fn at(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let url = Url::parse(&format!("http://{address}/proxy/private"))?;
        let services = std::slice::from_ref(&url);
        let client = upstream::service_client(services, PATIENCE, None, Resolver::system())?;
        Ok(Self {
            client,
            url,
            token: token.to_owned(),
        })
    }

    async fn call(&self, step: &Step) -> anyhow::Result<(u16, String)> {
        let body = json!({ "method": step.method, "params": step.params }).to_string();
        let token = if step.token == Token::Ours {
            &self.token
        } else {
            "not-the-token"
        };
        let request = self
            .client
            .post(self.url.clone())
            .header("x-proxy-token", token);
        let response = request
            .header("content-type", "application/json")
            .body(body)
            .timeout(PATIENCE)
            .send()
            .await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}

/// Makes every call, prints what came of it, and says whether all went as they should.
pub(super) async fn run_steps(proxy: &Proxy, lines: &Captured) -> anyhow::Result<bool> {
    let mut all_well = true;
    for (number, step) in steps().iter().enumerate() {
        let before = records(lines).len();
        let (status, body) = proxy.call(step).await.context(step.title)?;
        let well = status == step.status && code(&body) == step.code;
        all_well &= well;
        anstream::println!("{}. {}: {}", number + 1, step.title, step.method);
        anstream::println!("   answer: HTTP {status} {}", shortened(&body));
        match records(lines).get(before) {
            Some(line) => anstream::println!("   log:    {line}"),
            None => {
                anstream::println!(
                    "   log:    none: refused before a caller was known, counted and told every 10 s"
                )
            }
        }
        anstream::println!(
            "   {}\n",
            if well {
                "as it should be"
            } else {
                "NOT as it should be"
            }
        );
    }
    Ok(all_well)
}

fn records(lines: &Captured) -> Vec<String> {
    let tag = format!("{CALL_TAG} event=call");
    lines
        .lines()
        .iter()
        .map(|line| line.text().to_owned())
        .filter(|text| text.starts_with(&tag))
        .collect()
}

fn shortened(body: &str) -> String {
    let short: String = body.chars().take(SHOWN).collect();
    if short.len() < body.len() {
        format!("{short}…")
    } else {
        short
    }
}

/// The exchange's code inside our envelope.
fn code(body: &str) -> Option<i64> {
    serde_json::from_str::<Value>(body)
        .ok()?
        .get("body")?
        .get("code")?
        .as_i64()
}

fn steps() -> [Step; 5] {
    let step = |title, method, params, status, code| Step {
        title,
        method,
        params,
        token: Token::Ours,
        status,
        code,
    };
    let oid = "demo-order-1";
    let order = json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "50000.00", "quantity": "0.01",
        "client_oid": oid,
    });
    let withdrawal = json!({ "currency": "BTC", "amount": "1", "address": "demo-address" });
    [
        step("a balance", "private/user-balance", json!({}), 200, Some(0)),
        step("an order", "private/create-order", order, 200, Some(0)),
        step(
            "the order's detail",
            "private/get-order-detail",
            json!({ "client_oid": oid }),
            200,
            Some(0),
        ),
        step(
            "a withdrawal, which policy refuses",
            "private/create-withdrawal",
            withdrawal,
            403,
            None,
        ),
        Step {
            token: Token::Wrong,
            ..step(
                "a call with a wrong token",
                "private/user-balance",
                json!({}),
                401,
                None,
            )
        },
    ]
}
