//! What waits for what, with a journal whose disk stands still as long as a test wants.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use serde_json::value::RawValue;

use super::*;
use crate::{
    ledger::{self, Boxed, Listing, Settled},
    outcome::Signed,
    secret::Signature,
};
use protocol::{call::RequestId, canonical::Dialect};

/// Gives what each question asks for once it is allowed to.
#[derive(Debug, Default)]
struct Disk {
    stands_still: bool,
    goes_on: Notify,
    looking: AtomicUsize,
    most_looking: AtomicUsize,
    noted: AtomicUsize,
    concluded: Mutex<Vec<Conclusion>>,
}

impl Ledger for Disk {
    fn begin(&self, intent: Intent) -> Boxed<'_, Result<Begun, Away>> {
        Box::pin(async move {
            if self.stands_still {
                self.goes_on.notified().await;
            }
            let (attempt, time) = (intent.attempt, intent.to_be_sent);
            Ok(Begun::Go(Ticket::written(attempt, time, false)))
        })
    }

    fn look(&self, _: Intent) -> Boxed<'_, Result<Option<Known>, Away>> {
        Box::pin(async move {
            let looking = self.looking.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_looking.fetch_max(looking, Ordering::Relaxed);
            if self.stands_still {
                self.goes_on.notified().await;
            }
            self.looking.fetch_sub(1, Ordering::Relaxed);
            Ok(None)
        })
    }

    fn note(&self, intent: Intent) -> Ticket {
        self.noted.fetch_add(1, Ordering::Relaxed);
        Ticket::written(intent.attempt, intent.to_be_sent, false)
    }

    fn conclude(&self, _: Attempt, conclusion: Conclusion) {
        self.concluded.lock().unwrap().push(conclusion);
    }

    fn due(&self, _: Arc<Account>, _: usize) -> Boxed<'_, Result<Vec<ledger::Entry>, Away>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn are_open(&self, _: Arc<Account>, _: Vec<String>) -> Boxed<'_, Result<(), Away>> {
        Box::pin(async { Ok(()) })
    }

    fn settle(&self, _: Attempt, _: Settled) -> Boxed<'_, Result<bool, Away>> {
        Box::pin(async { Ok(false) })
    }

    fn list(&self, _: Listing) -> Boxed<'_, Result<Vec<ledger::Entry>, Away>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn in_doubt(&self) -> usize {
        0
    }

    fn away(&self) -> Option<Away> {
        None
    }
}

fn on(disk: &Arc<Disk>) -> Arc<Journal> {
    let account = Account {
        environment: "uat".into(),
        name: "main".into(),
    };
    Arc::new(Journal::new(
        Arc::clone(disk) as Arc<dyn Ledger>,
        Arc::new(account),
        Clock::system(),
        Arc::default(),
    ))
}

fn stalled() -> Arc<Disk> {
    Arc::new(Disk {
        stands_still: true,
        ..Disk::default()
    })
}

fn intent(caller: &str, method: &'static str, name: Option<&str>, targets: &[&str]) -> Intent {
    Intent {
        account: Arc::new(Account {
            environment: "uat".into(),
            name: "main".into(),
        }),
        caller: caller.into(),
        method: method.into(),
        digest: Digest([0; 32]),
        attempt: Attempt::new(),
        rid: "rid".into(),
        legs: vec![Leg {
            name: name.map(|name| (Kind::Order, name.to_owned())),
            instrument: None,
        }],
        targets: targets.iter().map(|&target| target.to_owned()).collect(),
        to_be_sent: Duration::from_secs(12),
        alive: Duration::from_secs(77),
    }
}

fn order(name: &str) -> Intent {
    intent("a", "private/create-order", Some(name), &[])
}

/// How long a cancellation of these waits.
async fn cancel(journal: &Journal, caller: &str, targets: &[&str]) -> Duration {
    let (method, since) = ("private/cancel-order", Instant::now());
    let asked = intent(caller, method, None, targets);
    let begun = journal.begin(asked, &Arc::default()).await;
    assert!(matches!(begun, Ok(Ok(_))));
    since.elapsed()
}

/// Lets an order begin, which it does until the disk goes on.
async fn begin(journal: &Arc<Journal>, asked: Intent) -> oneshot::Receiver<(Ticket, Entry)> {
    let (journal, (gives, given)) = (Arc::clone(journal), oneshot::channel());
    tokio::spawn(async move {
        if let Ok(Ok(written)) = journal.begin(asked, &Arc::default()).await {
            let _ = gives.send(written);
        }
    });
    tokio::task::yield_now().await;
    given
}

