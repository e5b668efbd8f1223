//! How our outbound address is watched, and which ones the operator expects.
//!
//! Guarantees: services are asked over https; a stand-in on this machine does not see our outbound address, so the
//! watch is off beside one unless services are named.

use std::{net::IpAddr, time::Duration};

use url::{Host, Url};

use super::super::{credentials::Exchange, reader::Reader};
use diagnosis::egress::Settings;
use gateway::observed::Expected;

const KEY: &str = "egress.services";
/// Services that answer with the caller's address as text.
const SERVICES: [&str; 3] = [
    "https://api.ipify.org",
    "https://checkip.amazonaws.com",
    "https://ifconfig.me/ip",
];
const INTERVAL: Duration = Duration::from_secs(300);
const DEADLINE: Duration = Duration::from_secs(4);
/// So many must agree before an address counts.
const AGREEING: usize = 2;

/// Reads the watch's settings.
pub(in super::super) fn egress(reader: &mut Reader<'_>, exchange: Exchange) -> Settings {
    let wanted = exchange == Exchange::Real || reader.is_set(KEY);
    let enabled = reader.flag("egress.enabled", wanted);
    let listed = reader.parsed(KEY, if wanted { &SERVICES } else { &[] }, service);
    let interval_s = reader.number(
        "egress.interval_s",
        usize::try_from(INTERVAL.as_secs()).unwrap_or(300),
        30..=86_400,
    );
    let interval = Duration::from_secs(interval_s as u64);
    let deadline = reader.millis("egress.deadline_ms", DEADLINE, 100..=30_000);
    let services = if enabled { listed } else { Vec::new() };
    if enabled && services.len() < AGREEING {
        let text = format!(
            "{} of them: no address is ever confirmed, two must agree",
            services.len()
        );
        reader.warn(
            KEY,
            text,
            "name at least two, or set egress.enabled = false",
        );
    }
    if deadline >= interval {
        reader.error(
            "egress.deadline_ms",
            "is not less than egress.interval_s",
            "lower it",
            None,
        );
    }
    Settings {
        services,
        interval,
        deadline,
    }
}

/// Reads the operator's statement about the key's whitelist.
pub(in super::super) fn expected(reader: &mut Reader<'_>) -> Expected {
    let key = "egress.expected";
    let items = reader.list(key, &[]);
    if items.is_empty() {
        return Expected::Unstated;
    }
    if items.iter().any(|item| item.eq_ignore_ascii_case("any")) {
        if items.len() > 1 {
            reader.error(
                key,
                "holds any beside addresses",
                "write either any or the addresses",
                None,
            );
        }
        return Expected::Any;
    }
    Expected::Listed(
        items
            .iter()
            .filter_map(|item| address(reader, key, item))
            .collect(),
    )
}

fn address(reader: &mut Reader<'_>, key: &str, text: &str) -> Option<IpAddr> {
    let Ok(address) = text.parse::<IpAddr>() else {
        let remedy = "write single addresses, as on the key's whitelist, or any";
        reader.error(key, "is no IP address", remedy, Some(text));
        return None;
    };
    if !gateway::connect::is_public(address) {
        let text = format!("{address} is not a public address: the exchange never sees it");
        reader.warn(
            key,
            text,
            "write the address that the exchange sees, as on the key's whitelist",
        );
    }
    Some(address)
}

fn service(text: &str) -> Result<Url, (String, String)> {
    let url = Url::parse(text).map_err(|_| {
        (
            "is no URL".to_owned(),
            "write it as https://api.ipify.org".to_owned(),
        )
    })?;
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "https" || url.scheme() == "http" && loopback {
        return Ok(url);
    }
    Err((
        "is not https".to_owned(),
        "an answer that anybody may change proves nothing; write https://".to_owned(),
    ))
}
