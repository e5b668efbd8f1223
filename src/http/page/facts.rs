//! The facts at a glance: key, address, clock, exchange, daemon, history.
//!
//! Guarantees: what is not known is said to be not known, and how it would become known; the statement about the
//! whitelist is called the operator's, because only the exchange knows its list.

use super::{
    PageInput,
    text::{Moment, ago, span},
};
use diagnosis::{probes::Environment, reach::Reachability};
use gateway::observed::Expected;

/// One fact.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Whether the value is code: a fingerprint, an address.
    pub(super) is_code: bool,
    pub(super) notes: Vec<String>,
    pub(super) class: &'static str,
}

impl Fact {
    fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            is_code: false,
            notes: Vec::new(),
            class: "",
        }
    }

    fn code(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            is_code: true,
            ..Self::new(name, value)
        }
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

pub(super) fn list(known: &PageInput<'_>) -> Vec<Fact> {
    let mut facts = vec![key(known), address(known), skew(known)];
    facts.extend(exchange(known));
    facts.push(daemon(known));
    facts.push(history(known));
    facts
}

fn key(known: &PageInput<'_>) -> Fact {
    let about = known.about;
    let Some(fingerprint) = &about.fingerprint else {
        return Fact {
            class: "is-bad",
            ..Fact::new("API key", "none that can be used")
        };
    };
    let label = about.label.as_ref().map_or_else(
        || "no label (CRYPTO_API_KEY_LABEL is not set)".to_owned(),
        |label| format!("label “{label}”"),
    );
    let mut fact = Fact::code("API key", &**fingerprint);
    fact.note(label);
    if let Some(source) = &about.source {
        fact.note(format!("read from {source}"));
    }
    fact.note("fingerprint: first 8 of its SHA-256");
    fact
}

fn address(known: &PageInput<'_>) -> Fact {
    const NAME: &str = "Address the exchange sees";
    let stated = match &known.outside.expected {
        Expected::Unstated => "not compared: CRYPTO_EXPECTED_IP is not set".to_owned(),
        Expected::Any => "CRYPTO_EXPECTED_IP says: any address".to_owned(),
        Expected::Listed(listed) => {
            let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
            format!("CRYPTO_EXPECTED_IP says: {}", listed.join(", "))
        }
    };
    let Some((address, at_ms)) = known.outside.address else {
        let mut fact = Fact::new(NAME, "not known: no two services have agreed yet");
        fact.note(stated);
        return fact;
    };
    let mut fact = Fact::code(NAME, address.to_string());
    fact.note(format!("confirmed {}", ago(at_ms, known.now_ms)));
    fact.note(stated);
    if let Expected::Listed(_) = &known.outside.expected {
        let (listed, class) = match known.outside.drift() {
            None => ("yes", "is-good"),
            Some(_) => ("NO", "is-bad"),
        };
        fact.note(format!("on that list: {listed}"));
        fact.class = class;
    }
    fact
}

fn skew(known: &PageInput<'_>) -> Fact {
    const NAME: &str = "Clock, exchange minus ours";
    let Some(skew) = known.outside.skew else {
        return Fact::new(NAME, "not known: two recent answers that agree are needed");
    };
    let mut fact = Fact::code(NAME, format!("{:+} ms", skew.offset_ms));
    fact.note(format!(
        "± {} ms; the exchange refuses from ± 60 s on",
        skew.uncertainty_ms
    ));
    fact.class = if skew.is_large() { "is-bad" } else { "is-good" };
    fact
}

fn exchange(known: &PageInput<'_>) -> Option<Fact> {
    let target = known.about.target.as_ref()?;
    let environment = match target.environment {
        Environment::Production => "production",
        Environment::Uat => "UAT, the exchange's test environment",
        Environment::FakeExchange => "a stand-in on this machine, not the exchange",
        Environment::Other => "a host that the operator named",
    };
    let mut fact = Fact::code("Exchange", &*target.host);
    fact.note(environment);
    if target.odd_path {
        fact.note("its path is not the documented one");
        fact.class = "is-bad";
    }
    if known.outside.unreachable {
        fact.note("the last attempts to reach it all failed");
        fact.class = "is-bad";
    }
    if let Some(standing) = known.outside.reach.as_deref() {
        note_connection(&mut fact, standing, known.now_ms);
    }
    Some(fact)
}

/// How the connection was measured last.
fn note_connection(fact: &mut Fact, standing: &Reachability, now_ms: u64) {
    let last = &standing.last;
    let timings = format!("{}, {}", last.timings(), ago(last.at_ms, now_ms));
    if let Some(fault) = &last.fault {
        let since = Moment::at(standing.since_ms, now_ms).whole();
        fact.note(format!(
            "{} fails since {since}: {} ({})",
            fault.phase.shown(),
            fault.says,
            fault.cause
        ));
        fact.class = "is-bad";
    }
    fact.note(timings);
}

fn daemon(known: &PageInput<'_>) -> Fact {
    let version = concat!("crypto-proxy ", env!("CARGO_PKG_VERSION"));
    let Some(ms) = known.about.up_since_ms else {
        let mut fact = Fact::new("Made by", "the command line");
        fact.note(version);
        fact.note("not by a running daemon");
        return fact;
    };
    let up = span(known.now_ms.saturating_sub(ms));
    let mut fact = Fact::new("Daemon", format!("up for {up}"));
    fact.note(version);
    fact.note(format!("since {}", Moment::at(ms, known.now_ms).whole()));
    fact
}

fn history(known: &PageInput<'_>) -> Fact {
    const NAME: &str = "History";
    let recent = match known.history {
        Ok(None) => return Fact::new(NAME, "none is kept"),
        Err(why) => {
            return Fact {
                notes: vec![why.to_string()],
                class: "is-bad",
                ..Fact::new(NAME, "cannot be read")
            };
        }
        Ok(Some(recent)) => recent,
    };
    let begins = recent.begins_ms.map_or_else(
        || "empty".to_owned(),
        |ms| {
            format!(
                "since {}",
                Moment::at(ms, known.now_ms)
                    .whole()
                    .trim_end_matches(" UTC")
            )
        },
    );
    let mut fact = Fact::new(NAME, begins);
    if !recent.refused.is_empty() {
        let refused: Vec<String> = recent
            .refused
            .iter()
            .map(|(why, count)| format!("{why} {count}"))
            .collect();
        fact.note(format!(
            "turned away without a caller: {}",
            refused.join(", ")
        ));
    }
    fact
}
