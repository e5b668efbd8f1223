//! The catalogue of causes, row by row, against the stand-in: set up that way, what does a diagnosis say?
//!
//! Every run goes through the loader of the configuration, the probes, the ranking and both reports, and everything that
//! comes out is searched for the secrets.

use std::{ffi::OsString, fs, net::IpAddr, os::unix::fs::PermissionsExt, time::Duration};

use crypto_proxy::config::{self, Sources};
use diagnosis::{
    causes::{self, Cause, Conclusion, Likelihood, Past, Ranking},
    history::{self, Questions},
    history_summary::recollect,
    probes::{self, Findings, Grade, Plan, Scope},
    report::{Diagnosis, Paint, Report},
};
use gateway::{
    clock::Clock,
    connect::Resolver,
    observed::Expected,
    upstream::{self, BaseUrl},
};
use sandbox::{FakeExchange, Running, Settings};
use tempfile::TempDir;

use crate::support::canary::Canaries;

mod network;
mod pair;
mod past;
mod refusals;
mod rows;

/// An address that the stand-in can be told to see.
const HOME: [u8; 4] = [8, 8, 4, 4];
const AWAY: [u8; 4] = [1, 1, 1, 1];

const READS: [&str; 3] = [
    "private/user-balance",
    "private/get-open-orders",
    "private/get-order-history",
];
const EVERY_READ: [&str; 4] = [
    "private/user-balance",
    "private/get-open-orders",
    "private/get-order-history",
    "private/get-account-summary",
];

type Change = Box<dyn FnOnce(&mut Plan)>;

/// A stand-in, a pair in an environment file, and a past.
struct Scenario {
    canaries: Canaries,
    exchange: Running,
    _second: Running,
    lines: Vec<String>,
    past: Past,
    /// Where a daemon kept its history, where one did.
    state: TempDir,
    scope: Scope,
    change: Vec<Change>,
}

/// What came out.
struct Outcome {
    findings: Findings,
    ranking: Ranking,
    text: String,
}

impl Scenario {
    /// Everything as it should be, seen from HOME, which the operator names.
    async fn healthy() -> Self {
        let canaries = Canaries::random();
        let exchange = FakeExchange::new(Settings::with_key(&canaries.key, &canaries.secret))
            .start()
            .await
            .unwrap();
        exchange.exchange().set_apparent_address(IpAddr::from(HOME));
        // The same stand-in at two addresses: two services, because one origin has one voice.
        let second = exchange.exchange().start().await.unwrap();
        let services = format!(
            "CRYPTO_PROXY__EGRESS__SERVICES={},{}",
            exchange.url("/ip"),
            second.url("/ip")
        );
        let lines = vec![
            format!("CRYPTO_API_KEY={}", canaries.key),
            format!("CRYPTO_API_SECRET={}", canaries.secret),
            format!("CRYPTO_PROXY_TOKEN={}", canaries.token),
            format!("CRYPTO_REST_BASE={}", exchange.base_url()),
            "CRYPTO_EXPECTED_IP=8.8.4.4".to_owned(),
            services,
        ];
        Self {
            canaries,
            exchange,
            _second: second,
            lines,
            past: Past::default(),
            state: TempDir::new().unwrap(),
            scope: Scope::Full,
            change: Vec::new(),
        }
    }

    /// With this line in the environment file in place of the variable's.
    fn line(mut self, line: &str) -> Self {
        let name = line.split_once('=').expect("NAME=value").0;
        self.lines
            .retain(|known| !known.starts_with(&format!("{name}=")));
        self.lines.push(line.to_owned());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.lines
            .retain(|known| !known.starts_with(&format!("{name}=")));
        self
    }

    fn exchange(self, change: impl FnOnce(&FakeExchange, &Canaries)) -> Self {
        change(self.exchange.exchange(), &self.canaries);
        self
    }

    fn past(mut self, past: Past) -> Self {
        self.past = past;
        self
    }

    fn plan(mut self, change: impl FnOnce(&mut Plan) + 'static) -> Self {
        self.change.push(Box::new(change));
        self
    }

