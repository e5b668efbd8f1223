//! Faults: how the stand-in is told to misbehave, and the book they are kept in.
//!
//! On a stream a fault meets the frame in the place of the request: a hang leaves it unanswered, a reply is sent as a
//! text frame, bare steps and a cut within the answer end the connection (by a reset where they say so). The socket
//! waits out a delay.
//!
//! Guarantees: a queued fault is used once, by the next request for its method; a standing one until it is cleared;
//! queued before drawn before standing, a method's own before those for `*`. Draws are as their seed says.
//! Does not: act; `handling.rs` and `server.rs` carry faults out.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;

/// Scripted for every method of the exchange (not for the address echoes).
pub const EVERY_METHOD: &str = "*";

/// One misbehaviour, and its moment.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) when: When,
    pub(super) delay: Duration,
    pub(super) action: Action,
}

/// Whether a fault strikes before the call is executed (it then never is, unless the fault lets it pass) or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Before,
    After,
    /// At once; and the call is executed this long after it came, whatever became of its connection.
    Late(Duration),
}

#[derive(Clone, Debug)]
pub(super) enum Action {
    Pass,
    Hang,
    Code(i64),
    Reply(Canned),
    Wire(Vec<WireStep>),
    /// The answer to its middle, then the end of the connection.
    Half {
        reset: bool,
    },
}

impl Fault {
    fn new(when: When, action: Action) -> Self {
        Self {
            when,
            delay: Duration::ZERO,
            action,
        }
    }

    /// No fault: a place in the queue for a call that goes well.
    #[must_use]
    pub fn none() -> Self {
        Self::new(When::Before, Action::Pass)
    }

    /// Waits, then goes on as usual; the wait comes before the call is executed, unless `.after()` is said.
    #[must_use]
    pub fn delay(time: Duration) -> Self {
        Self::none().delayed(time)
    }

    /// Reads the request, executes nothing, and is silent; when released, closes without a byte.
    #[must_use]
    pub fn hang_before() -> Self {
        Self::new(When::Before, Action::Hang)
    }

    /// Executes the call, then is silent; when released, answers as usual.
    #[must_use]
    pub fn hang_after() -> Self {
        Self::new(When::After, Action::Hang)
    }

    /// Reads the request, executes nothing, closes the connection without a byte.
    #[must_use]
    pub fn cut_before() -> Self {
        Self::new(When::Before, Action::Wire(Vec::new()))
    }

    /// Executes the call, then closes the connection without a byte.
    #[must_use]
    pub fn cut_after() -> Self {
        Self::new(When::After, Action::Wire(Vec::new()))
    }

    /// As `cut_before`, by a TCP reset.
    #[must_use]
    pub fn reset_before() -> Self {
        Self::new(When::Before, Action::Wire(vec![WireStep::Reset]))
    }

    /// As `cut_after`, by a TCP reset.
    #[must_use]
    pub fn reset_after() -> Self {
        Self::new(When::After, Action::Wire(vec![WireStep::Reset]))
    }

    /// Executes the call, sends its answer up to the middle of the body, then closes the connection.
    #[must_use]
    pub fn cut_within() -> Self {
        Self::new(When::After, Action::Half { reset: false })
    }

    /// As `cut_within`, by a TCP reset.
    #[must_use]
    pub fn reset_within() -> Self {
        Self::new(When::After, Action::Half { reset: true })
    }

    /// Answers with this code in the documented shape and status; executes nothing unless `.after()` is said.
    #[must_use]
    pub fn code(code: i64) -> Self {
        Self::new(When::Before, Action::Code(code))
    }

    /// Answers with exactly this; executes nothing unless `.after()` is said.
    #[must_use]
    pub fn reply(reply: Canned) -> Self {
        Self::new(When::Before, Action::Reply(reply))
    }

    /// Writes these bytes to the connection in place of an HTTP answer, then closes it; executes nothing unless
    /// `.after()` is said.
    #[must_use]
    pub fn wire(steps: impl IntoIterator<Item = WireStep>) -> Self {
        Self::new(When::Before, Action::Wire(steps.into_iter().collect()))
    }

    /// The same fault, after the call was executed.
    #[must_use]
    pub fn after(mut self) -> Self {
        self.when = When::After;
        self
    }

    /// The same fault at once, and the call is executed this long after it came, though its caller is gone. A call that
    /// passes or whose answer is cut within is delayed by it.
    #[must_use]
    pub fn executed_late(mut self, time: Duration) -> Self {
        match self.action {
            Action::Pass | Action::Half { .. } => {
                (self.when, self.delay) = (When::Before, self.delay + time);
            }
            Action::Hang | Action::Code(_) | Action::Reply(_) | Action::Wire(_) => {
                self.when = When::Late(time);
            }
        }
        self
    }

    /// The same fault, this much later.
    #[must_use]
    pub fn delayed(mut self, time: Duration) -> Self {
        self.delay = time;
        self
    }
}

