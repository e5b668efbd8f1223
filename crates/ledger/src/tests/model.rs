//! Whatever happens in whatever order, against a model that looks at it from the other side: from the names, and from what
//! the exchange did.

use proptest::prelude::*;

use super::*;

/// What may happen; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Op {
    Begin {
        caller: u8,
        content: u8,
        names: usize,
        fate: u8,
    },
    Look {
        caller: u8,
        content: u8,
        names: usize,
    },
    Conclude {
        which: usize,
        pick: u8,
    },
    Settle {
        which: usize,
        leg: usize,
        pick: u8,
    },
    Due {
        most: usize,
    },
    Crash,
    Reboot,
    Pass {
        seconds: u64,
    },
    StepWall {
        hours: i64,
    },
}

/// Names of one intent: alone, in lists, in another order.
const NAMES: [&[&str]; 6] = [
    &["x"],
    &["y"],
    &["x", "y"],
    &["y", "x"],
    &["x", "y", "z"],
    &["z"],
];

fn op() -> impl Strategy<Value = Op> {
    let names = 0..NAMES.len();
    prop_oneof![
        8 => (0..2u8, 0..2u8, names.clone(), any::<u8>())
            .prop_map(|(caller, content, names, fate)| Op::Begin { caller, content, names, fate }),
        3 => (0..2u8, 0..2u8, names)
            .prop_map(|(caller, content, names)| Op::Look { caller, content, names }),
        8 => (0..64usize, any::<u8>()).prop_map(|(which, pick)| Op::Conclude { which, pick }),
        4 => (0..64usize, 0..3usize, any::<u8>())
            .prop_map(|(which, leg, pick)| Op::Settle { which, leg, pick }),
        2 => (0..3usize).prop_map(|most| Op::Due { most }),
        1 => Just(Op::Crash),
        1 => Just(Op::Reboot),
        2 => prop_oneof![Just(1), Just(40), Just(300), Just(601)].prop_map(|seconds| Op::Pass { seconds }),
        1 => (-2..3i64).prop_map(|hours| Op::StepWall { hours }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Open,
    Done,
    Free,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Live,
    Doubt,
    Answered {
        at_ms: u64,
        wall_ms: u64,
        boot: Uuid,
    },
    Decided,
}

/// An attempt as the model sees it.
#[derive(Debug)]
struct Made {
    attempt: Attempt,
    caller: u8,
    content: u8,
    names: usize,
    /// What the exchange did with each leg; `None`: nothing of it was sent.
    fate: Option<Vec<bool>>,
    parts: Vec<Part>,
    phase: Phase,
    /// From when its life counts, by the time that really passes.
    lives_from_ms: u64,
}

struct Run {
    machine: Machine,
    journal: Option<Journal>,
    made: Vec<Made>,
    /// The time that really passes, over all boots.
    now_ms: u64,
}

fn caller_name(caller: u8) -> &'static str {
    ["a", "b"][usize::from(caller)]
}

impl Run {
    fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }

    fn intent(caller: u8, content: u8, names: usize) -> Intent {
        intent(caller_name(caller), content, NAMES[names])
    }

    fn holder(&self, name: &str) -> Option<usize> {
        let holds = |made: &Made| {
            let parts = NAMES[made.names].iter().zip(&made.parts);
            parts
                .into_iter()
                .any(|(own, part)| *own == name && *part != Part::Free)
        };
        let mut holders = (0..self.made.len()).filter(|number| holds(&self.made[*number]));
        let holder = holders.next();
        assert_eq!(holders.next(), None, "two hold {name}");
        holder
    }

    fn expected(&self, caller: u8, content: u8, names: usize) -> &'static str {
        let mut holders: Vec<usize> = NAMES[names]
            .iter()
            .filter_map(|name| self.holder(name))
            .collect();
        holders.dedup();
        let Some(first) = holders.first() else {
            return "go";
        };
        if holders
            .iter()
            .any(|holder| self.made[*holder].caller != caller)
        {
            return "taken";
        }
        let made = &self.made[*first];
        if holders.len() > 1 || (made.content, made.names) != (content, names) {
            return "differs";
        }
        match made.phase {
            Phase::Live => "running",
            Phase::Doubt => "unknown",
            Phase::Decided => "used",
            Phase::Answered {
                at_ms,
                wall_ms,
                boot,
            } => {
                let wall_now = self.machine.wall.load(Ordering::Relaxed);
                let recent = if boot == self.machine.boot {
                    self.now_ms - at_ms <= 600_000
                } else {
                    wall_now >= wall_ms && wall_now - wall_ms <= 600_000
                };
                if recent { "answered" } else { "used" }
            }
        }
    }

    async fn begin(&mut self, caller: u8, content: u8, names: usize, fate: u8) {
        let expected = self.expected(caller, content, names);
        let intent = Self::intent(caller, content, names);
        let word = begin(self.journal(), &intent).await;
        assert_eq!(word, expected);
        if word != "go" {
            return;
        }
        for made in &self.made {
            for (number, name) in NAMES[made.names].iter().enumerate() {
                if NAMES[names].contains(name) {
                    let executed = made.fate.as_ref().is_some_and(|fate| fate[number]);
                    assert!(!executed, "{name} goes twice: {made:?}");
                    // One leg of an attempt in doubt may be decided and free.
                    assert!(
                        made.phase != Phase::Live,
                        "{name} goes while it is under way"
                    );
                }
            }
        }
        let legs = NAMES[names].len();
        self.made.push(Made {
            attempt: intent.attempt,
            caller,
            content,
            names,
            fate: (fate & 1 == 1)
                .then(|| (0..legs).map(|leg| fate >> (leg + 1) & 1 == 1).collect()),
            parts: vec![Part::Open; legs],
            phase: Phase::Live,
            lives_from_ms: self.now_ms,
        });
    }

    /// What an honest task may say at the end; of what has ended, anything.
    fn conclude(&mut self, which: usize, pick: u8) {
        let (now_ms, wall_ms) = (self.now_ms, self.machine.wall.load(Ordering::Relaxed));
        let boot = self.machine.boot;
        let count = self.made.len();
        if count == 0 {
            return;
        }
        let made = &mut self.made[which % count];
        let is_over = !matches!(made.phase, Phase::Live | Phase::Doubt);
        let legs = made.parts.len();
        let sent = if is_over {
            Some((0..legs).map(|leg| pick >> (leg + 3) & 1 == 1).collect())
        } else {
            made.fate.clone()
        };
        let conclusion = match (pick % 3, sent) {
            (0, Some(fate)) if !is_over || pick & 0x80 == 0 => {
                // Sometimes the answer does not tell of one leg.
                let silent = (pick & 0x40 != 0).then_some(usize::from(pick) % legs);
                let end = |(leg, done): (usize, &bool)| match (silent == Some(leg), done) {
                    (true, _) => LegEnd::Open,
                    (false, true) => executed("7"),
                    (false, false) => REFUSED,
                };
                answered(fate.iter().enumerate().map(end).collect())
            }
            (1, None) => Conclusion::NotSent,
            (1, Some(_)) if is_over => Conclusion::NotSent,
            _ => UNKNOWN,
        };
        if !is_over {
            match &conclusion {
                Conclusion::Unknown { .. } => {
                    made.phase = Phase::Doubt;
                    made.lives_from_ms = now_ms;
                }
                Conclusion::NotSent => {
                    // Who said "perhaps" cannot take it back.
                    if made.phase == Phase::Live {
                        made.parts.fill(Part::Free);
                        made.phase = Phase::Decided;
                    }
                }
                Conclusion::Answered { legs, .. } => {
                    for (part, end) in made.parts.iter_mut().zip(legs) {
                        if *part == Part::Open {
                            *part = match end {
                                LegEnd::Executed { .. } => Part::Done,
                                LegEnd::Refused { .. } => Part::Free,
                                LegEnd::Open => Part::Open,
                            };
                        }
                    }
                    made.phase = Phase::Answered {
                        at_ms: now_ms,
                        wall_ms,
                        boot,
                    };
                }
            }
        }
        let attempt = made.attempt;
        self.journal().conclude(attempt, conclusion);
    }

    async fn settle(&mut self, which: usize, leg: usize, pick: u8) {
        let count = self.made.len();
        if count == 0 {
            return;
        }
        let made = &mut self.made[which % count];
        let leg = leg % made.parts.len();
        let fate = made
            .fate
            .clone()
            .unwrap_or_else(|| vec![false; made.parts.len()]);
        let uniform = fate.iter().all(|done| *done == fate[0]);
        let open = made.phase == Phase::Doubt;
        let settled = match pick % 4 {
            0 => Settled::Not {
                again: Duration::from_secs(2),
            },
            1 if uniform => Settled::ByHand {
                executed: fate[0],
                why: "seen".to_owned(),
            },
            _ => Settled::Leg {
                leg,
                end: if fate[leg] { executed("7") } else { REFUSED },
            },
        };
        if open {
            for (number, part) in made.parts.iter_mut().enumerate() {
                let touched = match &settled {
                    Settled::Not { .. } => false,
                    Settled::Leg { leg, .. } => *leg == number,
                    Settled::ByHand { .. } => true,
                };
                if touched && *part == Part::Open {
                    *part = if fate[number] { Part::Done } else { Part::Free };
                }
            }
            if !matches!(settled, Settled::Not { .. })
                && made.parts.iter().all(|part| *part != Part::Open)
            {
                made.phase = Phase::Decided;
            }
        }
        let attempt = made.attempt;
        assert_eq!(self.journal().settle(attempt, settled).await.unwrap(), open);
    }

    fn start_anew(&mut self, reboot: bool) {
        self.journal = None;
        if reboot {
            self.machine.reboot();
            // It takes its time, and the clock of the board is a little off.
            self.now_ms += 30_000;
            self.machine.wall.fetch_add(29_000, Ordering::Relaxed);
        }
        self.journal = Some(self.machine.open());
        for made in &mut self.made {
            if matches!(made.phase, Phase::Live | Phase::Doubt) {
                made.phase = Phase::Doubt;
                if reboot {
                    made.lives_from_ms = self.now_ms;
                }
            }
        }
    }

    async fn step(&mut self, op: Op) {
        match op {
            Op::Begin {
                caller,
                content,
                names,
                fate,
            } => self.begin(caller, content, names, fate).await,
            Op::Look {
                caller,
                content,
                names,
            } => {
                let expected = self.expected(caller, content, names).replace("go", "free");
                let intent = Self::intent(caller, content, names);
                assert_eq!(look(self.journal(), &intent).await, expected);
            }
            Op::Conclude { which, pick } => self.conclude(which, pick),
            Op::Settle { which, leg, pick } => self.settle(which, leg, pick).await,
            Op::Due { most } => {
                let due = self.journal().due(account(), most).await.unwrap();
                assert!(due.len() <= most);
                for entry in due {
                    let made = self.made.iter().find(|made| made.attempt == entry.attempt);
                    assert_eq!(made.unwrap().phase, Phase::Doubt);
                }
            }
            Op::Crash => self.start_anew(false),
            Op::Reboot => self.start_anew(true),
            Op::Pass { seconds } => {
                self.machine.pass(Duration::from_secs(seconds));
                self.now_ms += seconds * 1000;
            }
            Op::StepWall { hours } => {
                let ms = hours.unsigned_abs() * 3_600_000;
                if hours < 0 {
                    self.machine.wall.fetch_sub(ms, Ordering::Relaxed);
                } else {
                    self.machine.wall.fetch_add(ms, Ordering::Relaxed);
                }
            }
        }
        self.compare().await;
    }

    /// What is open stays there, and is dead when its time is over.
    async fn compare(&self) {
        let listing = Listing {
            open: true,
            most: 1000,
            ..Listing::default()
        };
        let listed = self.journal().list(listing).await.unwrap();
        let open = |made: &&Made| matches!(made.phase, Phase::Live | Phase::Doubt);
        let mut expected: Vec<_> = self
            .made
            .iter()
            .filter(open)
            .map(|made| (made.attempt, self.now_ms - made.lives_from_ms >= 77_000))
            .collect();
        let mut found: Vec<_> = listed
            .iter()
            .map(|entry| (entry.attempt, entry.is_dead))
            .collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        let doubt = self.made.iter().filter(|made| made.phase == Phase::Doubt);
        assert_eq!(self.journal().in_doubt(), doubt.count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_journal_does_what_the_model_does(ops in prop::collection::vec(op(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let machine = Machine::new();
            let journal = Some(machine.open());
            let mut run = Run { machine, journal, made: Vec::new(), now_ms: 0 };
            for op in ops {
                run.step(op).await;
            }
        });
    }
}
