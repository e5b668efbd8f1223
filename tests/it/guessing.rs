//! Guessing is slow at every endpoint and stream, and a right credential is never refused for it.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto_proxy::http::Refused;
use futures_util::future::join_all;
use gateway::{
    policy::{Policy, Preset},
    secret::TokenDigest,
};
use serde_json::json;

use crate::support::{
    Answer, PATIENCE, TestProxy, client,
    connection::Connection,
    contract::READ,
    each,
    signing::{Pair, Unsigned},
    stream::{KEY, Socket, login, now_ms, signed_login},
};

const GUESS: &str = "an-invented-guess-of-a-token";
const SLOWED: &str = "status=401 why=slowed";
/// More than a source may give wrong before its wait is the longest.
const MANY: u64 = 40;
/// A part of the longest wait that is sure to be left on a slow machine.
const AT_LEAST: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Private,
    Exchange,
    Signature,
    LongBody,
    UserStream,
    MarketStream,
    Login,
    Diagnosis,
    Run,
    Page,
    Ready,
}

const DOORS: [Door; 11] = [
    Door::Private,
    Door::Exchange,
    Door::Signature,
    Door::LongBody,
    Door::UserStream,
    Door::MarketStream,
    Door::Login,
    Door::Diagnosis,
    Door::Run,
    Door::Page,
    Door::Ready,
];

async fn start() -> TestProxy {
    let builder = TestProxy::builder()
        .caller("signer", Preset::Trade)
        .streams(Policy::default());
    let digest = TokenDigest::of(builder.canaries().diagnosis.as_bytes());
    let builder = builder.plan(move |plan| {
        let callers = std::mem::take(&mut plan.callers);
        plan.callers = callers.with_diagnosing(digest, "operator");
        plan.standing_warnings = vec!["a standing warning".to_owned()];
    });
    builder.start().await
}

