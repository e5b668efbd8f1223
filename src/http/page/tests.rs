//! The page from values: the verdict, the rows, the facts, and what must never get through the template.

use std::time::{Duration, Instant};

use askama::filters::Escaper as _;

use super::{matrix::MethodState, *};
use diagnosis::{
    causes::{self, Cause, Past},
    hint::Hint,
    history::{CallRow, ChangeRow, Count, End, Milestone, Milestones, Span, Streak, Timeline},
    probes::{Answer, CredentialFacts, Finding, Findings, Probe, Seen},
    reach::{Fault, Measurement, Phase},
};

const NOW: u64 = 1_769_843_531_000;
const MINUTE: u64 = 60_000;
const READ: &str = "private/user-balance";
const CREATE: &str = "private/create-order";

fn mark(ms: u64, code: i64) -> Milestone {
    Milestone {
        ms,
        rid: "0193545b".into(),
        key_fp: "5f3a09c1".into(),
        address: None,
        status: 200,
        code: Some(code),
        outcome: "answered".into(),
        why: None,
    }
}

fn good(ms: u64) -> Milestones {
    Milestones {
        good: Some(mark(ms, 0)),
        ..Milestones::default()
    }
}

fn refused(good_ms: u64, first_ms: u64, last_ms: u64) -> Milestones {
    let (first, last) = (mark(first_ms, 40101), mark(last_ms, 40101));
    let auth = Streak {
        before: Some(mark(good_ms, 0)),
        first: Some(first),
        last: Some(last),
        after: None,
    };
    Milestones {
        auth,
        ..good(good_ms)
    }
}

fn recent(marks: Vec<(&str, Milestones)>) -> RecentHistory {
    let milestones = marks
        .into_iter()
        .map(|(method, marks)| (method.to_owned(), marks))
        .collect();
    RecentHistory {
        milestones,
        ..RecentHistory::empty(NOW)
    }
}

impl RecentHistory {
    fn empty(now_ms: u64) -> Self {
        Self {
            begins_ms: Some(now_ms - 3_600_000),
            timeline: Timeline {
                span: Span::last_day(now_ms),
                counts: Vec::new(),
            },
            milestones: Vec::new(),
            changes: Vec::new(),
            failures: Vec::new(),
            refused: std::collections::BTreeMap::default(),
        }
    }
}

fn target() -> Target {
    let base = "https://api.crypto.com/exchange/v1".to_owned();
    let host = "api.crypto.com".to_owned();
    Target {
        base,
        host,
        environment: Environment::Production,
        odd_path: false,
    }
}

/// Findings of a run in which the documented reads were answered so.
fn findings(at_ms: u64, status: u16, code: i64) -> Findings {
    let answer = Answer {
        status,
        code: Some(code),
        is_json: true,
    };
    let finding = |probe| Finding {
        probe,
        seen: Seen::Answered(answer),
        took: Duration::from_millis(7),
    };
    let public = Answer {
        status: 200,
        code: Some(0),
        is_json: true,
    };
    let pair = CredentialFacts {
        fingerprint: Some("5f3a09c1".into()),
        ..CredentialFacts::default()
    };
    let pair = Finding {
        probe: Probe::Credentials,
        seen: Seen::Credentials(pair),
        took: Duration::ZERO,
    };
    let mut list = vec![
        pair,
        Finding {
            probe: Probe::Public,
            seen: Seen::Answered(public),
            took: Duration::ZERO,
        },
    ];
    list.extend(Probe::READS.map(finding));
    Findings {
        at_ms,
        took: Duration::from_millis(30),
        target: Some(target()),
        expected: Expected::Unstated,
        list,
    }
}

/// What the page is made of, to be changed by a test.
struct Case {
    about: DaemonFacts,
    outside: Observations,
    recent: Option<RecentHistory>,
    findings: Option<Findings>,
    hints: Vec<Given>,
    place: PageForm,
}

