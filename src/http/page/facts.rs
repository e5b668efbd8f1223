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

    const fn code(mut self) -> Self {
        self.is_code = true;
        self
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn notes(self, notes: impl IntoIterator<Item = String>) -> Self {
        notes.into_iter().fold(self, Self::note)
    }

    const fn marked(mut self, class: &'static str) -> Self {
        self.class = class;
        self
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
        return Fact::new("API key", "none that can be used").marked("is-bad");
    };
    let label = about.label.as_ref().map_or_else(
        || "no label (CRYPTO_API_KEY_LABEL is not set)".to_owned(),
        |label| format!("label “{label}”"),
    );
    let source = about
        .source
        .as_ref()
        .map(|source| format!("read from {source}"));
    Fact::new("API key", &**fingerprint)
        .code()
        .note(label)
        .notes(source)
        .note("fingerprint: first 8 of its SHA-256")
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
        return Fact::new(NAME, "not known: no two services have agreed yet").note(stated);
    };
    let fact = Fact::new(NAME, address.to_string()).code();
    let fact = fact
        .note(format!("confirmed {}", ago(at_ms, known.now_ms)))
        .note(stated);
    match (&known.outside.expected, known.outside.drift()) {
        (Expected::Listed(_), None) => fact.note("on that list: yes").marked("is-good"),
        (Expected::Listed(_), Some(_)) => fact.note("on that list: NO").marked("is-bad"),
        (Expected::Unstated | Expected::Any, _) => fact,
    }
}

fn skew(known: &PageInput<'_>) -> Fact {
    const NAME: &str = "Clock, exchange minus ours";
    match known.outside.skew {
        None => Fact::new(NAME, "not known: two recent answers that agree are needed"),
        Some(skew) => {
            let fact = Fact::new(NAME, format!("{:+} ms", skew.offset_ms)).code();
            let fact = fact.note(format!(
                "± {} ms; the exchange refuses from ± 60 s on",
                skew.uncertainty_ms
            ));
            if skew.is_large() {
                fact.marked("is-bad")
            } else {
                fact.marked("is-good")
            }
        }
    }
}

fn exchange(known: &PageInput<'_>) -> Option<Fact> {
    let target = known.about.target.as_ref()?;
    let environment = match target.environment {
        Environment::Production => "production",
        Environment::Uat => "UAT, the exchange's test environment",
        Environment::FakeExchange => "a stand-in on this machine, not the exchange",
        Environment::Other => "a host that the operator named",
    };
    let fact = Fact::new("Exchange", &*target.host)
        .code()
        .note(environment);
    let fact = if target.odd_path {
        fact.note("its path is not the documented one")
            .marked("is-bad")
    } else {
        fact
    };
    let fact = if known.outside.unreachable {
        fact.note("the last attempts to reach it all failed")
            .marked("is-bad")
    } else {
        fact
    };
    Some(match known.outside.reach.as_deref() {
        Some(standing) => connection(fact, standing, known.now_ms),
        None => fact,
    })
}

/// How the connection was measured last.
fn connection(fact: Fact, standing: &Reachability, now_ms: u64) -> Fact {
    let last = &standing.last;
    let timings = format!("{}, {}", last.timings(), ago(last.at_ms, now_ms));
    let Some(fault) = &last.fault else {
        return fact.note(timings);
    };
    let since = Moment::at(standing.since_ms, now_ms).whole();
    let failed = format!(
        "{} fails since {since}: {} ({})",
        fault.phase.shown(),
        fault.says,
        fault.cause
    );
    fact.note(failed).note(timings).marked("is-bad")
}

fn daemon(known: &PageInput<'_>) -> Fact {
    let version = concat!("crypto-proxy ", env!("CARGO_PKG_VERSION"));
    match known.about.up_since_ms {
        Some(ms) => {
            let up = span(known.now_ms.saturating_sub(ms));
            Fact::new("Daemon", format!("up for {up}"))
                .note(version)
                .note(format!("since {}", Moment::at(ms, known.now_ms).whole()))
        }
        None => Fact::new("Made by", "the command line")
            .note(version)
            .note("not by a running daemon"),
    }
}

fn history(known: &PageInput<'_>) -> Fact {
    const NAME: &str = "History";
    let recent = match known.history {
        Ok(None) => return Fact::new(NAME, "none is kept"),
        Err(why) => return Fact::new(NAME, "cannot be read").note(why).marked("is-bad"),
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
    let refused: Vec<String> = recent
        .refused
        .iter()
        .map(|(why, count)| format!("{why} {count}"))
        .collect();
    let turned_away = (!refused.is_empty())
        .then(|| format!("turned away without a caller: {}", refused.join(", ")));
    Fact::new(NAME, begins).notes(turned_away)
}
