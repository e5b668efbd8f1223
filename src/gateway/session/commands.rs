//! Commands of one socket that wait for their answers.
//!
//! Guarantees: each has one record, concluded once: by the answer that repeats its id, by its deadline, or by the end of the
//! socket. An id is in use once at a time: the exchange repeats the id and nothing else that would tell two commands apart.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    exchange::{
        codes,
        frame::{Echo, Heading},
    },
    gateway::{
        outcome::{Outcome, Progress},
        record::CallRecord,
    },
};

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its deadline passed.
    Deadline(Duration),
    /// The socket ended.
    SocketEnded,
}

/// A command that ended without an answer.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// What an answer would repeat.
    pub echo: Echo,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub why: Why,
    /// The names of its orders.
    pub client_oid: Option<String>,
    /// How to find out what became of it.
    pub find_out: Option<&'static str>,
}

/// A command that was admitted.
#[derive(Debug)]
pub(super) struct Command {
    record: CallRecord,
    echo: Echo,
    find_out: Option<&'static str>,
    handed_over: Instant,
    deadline: Instant,
    _room: OwnedSemaphorePermit,
    _counted: TaskTrackerToken,
}

impl Command {
    pub(super) fn new(
        record: CallRecord,
        echo: Echo,
        find_out: Option<&'static str>,
        room: OwnedSemaphorePermit,
        counted: TaskTrackerToken,
    ) -> Self {
        let now = Instant::now();
        Self { record, echo, find_out, handed_over: now, deadline: now, _room: room, _counted: counted }
    }

    /// It is about to be sent.
    pub(super) fn begin(&mut self) -> Arc<Progress> {
        self.handed_over = Instant::now();
        self.record.report.waited = self.record.opened().elapsed();
        self.record.progress()
    }

    fn method(&self) -> &Cow<'static, str> {
        &self.echo.method
    }

    /// Concludes it with an answer.
    fn answered(mut self, code: Option<i64>, scrubbed: bool) {
        let conclusive = code.is_some_and(codes::is_conclusive);
        self.record.report.exchange = self.handed_over.elapsed();
        self.record.report.scrubbed = scrubbed;
        self.record.answered(200, code, if conclusive { Outcome::Answered } else { Outcome::Unknown });
    }

    /// Concludes it without one; the phase gives the outcome, and from now on it is not sent any more.
    fn ended(mut self, status: u16, code: &'static str, why: Why) -> Doubt {
        self.record.report.exchange = self.handed_over.elapsed();
        self.record.ended(status, code);
        let outcome = self.record.report.outcome;
        let in_doubt = outcome == Outcome::Unknown;
        Doubt {
            echo: self.echo,
            outcome,
            why,
            client_oid: self.record.report.client_oid.clone().filter(|_| in_doubt),
            find_out: self.find_out.filter(|_| in_doubt),
        }
    }
}

/// The commands of a socket, by id.
#[derive(Debug)]
pub(super) struct Commands {
    deadline: Duration,
    by_id: HashMap<u64, Command>,
    by_deadline: BTreeSet<(Instant, u64)>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Commands {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, by_id: HashMap::new(), by_deadline: BTreeSet::new(), alarm: None }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn holds(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn enter(&mut self, id: u64, mut command: Command) {
        command.deadline = Instant::from_std(command.record.opened()) + self.deadline;
        self.by_deadline.insert((command.deadline, id));
        self.by_id.insert(id, command);
    }

    /// Concludes the command that a frame answers, if it does. A frame that names another method answers another one.
    pub(super) fn answered(&mut self, heading: &Heading, scrubbed: bool) {
        let Some(id) = heading.id else { return };
        let fits = |command: &Command| heading.method.as_ref().is_none_or(|method| method == command.method());
        if self.by_id.get(&id).is_some_and(fits)
            && let Some(command) = self.take(id)
        {
            command.answered(heading.code, scrubbed);
        }
    }

    /// The next command whose deadline has passed.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Doubt> {
        let Some((deadline, id)) = self.by_deadline.first().copied() else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        ready!(alarm.as_mut().poll(cx));
        let why = Why::Deadline(self.deadline);
        self.take(id).map_or(Poll::Pending, |command| Poll::Ready(command.ended(504, "deadline", why)))
    }

    /// Ends all of them.
    pub(super) fn give_up(&mut self, status: u16, why: &'static str) -> Vec<Doubt> {
        self.by_deadline.clear();
        self.by_id.drain().map(|(_, command)| command.ended(status, why, Why::SocketEnded)).collect()
    }

    fn take(&mut self, id: u64) -> Option<Command> {
        let command = self.by_id.remove(&id)?;
        self.by_deadline.remove(&(command.deadline, id));
        Some(command)
    }
}