impl Case {
    fn new(recent: Option<RecentHistory>) -> Self {
        let (about, outside) = (DaemonFacts::default(), Observations::default());
        Self {
            about,
            outside,
            recent,
            findings: None,
            hints: Vec::new(),
            place: PageForm::Served,
        }
    }

    fn diagnosed(mut self, at_ms: u64, status: u16, code: i64) -> Self {
        self.findings = Some(findings(at_ms, status, code));
        self
    }

    fn page<T>(&self, look: impl FnOnce(&StatusPage<'_>) -> T) -> T {
        let diagnosis = self.findings.as_ref().map(|findings| Diagnosis {
            findings: findings.clone(),
            ranking: causes::rank(findings, &Past::default()),
            past: Past::default(),
            whose: "those of a test".to_owned(),
            problems: Vec::new(),
        });
        let history = Ok(self.recent.clone());
        let known = PageInput {
            in_doubt: &[],
            in_doubt_unread: None,
            journal_away: None,
            about: &self.about,
            diagnosis: diagnosis.as_ref(),
            hints: &self.hints,
            outside: &self.outside,
            history: &history,
            now_ms: NOW,
        };
        look(&StatusPage::of(known, self.place))
    }

    fn html(&self) -> String {
        self.page(|page| page.html())
    }

    fn health(&self) -> Health {
        self.page(|page| page.health())
    }
}

#[test]
fn nothing_is_known_until_a_call_or_a_probe_tells() {
    for case in [Case::new(None), Case::new(Some(RecentHistory::empty(NOW)))] {
        assert_eq!(case.health(), Health::Unknown);
        let html = case.html();
        assert!(
            html.contains("<title>NOTHING KNOWN · crypto-proxy</title>")
                && html.contains("Nothing known yet")
        );
        assert!(
            html.contains("<code>sudo crypto-proxy diagnose</code>"),
            "one next step"
        );
    }
    assert!(Case::new(None).html().contains("No history is kept"));
    assert!(
        Case::new(Some(RecentHistory::empty(NOW)))
            .html()
            .contains("No history before 2026-01-31 06:12:11 UTC")
    );
}

#[test]
fn the_newest_evidence_of_a_method_decides_and_old_evidence_is_not_called_now() {
    let day = 24 * 60 * MINUTE;
    let cases = [
        (good(NOW - MINUTE), MethodState::Works),
        (good(NOW - 2 * day), MethodState::Worked),
        (
            refused(NOW - 9 * MINUTE, NOW - 5 * MINUTE, NOW - MINUTE),
            MethodState::Refused,
        ),
        (
            refused(NOW - 3 * day, NOW - 2 * day, NOW - 2 * day),
            MethodState::WasBad,
        ),
        (Milestones::default(), MethodState::Unknown),
    ];
    for (marks, state) in cases {
        let seen = Case::new(Some(recent(vec![(READ, marks)]))).page(|page| page.rows[0].state);
        assert_eq!(seen, state);
    }
    let lost = Milestones {
        failed: refused(NOW - 9 * MINUTE, NOW - MINUTE, NOW - MINUTE).auth,
        ..good(NOW - 9 * MINUTE)
    };
    assert_eq!(
        Case::new(Some(recent(vec![(READ, lost)]))).page(|page| page.rows[0].state),
        MethodState::Failing
    );
    let ended = Milestones {
        good: Some(mark(NOW, 0)),
        ..refused(NOW - 9 * MINUTE, NOW - MINUTE, NOW - MINUTE)
    };
    assert_eq!(
        Case::new(Some(recent(vec![(READ, ended)]))).page(|page| page.rows[0].state),
        MethodState::Works
    );
}

#[test]
fn a_probe_that_got_no_conclusive_answer_is_no_refusal() {
    for (status, code, state) in [
        (200, 0, MethodState::Works),
        (500, 306, MethodState::Works),
        (401, 40101, MethodState::Refused),
        (403, 40001, MethodState::Refused),
        (429, 42901, MethodState::Refused),
        (400, 10004, MethodState::Refused),
        (200, 9_010_001, MethodState::Failing),
        (400, 50001, MethodState::Failing),
    ] {
        let case = Case::new(Some(recent(vec![]))).diagnosed(NOW - MINUTE, status, code);
        let seen = case.page(|page| page.rows[0].state);
        assert_eq!(seen, state, "{status} {code}");
    }
}

#[test]
fn trouble_comes_first_with_its_method_its_beginning_and_how_to_find_the_cause() {
    let marks = vec![
        (READ, good(NOW - MINUTE)),
        (
            CREATE,
            refused(NOW - 9 * MINUTE, NOW - 5 * MINUTE, NOW - MINUTE),
        ),
    ];
    let case = Case::new(Some(recent(marks)));
    assert_eq!(case.health(), Health::Trouble);
    case.page(|page| {
        let says = page.headline.sentence.to_string();
        assert!(
            says.starts_with(
                "private/create-order fails since 07:07:11 UTC (5 min ago); one other"
            ),
            "{says}"
        );
        assert_eq!(
            page.rows
                .iter()
                .map(|row| row.method.to_string())
                .collect::<Vec<_>>(),
            [CREATE, READ]
        );
        assert!(page.headline.cause.is_none() && page.headline.step.contains('`'));
    });
    assert!(
        case.html().contains("40101 UNAUTHORIZED")
            && case.html().contains("<title>TROUBLE · crypto-proxy")
    );
}

#[test]
fn without_a_diagnosis_the_hint_at_a_method_that_is_bad_gives_the_cause_and_the_next_step() {
    let marks = vec![
        (READ, good(NOW - MINUTE)),
        (
            CREATE,
            refused(NOW - 9 * MINUTE, NOW - 5 * MINUTE, NOW - MINUTE),
        ),
    ];
    let mut case = Case::new(Some(recent(marks)));
    let hint = |method: &str, cause, next: &str| Given {
        at: Instant::now(),
        rid: "0193545b".into(),
        method: method.into(),
        code: None,
        hint: Hint {
            cause,
            likelihood: Likelihood::Likely,
            evidence: String::new(),
            alternatives: vec![Cause::IpNotListed],
            next: next.into(),
        },
    };
    case.hints = vec![
        hint(READ, Cause::RateLimit, "no"),
        hint(CREATE, Cause::NoTradePermission, "enable `Trade`"),
    ];
    let html = case.html();
    assert!(
        html.contains("the key may not trade") && html.contains("enable <code>Trade</code>"),
        "{html}"
    );
    assert!(
        html.contains("CP-IP-NOT-LISTED") && !html.contains("CP-RATE-LIMIT"),
        "{html}"
    );
    let case = case.diagnosed(NOW - MINUTE, 401, 40101);
    assert!(
        !case.html().contains("enable <code>Trade"),
        "a diagnosis that knows a cause goes first"
    );
    let mut works = Case::new(Some(recent(vec![(READ, good(NOW - MINUTE))])));
    works.hints = vec![hint(READ, Cause::RateLimit, "no")];
    assert_eq!(
        (works.health(), works.html().contains("CP-RATE-LIMIT")),
        (Health::Works, false)
    );
}

#[test]
fn a_diagnosis_gives_the_cause_its_tie_and_its_next_step() {
    let marks = vec![(
        READ,
        refused(NOW - 9 * MINUTE, NOW - 5 * MINUTE, NOW - 2 * MINUTE),
    )];
    let case = Case::new(Some(recent(marks))).diagnosed(NOW - MINUTE, 401, 40101);
    assert_eq!(case.health(), Health::Trouble);
    case.page(|page| {
        let cause = page.headline.cause.as_ref().expect("a cause");
        assert_eq!(cause.cause.code(), "CP-KEY-MISMATCH");
        assert!(
            cause
                .tied
                .iter()
                .any(|cause| cause.code() == "CP-KEY-DISABLED"),
            "{:?}",
            cause.tied
        );
        assert!(page.headline.step.contains("dashboard"));
    });
    let html = case.html();
    assert!(
        html.contains(r##"<a href="#cp-key-mismatch">"##)
            && html.contains(r#"<li id="cp-key-mismatch">"#)
    );
    assert!(html.contains("docs/diagnosis.md#cp-key-mismatch"));
}

#[test]
fn a_diagnosis_that_later_calls_contradict_or_that_is_a_day_old_does_not_stand_against_them() {
    let later = Case::new(Some(recent(vec![
        (CREATE, good(NOW - MINUTE)),
        (READ, good(NOW - MINUTE)),
    ])));
    let later = later.diagnosed(NOW - 5 * MINUTE, 401, 40101);
    // The probe's bad read of before the good call is no longer the newest evidence, either; of the others it is.
    assert_eq!(
        later.page(|page| page
            .rows
            .iter()
            .filter(|row| row.state == MethodState::Works)
            .count()),
        2
    );
    let old = Case::new(None).diagnosed(NOW - 25 * 60 * MINUTE, 200, 0);
    assert_eq!(old.health(), Health::Unknown);
    assert_eq!(
        Case::new(None).diagnosed(NOW - MINUTE, 200, 0).health(),
        Health::Works
    );
}

#[test]
fn drift_skew_and_late_refusals_are_warnings_with_a_next_step_while_calls_work() {
    let works = || Case::new(Some(recent(vec![(READ, good(NOW - MINUTE))])));
    assert_eq!(works().health(), Health::Works);
    let mut drift = works();
    drift.outside.address = Some(([198, 51, 100, 4].into(), NOW - 5000));
    drift.outside.expected = Expected::Listed(vec![[203, 0, 113, 7].into()]);
    assert_eq!(drift.health(), Health::Warning);
    let html = drift.html();
    assert!(
        html.contains("on that list: NO") && html.contains("add exactly 198.51.100.4"),
        "{html}"
    );
    let mut skew = works();
    skew.outside.skew = Some(ClockSkew {
        offset_ms: -6150,
        uncertainty_ms: 300,
    });
    assert!(
        skew.health() == Health::Warning
            && skew.html().contains("-6150 ms")
            && skew.html().contains("± 300 ms")
    );
    let mut shaky = works();
    let recent = shaky.recent.as_mut().unwrap();
    recent.timeline.counts = vec![Count {
        bucket: 95,
        method: Some(READ.into()),
        end: End::Auth,
        calls: 3,
    }];
    assert!(
        shaky.health() == Health::Warning && shaky.html().contains("the exchange refused 3 calls")
    );
    let mut unreachable = works();
    unreachable.outside.unreachable = true;
    assert_eq!(unreachable.health(), Health::Trouble);
}

#[test]
fn a_way_that_failed_since_the_newest_good_answer_is_trouble_with_its_cause_and_step() {
    let fault = || Fault {
        phase: Phase::Name,
        says: "no address".to_owned(),
        cause: Cause::NameNotResolved,
        not_excluded: Vec::new(),
        next_step: "an invented step".to_owned(),
    };
    let measured = |at_ms, fault| Reachability {
        last: Measurement {
            at_ms,
            steps: Vec::new(),
            fault,
        },
        since_ms: at_ms,
    };
    let case = |at_ms, fault| {
        let mut case = Case::new(Some(recent(vec![(READ, good(NOW - MINUTE))])));
        case.outside.reach = Some(Arc::new(measured(at_ms, fault)));
        case
    };
    let since = case(NOW, Some(fault()));
    assert_eq!(since.health(), Health::Trouble);
    assert!(
        since.html().contains("CP-DNS") && since.html().contains("an invented step"),
        "{}",
        since.html()
    );
    assert_eq!(
        case(NOW - 2 * MINUTE, Some(fault())).health(),
        Health::Works,
        "a call was answered since"
    );
    assert_eq!(case(NOW, None).health(), Health::Works);
}

#[test]
fn a_single_bad_call_beside_a_million_good_ones_is_drawn_and_told() {
    let mut recent = recent(vec![(READ, good(NOW))]);
    let count = |end, calls| Count {
        bucket: 40,
        method: Some(READ.into()),
        end,
        calls,
    };
    recent.timeline.counts = vec![count(End::Good, 1_000_000), count(End::Failed, 1)];
    recent.changes = vec![
        change(NOW - MINUTE, "key", "5f3a09c1"),
        change(NOW - 2 * MINUTE, "address", "203.0.113.7"),
        change(NOW - 9 * 60 * MINUTE, "stop", "0.1.0"),
        change(NOW - 90 * 60 * MINUTE, "start", "0.1.0"),
    ];
    Case::new(Some(recent)).page(|page| {
        assert_eq!(page.charts.len(), 2);
        for chart in &page.charts {
            let [bar] = chart.bars.as_slice() else {
                panic!("{:?}", chart.bars)
            };
            let failed = bar
                .blocks
                .iter()
                .find(|block| block.class == "failed")
                .expect("a block");
            assert!(failed.height >= 4.0, "{failed:?}");
            assert!(
                bar.tells
                    .ends_with("UTC: 1000000 good, 1 no conclusive answer"),
                "{}",
                bar.tells
            );
            let flags: Vec<_> = chart.flags.iter().map(|flag| flag.word.as_str()).collect();
            assert_eq!(
                flags,
                ["1–2", "3"],
                "neighbours share a flag, and what is older than the picture has none"
            );
            assert!(chart.unknown.is_some() && chart.bars.len() < 96);
            assert!(chart.flags.iter().all(|flag| flag.left >= 0.0));
        }
        let cells = &page.rows[0].cells;
        assert_eq!(
            (cells.len(), cells[10].class, cells[11].class),
            (24, "failed", "none")
        );
    });
}

fn change(ms: u64, kind: &str, before: &str) -> ChangeRow {
    ChangeRow {
        ms,
        kind: kind.into(),
        before: Some(before.into()),
        after: Some("other".into()),
    }
}

#[test]
fn hostile_names_stay_text_and_lose_what_hides() {
    let hostile = "\u{202e}</code></style><script>alert(1)</script>\" onload='x' \u{7}\u{1b}[31m{{7*7}}&\u{0}";
    let mut recent = recent(vec![(
        hostile,
        refused(NOW - 9 * MINUTE, NOW - MINUTE, NOW - MINUTE),
    )]);
    recent.timeline.counts = vec![Count {
        bucket: 95,
        method: Some(hostile.into()),
        end: End::Auth,
        calls: 1,
    }];
    recent.changes = vec![
        change(NOW, "address", hostile),
        change(NOW, hostile, hostile),
    ];
    recent.refused = [(hostile.to_owned(), 3)].into();
    recent.failures = vec![CallRow {
        ms: NOW,
        rid: hostile.into(),
        caller: hostile.into(),
        method: Some(hostile.into()),
        code: None,
        status: 502,
        outcome: hostile.into(),
        why: Some(hostile.into()),
        verdict: Some("auth".into()),
        exchange_ms: 1,
        total_ms: 1,
        key_fp: hostile.into(),
        address: Some(hostile.into()),
        nonce: None,
        sent_id: None,
    }];
    let mut case = Case::new(Some(recent)).diagnosed(NOW, 401, 40101);
    case.about = DaemonFacts {
        fingerprint: Some(hostile.into()),
        label: Some(hostile.into()),
        source: Some(hostile.into()),
        target: Some(Target {
            base: hostile.into(),
            host: hostile.into(),
            environment: Environment::Other,
            odd_path: true,
        }),
        up_since_ms: Some(NOW + 5),
        warnings: vec![hostile.into()],
    };
    for place in [PageForm::Served, PageForm::File] {
        case.place = place;
        let html = case.html();
        let body = html.split_once("</style>").expect("a style").1;
        assert!(
            html.matches("alert(1)").count() > 8,
            "it is shown, and as text"
        );
        assert!(
            !html.contains("<script") && !body.contains("</style") && !html.contains("onload='"),
            "{html}"
        );
        assert!(
            !html.chars().any(|char| char.is_control() && char != '\n')
                && !html.contains('\u{202e}')
        );
        assert!(html.contains("&#60;script&#62;") || html.contains("&lt;script&gt;"));
    }
}

#[test]
fn the_served_page_asks_again_and_the_file_carries_its_policy() {
    let mut case = Case::new(None);
    let served = case.html();
    assert!(
        served.contains(r#"<meta http-equiv="refresh" content="30">"#)
            && !served.contains("Content-Security")
    );
    case.place = PageForm::File;
    let file = case.html();
    assert!(file.contains(
        r#"http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src"#
    ));
    assert!(!file.contains("refresh"));
    for html in [served, file] {
        assert!(html.matches("<h1").count() == 1 && html.starts_with("<!DOCTYPE html>"));
        assert!(
            !html.contains(" style=") && !html.contains("<script") && !html.contains("<form"),
            "{html}"
        );
        assert!(!html.contains("src=") && !html.contains("<link rel=\"stylesheet"));
        assert!(html.contains(&format!("<style>{}</style>", Style::own().sheet())));
    }
    assert!(!Style::own().sheet().contains("</") && !Style::own().sheet().contains("@import"));
}

#[test]
fn long_texts_end_and_commands_are_set_apart() {
    let mut shown = String::new();
    PageEscaper
        .write_escaped_str(&mut shown, &"x".repeat(5000))
        .unwrap();
    assert_eq!(shown.chars().count(), 601);
    let pieces = TextPart::all("run `a b`, then `c`");
    let seen: Vec<_> = pieces
        .iter()
        .map(|piece| (piece.text, piece.is_code))
        .collect();
    assert_eq!(
        seen,
        [
            ("run ", false),
            ("a b", true),
            (", then ", false),
            ("c", true)
        ]
    );
    assert_eq!(Moment::at(NOW, NOW).shown, "07:12:11");
    assert_eq!(
        Moment::at(NOW - 8 * 60 * MINUTE, NOW).shown,
        "2026-01-30 23:12:11"
    );
    let agos = [0, 61_000, 7_200_000, 400_000_000].map(|age| text::ago(NOW - age, NOW));
    assert_eq!(agos, ["just now", "61 s ago", "2 h ago", "4 d ago"]);
    assert_eq!(text::ago(NOW + 1, NOW), "in the future");
}

#[test]
fn a_page_that_works_says_what_nobody_has_tried() {
    let called = |methods: &[&'static str]| {
        let calls = methods.iter().map(|method| (*method, good(NOW - MINUTE)));
        Case::new(Some(recent(calls.collect())))
    };
    let order = "private/create-order";
    let both = "Not tried: whether the key may trade or withdraw: no probe changes anything.";
    let withdraw = "Not tried: whether the key may withdraw: no probe changes anything.";
    let rows = [
        (called(&[READ]), Some(both)),
        (called(&[READ, order]), Some(withdraw)),
        (called(&[READ, order, "private/create-withdrawal"]), None),
        (Case::new(None).diagnosed(NOW - MINUTE, 200, 0), Some(both)),
        (
            called(&[order]).diagnosed(NOW - MINUTE, 200, 0),
            Some(withdraw),
        ),
        (Case::new(None).diagnosed(NOW - MINUTE, 401, 40101), None),
        (Case::new(None), None),
    ];
    for (number, (case, said)) in rows.into_iter().enumerate() {
        let html = case.html();
        assert_eq!(
            html.matches("Not tried").count(),
            usize::from(said.is_some()),
            "{number}"
        );
        assert!(
            said.is_none_or(|said| html.contains(said)),
            "{number}: {html}"
        );
    }
}