#[tokio::test]
async fn a_cancellation_waits_for_no_disk_but_a_second_for_its_own_order_that_begins() {
    let (disk, none) = (stalled(), Duration::ZERO);
    let too_long = Duration::from_secs(10);
    let journal = on(&disk);
    let _first = begin(&journal, order("mine")).await;
    for (caller, targets, waits) in [
        ("a", &["mine"][..], PATIENCE),
        // All of them, whatever their names are.
        ("a", &[], PATIENCE),
        ("a", &["another"], none),
        ("b", &["mine"], none),
    ] {
        let waited = cancel(&journal, caller, targets).await;
        let longest = if waits == none { PATIENCE } else { too_long };
        assert!(
            (waits..longest).contains(&waited),
            "{caller} {targets:?}: {waited:?}"
        );
    }
    assert_eq!(disk.noted.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_cancellation_of_everything_waits_for_orders_without_a_name_too() {
    let disk = stalled();
    let journal = on(&disk);
    let nameless = intent("a", "private/create-order", None, &[]);
    let _first = begin(&journal, nameless).await;
    assert!(cancel(&journal, "a", &[]).await >= PATIENCE);
    assert!(cancel(&journal, "a", &["another"]).await < PATIENCE);
}

#[tokio::test]
async fn it_goes_on_once_its_order_is_sent_and_not_when_a_repeat_of_that_is_over() {
    let disk = stalled();
    let journal = on(&disk);
    let first = begin(&journal, order("mine")).await;
    // A second one of that name gives up at once.
    let again = order("mine");
    let progress = Arc::default();
    let repeat = journal.begin(again, &progress);
    assert!(timeout(Duration::ZERO, repeat).await.is_err());
    let sent = async {
        sleep(Duration::from_millis(300)).await;
        disk.goes_on.notify_one();
        // The ticket lasts until a connection has taken the order.
        let (ticket, entry) = first.await.unwrap();
        sleep(Duration::from_millis(100)).await;
        drop(ticket);
        entry
    };
    let (waited, _entry) = tokio::join!(cancel(&journal, "a", &["mine"]), sent);
    // Less than the most that it waits, and not before the ticket was used up.
    assert!(
        (Duration::from_millis(400)..PATIENCE).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test]
async fn whoever_is_refused_a_thousand_times_asks_the_journal_for_a_few_at_once() {
    let disk = stalled();
    let journal = on(&disk);
    let until = Instant::now() + Duration::from_millis(500);
    let flood = (0..1000).map(|count| {
        let (journal, asked) = (Arc::clone(&journal), order(&format!("denied-{count}")));
        tokio::spawn(async move { journal.look(&asked, until).await })
    });
    let flood: Vec<_> = flood.collect();
    let asked = intent("b", "private/create-order", Some("denied"), &[]);
    let other = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move { journal.look(&asked, until).await }
    });
    while disk.most_looking.load(Ordering::Relaxed) <= LOOKS_OF_ONE {
        tokio::task::yield_now().await;
    }
    assert_eq!(disk.most_looking.load(Ordering::Relaxed), LOOKS_OF_ONE + 1);
    other.abort();
    // Those whose turn does not come in time are not told that nothing is known of their names.
    let mut busy = 0;
    for look in flood.into_iter().skip(LOOKS_OF_ONE) {
        assert!(matches!(look.await, Ok(Err(Away::Busy(_)))));
        busy += 1;
    }
    assert_eq!(busy, 1000 - LOOKS_OF_ONE);
}

fn executed(order_id: Option<&str>) -> LegEnd {
    LegEnd::Executed {
        order_id: order_id.map(str::to_owned),
    }
}

#[test]
fn each_leg_ends_by_its_own_code() {
    let entries = r#"[{"index":0,"code":0,"order_id":"7"},{"index":1,"code":306}]"#;
    let listed = format!(r#"{{"code":0,"result":{entries}}}"#);
    let refused = |code| LegEnd::Refused { code };
    for (answer, code, legs, expected) in [
        (
            r#"{"result":{"order_id":"7"}}"#,
            0,
            1,
            vec![executed(Some("7"))],
        ),
        // An id was given out, so the order was taken, whatever became of it.
        (
            r#"{"result":{"order_id":"7"}}"#,
            43004,
            1,
            vec![executed(Some("7"))],
        ),
        ("{}", 0, 1, vec![executed(None)]),
        ("{}", 306, 1, vec![refused(306)]),
        ("{}", 42901, 2, vec![refused(42901), refused(42901)]),
        (&listed, 0, 2, vec![executed(Some("7")), refused(306)]),
        (
            r#"{"result":{"list_id":"9"}}"#,
            0,
            2,
            vec![executed(None), executed(None)],
        ),
        // Nothing tells of the legs.
        ("{}", 0, 2, vec![LegEnd::Open, LegEnd::Open]),
    ] {
        let orders = OrdersInAnswer::read(answer.as_bytes());
        assert_eq!(ends(&orders, code, legs), expected, "{answer} {code}");
    }
}

#[test]
fn names_of_different_kinds_are_told_apart() {
    let legs_of = |method, params, key| {
        let raw: Box<RawValue> = serde_json::from_str(params).unwrap();
        let call = Call::parse(RequestId::BACKEND, method, Some(&raw), Dialect::Documented);
        let call = call.unwrap().under_key(key);
        let legs = legs(&call, &call.targets());
        legs.into_iter().map(|leg| leg.name).collect::<Vec<_>>()
    };
    let named = |kind, name: &str| Some((kind, name.to_owned()));
    for (method, params, key, expected) in [
        (
            "private/create-order",
            r#"{"client_oid":"a"}"#,
            None,
            vec![named(Kind::Order, "a")],
        ),
        (
            "private/amend-order",
            r#"{"order_id":"1","client_oid":"a"}"#,
            None,
            vec![named(Kind::Amendment, "a")],
        ),
        (
            "private/create-withdrawal",
            r#"{"client_wid":"a"}"#,
            None,
            vec![named(Kind::Withdrawal, "a")],
        ),
        (
            "private/otc/request-deal",
            r#"{"cl_deal_id":"a"}"#,
            None,
            vec![named(Kind::Otc, "cl_deal_id:a")],
        ),
        (
            "private/create-subaccount-transfer",
            "{}",
            Some("k"),
            vec![named(Kind::Key, "k")],
        ),
        ("private/create-subaccount-transfer", "{}", None, vec![None]),
        // A list is held together by names of its own where its orders have none.
        (
            "private/create-order-list",
            r#"{"order_list":[{"side":"BUY"},{"client_oid":"a"}]}"#,
            None,
            vec![named(Kind::Key, "list of a 0"), named(Kind::Order, "a")],
        ),
        (
            "private/create-order-list",
            r#"{"order_list":[{"side":"BUY"},{"client_oid":"a"}]}"#,
            Some("k"),
            vec![named(Kind::Key, "list k 0"), named(Kind::Order, "a")],
        ),
        (
            "private/create-order-list",
            r#"{"order_list":[{},{}]}"#,
            None,
            vec![None, None],
        ),
    ] {
        assert_eq!(legs_of(method, params, key), expected, "{method}");
    }
}

/// Somebody puts the clock 50 s ahead, signs by it, and loses the answer: the nonce is good for 110 s.
#[tokio::test]
async fn a_nonce_of_a_clock_that_jumped_is_alive_as_long_as_the_exchange_takes_it() {
    const NOW_MS: u64 = 1_780_000_000_000;
    for (jump_ms, back_ms, alive_s) in [
        (0, 0, 65..70),
        (50_000, 0, 115..120),
        // By the time of the exchange when its end is written down.
        (50_000, 50_000, 115..175),
        (365 * 86_400_000, 365 * 86_400_000, 3600..3601),
    ] {
        let disk = Arc::new(Disk::default());
        let wall = Arc::new(AtomicU64::new(NOW_MS));
        let observed = Arc::new(Observed::default());
        for _ in 0..2 {
            observed.skew().note(NOW_MS - 500, NOW_MS, NOW_MS);
        }
        let account = Arc::new(Account {
            environment: "uat".into(),
            name: "main".into(),
        });
        let journal = Journal::new(
            Arc::clone(&disk) as Arc<dyn Ledger>,
            account,
            Clock::set_by(Arc::clone(&wall)),
            observed,
        );
        let progress = Arc::<Progress>::default();
        let (_ticket, entry) = journal.begin(order("x"), &progress).await.unwrap().unwrap();
        let nonce = wall.fetch_add(jump_ms, Ordering::Relaxed) + jump_ms;
        assert!(progress.hand_over(Signed {
            nonce,
            signature: Signature(String::new()),
            string_to_sign_len: 0,
        }));
        wall.fetch_sub(back_ms, Ordering::Relaxed);
        drop(entry);
        let concluded = disk.concluded.lock().unwrap();
        let [Conclusion::Unknown { alive, .. }] = &concluded[..] else {
            panic!("{concluded:?}");
        };
        assert!(alive_s.contains(&alive.as_secs()), "{jump_ms}: {alive:?}");
    }
}
