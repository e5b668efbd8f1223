//! What of the order journal is in doubt, what is said of it, and what asking costs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use gateway::ledger::{
    Account, Attempt, Begun, Boxed, Conclusion, EntryLeg, Intent, Known, Leg, Settled, Ticket,
};

const CREATE: &str = "private/create-order";
const CANCEL: &str = "private/cancel-order";

fn entry(method: &str, legs: Vec<(Option<(Kind, &str)>, LegEnd)>) -> Entry {
    let leg = |(name, end): (Option<(Kind, &str)>, LegEnd)| EntryLeg {
        leg: Leg {
            name: name.map(|(kind, name)| (kind, name.to_owned())),
            instrument: None,
        },
        end,
    };
    Entry {
        attempt: Attempt::new(),
        account: Account {
            environment: "api.crypto.com".into(),
            name: "default".into(),
        },
        caller: "bot".to_owned(),
        method: method.to_owned(),
        rid: "rid-1".to_owned(),
        state: State::Unknown,
        code: None,
        begun_ms: 7,
        ended_ms: None,
        alive: Duration::ZERO,
        is_dead: false,
        looked: 0,
        list_id: None,
        by_hand: None,
        legs: legs.into_iter().map(leg).collect(),
        targets: Vec::new(),
    }
}

fn one(method: &str, name: Option<(Kind, &str)>) -> Entry {
    entry(method, vec![(name, LegEnd::Open)])
}

fn about(target: &str, entry: Entry) -> Entry {
    Entry {
        targets: vec![target.to_owned()],
        ..entry
    }
}

#[test]
fn in_doubt_is_what_ended_without_an_answer_by_each_order_that_is_open() {
    let order = |name| Some((Kind::Order, name));
    let executed = LegEnd::Executed { order_id: None };
    for (entry, expected) in [
        (one(CREATE, order("mine")), vec![(Some("mine"), true)]),
        (one(CREATE, None), vec![(None, false)]),
        (
            one(CREATE, Some((Kind::Key, "k"))),
            vec![(Some("k"), false)],
        ),
        (
            one("private/amend-order", Some((Kind::Amendment, "new"))),
            vec![(Some("new"), true)],
        ),
        (
            one("private/create-withdrawal", Some((Kind::Withdrawal, "w"))),
            vec![(Some("w"), true)],
        ),
        (
            one(
                "private/fiat/fiat-create-withdraw",
                Some((Kind::Withdrawal, "w")),
            ),
            vec![(Some("w"), false)],
        ),
        (about("mine", one(CANCEL, None)), vec![(Some("mine"), true)]),
        (
            about("mine", one("private/amend-order", None)),
            vec![(Some("mine"), true)],
        ),
        (one("private/amend-order", None), vec![(None, false)]),
        (one("private/cancel-all-orders", None), vec![(None, true)]),
        (
            entry(
                "private/create-order-list",
                vec![
                    (order("a"), executed),
                    (order("b"), LegEnd::Open),
                    (order("c"), LegEnd::Refused { code: 306 }),
                ],
            ),
            vec![(Some("b"), true)],
        ),
        // A task of this process works on it.
        (
            Entry {
                state: State::Begun,
                ..one(CREATE, order("mine"))
            },
            vec![],
        ),
    ] {
        let doubts = Doubt::of(std::slice::from_ref(&entry));
        let doubts: Vec<_> = doubts
            .iter()
            .map(|doubt| (doubt.name.as_deref(), doubt.is_asked))
            .collect();
        assert_eq!(doubts, expected, "{entry:?}");
    }
    let newest_first = [one(CREATE, order("second")), one(CREATE, order("first"))];
    assert_eq!(
        Doubt::of(&newest_first)[0].name.as_deref(),
        Some("first"),
        "the oldest first"
    );
}

