//! Commands of one socket that wait for their answers.
//!
//! Guarantees: each has one record, concluded once: by the answer that repeats its id, by its deadline, or by the end of the
//! socket. An id is in use once at a time, for an overdue command until its late answer came: the exchange repeats the id
//! and nothing else that tells two commands apart. The number of overdue commands is bounded; beyond it the socket must end.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    admission::Place,
    failure::{Failure, Refusal},
    journal::Entry,
    outcome::{Outcome, Progress},
    record::CallRecord,
};
use protocol::frame::{Heading, ReplyTo};

/// Why a command has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its deadline passed.
    Deadline(Duration),
    /// The process did not run while it waited to be sent.
    TooLate,
    /// The socket ended.
    SocketEnded,
    /// An earlier call of the same name is not over.
    Earlier(Failure),
}

/// A command that ended without an answer.
#[derive(Clone, Debug)]
pub struct UnansweredCommand {
    /// What an answer would repeat.
    pub reply_to: ReplyTo,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub why: Why,
    /// The names of its orders, where they may have been executed.
    pub client_oid: Option<String>,
    /// How to find out what became of it.
    pub find_out: Option<&'static str>,
}

impl UnansweredCommand {
    /// Whether the exchange may have executed it.
    #[must_use]
    pub fn may_have_been_executed(&self) -> bool {
        self.outcome == Outcome::Unknown
    }
}

/// A command that was admitted.
#[derive(Debug)]
pub(super) struct Command {
    record: CallRecord,
    reply_to: ReplyTo,
    find_out: Option<&'static str>,
    handed_over: Instant,
    deadline: Instant,
    entry: Option<Entry>,
    /// It waits to learn what becomes of an earlier call of the same name.
    pub(super) waits_for_another: bool,
    _room: Option<Place>,
    _counted: TaskTrackerToken,
}

impl Command {
    pub(super) fn new(
        record: CallRecord,
        reply_to: ReplyTo,
        find_out: Option<&'static str>,
        room: Option<Place>,
        counted: TaskTrackerToken,
    ) -> Self {
        let now = Instant::now();
        Self {
            record,
            reply_to,
            find_out,
            handed_over: now,
            deadline: now,
            entry: None,
            waits_for_another: false,
            _room: room,
            _counted: counted,
        }
    }

    /// It is about to be sent, and was written down where that is asked for.
    pub(super) fn begin(&mut self, entry: Option<Entry>) -> Arc<Progress> {
        self.entry = entry;
        self.waits_for_another = false;
        self.handed_over = Instant::now();
        self.record.report.waited = self.record.opened().elapsed();
        self.record.progress()
    }

    fn method(&self) -> &Cow<'static, str> {
        &self.reply_to.method
    }

    /// Concludes it with an answer.
    fn answered(mut self, code: Option<i64>, text: &Utf8Bytes, scrubbed: bool) {
        self.record.report.exchange = self.handed_over.elapsed();
        self.record.report.scrubbed = scrubbed;
        let outcome = match (self.entry, code) {
            (Some(entry), Some(code)) => entry.answered_on_stream(code, text.as_ref()),
            _ => Outcome::of_code(code),
        };
        self.record.answered(200, code, outcome);
    }

    /// Concludes it with the answer to an earlier call of the same name.
    pub(super) fn replayed(mut self, status: u16, code: Option<i64>) {
        self.record
            .known(status, code, Outcome::Answered, "replayed");
    }

    /// Concludes it with what is known of an earlier call of the same name.
    pub(super) fn in_doubt(mut self, failure: Failure) -> UnansweredCommand {
        let (status, why) = (failure.status(), failure.code());
        self.record.known(status, None, Outcome::Unknown, why);
        self.unanswered(Why::Earlier(failure))
    }

    /// Refuses it.
    pub(super) fn refused(mut self, refusal: &Refusal) -> ReplyTo {
        self.record.ended(refusal.status(), refusal.code());
        self.reply_to
    }

    /// Concludes it without one; the phase gives the outcome, and from now on it is not sent any more.
    fn ended(mut self, status: u16, code: &'static str, why: Why) -> UnansweredCommand {
        // That one may be executed: this is no refusal.
        if self.waits_for_another {
            return self.in_doubt(Failure::Running);
        }
        self.record.report.exchange = self.handed_over.elapsed();
        self.record.ended(status, code);
        self.unanswered(why)
    }

    fn unanswered(self, why: Why) -> UnansweredCommand {
        let outcome = self.record.report.outcome;
        let (client_oid, find_out) = if outcome == Outcome::Unknown {
            (self.record.report.client_oid.clone(), self.find_out)
        } else {
            (None, None)
        };
        UnansweredCommand {
            reply_to: self.reply_to,
            outcome,
            why,
            client_oid,
            find_out,
        }
    }
}

