//! What a name that is used again gets, and how an attempt goes from state to state: values in, values out.
//!
//! Every store of the journal obeys these rules. The one about names: a leg holds its name as long as nobody knows what
//! became of it, and for good once it was executed. Refused, not sent and never arrived are the same for a name: it is free,
//! for whoever asks next. What has ended stays as it is, whoever says something else later.

use std::{collections::HashSet, time::Duration};

use gateway::ledger::{
    Account, Attempt, Conclusion, Digest, Entry, EntryLeg, Intent, Kind, Leg, LegEnd, Past,
    Settled, State, Stored,
};
use uuid::Uuid;

use crate::times::{Now, millis};

/// The longest time between two looks after an attempt, for the looks of its first hour, and from then on: nobody knows how
/// long the exchange remembers a name, so little is found out later.
const MOST_BETWEEN_LOOKS_S: u64 = 60;
const LOOKS_OF_AN_HOUR: u32 = 66;
const BETWEEN_LATE_LOOKS_S: u64 = 3600;

/// One attempt as the journal keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its number in the store; 0 where it has none yet.
    pub(crate) id: i64,
    pub(crate) attempt: Attempt,
    pub(crate) account: Account,
    pub(crate) caller: String,
    pub(crate) method: String,
    pub(crate) digest: Digest,
    pub(crate) rid: String,
    pub(crate) state: State,
    /// Whether it is a cancellation that was only noted: it holds no name.
    pub(crate) is_note: bool,
    pub(crate) code: Option<i64>,
    pub(crate) list_id: Option<String>,
    pub(crate) by_hand: Option<String>,
    pub(crate) begun_ms: u64,
    /// The boot by whose uptime the times below count.
    pub(crate) boot: Uuid,
    /// How long anything of it can be executed, to be counted anew after a reboot.
    pub(crate) life_ms: u64,
    pub(crate) dead_up: u64,
    pub(crate) looked: u32,
    /// When to look after it; `None`: a task works on it, it has ended, or there is nothing to be looked for.
    pub(crate) look_up: Option<u64>,
    pub(crate) ended: Option<Ended>,
    pub(crate) legs: Vec<EntryLeg>,
    pub(crate) targets: Vec<String>,
    /// Whether its answer is kept.
    pub(crate) is_kept: bool,
}

/// When an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) wall_ms: u64,
    pub(crate) up_ms: u64,
}

/// How long an attempt is kept once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It is open: always.
    Open,
    /// It took something back.
    Note,
    /// It holds names, or ids of orders.
    Long,
    /// It holds nothing; that one of its names was used before is known as long.
    Free,
}

