//! The attackers. Each attack is a number of threads that do one thing again and again until the end.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gateway::clock::Clock;

use crate::{
    Tokens,
    http::{Connection, call, request},
};

/// After a connection that was not taken, or was taken away, a thread rests: it would only heat the machine.
const REST: Duration = Duration::from_millis(20);
/// Each of the thousand that sign asks so often: 5,000 bodies of 32 kB a second are more than a gigabit.
const SIGNED_EVERY: Duration = Duration::from_millis(200);
/// What a slow reader takes at a time, and how often: just above the pace that the listener asks for.
const SIP: usize = 16 << 10;
const SIP_EVERY: Duration = Duration::from_millis(1500);
/// Requests that are sent at once where a connection is kept.
const AT_ONCE: usize = 16;
/// The stack of a thread: there are thousands.
const STACK: usize = 128 << 10;

/// What came of an attack.
#[derive(Default)]
pub(crate) struct Count {
    /// Requests that were answered, frames that were sent, connections that were made with half a request.
    done: AtomicU64,
    /// Answers with a status of success.
    good: AtomicU64,
    /// Answers that say no.
    refused: AtomicU64,
    /// Connections that failed, or were closed.
    closed: AtomicU64,
}

impl Count {
    fn answered(&self, status: u16) {
        self.done.fetch_add(1, Ordering::Relaxed);
        let counter = if status < 400 {
            &self.good
        } else {
            &self.refused
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// `name done good refused closed`.
    pub(crate) fn line(&self, name: &str) -> String {
        let [done, good, refused, closed] = [&self.done, &self.good, &self.refused, &self.closed]
            .map(|counter| counter.load(Ordering::Relaxed));
        format!("{name} {done} {good} {refused} {closed}")
    }
}

/// One attack: how many threads, and what each of them does once. An error is a connection that ended.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    threads: usize,
    once: Once,
}

type Once = Arc<dyn Fn(SocketAddr, Instant, &Count) -> io::Result<()> + Send + Sync>;

impl Attack {
    /// The attack of this name.
    pub(crate) fn find(name: &str, tokens: &Tokens) -> Option<Self> {
        let (reader, expired) = (tokens.get("reader")?, tokens.get("expired")?);
        let balance = |token| call(token, "private/user-balance", "{}");
        let big = request("GET /exchange/v1/public/get-instruments", "", "");
        Some(match name {
            // Nobody knows who these are.
            "signed" => Self::new("signed", 1000, each(SIGNED_EVERY, alone(signed()))),
            "frames" => Self::new("frames", 120, frames()),
            "slow" => Self::new("slow", 126, slowly(big)),
            "half" => Self::new("half", 22, half()),
            "guess" => Self::new("guess", 64, alone(balance("invented-guess-0123456789"))),
            "beats" => Self::new("beats", 8, beats()),
            // These are callers.
            "expired" => Self::new("expired", 16, together(&balance(expired))),
            "forbidden" => {
                let order = call(reader, "private/create-order", "{}");
                Self::new("forbidden", 16, together(&order))
            }
            "reads" => Self::new("reads", 16, together(&balance(reader))),
            "waits" => Self::new(
                "waits",
                280,
                one_by_one(call(reader, "private/get-trades", "{}")),
            ),
            "unread" => Self::new(
                "unread",
                280,
                slowly(call(reader, "private/get-transactions", "{}")),
            ),
            _ => return None,
        })
    }

    fn new(name: &'static str, threads: usize, once: Once) -> Self {
        Self {
            name,
            threads,
            once,
        }
    }

