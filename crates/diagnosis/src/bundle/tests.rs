//! What a bundle says, what it never holds, and that it is refused rather than written with a secret.

use crate::doubt::Doubt;
use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::{
    causes::{self, Event, Past, Ranking},
    egress::Reading,
    history::{Break, ChangeRow, HourRow, Milestone, Milestones, Trouble},
    probes::{Answer, CredentialFacts, Environment, Finding, Findings, Probe, Seen, Target},
};
use gateway::observed::Expected;

const SECRET: &str = "cxakp_Zr5invented-secret-of-some-length";
const ORDERS: &str = "private/get-open-orders";

/// Puts a text somewhere.
type Plant = fn(&mut Case, String);

/// Everything that a bundle is made of, to be changed by a test.
struct Case {
    findings: Findings,
    history: HistoryExtract,
    caller_names: CallerNames,
    system: System,
    configuration: String,
}

fn answered(probe: Probe, status: u16, code: i64) -> Finding {
    let answer = Answer {
        status,
        code: Some(code),
        is_json: true,
    };
    Finding {
        probe,
        seen: Seen::Answered(answer),
        took: Duration::from_millis(87),
    }
}

fn mark(ms: u64, code: i64) -> Milestone {
    Milestone {
        ms,
        rid: "request-id-of-ours".into(),
        key_fp: "5f3a09c1".into(),
        address: Some("203.0.113.7".into()),
        status: if code == 0 { 200 } else { 401 },
        code: Some(code),
        outcome: "answered".into(),
        why: None,
    }
}

fn change(ms: u64, kind: &str, before: &str, after: &str) -> ChangeRow {
    ChangeRow {
        ms,
        kind: kind.into(),
        before: Some(before.into()),
        after: Some(after.into()),
    }
}

fn contents() -> HistoryContents {
    let (good, bad) = (mark(1000, 0), mark(9000, 40101));
    HistoryContents {
        begins_ms: Some(500),
        changes: vec![
            change(5000, "address", "203.0.113.7", "198.51.100.4"),
            change(6000, "secret", "1", "2"),
        ],
        marks: vec![(
            "private/user-balance".into(),
            Milestones {
                good: Some(good.clone()),
                ..Milestones::default()
            },
        )],
        breaks: vec![Break {
            method: ORDERS.into(),
            trouble: Trouble::Auth,
            good: Some(good),
            bad,
            recovered: None,
            changes: Vec::new(),
        }],
        hours: vec![HourRow {
            ms: 0,
            method: Some(ORDERS.into()),
            outcome: "answered".into(),
            code: Some(40101),
            calls: 7,
        }],
        callers: vec![("the-invented-desk".into(), 7)],
        ..HistoryContents::default()
    }
}

impl Case {
    /// One method is refused, another is answered.
    fn new() -> Self {
        let facts = CredentialFacts {
            source: Some("/etc/crypto.env".into()),
            fingerprint: Some("5f3a09c1".into()),
            label: Some("desk".into()),
            ..CredentialFacts::default()
        };
        let list = vec![
            Finding {
                probe: Probe::Credentials,
                seen: Seen::Credentials(facts),
                took: Duration::ZERO,
            },
            Finding {
                probe: Probe::SelfTest,
                seen: Seen::SelfTest {
                    right: 70,
                    wrong: 0,
                },
                took: Duration::ZERO,
            },
            answered(Probe::Public, 200, 0),
            Finding {
                probe: Probe::Outbound,
                seen: Seen::Outbound(Reading::Unconfirmed(IpAddr::from([203, 0, 113, 7]))),
                took: Duration::ZERO,
            },
            answered(Probe::Balance, 200, 0),
            answered(Probe::OpenOrders, 401, 40101),
        ];
        let target = Target {
            base: "https://api.crypto.com/exchange/v1".into(),
            host: "api.crypto.com".into(),
            environment: Environment::Production,
            odd_path: false,
        };
        let (took, expected) = (
            Duration::from_secs(2),
            Expected::Listed(vec![IpAddr::from([203, 0, 113, 7])]),
        );
        Self {
            findings: Findings {
                at_ms: 1_000_000,
                took,
                target: Some(target),
                expected,
                list,
            },
            history: HistoryExtract {
                file: "/var/lib/crypto-proxy/history.db".into(),
                contents: Ok(contents()),
                in_doubt: Vec::new(),
                in_doubt_unread: None,
            },
            caller_names: CallerNames::Counted,
            system: System {
                os: "An OS 12".into(),
                kernel: "Linux 6.1.0 x86_64".into(),
            },
            configuration: "  listen = []\n".into(),
        }
    }

