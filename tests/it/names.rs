//! Names are used once: what whoever uses one again is told, by every door, and what is sent of it.

use std::fmt;

use gateway::policy::{Policy, Preset};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    Answer, Builder, PATIENCE, TestProxy, client,
    contract::ORDER,
    signing::{Pair, Unsigned},
    stream::Socket,
};

mod again;
mod disk;
mod found_out;
mod kept;
mod keys;
mod lists;
mod lost;
mod released;
mod resent;

const DETAIL: &str = "private/get-order-detail";

/// A way to the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Backend,
    Token,
    Signed,
    Stream,
}

const DOORS: [Door; 4] = [Door::Backend, Door::Token, Door::Signed, Door::Stream];

impl Door {
    /// The callers of the first two doors are one; each other door has its own.
    async fn ask(self, proxy: &TestProxy, method: &str, params: &Value) -> Told {
        self.ask_under(proxy, method, params, 11).await
    }

    /// With this id, which the backend has no place for.
    async fn ask_under(self, proxy: &TestProxy, method: &str, params: &Value, id: u64) -> Told {
        let body = json!({ "id": id, "method": method, "params": params, "nonce": 1 });
        match self {
            Self::Backend => Told::of(proxy, proxy.call(method, params.clone()).await),
            Self::Token => {
                let request = client()
                    .post(proxy.url(&format!("/exchange/v1/{method}")))
                    .header("x-proxy-token", &proxy.canaries.token)
                    .header("content-type", "application/json");
                Told::of(proxy, proxy.ask(request.body(body.to_string())).await)
            }
            Self::Signed => {
                let mut call = Unsigned::new(method, &params.to_string());
                call.id = id.to_string();
                Told::of(proxy, proxy.signed(&Pair::of("signer"), &call).await)
            }
            Self::Stream => {
                let mut socket = Socket::bot(proxy).await;
                let frame = socket.ask(body).await;
                assert_eq!(frame["id"], id, "{frame}");
                let line = proxy
                    .texts()
                    .into_iter()
                    .rfind(|text| text.contains("event=call ") && text.contains(" door=ws "));
                Told {
                    status: 0,
                    replayed: None,
                    text: frame.to_string(),
                    line: line.expect("a line"),
                }
            }
        }
    }

    /// Asks until this holds, for a bounded time.
    async fn until(
        self,
        proxy: &TestProxy,
        (method, params): (&str, &Value),
        what: &str,
        holds: impl Fn(&Told) -> bool,
    ) -> Told {
        let asking = timeout(PATIENCE, async {
            loop {
                let told = self.ask(proxy, method, params).await;
                if holds(&told) {
                    return told;
                }
                proxy.settle().await;
            }
        });
        asking
            .await
            .unwrap_or_else(|_| panic!("{self:?}, never: {what}; {:#?}", proxy.texts()))
    }

    /// The exchange's or our code, as this door tells it.
    fn code(self, told: &Told) -> Option<i64> {
        let json = told.json();
        let of = if self == Self::Backend {
            &json["body"]
        } else {
            &json
        };
        of["code"].as_i64()
    }
}

/// What somebody is told.
struct Told {
    /// 0 on a stream.
    status: u16,
    replayed: Option<String>,
    text: String,
    line: String,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.status, self.text, self.line)
    }
}

impl Told {
    fn of(proxy: &TestProxy, answer: Answer) -> Self {
        let line = proxy.record(&answer).text().to_owned();
        let outcome = answer.outcome();
        assert!(line.contains(&format!(" outcome={outcome} ")), "{line}");
        Self {
            status: answer.status,
            replayed: answer.header("x-proxy-replayed"),
            text: answer.text().to_owned(),
            line,
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// The outcome and why.
    fn is(&self, outcome: &str, why: &str) -> bool {
        self.line.contains(&format!(" outcome={outcome} "))
            && (why.is_empty() || self.line.contains(&format!(" why={why} ")))
    }

    #[track_caller]
    fn assert_is(&self, outcome: &str, why: &str) {
        assert!(self.is(outcome, why), "not {outcome} {why}: {self:?}");
    }
}

/// A proxy with a caller for each door.
fn doors() -> Builder {
    TestProxy::builder()
        .streams(Policy::default())
        .caller("signer", Preset::Trade)
        .plan(|plan| plan.gateway.deadline = PATIENCE)
}

fn order(client_oid: &str) -> Value {
    crate::support::connection::order(client_oid)
}

fn nameless() -> Value {
    let mut order = order("");
    order.as_object_mut().unwrap().remove("client_oid");
    order
}

fn orders_sent(proxy: &TestProxy) -> u64 {
    proxy.exchange().count(ORDER)
}
