//! Every budget of memory and of open files, and what all of them come to at the worst.
//!
//! Each number is the component's own constant or setting. `docs/limits.md` names every budget; a test compares it, and the
//! shipped unit, with what stands here. Does not: count what the exchange alone could do to us.

use std::mem::size_of;

use super::table::Settings;
use crate::{
    http::{FOR_STRANGERS, UNVERIFIED_BYTES},
    places,
};
use diagnosis::history;
use gateway::{public_calls, record::CallReport, replay};

/// Measured: what the daemon holds before anybody comes, and its tables with an entry for each source.
const PROCESS: usize = 32 << 20;
/// Measured: the state of a connection, without its buffers.
const CONNECTION: usize = 16 << 10;
/// So many callers may cancel at the same moment with the longest bodies, and leave the longest answers unread.
const CALLERS: usize = 8;
/// A call that is under way holds its body, the params, their string to sign, and the request.
const COPIES: usize = 4;
/// Texts that a report of a call, or a line of the log, holds beside its numbers.
const TEXTS: usize = 512;
/// An entry for a signature, in both of its tables.
const SIGNATURE: usize = 160;
/// Listeners, the journal, the history, the order journal, name look-ups, connections that are rejected.
const OTHER_FILES: usize = 64;

/// A budget, and what it comes to at the worst.
#[derive(Debug)]
pub(super) struct Budget {
    /// As `docs/limits.md` names it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a test compares it with the document")
    )]
    pub(super) name: &'static str,
    pub(super) bytes: usize,
    pub(super) files: usize,
}

/// Every budget, with these settings.
pub(super) fn all(settings: &Settings) -> [Budget; 11] {
    let (http, server, gateway) = (&settings.http, &settings.server, &settings.gateway);
    let connections = server.max_connections;
    let strangers = places::for_strangers(connections);
    let in_flight = gateway.most_in_flight(CALLERS);
    let idle_callers = (connections - strangers).saturating_sub(in_flight);
    let of_strangers = http.max_body_bytes.min(UNVERIFIED_BYTES);
    let lines = 2 * settings.log.queue_lines;
    let budget = |name, bytes, files| Budget { name, bytes, files };
    [
        budget("the process itself", PROCESS, OTHER_FILES),
        budget(
            "connections",
            connections * (CONNECTION + server.max_head_bytes),
            connections,
        ),
        budget("bodies of strangers", strangers * of_strangers, 0),
        budget("bodies of callers", idle_callers * http.max_body_bytes, 0),
        budget(
            "calls under way",
            in_flight * COPIES * http.max_body_bytes,
            in_flight,
        ),
        budget(
            "answers of callers",
            gateway::Settings::most_unread(connections, CALLERS, settings.upstream.max_reply_bytes),
            0,
        ),
        budget(
            "answers of strangers",
            FOR_STRANGERS,
            public_calls::MAX_IN_FLIGHT,
        ),
        // A stream takes two: the client's connection and its own to the exchange.
        budget(
            "streams",
            settings.streams.most_bytes(),
            2 * settings.streams.max_sockets,
        ),
        budget(
            "records and log lines that wait",
            history::MAX_HELD * (size_of::<CallReport>() + TEXTS) + lines * 2 * TEXTS,
            0,
        ),
        budget("the order journal", settings.orders.most_bytes(), 0),
        // Of one key; each further one that signs as often as it can has its own.
        budget(
            "signatures that were seen",
            replay::REMEMBERED * SIGNATURE,
            0,
        ),
    ]
}

/// Bytes of all together.
pub(super) fn bytes(settings: &Settings) -> usize {
    all(settings).iter().map(|budget| budget.bytes).sum()
}

/// Open files of all together.
pub(super) fn files(settings: &Settings) -> usize {
    all(settings).iter().map(|budget| budget.files).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a directive of the shipped unit, which stands there once.
    fn of_unit(name: &str) -> usize {
        let unit = include_str!("../../crypto-proxy.service");
        let mut values = unit
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = values.next().unwrap();
        assert_eq!(values.next(), None, "{name}");
        let (number, unit) = value.split_at(value.trim_end_matches(char::is_alphabetic).len());
        number.parse::<usize>().unwrap()
            * match unit {
                "" => 1,
                "M" => 1 << 20,
                "G" => 1 << 30,
                other => panic!("{other}"),
            }
    }

    fn shown(bytes: usize) -> usize {
        bytes.div_ceil(1 << 20)
    }

    #[test]
    fn all_budgets_together_fit_the_unit() {
        let settings = Settings::default();
        for budget in all(&settings) {
            println!("{budget:?}");
        }
        let (bytes, files) = (bytes(&settings), files(&settings));
        assert!(bytes <= of_unit("MemoryMax"), "{} MiB", shown(bytes));
        assert!(files <= of_unit("LimitNOFILE"), "{files} files");
    }

    #[test]
    fn the_document_names_every_budget_with_what_it_comes_to() {
        let document = include_str!("../../docs/limits.md");
        let settings = Settings::default();
        let mut rows: Vec<_> = all(&settings)
            .iter()
            .map(|budget| {
                format!(
                    "| {} | {} | {} |",
                    budget.name,
                    shown(budget.bytes),
                    budget.files
                )
            })
            .collect();
        let all = format!(
            "| all | {} | {} |",
            shown(bytes(&settings)),
            files(&settings)
        );
        rows.push(all);
        let missing: Vec<_> = rows
            .into_iter()
            .filter(|row| !document.lines().any(|line| line.starts_with(row)))
            .collect();
        assert!(
            missing.is_empty(),
            "not in docs/limits.md:\n{}",
            missing.join("\n")
        );
    }
}