    fn label(&mut self, label: &str) {
        let Seen::Credentials(facts) = &mut self.findings.list[0].seen else {
            panic!("the credentials come first")
        };
        facts.label = Some(label.into());
    }

    fn pack(&self) -> Result<Bundle, PackError> {
        let past = Past::default();
        let ranking: Ranking = causes::rank(&self.findings, &past);
        let mut leaks = LeakSearch::default();
        leaks.add(SECRET);
        let diagnosis = Diagnosis {
            findings: self.findings.clone(),
            ranking,
            past,
            whose: "ours".to_owned(),
            problems: Vec::new(),
        };
        let material = BundleInput {
            issue: Uuid::nil(),
            diagnosis: &diagnosis,
            history: &self.history,
            caller_names: self.caller_names,
            system: &self.system,
            configuration: &self.configuration,
        };
        pack(&material, &leaks)
    }

    fn file(&self, name: &str) -> String {
        let files = self.pack().unwrap().files;
        files
            .into_iter()
            .find(|file| file.name == name)
            .unwrap()
            .text
    }
}

#[test]
fn the_ticket_says_who_from_where_what_since_when_and_what_is_asked() {
    let ticket = Case::new().file("ticket.md");
    for part in [
        "# Private API calls are refused: private/get-open-orders, HTTP 401, code 40101\n",
        "| API environment | production, https://api.crypto.com/exchange/v1 |",
        "| API key | fingerprint 5f3a09c1 ",
        "| label of the API key | desk |",
        "| tested (UTC) | 1970-01-01 00:16:40 to 1970-01-01 00:16:42 |",
        "| IP whitelist of the key, as we know it | 203.0.113.7 |",
        "| open orders | private/get-open-orders | BAD | 401 | 40101 | 87 |",
        "| private/get-open-orders | 1970-01-01 00:00:01, key 5f3a09c1 from 203.0.113.7 | 1970-01-01 00:00:09, key",
        "| HTTP 401, code 40101 | not yet |",
        "| private/user-balance | 1970-01-01 00:00:01, key 5f3a09c1 from 203.0.113.7 | none |",
        "| 1970-01-01 00:00:05 | address | 203.0.113.7 | 198.51.100.4 |",
        "| 1970-01-01 00:00:06 | secret | no. 1 | no. 2 |",
        "- excluded: a fault in our signing code (reason: all 70 documented test signatures",
        "1. Why did you refuse private/get-open-orders?",
        "Which permission does private/get-open-orders need that private/user-balance does not?",
    ] {
        assert!(ticket.contains(part), "{part}\n{ticket}");
    }
    assert!(
        !ticket.contains("/etc/"),
        "where the pair stands is nobody's business: {ticket}"
    );
}

