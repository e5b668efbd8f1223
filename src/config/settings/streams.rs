//! Where the exchange's streams are, and how many clients may have how much of them.

use super::super::reader::Reader;
use gateway::{
    stream::{Limits, Settings, StreamBase},
    upstream::BaseUrl,
};

const KEY: &str = "upstream.stream_url";

/// Reads them.
pub(super) fn streams(reader: &mut Reader<'_>, base: &BaseUrl) -> Settings {
    let default = Settings::new(place(reader, base));
    let waiting = reader.number(
        "streams.max_waiting_bytes",
        default.max_waiting.bytes,
        16 << 10..=1 << 30,
    );
    Settings {
        max_sockets: reader.number("streams.max_sockets", default.max_sockets, 0..=65_536),
        max_per_caller: reader.number("streams.max_per_caller", default.max_per_caller, 1..=65_536),
        max_commands: reader.number("streams.max_commands", default.max_commands, 1..=4096),
        max_frame_bytes: reader.number(
            "streams.max_frame_bytes",
            default.max_frame_bytes,
            1024..=4 << 20,
        ),
        max_upstream_bytes: reader.number(
            "streams.max_message_bytes",
            default.max_upstream_bytes,
            4096..=64 << 20,
        ),
        login_deadline: reader.millis(
            "streams.login_deadline_ms",
            default.login_deadline,
            100..=60_000,
        ),
        max_waiting: Limits {
            bytes: waiting,
            ..default.max_waiting
        },
        ..default
    }
}

fn place(reader: &mut Reader<'_>, base: &BaseUrl) -> Option<StreamBase> {
    let beside = StreamBase::beside(base);
    let Some(text) = reader.text(KEY) else {
        // Not the URL itself: what was pasted into the base URL would be shown by it.
        reader.show(
            KEY,
            if beside.is_some() {
                "beside upstream.base_url"
            } else {
                "none: no streams"
            },
        );
        return beside;
    };
    let allowed = reader.peek("upstream.allow_unknown_base");
    match StreamBase::parse(&text, base, allowed.as_deref()) {
        Ok(named) => {
            reader.show(KEY, &named.to_string());
            Some(named)
        }
        Err(problem) => {
            // A URL may hold a password, so it is not shown.
            reader.error(
                KEY,
                problem.to_string(),
                "leave it out to take the documented one",
                None,
            );
            reader.show(KEY, "not usable");
            None
        }
    }
}
