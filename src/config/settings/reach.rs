//! How the way to the exchange is watched.
//!
//! Guarantees: beside a stand-in on this machine the watch is off unless it is switched on: it would count among what the
//! stand-in is asked.

use std::time::Duration;

use super::super::{credentials::Exchange, reader::Reader};
use diagnosis::reach::Settings;

/// Reads the watch's settings.
pub(super) fn watch_of_the_way(reader: &mut Reader<'_>, exchange: Exchange) -> Settings {
    let enabled = reader.flag("reach.enabled", exchange == Exchange::Real);
    let default = usize::try_from(Settings::off().interval.as_secs()).unwrap_or(300);
    let interval_s = reader.number("reach.interval_s", default, 30..=86_400);
    Settings {
        enabled,
        interval: Duration::from_secs(interval_s as u64),
    }
}
