//! The names that this daemon listens to: variables, their aliases, and the settings of the configuration file.
//!
//! Guarantees: every name stands here once; what is near to one of them and is none is found and said.

/// Names the configuration file.
pub(super) const CONFIG: &str = "CRYPTO_PROXY_CONFIG";
/// The token of the default caller.
pub(super) const TOKEN: &str = "CRYPTO_PROXY_TOKEN";
/// The token that opens the diagnosis, and no API door.
pub(super) const DIAG_TOKEN: &str = "CRYPTO_PROXY_DIAG_TOKEN";
/// The key's name on the dashboard.
pub(super) const LABEL: &str = "CRYPTO_API_KEY_LABEL";
/// systemd's folder of credentials.
pub(super) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// systemd's folder of state.
pub(super) const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// The alias of `CRYPTO_EXPECTED_IP`, outside our own name space.
const AWS_INSTANCE_IP: &str = "AWS_INSTANCE_IP";
/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "CRYPTO_PROXY_";
/// What a variable that stands for a setting begins with.
pub(super) const SETTING_PREFIX: &str = "CRYPTO_PROXY__";
/// The backend's own; it may stand in a file that both read.
const OF_THE_BACKEND: &str = "CRYPTO_PROXY_URL";

/// The pairs, in the order they are looked for.
pub(super) const PAIRS: [(&str, &str); 4] = [
    ("CRYPTO_API_KEY", "CRYPTO_API_SECRET"),
    ("EXCHANGE_CUSTOM_API_KEY", "EXCHANGE_CUSTOM_API_SECRET"),
    ("CRYPTO_COM_API_KEY", "CRYPTO_COM_API_SECRET"),
    ("CRYPTOCOM_API_KEY", "CRYPTOCOM_API_SECRET"),
];

/// Every variable that holds a secret.
pub(super) const SECRETS: [&str; 10] = [
    "CRYPTO_API_KEY",
    "CRYPTO_API_SECRET",
    "EXCHANGE_CUSTOM_API_KEY",
    "EXCHANGE_CUSTOM_API_SECRET",
    "CRYPTO_COM_API_KEY",
    "CRYPTO_COM_API_SECRET",
    "CRYPTOCOM_API_KEY",
    "CRYPTOCOM_API_SECRET",
    TOKEN,
    DIAG_TOKEN,
];

/// Variables with a name of their own that stand for a setting; of two for one setting the first wins.
pub(super) const NAMED: [(&str, &str); 6] = [
    ("CRYPTO_REST_BASE", "upstream.base_url"),
    ("EXCHANGE_CUSTOM_BASE_URL", "upstream.base_url"),
    ("CRYPTO_PROXY_LISTEN", "listen"),
    ("CRYPTO_AUTH_DIAG", "calls.signing_lines"),
    ("CRYPTO_EXPECTED_IP", "egress.expected"),
    (AWS_INSTANCE_IP, "egress.expected"),
];

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Flag,
    Text,
    /// A list of texts; one text stands for a list of one.
    List,
}

impl Kind {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Number => "a whole number without quotes",
            Self::Flag => "true or false, without quotes",
            Self::Text => "a text in quotes",
            Self::List => "a list of texts, as [\"one\", \"two\"]",
        }
    }
}