/// Shows a credential at a door. Whether it was right.
async fn show(proxy: &TestProxy, door: Door, right: bool) -> bool {
    let token = if right { &proxy.canaries.token } else { GUESS };
    let diagnosis = if right {
        &proxy.canaries.diagnosis
    } else {
        GUESS
    };
    let body = r#"{"id":1,"method":"private/user-balance","params":{},"nonce":1}"#;
    let request = match door {
        Door::Private | Door::Exchange => {
            let path = if door == Door::Private {
                "/proxy/private"
            } else {
                "/exchange/v1/private/user-balance"
            };
            let request = client().post(proxy.url(path)).body(body);
            request
                .header("x-proxy-token", token)
                .header("content-type", "application/json")
        }
        Door::Signature | Door::LongBody => {
            let pair = Pair::of("signer");
            let signing = if right {
                pair
            } else {
                pair.with_wrong_secret()
            };
            let params = if door == Door::LongBody {
                format!(r#"{{"note":"{}"}}"#, "x".repeat(1500))
            } else {
                "{}".to_owned()
            };
            let body = Unsigned::new(READ, &params).body(&signing);
            let request = client().post(proxy.url("/exchange/v1/private/user-balance"));
            request
                .header("content-type", "application/json")
                .body(body)
        }
        Door::UserStream | Door::MarketStream => {
            let side = if door == Door::UserStream {
                "user"
            } else {
                "market"
            };
            let headers = [("x-proxy-token", token.to_owned())];
            return Socket::try_open(proxy, side, &headers).await.is_ok();
        }
        Door::Login => {
            let mut socket = Socket::open(proxy, "user").await;
            let frame = if right {
                login(KEY, 1, now_ms())
            } else {
                signed_login(KEY, GUESS, 1, now_ms())
            };
            return socket.ask(frame).await["code"] == 0;
        }
        Door::Diagnosis => client()
            .get(proxy.url("/diag/crypto-auth"))
            .header("x-proxy-token", diagnosis),
        Door::Run => client()
            .post(proxy.url("/diag/run"))
            .header("x-proxy-token", diagnosis),
        Door::Page => {
            let pair = STANDARD.encode(format!("operator:{diagnosis}"));
            let request = client().get(proxy.url("/")).header("accept", "text/html");
            request.header("authorization", format!("Basic {pair}"))
        }
        Door::Ready => client()
            .get(proxy.url("/ready"))
            .header("x-proxy-token", token),
    };
    let answer = Answer::read(request.send().await.expect("an answer")).await;
    if door == Door::Ready {
        return answer.text().contains("a standing warning");
    }
    let was_right = answer.status == 200;
    assert!(
        was_right || answer.status == 401,
        "{door:?}: {}",
        answer.text()
    );
    was_right
}

/// The head of a call with this token.
fn call_with(proxy: &TestProxy, token: &str) -> String {
    proxy
        .request(READ, &json!({}))
        .replace(&*proxy.canaries.token, token)
}

/// Guesses until the waits are the longest, and hangs up each time.
async fn guess(proxy: &TestProxy) {
    let counted = || proxy.rejections.counted(Refused::Token);
    let before = counted();
    let mut shown = Vec::new();
    for _ in 0..MANY {
        let mut connection = proxy.connect().await;
        connection.write(&call_with(proxy, GUESS)).await;
        shown.push(connection);
    }
    let all = tokio::time::timeout(PATIENCE, async {
        while counted() < before + MANY {
            proxy.settle().await;
        }
    });
    all.await.expect("every guess is counted");
}

/// Whether this ends before the wait of a wrong token that came first. A machine that stands still gets further chances.
async fn is_not_slowed(proxy: &TestProxy, right: impl AsyncFn()) -> bool {
    for _ in 0..5 {
        let mut wrong = proxy.connect().await;
        wrong.write(&call_with(proxy, GUESS)).await;
        proxy.settle().await;
        let answer = wrong.answer();
        tokio::pin!(answer);
        let came_first = tokio::select! {
            biased;
            answer = &mut answer => {
                assert_eq!(answer.status, 401);
                false
            }
            () = right() => true,
        };
        if came_first {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn every_endpoint_and_stream_counts_wrong_credentials_and_slows_their_source() {
    each(DOORS, async |door| {
        let proxy = start().await;
        let shown = join_all((0..14).map(|_| show(&proxy, door, false))).await;
        assert_eq!(shown, [false; 14], "the true answer comes all the same");
        let slowed = proxy.told_refusals(SLOWED);
        assert!((1..=4).contains(&slowed), "{slowed}");
        assert_eq!(proxy.upstream_requests(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_right_credential_waits_where_it_is_not_known_and_is_never_refused() {
    let proxies = join_all(DOORS.map(async |door| {
        let proxy = start().await;
        guess(&proxy).await;
        let began = Instant::now();
        assert!(show(&proxy, door, true).await, "{door:?}");
        (door, began.elapsed(), proxy)
    }));
    for (door, waited, proxy) in proxies.await {
        assert!(waited > AT_LEAST, "{door:?}: {waited:?}");
        // A run soon after another is put off.
        let door = if door == Door::Run {
            Door::Diagnosis
        } else {
            door
        };
        let again = async || assert!(show(&proxy, door, true).await, "{door:?}");
        assert!(is_not_slowed(&proxy, again).await, "{door:?} is known now");
    }
}

#[tokio::test]
async fn a_caller_in_use_is_not_slowed_by_a_neighbour_that_guesses() {
    let proxy = start().await;
    assert_eq!(proxy.call(READ, json!({})).await.status, 200);
    let call = call_with(&proxy, &proxy.canaries.token);
    let kept = tokio::sync::Mutex::new(proxy.connect().await);
    let on_the_kept_one = async || {
        let mut kept = kept.lock().await;
        kept.write(&call).await;
        assert_eq!(kept.answer().await.status, 200);
    };
    let on_a_new_one = async || {
        let mut new = proxy.connect().await;
        new.write(&call).await;
        assert_eq!(new.answer().await.status, 200);
    };
    on_the_kept_one().await;
    guess(&proxy).await;
    assert!(is_not_slowed(&proxy, on_a_new_one).await);
    assert!(is_not_slowed(&proxy, on_the_kept_one).await);
    // A wrong token on a caller's own connection waits as well, and ends it.
    let mut kept = kept.into_inner();
    let began = Instant::now();
    kept.write(&call_with(&proxy, GUESS)).await;
    assert_eq!(kept.answer().await.status, 401);
    assert!(began.elapsed() > AT_LEAST);
    assert!(kept.end().await.is_empty());
}

#[tokio::test]
async fn hanging_up_early_tells_nothing_and_sends_nothing() {
    let proxy = start().await;
    guess(&proxy).await;
    let call = call_with(&proxy, &proxy.canaries.token);
    let mut shown: Vec<Connection<_>> = Vec::new();
    for _ in 0..3 {
        let mut connection = proxy.connect().await;
        connection.write(&call).await;
        shown.push(connection);
    }
    proxy.settle().await;
    let said = join_all(shown.iter_mut().map(|one| {
        let read = tokio::io::AsyncReadExt::read_u8(&mut one.stream);
        tokio::time::timeout(Duration::from_millis(1), read)
    }))
    .await;
    assert!(said.iter().all(Result::is_err), "nothing is said yet");
    drop(shown);
    proxy.settle().await;
    let began = Instant::now();
    assert_eq!(proxy.call(READ, json!({})).await.status, 200);
    assert!(began.elapsed() > AT_LEAST, "it is still not known");
    assert_eq!(proxy.upstream_requests(), 1);
}

#[tokio::test]
async fn who_waits_costs_a_strangers_place_and_whose_credential_is_right_keeps_it() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.server.max_connections = 32)
        .start()
        .await;
    guess(&proxy).await;
    let mut right = proxy.connect().await;
    right.write(&call_with(&proxy, &proxy.canaries.token)).await;
    proxy.settle().await;
    let mut wrong = Vec::new();
    for _ in 0..30 {
        let mut connection = proxy.connect().await;
        connection.write(&call_with(&proxy, GUESS)).await;
        wrong.push(connection);
    }
    proxy.settle().await;
    assert_eq!(right.answer().await.status, 200);
    let crowded = proxy.told_refusals("status=0 why=crowded");
    assert!(crowded >= 20, "eight are strangers' places: {crowded}");
    let mut answered = 0;
    for mut connection in wrong {
        answered += usize::from(connection.try_answer().await.is_some());
    }
    assert!((1..=10).contains(&answered), "{answered}");
}

#[tokio::test]
async fn the_log_says_once_for_each_source_how_many_were_slowed() {
    let proxy = start().await;
    let shown = join_all((0..MANY).map(|_| show(&proxy, Door::Private, false))).await;
    assert!(shown.iter().all(|was_right| !was_right));
    let slowed = proxy.told_refusals(SLOWED);
    assert!((MANY - 12..=MANY - 10).contains(&slowed), "{slowed}");
    let lines = proxy.texts();
    let of = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!((of("why=slowed"), of("why=token")), (1, 1));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("status=401 why=token count=40 from=127.0.0.1")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn without_a_credential_nobody_guesses() {
    let proxy = start().await;
    for _ in 0..MANY {
        let answer = client().post(proxy.url("/proxy/private")).send();
        assert_eq!(answer.await.unwrap().status(), 401);
        let answer = client().get(proxy.url("/ready")).send();
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    assert_eq!(proxy.told_refusals(SLOWED), 0);
}

#[tokio::test]
async fn a_stop_ends_every_wait() {
    let proxy = start().await;
    guess(&proxy).await;
    let mut wrong = proxy.connect().await;
    wrong.write(&call_with(&proxy, GUESS)).await;
    proxy.settle().await;
    let (_, answer) = tokio::join!(proxy.stop(), wrong.answer());
    assert_eq!(answer.status, 401);
}