#[test]
fn what_is_said_of_a_doubt_names_who_finds_out_and_how() {
    let resolve = "`sudo crypto-proxy orders resolve rid-1 --executed --why TEXT` if ";
    let itself = "the proxy asks the exchange by itself";
    let order = Some((Kind::Order, "a"));
    for (entry, words) in [
        (
            one(CREATE, order),
            [itself, "private/get-order-detail, for client_oid a"],
        ),
        (
            one("private/advanced/create-order", order),
            [
                itself,
                "private/advanced/get-order-detail, for client_oid a",
            ],
        ),
        (
            about("a", one(CANCEL, None)),
            [itself, "private/get-order-detail, for client_oid a"],
        ),
        (
            one("private/cancel-all-orders", None),
            [itself, "private/get-open-orders"],
        ),
        (
            one("private/create-withdrawal", Some((Kind::Withdrawal, "w"))),
            [itself, "private/get-withdrawal-history, for client_wid w"],
        ),
        (
            one(CREATE, None),
            ["cannot find out by itself", "private/get-order-history"],
        ),
        (
            about("a", one("private/amend-order", None)),
            [
                "private/get-order-detail, for a)",
                "if the order is as this call asked for",
            ],
        ),
        (
            about(
                "a",
                one("private/amend-order", Some((Kind::Amendment, "b"))),
            ),
            [itself, "private/get-order-detail, for b)"],
        ),
        (
            one(
                "private/fiat/fiat-create-withdraw",
                Some((Kind::Withdrawal, "w")),
            ),
            [
                "cannot find out by itself",
                "private/fiat/fiat-withdraw-history, for client_wid w",
            ],
        ),
        (
            one("private/create-withdrawal", None),
            [
                "cannot find out by itself",
                "private/get-withdrawal-history, for one of its time and amount",
            ],
        ),
        (
            one("private/create-subaccount-transfer", None),
            [
                "cannot find out by itself",
                "private/get-transactions and the balances of both accounts",
            ],
        ),
        (
            one("private/create-isolated-margin-transfer", None),
            ["cannot find out by itself", "private/get-positions"],
        ),
        (
            one("private/close-position", None),
            ["cannot find out by itself", "private/get-positions"],
        ),
        (
            one("private/staking/stake", None),
            [
                "cannot find out by itself",
                "what private/staking/stake would have changed",
            ],
        ),
    ] {
        let doubt = &Doubt::of(&[entry])[0];
        let question = doubt.question();
        for part in words.into_iter().chain([resolve]) {
            assert!(question.contains(part), "{}: {question}", doubt.method);
        }
        let again = question.contains("do not place it again");
        let is_new = doubt.is_asked && doubt.method.ends_with("create-order");
        assert_eq!(again, is_new, "{question}");
    }
}

/// A journal whose questions are counted, and that answers where it is told to.
#[derive(Debug, Default)]
struct Counting {
    questions: AtomicUsize,
    hangs: AtomicBool,
}

impl Ledger for Counting {
    fn begin(&self, _: Intent) -> Boxed<'_, Result<Begun, Away>> {
        Box::pin(async { Err(Away::Full) })
    }

    fn look(&self, _: Intent) -> Boxed<'_, Result<Option<Known>, Away>> {
        Box::pin(async { Ok(None) })
    }

    fn note(&self, intent: Intent) -> Ticket {
        Ticket::written(intent.attempt, intent.to_be_sent, false)
    }

    fn conclude(&self, _: Attempt, _: Conclusion) {}

    fn due(&self, _: Arc<Account>, _: usize) -> Boxed<'_, Result<Vec<Entry>, Away>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn are_open(&self, _: Arc<Account>, _: Vec<String>) -> Boxed<'_, Result<(), Away>> {
        Box::pin(async { Ok(()) })
    }

    fn settle(&self, _: Attempt, _: Settled) -> Boxed<'_, Result<bool, Away>> {
        Box::pin(async { Ok(false) })
    }

    fn list(&self, listing: Listing) -> Boxed<'_, Result<Vec<Entry>, Away>> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::task::yield_now().await;
            if self.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let entries = vec![one(CREATE, None); listing.most.min(1)];
            Ok(entries)
        })
    }

    fn in_doubt(&self) -> usize {
        1
    }

    fn away(&self) -> Option<Away> {
        Some(Away::Full)
    }
}

fn counting() -> (Arc<Counting>, Arc<Doubts>) {
    let ledger = Arc::new(Counting::default());
    let remedy = |away: &Away| format!("mend this: {away}");
    let doubts = Doubts::new(
        Arc::clone(&ledger) as Arc<dyn Ledger>,
        Box::new(remedy),
        Clock::system(),
    );
    (ledger, doubts)
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_at_once_the_journal_is_asked_once_or_twice() {
    let (ledger, doubts) = counting();
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let doubts = Arc::clone(&doubts);
            tokio::spawn(async move { (doubts.count().await, doubts.list().await.doubts.len()) })
        })
        .collect();
    let certain = Count {
        calls: 1,
        is_certain: true,
    };
    for asked in asked {
        assert_eq!(asked.await.unwrap(), (certain, 1));
    }
    // Who asks later learns what is later: one question each time.
    let questions = ledger.questions.load(Ordering::Relaxed);
    assert!(questions < 100, "{questions}");
    doubts.count().await;
    assert_eq!(ledger.questions.load(Ordering::Relaxed), questions + 1);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_does_not_answer_leaves_what_was_known_and_says_so() {
    let (ledger, doubts) = counting();
    assert_eq!(doubts.list().await.unread, None);
    ledger.hangs.store(true, Ordering::Relaxed);
    let count = Count {
        calls: 1,
        is_certain: false,
    };
    assert_eq!(doubts.count().await, count);
    let last = doubts.list().await;
    assert_eq!(last.doubts.len(), 1);
    assert!(last.unread.unwrap().contains("within 1 s"));
    let away = doubts.away().unwrap();
    assert_eq!(away.why, Away::Full.to_string());
    assert!(away.remedy.starts_with("mend this: the disk"));
}