/// What is to be said to somebody who wants to begin.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// The names are free.
    Fresh,
    Answered(&'a Row),
    Running(&'a Row),
    Unknown(&'a Row),
    Used(&'a Row),
    Differs,
    Taken,
}

/// Judges what somebody wants to begin, by the rows that hold at least one of its names.
pub(crate) fn judge<'a>(
    intent: &Intent,
    holders: &'a [Row],
    is_live: bool,
    now: Now,
    replay: Duration,
) -> Verdict<'a> {
    let mut names = HashSet::new();
    if !named(&intent.legs).all(|name| names.insert(name)) {
        return Verdict::Differs;
    }
    if holders.iter().any(|row| *row.caller != *intent.caller) {
        return Verdict::Taken;
    }
    let row = match holders {
        [] => return Verdict::Fresh,
        [row] if is_same(intent, row) => row,
        _ => return Verdict::Differs,
    };
    match row.state {
        State::Begun if is_live => Verdict::Running(row),
        State::Begun | State::Unknown => Verdict::Unknown(row),
        State::Answered if row.is_kept && row.is_recent(now, replay) => Verdict::Answered(row),
        // The last two hold no name; if one does, its name is used up rather than used twice.
        State::Answered | State::Executed | State::NotSent | State::NeverArrived => {
            Verdict::Used(row)
        }
    }
}

fn named(legs: &[Leg]) -> impl Iterator<Item = &(Kind, String)> {
    legs.iter().filter_map(|leg| leg.name.as_ref())
}

fn is_same(intent: &Intent, row: &Row) -> bool {
    let ours = intent.legs.iter().map(|leg| &leg.name);
    row.digest == intent.digest && ours.eq(row.legs.iter().map(|leg| &leg.leg.name))
}

/// How long ago it ended. Where that cannot be known, it is long ago: an old answer must not stand for a new order.
pub(crate) fn age_ms(boot: Uuid, ended: Ended, now: Now) -> u64 {
    let (now_ms, ended_ms) = if boot == now.boot {
        (now.up_ms, ended.up_ms)
    } else {
        (now.wall_ms, ended.wall_ms)
    };
    now_ms.checked_sub(ended_ms).unwrap_or(u64::MAX)
}

impl Row {
    /// An attempt that begins now.
    pub(crate) fn begin(intent: &Intent, is_note: bool, now: Now) -> Self {
        let life_ms = millis(intent.alive);
        let leg = |leg: &Leg| EntryLeg {
            leg: Leg {
                name: leg.name.clone().filter(|_| !is_note),
                instrument: leg.instrument.clone(),
            },
            end: LegEnd::Open,
        };
        Self {
            id: 0,
            attempt: intent.attempt,
            account: Account::clone(&intent.account),
            caller: intent.caller.to_string(),
            method: intent.method.to_string(),
            digest: intent.digest,
            rid: intent.rid.to_string(),
            state: State::Begun,
            is_note,
            code: None,
            list_id: None,
            by_hand: None,
            begun_ms: now.wall_ms,
            boot: now.boot,
            life_ms,
            dead_up: now.up_ms.saturating_add(life_ms),
            looked: 0,
            look_up: None,
            ended: None,
            legs: intent.legs.iter().map(leg).collect(),
            targets: intent.targets.clone(),
            is_kept: false,
        }
    }

    /// What became of it, as its task says; whether that changed anything.
    pub(crate) fn conclude(&mut self, conclusion: &Conclusion, now: Now) -> bool {
        match conclusion {
            _ if !self.state.is_open() => return false,
            // Somebody said already that it may have been executed.
            Conclusion::NotSent if self.state == State::Unknown => return false,
            Conclusion::NotSent => {
                self.decide_rest(&LegEnd::Refused { code: 0 });
                self.end(State::NotSent, now);
            }
            Conclusion::Unknown { alive, code, legs } => {
                for (leg, end) in self.legs.iter_mut().zip(legs) {
                    decide(leg, end);
                }
                self.code = *code;
                self.state = State::Unknown;
                // The clock stepped back since: by its time of then, the exchange's order would be older than its call.
                self.begun_ms = self.begun_ms.min(now.wall_ms);
                self.boot = now.boot;
                self.life_ms = millis(*alive);
                self.dead_up = now.up_ms.saturating_add(self.life_ms);
                self.look_up = self.can_be_found_out().then_some(now.up_ms);
            }
            Conclusion::Answered {
                code,
                legs,
                list_id,
                answer,
            } => {
                for (leg, end) in self.legs.iter_mut().zip(legs) {
                    decide(leg, end);
                }
                self.code = Some(*code);
                self.list_id.clone_from(list_id);
                self.is_kept = answer.is_some();
                self.end(State::Answered, now);
            }
        }
        true
    }

    /// What somebody found out who looked after it; whether it was open.
    pub(crate) fn settle(&mut self, settled: &Settled, now: Now) -> bool {
        if !self.state.is_open() {
            return false;
        }
        match settled {
            Settled::Not { again } => {
                self.look_up = Some(now.up_ms.saturating_add(millis(*again)));
                return true;
            }
            Settled::Leg { leg, end } => {
                if let Some(leg) = self.legs.get_mut(*leg) {
                    decide(leg, end);
                }
            }
            Settled::ByHand { executed, why } => {
                self.decide_rest(&if *executed {
                    LegEnd::Executed { order_id: None }
                } else {
                    LegEnd::Refused { code: 0 }
                });
                self.by_hand = Some(why.clone());
            }
        }
        if self.legs.iter().all(|leg| leg.end != LegEnd::Open) {
            let executed = self.legs.iter().any(is_executed);
            self.end(
                if executed {
                    State::Executed
                } else {
                    State::NeverArrived
                },
                now,
            );
        }
        true
    }

    /// Its process is gone, or the machine started anew.
    pub(crate) fn outlive(&mut self, now: Now) {
        let is_of_this_boot = self.boot == now.boot;
        if !is_of_this_boot {
            self.boot = now.boot;
            self.dead_up = now.up_ms.saturating_add(self.life_ms);
        }
        // What is looked after already goes on as it was: or the oldest would keep a process that often begins from the others.
        let is_looked_after = is_of_this_boot && self.state == State::Unknown;
        if !is_looked_after || self.look_up.is_none() {
            self.look_up = self.can_be_found_out().then_some(now.up_ms);
        }
        self.state = State::Unknown;
    }

    /// Somebody looks after it now: the next time is later each time.
    pub(crate) fn look(&mut self, now: Now) {
        let seconds = if self.looked < LOOKS_OF_AN_HOUR {
            MOST_BETWEEN_LOOKS_S.min(1 << self.looked.min(6))
        } else {
            BETWEEN_LATE_LOOKS_S
        };
        self.looked = self.looked.saturating_add(1);
        self.look_up = Some(now.up_ms.saturating_add(seconds * 1000));
    }

    /// Whether the exchange can be asked what became of it.
    fn can_be_found_out(&self) -> bool {
        let open = self.legs.iter().filter(|leg| leg.end == LegEnd::Open);
        { open }.any(|leg| leg.leg.can_be_found(&self.method))
    }

    fn decide_rest(&mut self, end: &LegEnd) {
        self.legs.iter_mut().for_each(|leg| decide(leg, end));
    }

    fn end(&mut self, state: State, now: Now) {
        self.state = state;
        self.look_up = None;
        // The row's times count by one boot.
        if self.boot != now.boot {
            self.boot = now.boot;
            self.dead_up = now.up_ms;
        }
        self.ended = Some(Ended {
            wall_ms: now.wall_ms,
            up_ms: now.up_ms,
        });
    }

    fn is_recent(&self, now: Now, replay: Duration) -> bool {
        let ended = self.ended.as_ref();
        ended.is_some_and(|ended| age_ms(self.boot, *ended, now) <= millis(replay))
    }

    /// Whether it holds one of the names of what somebody wants to begin.
    pub(crate) fn holds_one_of(&self, intent: &Intent) -> bool {
        let held = self.legs.iter().filter(|leg| !is_refused(leg));
        let mut held = held.filter_map(|leg| leg.leg.name.as_ref());
        held.any(|held| named(&intent.legs).any(|name| name == held))
    }

    /// How long it is kept.
    pub(crate) fn keep(&self) -> Keep {
        if self.state.is_open() {
            Keep::Open
        } else if self.is_note {
            Keep::Note
        } else if self.legs.iter().all(is_refused) {
            Keep::Free
        } else {
            Keep::Long
        }
    }

    /// What its own caller is told.
    pub(crate) fn past(&self) -> Past {
        let ids = self.legs.iter().filter_map(|leg| order_id(&leg.end));
        Past {
            state: if self.state == State::Begun {
                State::Unknown
            } else {
                self.state
            },
            begun_ms: self.begun_ms,
            rid: self.rid.clone(),
            order_ids: ids.map(str::to_owned).collect(),
        }
    }

    /// What those are told who look after it or list it.
    pub(crate) fn entry(self, now: Now) -> Entry {
        let alive_ms = if !self.state.is_open() {
            0
        } else if self.boot == now.boot {
            self.dead_up.saturating_sub(now.up_ms)
        } else {
            self.life_ms.max(1)
        };
        Entry {
            attempt: self.attempt,
            account: self.account,
            caller: self.caller,
            method: self.method,
            rid: self.rid,
            state: self.state,
            code: self.code,
            begun_ms: self.begun_ms,
            ended_ms: self.ended.map(|ended| ended.wall_ms),
            is_dead: alive_ms == 0,
            alive: Duration::from_millis(alive_ms),
            looked: self.looked,
            list_id: self.list_id,
            by_hand: self.by_hand,
            legs: self.legs,
            targets: self.targets,
        }
    }
}

/// What is known of a leg stays.
fn decide(leg: &mut EntryLeg, end: &LegEnd) {
    if leg.end == LegEnd::Open {
        leg.end = end.clone();
    }
}

fn is_executed(leg: &EntryLeg) -> bool {
    matches!(leg.end, LegEnd::Executed { .. })
}

fn is_refused(leg: &EntryLeg) -> bool {
    matches!(leg.end, LegEnd::Refused { .. })
}

fn order_id(end: &LegEnd) -> Option<&str> {
    match end {
        LegEnd::Executed { order_id } => order_id.as_deref(),
        LegEnd::Refused { .. } | LegEnd::Open => None,
    }
}

/// The answer that a conclusion brings.
pub(crate) const fn answer(conclusion: &Conclusion) -> Option<&Stored> {
    match conclusion {
        Conclusion::Answered { answer, .. } => answer.as_ref(),
        Conclusion::NotSent | Conclusion::Unknown { .. } => None,
    }
}
