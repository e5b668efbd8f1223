//! What was executed, order by order: the record that a test of "exactly once" believes.
//!
//! Guarantees: a line is written and flushed before its call is answered, and before any fault that eats the answer; it
//! stands for one order, amendment, withdrawal or other call that moves money. A line that could not be written ends the
//! record: nothing is executed after it.
//! Does not: sync to the disk; a power cut of the stand-in is no part of any test. Cancellations and reads have no line.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{authentication::ParsedCall, lock};

/// In memory the newest so many are kept; a file keeps all.
const MAX_ENTRIES: usize = 100_000;

/// One order, amendment, withdrawal or other call that moves money, as it was executed.
///
/// The members of a line, in this order; what there is not is `null`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Executed {
    /// When its call came, in milliseconds of the stand-in's clock.
    pub arrived_ms: i64,
    /// When it was executed: later only where a fault held it back.
    pub executed_ms: i64,
    /// The method of its call; the legs of a list have the list's.
    pub method: String,
    /// The nonce as sent; none on a stream.
    pub nonce: Option<i64>,
    /// The id of the request.
    pub id: Option<i64>,
    /// The name that the caller gave: `client_oid` of an order, the new one of an amendment, `client_wid` of a
    /// withdrawal.
    pub client_oid: Option<String>,
    /// The id that the exchange gave to the order or withdrawal.
    pub order_id: Option<String>,
    /// The instrument; of a withdrawal the currency.
    pub instrument: Option<String>,
    /// `BUY` or `SELL`.
    pub side: Option<String>,
    /// How much; of an amendment the new quantity.
    pub quantity: Option<String>,
}

/// How a call came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// On the stand-in's clock.
    pub(super) at_ms: i64,
    pub(super) is_frame: bool,
}

/// What an account did: a line but for how its call came.
#[derive(Debug, Default)]
pub(super) struct Deed {
    pub(super) client_oid: Option<String>,
    pub(super) order_id: Option<String>,
    pub(super) instrument: Option<String>,
    pub(super) side: Option<String>,
    pub(super) quantity: Option<String>,
}

impl Deed {
    /// The line of it.
    pub(super) fn by(self, asked: &ParsedCall, arrival: Arrival, executed_ms: i64) -> Executed {
        Executed {
            arrived_ms: arrival.at_ms,
            executed_ms,
            method: asked.method.clone(),
            nonce: (!arrival.is_frame).then_some(asked.nonce),
            id: asked.id.trim_matches('"').parse().ok(),
            client_oid: self.client_oid,
            order_id: self.order_id,
            instrument: self.instrument,
            side: self.side,
            quantity: self.quantity,
        }
    }
}

/// The record, in memory and, where one was named, in a file.
pub(super) struct Book {
    pages: Mutex<Pages>,
    /// Why the record ended.
    failure: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Pages {
    entries: VecDeque<Executed>,
    file: Option<File>,
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            pages: Mutex::default(),
            failure: watch::Sender::new(None),
        }
    }

    /// Goes on in this file; returns what stands in it.
    pub(super) fn open(&self, path: &Path) -> io::Result<Vec<Executed>> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let mut text = String::new();
        if file.metadata()?.is_file() {
            file.read_to_string(&mut text)?;
        }
        let entries = (1..)
            .zip(text.lines())
            .map(|(number, line)| read(number, line))
            .collect::<io::Result<Vec<_>>>()?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        let mut pages = lock(&self.pages);
        pages.file = Some(file);
        for entry in &entries {
            pages.keep(entry.clone());
        }
        Ok(entries)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.borrow().is_some()
    }

    /// Resolves with the reason once the record has ended.
    pub(super) async fn failed(&self) -> io::Error {
        let mut failure = self.failure.subscribe();
        let reason = failure.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| reason.clone());
        io::Error::other(reason.unwrap_or_default())
    }

    /// Enters what a call did; `false` where it could not be written.
    pub(super) fn enter(&self, entries: Vec<Executed>) -> bool {
        if entries.is_empty() {
            return true;
        }
        let mut pages = lock(&self.pages);
        let written = pages.write(&entries);
        for entry in entries {
            pages.keep(entry);
        }
        if let Err(problem) = &written {
            self.failure
                .send_replace(Some(format!("the record of what was executed: {problem}")));
        }
        written.is_ok()
    }

    pub(super) fn entries(&self) -> Vec<Executed> {
        lock(&self.pages).entries.iter().cloned().collect()
    }
}

impl Pages {
    fn write(&mut self, entries: &[Executed]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        file.write_all(&lines)?;
        file.flush()
    }

    fn keep(&mut self, entry: Executed) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

fn read(number: usize, line: &str) -> io::Result<Executed> {
    serde_json::from_str(line).map_err(|problem| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("line {number} is no line of a stand-in's record: {problem}"),
        )
    })
}