#[test]
fn what_is_asked_follows_from_what_was_found() {
    let mut case = Case::new();
    case.findings
        .list
        .retain(|finding| finding.probe != Probe::OpenOrders);
    let ticket = case.file("ticket.md");
    assert!(
        ticket.starts_with("# API calls were refused; the test calls made now are accepted\n"),
        "{ticket}"
    );
    assert!(
        ticket.contains(
            "1. Why did you answer private/get-open-orders with code 40101 from 1970-01-01"
        ),
        "{ticket}"
    );
    case.history.contents = Err("there is none".into());
    let ticket = case.file("ticket.md");
    assert!(
        ticket.contains("No history could be read (there is none).")
            && ticket.contains("what failed, and when")
    );
    case.findings.list.push(Finding {
        probe: Probe::Tcp,
        seen: Seen::NotConnected(Vec::new()),
        took: Duration::ZERO,
    });
    let ticket = case.file("ticket.md");
    assert!(
        ticket.starts_with("# We cannot reach the API\n"),
        "{ticket}"
    );
    assert!(
        ticket.contains("1. Can api.crypto.com be reached?"),
        "{ticket}"
    );
    for (family, address) in [
        (Probe::Outbound, "8.8.4.4"),
        (Probe::OutboundIpv6, "2a00:1450::7"),
    ] {
        let seen = Seen::Outbound(Reading::Confirmed {
            address: address.parse().unwrap(),
            voices: 2,
            others: Vec::new(),
        });
        case.findings.list.retain(|finding| finding.probe != family);
        case.findings.list.push(Finding {
            probe: family,
            seen,
            took: Duration::ZERO,
        });
    }
    // Of two addresses of ours it is that of the family in which the exchange was looked for.
    for (theirs, ours) in [("104.18.0.7", "8.8.4.4"), ("2606:4700::7", "2a00:1450::7")] {
        case.findings
            .list
            .retain(|finding| finding.probe != Probe::Name);
        case.findings.list.push(Finding {
            probe: Probe::Name,
            seen: Seen::Resolved(vec![theirs.parse().unwrap()]),
            took: Duration::ZERO,
        });
        let ticket = case.file("ticket.md");
        let asked = format!("1. Can api.crypto.com be reached from {ours}?");
        assert!(ticket.contains(&asked), "{ticket}");
    }
    case.findings.target = None;
    assert!(
        case.file("ticket.md")
            .contains("no question follows from the tests")
    );
}

#[test]
fn a_call_that_may_have_been_executed_is_asked_for_by_time_and_method_alone() {
    let mut case = Case::new();
    assert!(!case.file("ticket.md").contains("Did you execute"));
    case.history.in_doubt = vec![Doubt {
        ms: 9000,
        rid: "request-id-of-ours".into(),
        caller: "the-invented-desk".into(),
        method: "private/create-order".into(),
        name: Some("an-invented-name".into()),
        is_asked: true,
    }];
    let ticket = case.file("ticket.md");
    for part in [
        "1. Did you execute this private/create-order? We sent it at 1970-01-01 00:00:09 UTC",
        "- the client\\_oid of each order that is asked for below",
    ] {
        assert!(
            ticket.contains(part) || ticket.contains(&part.replace('\\', "")),
            "{part}: {ticket}"
        );
    }
}

#[test]
fn callers_are_named_only_where_that_was_asked_for_and_calls_never() {
    let mut case = Case::new();
    let text = |case: &Case| String::from_utf8(case.pack().unwrap().tar).unwrap();
    assert!(
        !text(&case).contains("the-invented-desk") && !text(&case).contains("request-id-of-ours")
    );
    assert!(case.file("history.json").contains("\"callers\": 1,"));
    case.caller_names = CallerNames::Shown;
    assert!(
        case.file("history.json").contains("the-invented-desk")
            && !text(&case).contains("request-id-of-ours")
    );
}

#[test]
fn the_causes_are_not_told_of_a_method_that_a_caller_may_have_made_up() {
    let event = |method: &str| {
        Some(Event {
            at_ms: 1,
            method: method.into(),
            address: None,
        })
    };
    let past = Past {
        last_good: event(ORDERS),
        first_bad: event("private/an-invented-instrument"),
        ..Past::default()
    };
    let past = without_unknown_methods(past);
    let methods = [past.last_good, past.first_bad].map(|event| event.unwrap().method);
    assert_eq!(methods, [ORDERS, "(not in the catalogue)"]);
}

