//! The names of variables, and the known name that is nearest to a mistyped one.

/// Names the configuration file.
pub(super) const CONFIG: &str = "CRYPTO_PROXY_CONFIG";
/// The token of the default caller.
pub(super) const TOKEN: &str = "CRYPTO_PROXY_TOKEN";
/// The token that opens the diagnosis, and no API endpoint.
pub(super) const DIAG_TOKEN: &str = "CRYPTO_PROXY_DIAG_TOKEN";
/// The key's name on the dashboard.
pub(super) const LABEL: &str = "CRYPTO_API_KEY_LABEL";
/// systemd's folder of credentials.
pub(super) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// systemd's folder of state.
pub(super) const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "CRYPTO_PROXY_";
/// What a variable that stands for a setting begins with.
pub(super) const SETTING_PREFIX: &str = "CRYPTO_PROXY__";
/// The backend's own; it may stand in a file that both read.
pub(super) const OF_THE_BACKEND: &str = "CRYPTO_PROXY_URL";

/// The names of the pairs, in order of precedence.
pub(super) const PAIRS: [(&str, &str); 4] = [
    ("CRYPTO_API_KEY", "CRYPTO_API_SECRET"),
    ("EXCHANGE_CUSTOM_API_KEY", "EXCHANGE_CUSTOM_API_SECRET"),
    ("CRYPTO_COM_API_KEY", "CRYPTO_COM_API_SECRET"),
    ("CRYPTOCOM_API_KEY", "CRYPTOCOM_API_SECRET"),
];

/// Every variable that holds a secret.
pub(super) fn secrets() -> impl Iterator<Item = &'static str> {
    let pairs = PAIRS.into_iter().flat_map(|(key, secret)| [key, secret]);
    pairs.chain([TOKEN, DIAG_TOKEN])
}

/// Whether a variable holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    secrets().any(|secret| secret == name)
}

/// The variable that names a file with the value of this one.
pub(super) fn file_of(secret: &str) -> String {
    format!("{secret}_FILE")
}

/// Whether a variable names the file of a secret.
pub(super) fn is_file_of_secret(name: &str) -> bool {
    name.strip_suffix("_FILE").is_some_and(is_secret)
}

/// Whether Kubernetes sets such a variable for a service whose name begins like ours: eight of them for one with one port.
pub(super) fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let is_part_of_one = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        rest.starts_with(|char: char| char.is_ascii_digit())
            && ["_PROTO", "_PORT", "_ADDR"]
                .iter()
                .any(|part| rest.ends_with(part))
    });
    is_part_of_one
        || is_address && name.contains("_PORT")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_SERVICE_HOST")
}

/// Whether the name of another program's variable suggests a secret, and not the place of one.
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
    fn what_kubernetes_sets_is_known_by_its_shape() {
        let of_kubernetes = [
            ("CRYPTO_PROXY_SERVICE_HOST", "10.96.0.7"),
            ("CRYPTO_PROXY_SERVICE_PORT", "9000"),
            ("CRYPTO_PROXY_SERVICE_PORT_HTTP", "9000"),
            ("CRYPTO_PROXY_PORT", "tcp://10.96.0.7:9000"),
            ("CRYPTO_PROXY_PORT_9000_TCP", "tcp://10.96.0.7:9000"),
            ("CRYPTO_PROXY_PORT_9000_TCP_PROTO", "tcp"),
            ("CRYPTO_PROXY_PORT_9000_TCP_PORT", "9000"),
            ("CRYPTO_PROXY_PORT_9000_TCP_ADDR", "10.96.0.7"),
        ];
        for (name, value) in of_kubernetes {
            assert!(is_of_kubernetes(name, value), "{name}={value}");
        }
        for name in [
            "CRYPTO_PROXY_PORT",
            "CRYPTO_PROXY_PORT_TCP",
            "CRYPTO_PROXY_HOST",
        ] {
            assert!(!is_of_kubernetes(name, "9000"), "{name}");
        }
    }

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