    /// Begins; the threads end soon after `until`, or with the process.
    pub(crate) fn begin(self, address: SocketAddr, until: Instant) -> io::Result<Arc<Count>> {
        let count = Arc::new(Count::default());
        for _ in 0..self.threads {
            let (once, count) = (Arc::clone(&self.once), Arc::clone(&count));
            let again = move || {
                while Instant::now() < until {
                    if once(address, until, &count).is_err() {
                        count.closed.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(REST);
                    }
                }
            };
            thread::Builder::new().stack_size(STACK).spawn(again)?;
        }
        Ok(count)
    }
}

/// The same, at most once in so long.
fn each(pace: Duration, once: Once) -> Once {
    Arc::new(move |address, until, count| {
        let next = Instant::now() + pace;
        let done = once(address, until, count);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        done
    })
}

/// One request over a connection of its own.
fn alone(request: Vec<u8>) -> Once {
    Arc::new(move |address, _, count| {
        let mut connection = Connection::open(address)?;
        connection.send(&request)?;
        count.answered(connection.answer()?.status);
        Ok(())
    })
}

/// One request after another over a connection that is kept.
fn one_by_one(request: Vec<u8>) -> Once {
    Arc::new(move |address, until, count| {
        let mut connection = Connection::open(address)?;
        while Instant::now() < until {
            connection.send(&request)?;
            count.answered(connection.answer()?.status);
        }
        Ok(())
    })
}

/// Many requests at once over a connection that is kept.
fn together(request: &[u8]) -> Once {
    let many = request.repeat(AT_ONCE);
    Arc::new(move |address, until, count| {
        let mut connection = Connection::open(address)?;
        while Instant::now() < until {
            connection.send(&many)?;
            for _ in 0..AT_ONCE {
                count.answered(connection.answer()?.status);
            }
        }
        Ok(())
    })
}

/// A request whose answer is read as slowly as it may be.
fn slowly(request: Vec<u8>) -> Once {
    Arc::new(move |address, until, count| {
        let mut connection = Connection::open(address)?;
        connection.send(&request)?;
        let (status, length) = connection.head()?;
        count.answered(status);
        let mut left = if status < 400 { length } else { 0 };
        while left > 0 && Instant::now() < until {
            left = left.saturating_sub(connection.discard(SIP)?.max(1));
            thread::sleep(SIP_EVERY);
        }
        Ok(())
    })
}

/// Fifty connections with half a request each; one that is closed is made again.
fn half() -> Once {
    const EACH: usize = 50;
    Arc::new(|address, until, count| {
        let mut held: Vec<Connection> = Vec::new();
        while Instant::now() < until {
            let before = held.len();
            held.retain(|one| !one.is_closed());
            let closed = (before - held.len()) as u64;
            count.closed.fetch_add(closed, Ordering::Relaxed);
            while held.len() < EACH {
                let mut connection = Connection::open(address)?;
                connection.send(b"POST /proxy/private HTTP/1.1\r\nHost: local")?;
                count.done.fetch_add(1, Ordering::Relaxed);
                held.push(connection);
            }
            thread::sleep(REST);
        }
        Ok(())
    })
}

/// A market socket without a token, and frames of 120 kB that ask for channels.
fn frames() -> Once {
    let channels = ["\"ticker.BTC_USD\""; 7000].join(",");
    let frame = frame(&format!(
        r#"{{"id":1,"method":"subscribe","params":{{"channels":[{channels}]}}}}"#
    ));
    Arc::new(move |address, until, count| {
        let mut connection = Connection::open(address)?;
        if agree(&mut connection, count)? {
            while Instant::now() < until {
                connection.send(&frame)?;
                count.done.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    })
}

/// A market socket without a token, with answers to heartbeats that nobody asked for, and subscriptions.
fn beats() -> Once {
    let beat = frame(r#"{"id":1,"method":"public/respond-heartbeat"}"#);
    let channels = r#"{"id":1,"method":"subscribe","params":{"channels":["ticker.BTC_USD"]}}"#;
    let both = [beat, frame(channels)].concat().repeat(AT_ONCE);
    Arc::new(move |address, until, count| {
        let mut connection = Connection::open(address)?;
        if agree(&mut connection, count)? {
            while Instant::now() < until {
                connection.send(&both)?;
                count.done.fetch_add(2 * AT_ONCE as u64, Ordering::Relaxed);
                if connection.discard(64 << 10)? == 0 {
                    break;
                }
            }
        }
        Ok(())
    })
}

/// Opens a market socket; whether it was agreed to.
fn agree(connection: &mut Connection, count: &Count) -> io::Result<bool> {
    let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    connection.send(&request("GET /exchange/v1/market", headers, ""))?;
    let (status, _) = connection.head()?;
    count.answered(status);
    if status != 101 {
        thread::sleep(REST);
    }
    Ok(status == 101)
}

/// A text frame of a client, under a mask of zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..126), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A signed call of almost 32 KiB in nested lists, whose key nobody has. It stays within what is judged at all.
fn signed() -> Vec<u8> {
    let value = format!("\"{}\"", "x".repeat(29));
    let (open, close) = ("[".repeat(6), "]".repeat(6));
    let lists = format!("{open}{}{close}", vec![value; 1000].join(","));
    let now_ms = Clock::system().now_ms();
    let sig = "0".repeat(64);
    let body = format!(
        "{{\"id\":1,\"method\":\"private/get-order-detail\",\"api_key\":\"invented-key-of-nobody-0123456789\",\
         \"params\":{{\"a\":{lists}}},\"nonce\":{now_ms},\"sig\":\"{sig}\"}}"
    );
    request("POST /exchange/v1/private/get-order-detail", "", &body)
}
