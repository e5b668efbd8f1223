//! The last 24 hours as bars: good calls above the line, everything else below it, changes as flags above them.
//!
//! Drawn twice, for wide and for narrow screens, because text in a picture that shrinks cannot be read. Guarantees: a
//! single bad call beside ten thousand good ones can be seen; each bar says in words what it shows; what lies before the
//! history begins is not drawn as quiet. Does not: carry styles of its own, which the policy would not let load.

use std::collections::BTreeMap;

use text::time::rfc3339_ms;

use super::{
    RecentHistory,
    recent::{between, class, clock, counted},
};
use diagnosis::history::End;

/// Rows of the picture, from the top: flags, good calls, the line, the others, hours.
const TOP: f64 = 26.0;
const LINE: f64 = 106.0;
const BOTTOM: f64 = 156.0;
const UP: f64 = LINE - TOP - 2.0;
const DOWN: f64 = BOTTOM - LINE - 2.0;
/// What is there is seen.
const LEAST: f64 = 4.0;
const HOUR_MS: u64 = 3_600_000;

/// A rectangle of a bar.
#[derive(Debug)]
pub(super) struct BarPart {
    pub(super) y: f64,
    pub(super) height: f64,
    pub(super) class: &'static str,
}

/// A quarter of an hour.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) blocks: Vec<BarPart>,
    pub(super) tells: String,
}

/// A word below the axis.
#[derive(Debug)]
pub(super) struct HourLabel {
    pub(super) x: f64,
    pub(super) word: String,
}

/// One change, or several that are close together.
#[derive(Debug)]
pub(super) struct ChangeFlag {
    pub(super) x: f64,
    pub(super) word: String,
    pub(super) left: f64,
    pub(super) width: f64,
}

/// The picture.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) class: &'static str,
    pub(super) width: u64,
    pub(super) bar_width: f64,
    pub(super) bars: Vec<Bar>,
    pub(super) hours: Vec<HourLabel>,
    pub(super) flags: Vec<ChangeFlag>,
    /// Width of the time before the history begins, where that is within the picture.
    pub(super) unknown: Option<f64>,
    /// The tallest bar.
    pub(super) most: u64,
    /// The whole in one sentence.
    pub(super) tells: String,
}

/// How a picture is laid out.
#[derive(Clone, Copy)]
struct ChartLayout {
    class: &'static str,
    width: u64,
    hours: u64,
}

const WIDE: ChartLayout = ChartLayout {
    class: "wide",
    width: 1056,
    hours: 2,
};
const NARROW: ChartLayout = ChartLayout {
    class: "narrow",
    width: 336,
    hours: 6,
};

impl Chart {
    /// The picture for wide screens and the one for narrow ones.
    pub(super) fn both(recent: &RecentHistory, now_ms: u64) -> Vec<Self> {
        [WIDE, NARROW]
            .map(|layout| Self::new(recent, now_ms, layout))
            .into()
    }

    fn new(recent: &RecentHistory, now_ms: u64, layout: ChartLayout) -> Self {
        let mut buckets = BTreeMap::<u64, BTreeMap<End, u64>>::new();
        for count in &recent.timeline.counts {
            *buckets
                .entry(count.bucket)
                .or_default()
                .entry(count.end)
                .or_default() += count.calls;
        }
        let good = |ends: &BTreeMap<End, u64>| ends.get(&End::Good).copied().unwrap_or_default();
        let sides =
            |ends: &BTreeMap<End, u64>| good(ends).max(ends.values().sum::<u64>() - good(ends));
        let most = buckets.values().map(sides).max().unwrap_or_default();
        let step = layout.width as f64 / recent.timeline.span.buckets as f64;
        let bar = |(bucket, ends): (&u64, &BTreeMap<End, u64>)| Bar {
            x: *bucket as f64 * step,
            blocks: blocks(ends, most),
            tells: tells(recent, *bucket, ends),
        };
        let axis = TimeAxis {
            recent,
            width: layout.width as f64,
        };
        Self {
            class: layout.class,
            width: layout.width,
            bar_width: step - 1.0,
            bars: buckets.iter().map(bar).collect(),
            hours: axis.hours(layout.hours),
            flags: axis.flags(),
            unknown: axis.unknown(now_ms),
            tells: sentence(recent),
            most,
        }
    }
}

