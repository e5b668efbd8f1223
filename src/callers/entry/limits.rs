//! Where and when a caller may call.

use std::net::IpAddr;

use super::{AccessRules, IpNet, Judge, OVERFLOW_UID};

impl Judge<'_> {
    pub(super) fn limits(&mut self) -> AccessRules {
        let sources = self.caller.sources.clone();
        let uids = self.caller.uids.clone();
        if sources.as_ref().is_some_and(Vec::is_empty) {
            self.fault(
                "sources",
                "the list is empty",
                "name addresses or networks, or take it out to allow all",
            );
        }
        if uids.as_ref().is_some_and(Vec::is_empty) {
            self.fault(
                "uids",
                "the list is empty",
                "name uids, or take it out to allow all",
            );
        }
        if uids
            .as_ref()
            .is_some_and(|uids| uids.contains(&OVERFLOW_UID))
        {
            let remedy = "take it out";
            self.fault(
                "uids",
                "65534 is nobody, and everybody whom a user namespace does not show",
                remedy,
            );
        }
        let expires = self.caller.expires.clone();
        AccessRules {
            sources: sources
                .unwrap_or_default()
                .iter()
                .filter_map(|text| self.network(text))
                .collect(),
            uids: uids.unwrap_or_default(),
            expires_ms: expires.and_then(|text| self.time("expires", &text)),
        }
    }

    fn network(&mut self, text: &str) -> Option<IpNet> {
        let network = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(network) = network else {
            self.fault(
                "sources",
                "an item is no address or network",
                "write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
            );
            return None;
        };
        if network.trunc() != network {
            let remedy = format!("write {}, or the address alone", network.trunc());
            self.fault("sources", "a network has bits beyond its prefix", &remedy);
        }
        if let IpNet::V6(six) = network
            && six.addr().to_ipv4_mapped().is_some()
        {
            self.fault(
                "sources",
                "addresses are compared as IPv4 here",
                "write it without ::ffff:",
            );
        }
        Some(network)
    }
}