/// The commands of a socket, by id.
#[derive(Debug)]
pub(super) struct Commands {
    deadline: Duration,
    by_id: HashMap<u64, Command>,
    by_deadline: BTreeSet<(Instant, u64)>,
    /// The methods of commands that were sent and are concluded, and whose answers may still come.
    overdue: HashMap<u64, Cow<'static, str>>,
    max_overdue: usize,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Commands {
    pub(super) fn new(deadline: Duration, max_overdue: usize) -> Self {
        let (by_id, by_deadline, overdue) = (HashMap::new(), BTreeSet::new(), HashMap::new());
        Self {
            deadline,
            by_id,
            by_deadline,
            overdue,
            max_overdue,
            alarm: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn holds(&self, id: u64) -> bool {
        self.by_id.contains_key(&id) || self.overdue.contains_key(&id)
    }

    /// Whether a frame of the exchange may be an answer.
    pub(super) fn await_answers(&self) -> bool {
        !(self.by_id.is_empty() && self.overdue.is_empty())
    }

    /// Whether more commands stayed without an answer than are remembered.
    pub(super) fn are_beyond_memory(&self) -> bool {
        self.overdue.len() > self.max_overdue
    }

    pub(super) fn enter(&mut self, id: u64, mut command: Command) {
        command.deadline = Instant::from_std(command.record.opened()) + self.deadline;
        self.by_deadline.insert((command.deadline, id));
        self.by_id.insert(id, command);
    }

    /// Concludes the command that a frame answers, and says whether it answers one. A frame that names another method
    /// answers another one. A late answer concludes nothing: what became of its command is on the record.
    pub(super) fn answered(&mut self, heading: &Heading, text: &Utf8Bytes, scrubbed: bool) -> bool {
        let Some(id) = heading.id else { return false };
        let fits = |method: &Cow<'static, str>| {
            heading.method.as_ref().is_none_or(|named| named == method)
        };
        if self.overdue.get(&id).is_some_and(fits) {
            return self.overdue.remove(&id).is_some();
        }
        if !self
            .by_id
            .get(&id)
            .is_some_and(|command| fits(command.method()))
        {
            return false;
        }
        let Some(command) = self.take(id) else {
            return false;
        };
        command.answered(heading.code, text, scrubbed);
        true
    }

    /// The next command whose deadline has passed.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<UnansweredCommand> {
        let Some((deadline, id)) = self.by_deadline.first().copied() else {
            return Poll::Pending;
        };
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        ready!(alarm.as_mut().poll(cx));
        let why = Why::Deadline(self.deadline);
        let Some(command) = self.take(id) else {
            return Poll::Pending;
        };
        let waits_for_another = command.waits_for_another;
        let unanswered = command.ended(504, "deadline", why);
        if unanswered.outcome == Outcome::Unknown && !waits_for_another {
            self.overdue.insert(id, unanswered.reply_to.method.clone());
        }
        Poll::Ready(unanswered)
    }

    /// The next command that ended before it was sent, because the process did not run.
    pub(super) fn take_stale(&mut self) -> Option<UnansweredCommand> {
        let stale = |command: &Command| command.record.progress().has_ended();
        let mut commands = self.by_id.iter();
        let id = commands.find_map(|(id, command)| stale(command).then_some(*id))?;
        let ended = self.take(id)?.ended(503, "too_late", Why::TooLate);
        Some(ended)
    }

    /// The command of this id, if it is the one that has this progress.
    pub(super) fn of(&mut self, id: u64, progress: &Arc<Progress>) -> Option<&mut Command> {
        let command = self.by_id.get_mut(&id)?;
        Arc::ptr_eq(&command.record.progress(), progress).then_some(command)
    }

    /// The same, taken out.
    pub(super) fn take_of(&mut self, id: u64, progress: &Arc<Progress>) -> Option<Command> {
        self.of(id, progress)?;
        self.take(id)
    }

    /// The time that each has.
    pub(super) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Ends all of them.
    pub(super) fn give_up(&mut self, status: u16, why: &'static str) -> Vec<UnansweredCommand> {
        self.by_deadline.clear();
        self.by_id
            .drain()
            .map(|(_, command)| command.ended(status, why, Why::SocketEnded))
            .collect()
    }

    fn take(&mut self, id: u64) -> Option<Command> {
        let command = self.by_id.remove(&id)?;
        self.by_deadline.remove(&(command.deadline, id));
        Some(command)
    }
}