#[test]
fn nothing_from_outside_moves_a_cursor_or_leaves_its_cell() {
    let mut case = Case::new();
    case.label("de\u{1b}[31msk\u{202e}|\n# <b>");
    case.system.os = "An\u{7} OS\r\n".into();
    case.configuration = "a\u{1b}]0;x\u{7}\n".into();
    case.history.file = "/x\u{1b}[2J".into();
    for file in case.pack().unwrap().files {
        let hostile = |char: char| char != '\n' && (char.is_control() || char == '\u{202e}');
        assert!(
            !file.text.contains(hostile) && !file.text.contains("\\u001b"),
            "{}: {:?}",
            file.name,
            file.text
        );
    }
    assert!(
        case.file("ticket.md")
            .contains("| label of the API key | de\\[31msk\\|# \\<b\\> |")
    );
}

#[test]
fn a_secret_in_any_spelling_in_any_place_is_refused_with_the_name_of_the_file() {
    let base64 = STANDARD.encode(format!("user:{SECRET}"));
    let percent: String = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for planted in [
        SECRET,
        &SECRET.to_uppercase(),
        &SECRET[4..24],
        &hex::encode(SECRET),
        &base64,
        &percent,
    ] {
        let places: [(&str, Plant); 5] = [
            ("ticket.md", |case, text| case.label(&text)),
            ("ticket.md", |case, text| case.system.os = text),
            ("history.json", |case, text| case.history.file = text),
            ("configuration.txt", |case, text| case.configuration = text),
            ("history.json", |case, text| {
                case.history.contents.as_mut().unwrap().callers = vec![(text, 1)];
                case.caller_names = CallerNames::Shown;
            }),
        ];
        for (name, plant) in places {
            let mut case = Case::new();
            plant(&mut case, format!("x {planted} y"));
            let refused = case.pack().unwrap_err();
            assert!(
                matches!(refused, PackError::Leak(file) if file == name),
                "{name}: {refused}"
            );
            assert!(!refused.to_string().contains(planted));
        }
    }
}

#[test]
fn an_archive_holds_the_files_and_nothing_of_this_machine() {
    let bundle = Case::new().pack().unwrap();
    assert_eq!(bundle.name, "crypto-proxy-support-19700101T001640Z");
    let mut archive = tar::Archive::new(bundle.tar.as_slice());
    let mut seen = Vec::new();
    for entry in archive.entries().unwrap() {
        let header = entry.as_ref().unwrap().header().clone();
        let path = entry.unwrap().path().unwrap().display().to_string();
        assert_eq!(
            (
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap()
            ),
            (0, 0, 1000),
            "{path}"
        );
        assert_eq!(
            header.mode().unwrap(),
            if path.ends_with('/') { 0o700 } else { 0o600 },
            "{path}"
        );
        seen.push(path);
    }
    let wanted = bundle
        .files
        .iter()
        .map(|file| format!("{}/{}", bundle.name, file.name));
    let wanted: Vec<String> = std::iter::once(format!("{}/", bundle.name))
        .chain(wanted)
        .collect();
    assert_eq!(seen, wanted);
    assert_eq!(
        Case::new().pack().unwrap().tar,
        bundle.tar,
        "the same facts, the same bytes"
    );
}

#[test]
fn a_system_has_a_name_and_a_kernel() {
    assert_eq!(
        pretty_name("ID=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n").unwrap(),
        "Debian GNU/Linux 12 (bookworm)"
    );
    assert_eq!(
        (pretty_name("ID=x\n"), pretty_name("PRETTY_NAME=\n")),
        (None, None)
    );
    let here = System::of_this_machine();
    assert!(
        here.kernel.contains("Linux ") && !here.os.is_empty(),
        "{here:?}"
    );
}
