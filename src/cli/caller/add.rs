//! The policy of a new caller, as it is ordered on the command line.

use std::path::PathBuf;

use super::{Ended, when};
use crate::callers::CallerText;
use gateway::policy::Preset;

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Its name, in records and refusals: lower-case letters, digits and _ . -
    name: String,
    /// What it may do: read; trade (read and orders); full (transfers and withdrawals as well) [default: read, unless
    /// --allow says more exactly]
    #[arg(long, value_parser = ["read", "trade", "full"])]
    preset: Option<String>,
    /// A class (read, trade, products, transfer, account-admin), a method, or the beginning of methods (private/bot/*)
    #[arg(long, value_name = "WHAT")]
    allow: Vec<String>,
    /// The same, denied whatever is allowed
    #[arg(long, value_name = "WHAT")]
    deny: Vec<String>,
    /// An instrument that it may act on, and on no other than those named
    #[arg(long, value_name = "NAME")]
    instrument: Vec<String>,
    /// In spite of --instrument it may change and cancel any order by its id
    #[arg(long, requires = "instrument")]
    orders_by_id: bool,
    /// An address or network that it may call from, and from no other than those named
    #[arg(long, value_name = "CIDR")]
    source: Vec<String>,
    /// A uid that it may call as over a unix socket
    #[arg(long, value_name = "UID")]
    uid: Vec<u32>,
    /// When it ends: 2026-01-31T22:10:00Z, 2026-01-31, or so long from now: 12h, 90d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// It may ask for diagnoses, and nothing else
    #[arg(long, conflicts_with_all = ["preset", "allow", "deny", "instrument"])]
    diagnose: bool,
    /// Write what was issued into this new file, mode 0600
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

impl Arguments {
    /// As the callers file has it.
    pub(super) fn into_text(self, now_ms: u64) -> Result<CallerText, Ended> {
        let preset = match self.preset {
            None if self.allow.is_empty() && !self.diagnose => Some(Preset::Read.name().to_owned()),
            given => given,
        };
        let expires = self
            .expires
            .map(|text| when::end(&text, now_ms))
            .transpose()
            .map_err(Ended::Usage)?;
        Ok(CallerText {
            name: self.name,
            preset,
            allow: self.allow,
            deny: self.deny,
            instruments: given(self.instrument),
            orders_by_id: self.orders_by_id,
            sources: given(self.source),
            uids: given(self.uid),
            expires,
            diagnose: self.diagnose,
            ..CallerText::default()
        })
    }
}

fn given<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}
