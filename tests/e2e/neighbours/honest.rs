//! The honest callers: each reads and orders at a steady pace, always over a new connection, and somebody asks `/health`.
//!
//! A request counts from the moment in which it was due. Each kind is asked for in lanes, so that none waits for another one
//! unless that takes longer than half a second; what a lane missed meanwhile is not made up for.

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::http::{Connection, call, request};

/// Between two reads, two orders, or two questions for `/health` in one lane.
const PACE: Duration = Duration::from_millis(500);
/// Lanes of each caller, for reads and for orders.
const LANES: u32 = 4;
/// Lanes for `/health`.
const HEALTH_LANES: u32 = 12;

/// What became of the requests of one kind.
#[derive(Default)]
pub(crate) struct Tally {
    asked: usize,
    /// Times from due to answered, of those that were answered well.
    times: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.times.extend(other.times);
    }

    /// `name asked answered p50 p99 max`, in milliseconds.
    pub(crate) fn line(mut self, name: &str) -> String {
        self.times.sort_unstable();
        let count = self.times.len();
        let part = |hundredths: usize| {
            let at = (count * hundredths).div_ceil(100).saturating_sub(1);
            let time = self.times.get(at).copied().unwrap_or(Duration::MAX);
            time.as_secs_f64().min(99.0) * 1000.0
        };
        let (asked, half, most, all) = (self.asked, part(50), part(99), part(100));
        format!("{name} {asked} {count} {half:.1} {most:.1} {all:.1}")
    }
}

/// Calls until `until`: what became of `/health`, of reads and of orders.
pub(crate) fn run(address: SocketAddr, tokens: &[String], until: Instant) -> [Tally; 3] {
    let health = request("GET /health", "", "");
    // No two runs give two orders the same name.
    let run = std::process::id();
    let mut tallies: [Tally; 3] = Default::default();
    thread::scope(|scope| {
        let mut lanes = Vec::new();
        for lane in 0..HEALTH_LANES {
            let (offset, health) = (PACE * lane / HEALTH_LANES, &health);
            let ask = move |_| ask(address, health).map(|answer| answer.contains("healthy"));
            lanes.push((0, scope.spawn(move || repeat(until, offset, ask))));
        }
        for (token, caller) in tokens.iter().zip(0_u32..) {
            for lane in 0..LANES {
                let offset = PACE * lane / LANES + PACE * caller / 50;
                let read = call(token, "private/user-balance", "{}");
                let ask = move |_| succeeds(address, &read);
                lanes.push((1, scope.spawn(move || repeat(until, offset, ask))));
                let ask = move |count| {
                    let order = order(&format!("{run}-{caller}-{lane}-{count}"));
                    succeeds(address, &call(token, "private/create-order", &order))
                };
                lanes.push((
                    2,
                    scope.spawn(move || repeat(until, offset + PACE / 8, ask)),
                ));
            }
        }
        for (kind, lane) in lanes {
            if let Some(tally) = tallies.get_mut(kind) {
                tally.add(lane.join().unwrap_or_default());
            }
        }
    });
    tallies
}

/// An order that waits in the book, because nobody sells for 1.
fn order(client_oid: &str) -> String {
    format!(
        r#"{{"instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"1","quantity":"1","client_oid":"{client_oid}"}}"#
    )
}

fn repeat(
    until: Instant,
    offset: Duration,
    mut ask: impl FnMut(usize) -> io::Result<bool>,
) -> Tally {
    let (mut tally, mut due) = (Tally::default(), Instant::now() + offset);
    while due < until {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let answered = ask(tally.asked);
        tally.asked += 1;
        if matches!(answered, Ok(true)) {
            tally.times.push(due.elapsed());
        }
        while due < Instant::now() {
            due += PACE;
        }
    }
    tally
}

fn ask(address: SocketAddr, request: &[u8]) -> io::Result<String> {
    let mut connection = Connection::open(address)?;
    connection.send(request)?;
    let answer = connection.answer()?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

fn succeeds(address: SocketAddr, call: &[u8]) -> io::Result<bool> {
    let answer = ask(address, call)?;
    Ok(answer.contains("\"status\":200") && answer.contains("\"code\":0"))
}
