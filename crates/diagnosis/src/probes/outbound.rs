//! The address that services see, IPv4 and IPv6 apart.
//!
//! Guarantees: the agreement and the services of the address watch; IPv6 is asked only where a service has a name that
//! could have such an address. Does not: know what the exchange sees; services are the nearest thing to it.

use std::time::{Duration, Instant};

use url::{Host, Url};

use super::{Finding, Probe, Ready, Run, Seen};
use crate::egress::{self, Reading};

/// Measures both families side by side.
pub(super) async fn measure(run: Run<'_>, ready: &Ready) -> Vec<Finding> {
    if !run.is_wanted(Probe::Outbound) {
        return Vec::new();
    }
    let services = &ready.egress.services;
    let named = |service: &&Url| matches!(service.host(), Some(Host::Domain(_) | Host::Ipv6(_)));
    let over_ipv6: Vec<Url> = services.iter().filter(named).cloned().collect();
    let (ipv4, ipv6) = tokio::join!(
        ask(run, ready, Probe::Outbound, services),
        ask(run, ready, Probe::OutboundIpv6, &over_ipv6)
    );
    vec![ipv4, ipv6]
}

async fn ask(run: Run<'_>, ready: &Ready, probe: Probe, services: &[Url]) -> Finding {
    if services.is_empty() {
        return run.found(
            probe,
            Seen::Skipped("no service is configured to ask (egress.services)"),
            Duration::ZERO,
        );
    }
    let resolver = &run.plan.resolver;
    let resolver = if probe == Probe::OutboundIpv6 {
        resolver.over_ipv6()
    } else {
        resolver.clone()
    };
    let (began, patience) = (Instant::now(), run.patience());
    let deadline = ready.egress.deadline.min(patience);
    let measured = egress::measure_once(
        services,
        deadline,
        resolver,
        ready.upstream.ca_file.as_deref(),
    );
    let seen = match tokio::time::timeout(patience, measured).await {
        Ok(Ok(reading)) => Seen::Outbound(reading),
        Ok(Err(problem)) => Seen::NotPrepared(problem.to_string()),
        Err(_) => Seen::Outbound(Reading::Silence),
    };
    run.found(probe, seen, began.elapsed())
}