fn sentence(recent: &RecentHistory) -> String {
    let all = End::ALL.map(|end| (end, recent.timeline.total(end)));
    format!(
        "Calls of the last 24 hours by quarter of an hour: {}",
        counted(&all.into())
    )
}

fn tells(recent: &RecentHistory, bucket: u64, ends: &BTreeMap<End, u64>) -> String {
    let span = recent.timeline.span;
    let time = between(span.start_ms(bucket), span.start_ms(bucket + 1));
    format!("{time} UTC: {}", counted(ends))
}

/// Good ones up from the line, the others down from it, worst first.
fn blocks(ends: &BTreeMap<End, u64>, most: u64) -> Vec<BarPart> {
    let height =
        |calls: u64, room: f64| (room * (calls as f64 / most.max(1) as f64).sqrt()).max(LEAST);
    let block = |y: f64, height: f64, end: End| BarPart {
        y,
        height,
        class: class(end),
    };
    let mut blocks = Vec::new();
    if let Some(calls) = ends.get(&End::Good) {
        let tall = height(*calls, UP);
        blocks.push(block(LINE - 1.0 - tall, tall, End::Good));
    }
    let below: Vec<(End, u64)> = ends
        .iter()
        .filter(|(end, _)| **end != End::Good)
        .map(|(e, c)| (*e, *c))
        .collect();
    let all: u64 = below.iter().map(|(_, calls)| calls).sum();
    let (room, mut y) = (height(all, DOWN), LINE + 1.0);
    for (end, calls) in below {
        let tall = (room * calls as f64 / all as f64)
            .max(LEAST)
            .min(BOTTOM - y);
        blocks.push(block(y, tall, end));
        y += tall;
    }
    blocks
}

struct TimeAxis<'a> {
    recent: &'a RecentHistory,
    width: f64,
}

impl TimeAxis<'_> {
    fn x(&self, ms: u64) -> f64 {
        let span = self.recent.timeline.span;
        let all = span.until_ms().saturating_sub(span.from_ms).max(1);
        self.width * ms.saturating_sub(span.from_ms).min(all) as f64 / all as f64
    }

    /// A word for every so many hours of the day; midnight has its date.
    fn hours(&self, every: u64) -> Vec<HourLabel> {
        let (span, step) = (self.recent.timeline.span, every * HOUR_MS);
        let first = span.from_ms.div_ceil(step) * step;
        let times = (0..=24 / every).map(|number| first + number * step);
        let word = |ms: u64| {
            let clock = clock(ms);
            if clock == "00:00" {
                rfc3339_ms(ms).get(5..10).unwrap_or_default().to_owned()
            } else {
                clock
            }
        };
        // A word that would leave the picture is left out.
        let inside = |x: f64| (16.0..=self.width - 16.0).contains(&x);
        let hours = times
            .map(|ms| (self.x(ms), word(ms)))
            .filter(|(x, _)| inside(*x));
        hours.map(|(x, word)| HourLabel { x, word }).collect()
    }

    /// Changes, newest first, as they are numbered in the table; neighbours share a flag.
    fn flags(&self) -> Vec<ChangeFlag> {
        let changes = self
            .recent
            .changes
            .iter()
            .enumerate()
            .filter(|(_, row)| row.ms >= self.recent.timeline.span.from_ms);
        let mut groups: Vec<(f64, usize, usize)> = Vec::new();
        for (position, row) in changes {
            let (x, number) = (self.x(row.ms), position + 1);
            match groups.last_mut() {
                Some((at, _, last)) if *at - x < 34.0 => *last = number,
                _ => groups.push((x, number, number)),
            }
        }
        groups
            .into_iter()
            .map(|(x, first, last)| self.flag(x, first, last))
            .collect()
    }

    fn flag(&self, x: f64, first: usize, last: usize) -> ChangeFlag {
        let word = if first == last {
            first.to_string()
        } else {
            format!("{first}–{last}")
        };
        let width = 8.0f64.mul_add(word.chars().count() as f64, 8.0);
        let left = (x - width / 2.0).clamp(0.0, self.width - width);
        ChangeFlag {
            x,
            left,
            width,
            word,
        }
    }

    fn unknown(&self, now_ms: u64) -> Option<f64> {
        let begins_ms = self.recent.begins_ms.unwrap_or(now_ms);
        (begins_ms > self.recent.timeline.span.from_ms).then(|| self.x(begins_ms))
    }
}