/// One step on the bare connection.
#[derive(Clone, Debug)]
pub enum WireStep {
    /// Writes bytes.
    Write(Bytes),
    /// Waits.
    Pause(Duration),
    /// Is silent until released or shut down.
    Hang,
    /// Ends the connection by a TCP reset instead of an orderly close.
    Reset,
}

/// An answer prepared byte for byte.
#[derive(Clone, Debug)]
pub struct Canned {
    /// HTTP status; one that HTTP does not know becomes 500.
    pub status: u16,
    /// `Content-Type`; `None` sends none.
    pub content_type: Option<String>,
    /// Further headers; one that HTTP does not allow is left out.
    pub headers: Vec<(String, String)>,
    /// The body, as it is.
    pub body: Bytes,
}

impl Canned {
    /// A body of this type.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: Some(content_type.to_owned()),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// `application/json`, whatever the bytes are.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", body)
    }

    /// `text/html`, as an edge answers.
    #[must_use]
    pub fn html(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    /// `text/plain`, as an address echo answers.
    #[must_use]
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What is scripted, by method or echo path.
#[derive(Debug, Default)]
pub(super) struct Script {
    plans: HashMap<String, Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    queue: VecDeque<Fault>,
    sometimes: Option<Sometimes>,
    standing: Option<Fault>,
}

/// Faults that are drawn.
#[derive(Debug)]
struct Sometimes {
    state: u64,
    faults: Vec<(f64, Fault)>,
}

impl Sometimes {
    fn draw(&mut self) -> Option<Fault> {
        let mut left = self.number();
        for (probability, fault) in &self.faults {
            if left < *probability {
                return Some(fault.clone());
            }
            left -= probability;
        }
        None
    }

    /// The next number of SplitMix64, from 0 up to but not 1.
    fn number(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let upper = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
        f64::from(upper) / 4_294_967_296.0
    }
}

impl Plan {
    fn next(&mut self) -> Option<Fault> {
        let drawn = |sometimes: &mut Option<Sometimes>| sometimes.as_mut()?.draw();
        self.queue
            .pop_front()
            .or_else(|| drawn(&mut self.sometimes))
            .or_else(|| self.standing.clone())
    }
}

impl Script {
    pub(super) fn queue(&mut self, target: &str, fault: Fault) {
        self.plans
            .entry(target.to_owned())
            .or_default()
            .queue
            .push_back(fault);
    }

    pub(super) fn stand(&mut self, target: &str, fault: Fault) {
        self.plans.entry(target.to_owned()).or_default().standing = Some(fault);
    }

    pub(super) fn sometimes(&mut self, target: &str, seed: u64, faults: Vec<(f64, Fault)>) {
        self.plans.entry(target.to_owned()).or_default().sometimes = Some(Sometimes {
            state: seed,
            faults,
        });
    }

    pub(super) fn clear(&mut self, target: &str) {
        self.plans.remove(target);
    }

    /// The fault for the next request, if there is one.
    pub(super) fn take(&mut self, target: &str) -> Option<Fault> {
        let own = self.plans.get_mut(target).and_then(Plan::next);
        let is_echo = target.starts_with('/');
        own.or_else(|| {
            self.plans
                .get_mut(EVERY_METHOD)
                .filter(|_| !is_echo)
                .and_then(Plan::next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "private/create-order";

    /// Which of the faults of `script` the next thousand requests meet.
    fn met(script: &mut Script) -> Vec<Option<Duration>> {
        (0..1_000)
            .map(|_| script.take(TARGET).map(|fault| fault.delay))
            .collect()
    }

    fn drawn(seed: u64) -> Vec<Option<Duration>> {
        let mut script = Script::default();
        let faults = [(0.1, 1), (0.3, 2)]
            .map(|(probability, ms)| (probability, Fault::delay(Duration::from_millis(ms))));
        script.sometimes(TARGET, seed, faults.into());
        met(&mut script)
    }

    #[test]
    fn a_seed_draws_the_same_faults_again_and_each_about_as_often_as_told() {
        let met = drawn(7);
        assert_eq!(met, drawn(7));
        assert_ne!(met, drawn(8));
        let count = |ms| {
            let fault = Some(Duration::from_millis(ms));
            met.iter().filter(|met| **met == fault).count()
        };
        assert!((60..150).contains(&count(1)), "{}", count(1));
        assert!((240..360).contains(&count(2)), "{}", count(2));
        assert_eq!(met.iter().flatten().count(), count(1) + count(2));
    }

    #[test]
    fn what_is_queued_comes_before_what_is_drawn_and_what_stands_after() {
        let ms = |ms| Fault::delay(Duration::from_millis(ms));
        let mut script = Script::default();
        script.sometimes(TARGET, 1, vec![(0.5, ms(2))]);
        script.queue(TARGET, ms(1));
        script.stand(TARGET, ms(3));
        let met = met(&mut script);
        assert_eq!(met[0], Some(Duration::from_millis(1)));
        let later: std::collections::BTreeSet<_> = met[1..].iter().copied().flatten().collect();
        assert_eq!(later, [2, 3].map(Duration::from_millis).into());
        script.clear(TARGET);
        assert!(script.take(TARGET).is_none());
    }
}