    async fn run(self) -> Outcome {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("crypto.env");
        fs::write(&file, self.lines.join("\n") + "\n").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let sources = Sources::new(None, Vec::<(OsString, OsString)>::new());
        let default_config_file = folder.path().join("absent.toml");
        let sources = Sources {
            default_config_file,
            ..sources
        }
        .with_env_files(vec![file]);
        let examined = config::inspect(&sources);
        let mut plan = Plan {
            facts: examined.pair.clone(),
            ready: examined
                .probing
                .as_ref()
                .map(|probing| probing.ready.clone()),
            expected: examined
                .probing
                .as_ref()
                .map_or(Expected::Unstated, |probing| probing.expected.clone()),
            scope: self.scope,
            deadline: Duration::from_secs(10),
            clock: Clock::system(),
            resolver: Resolver::system(),
            live: std::sync::Arc::default(),
        };
        self.change.into_iter().for_each(|change| change(&mut plan));
        let findings = probes::run(&plan, &|_| {}).await;
        let history = self.state.path().join(history::FILE_NAME);
        let past = if history.exists() {
            let pair = plan.ready.as_ref().map(|ready| &ready.credentials);
            recollect(
                &Questions::open(&history).unwrap(),
                Clock::system().now_ms(),
                pair,
            )
            .unwrap()
        } else {
            self.past
        };
        let ranking = causes::rank(&findings, &past);
        let problems: Vec<String> = examined.problems.iter().map(ToString::to_string).collect();
        let diagnosis = Diagnosis {
            findings,
            ranking,
            past,
            whose: "those of a test".to_owned(),
            problems,
        };
        let report = Report::of(&diagnosis);
        let (text, json) = (
            report.text(Paint::Plain, 80),
            serde_json::to_string(&report).unwrap(),
        );
        for output in [
            &text,
            &json,
            &report.text(Paint::Colour, 80),
            &format!("{plan:?} {diagnosis:?}"),
        ] {
            self.canaries.assert_absent(output, "a diagnosis");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
        Outcome {
            findings: diagnosis.findings,
            ranking: diagnosis.ranking,
            text,
        }
    }
}

impl Outcome {
    /// Exactly these causes at the top, this likely; none of them excluded; the next step holds these words.
    fn says(&self, top: &[Cause], likelihood: Likelihood, next: &str) -> &Self {
        assert_eq!(self.ranking.top(), top, "{}", self.text);
        assert_eq!(self.ranking.likelihood(), Some(likelihood), "{}", self.text);
        assert!(
            self.ranking.next_step.contains(next),
            "{next}\n{}",
            self.text
        );
        let excluded = |cause: &Cause| self.ranking.ruled_out.iter().any(|out| out.cause == *cause);
        assert!(!top.iter().any(excluded), "{}", self.text);
        let tie = "these look the same from here";
        let flat = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(flat.contains(tie), top.len() > 1, "{}", self.text);
        assert!(
            top.iter().all(|cause| flat.contains(&cause.link())),
            "{}",
            self.text
        );
        self
    }

    /// What was staged is told with these words, however lines break.
    fn tells(&self, what: &str, parts: &[&str]) -> &Self {
        let flat = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in parts {
            assert!(flat.contains(part), "{what}: {part}\n{}", self.text);
        }
        self
    }

    fn excludes(&self, causes: &[Cause]) -> &Self {
        let out: Vec<Cause> = self.ranking.ruled_out.iter().map(|out| out.cause).collect();
        assert!(
            causes.iter().all(|cause| out.contains(cause)),
            "{out:?}\n{}",
            self.text
        );
        self
    }

    fn concludes(&self, conclusion: Conclusion) -> &Self {
        assert_eq!(self.ranking.conclusion, conclusion, "{}", self.text);
        self
    }

    fn bad(&self) -> usize {
        let expected = &self.findings.expected;
        self.findings
            .list
            .iter()
            .filter(|finding| finding.grade(expected) == Grade::Bad)
            .count()
    }
}

/// Sends calls to another base, as the loader would never let a test do.
fn to(base: &str) -> impl FnOnce(&mut Plan) + use<> {
    let base = BaseUrl::parse(base, None).expect("a base URL");
    |plan| {
        let ready = plan.ready.as_mut().expect("a usable pair");
        ready.upstream = upstream::Settings {
            base,
            ..ready.upstream.clone()
        };
    }
}

#[tokio::test]
async fn a_healthy_exchange_has_no_cause_and_every_probe_has_a_finding() {
    let outcome = Scenario::healthy().await.run().await;
    outcome.concludes(Conclusion::Healthy);
    assert!(
        outcome.ranking.causes.is_empty() && outcome.bad() == 0,
        "{}",
        outcome.text
    );
    assert_eq!(
        outcome.findings.list.len(),
        probes::Probe::ALL.len() - 1,
        "all but the cancellation"
    );
    assert!(
        outcome.text.lines().all(|line| line.chars().count() <= 80),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn nothing_trades_unless_asked_and_then_only_a_cancellation_of_nothing() {
    let mut scenario = Scenario::healthy().await;
    let exchange = scenario.exchange.exchange().clone();
    scenario.scope = Scope::WithCancel;
    scenario.run().await.concludes(Conclusion::Healthy);
    let counts = exchange.all_counts();
    let private: Vec<&str> = counts
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("private/"))
        .collect();
    let mut expected = [&EVERY_READ[..], &["private/cancel-order"]].concat();
    expected.sort_unstable();
    assert_eq!(private, expected);
    assert!(
        counts
            .iter()
            .all(|(name, counts)| counts.received == 1 || !name.starts_with("private/"))
    );
    assert_eq!(exchange.orders_placed(), 0);
}