/// Every setting of the configuration file.
pub(super) const SETTINGS: [(&str, Kind); 50] = [
    ("listen", Kind::List),
    ("allowed_hosts", Kind::List),
    ("upstream.base_url", Kind::Text),
    ("upstream.allow_unknown_base", Kind::Text),
    ("upstream.connect_deadline_ms", Kind::Number),
    ("upstream.max_reply_bytes", Kind::Number),
    ("upstream.ca_file", Kind::Text),
    ("upstream.idle_timeout_ms", Kind::Number),
    ("upstream.stream_url", Kind::Text),
    ("streams.max_sockets", Kind::Number),
    ("streams.max_per_caller", Kind::Number),
    ("streams.max_commands", Kind::Number),
    ("streams.max_frame_bytes", Kind::Number),
    ("streams.max_message_bytes", Kind::Number),
    ("streams.max_waiting_bytes", Kind::Number),
    ("streams.login_deadline_ms", Kind::Number),
    ("calls.deadline_ms", Kind::Number),
    ("calls.max_in_flight", Kind::Number),
    ("calls.order_list_exec_inst", Kind::Text),
    ("calls.signing_lines", Kind::Flag),
    ("listener.max_connections", Kind::Number),
    ("listener.first_request_deadline_ms", Kind::Number),
    ("listener.idle_deadline_ms", Kind::Number),
    ("listener.max_headers", Kind::Number),
    ("listener.max_head_bytes", Kind::Number),
    ("listener.max_body_bytes", Kind::Number),
    ("listener.body_deadline_ms", Kind::Number),
    ("listener.drain_deadline_ms", Kind::Number),
    ("listener.socket_group", Kind::Text),
    ("exchange_v1.deadline_ms", Kind::Number),
    ("public.sources", Kind::List),
    ("public.calls_per_s", Kind::Number),
    ("policy.allow_classes", Kind::List),
    ("policy.deny_classes", Kind::List),
    ("policy.allow_methods", Kind::List),
    ("policy.deny_methods", Kind::List),
    ("callers.file", Kind::Text),
    ("egress.enabled", Kind::Flag),
    ("egress.services", Kind::List),
    ("egress.interval_s", Kind::Number),
    ("egress.deadline_ms", Kind::Number),
    ("egress.expected", Kind::List),
    ("reach.enabled", Kind::Flag),
    ("reach.interval_s", Kind::Number),
    ("history.enabled", Kind::Flag),
    ("history.max_calls", Kind::Number),
    ("history.max_age_days", Kind::Number),
    ("log.sink", Kind::Text),
    ("log.level", Kind::Text),
    ("log.queue_lines", Kind::Number),
];

/// The kind of a setting, if there is such a one.
pub(super) fn kind_of(key: &str) -> Option<Kind> {
    SETTINGS
        .iter()
        .find(|(known, _)| *known == key)
        .map(|(_, kind)| *kind)
}

/// The variable that stands for a setting.
pub(super) fn variable_of(key: &str) -> String {
    format!("{SETTING_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Whether a variable holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.contains(&name)
}

/// Whether the name of somebody else's variable says that it holds a secret, and not where one is.
pub(super) fn seems_secret(name: &str) -> bool {
    let upper = name.to_uppercase();
    let kinds = [
        "SECRET",
        "TOKEN",
        "PASSWORD",
        "PASSWD",
        "API_KEY",
        "PRIVATE_KEY",
    ];
    let places = ["LABEL", "FILE", "PATH", "URL", "NAME", "_ID"];
    kinds.iter().any(|kind| upper.contains(kind))
        && !places.iter().any(|place| upper.ends_with(place))
}

/// Whether a variable means something to us.
pub(super) fn is_ours(name: &str) -> bool {
    let named = NAMED.iter().any(|(known, _)| *known == name);
    let of_setting = SETTINGS.iter().any(|(key, _)| variable_of(key) == name);
    is_secret(name) || named || of_setting || [LABEL, CONFIG, OF_THE_BACKEND].contains(&name)
}

/// Whether the daemon listens to a variable itself.
pub(super) fn is_read_by_daemon(name: &str) -> bool {
    is_ours(name) && name != OF_THE_BACKEND
}

/// Whether a variable is meant for us, or might be.
pub(super) fn may_be_ours(name: &str) -> bool {
    let upper = name.to_uppercase();
    ["CRYPTO", "EXCHANGE_CUSTOM", "AWS_INSTANCE"]
        .iter()
        .any(|begin| upper.starts_with(begin))
}

/// The known name that is nearest to a mistyped one, and how many characters lie between. At most a third of the
/// characters may differ: no suggestion is better than a far-fetched one.
pub(super) fn nearest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<(&'a str, usize)> {
    let lower = name.to_lowercase();
    let distances = known
        .into_iter()
        .map(|known| (known, strsim::levenshtein(&lower, &known.to_lowercase())));
    let (known, distance) = distances.min_by_key(|(_, distance)| *distance)?;
    if distance * 3 <= name.chars().count() {
        Some((known, distance))
    } else {
        None
    }
}

/// `did you mean X?`, or the fallback.
pub(super) fn suggestion<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    nearest(name, known).map_or_else(
        || otherwise.to_owned(),
        |(near, _)| format!("did you mean {near}?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognised_and_a_stranger_is_not() {
        let known = ["CRYPTO_PROXY_TOKEN", "CRYPTO_PROXY_LISTEN"];
        assert_eq!(
            nearest("CRYPTO_PROXY_TOKKEN", known),
            Some(("CRYPTO_PROXY_TOKEN", 1))
        );
        assert_eq!(nearest("something_else", known), None);
        assert_eq!(suggestion("listn", ["listen"], "-"), "did you mean listen?");
    }
}
