//! Strangers who attack a daemon, and honest callers beside them, for `run.sh` in this folder.
//!
//!     neighbours ADDRESS TOKENS SECONDS honest
//!     neighbours ADDRESS TOKENS SECONDS ATTACK…
//!
//! `TOKENS` is a file of lines `name token`. It ends by itself, whatever the daemon does. Threads and blocking sockets of
//! the standard library: what it costs is almost all the kernel's.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

mod honest;
mod http;
mod strangers;

use strangers::Attack;

/// The tokens by the name of their caller.
type Tokens = BTreeMap<String, String>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, tokens, seconds, names @ ..] = arguments.as_slice() else {
        return Err("usage: neighbours ADDRESS TOKENS SECONDS honest|ATTACK…".into());
    };
    let address: SocketAddr = address.parse()?;
    let tokens = read(tokens)?;
    let until = Instant::now() + Duration::from_secs(seconds.parse()?);
    let mut lines = Vec::new();
    if names == ["honest"] {
        let honest: Vec<_> = tokens
            .into_iter()
            .filter_map(|(name, token)| name.starts_with("honest").then_some(token))
            .collect();
        let tallies = honest::run(address, &honest, until);
        for (tally, name) in tallies.into_iter().zip(["health", "reads", "orders"]) {
            lines.push(tally.line(name));
        }
    } else {
        let mut counts = Vec::new();
        for name in names {
            let attack = Attack::find(name, &tokens).ok_or("no such attack, or no token for it")?;
            counts.push((attack.name, attack.begin(address, until)?));
        }
        thread::sleep(until.saturating_duration_since(Instant::now()));
        lines.extend(counts.iter().map(|(name, count)| count.line(name)));
    }
    let mut out = io::stdout();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    // Threads that still wait for an answer end with the process.
    Ok(())
}

fn read(path: &str) -> Result<Tokens, Box<dyn Error>> {
    let text = std::fs::read_to_string(path)?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs
        .map(|(name, token)| (name.to_owned(), token.to_owned()))
        .collect())
}
