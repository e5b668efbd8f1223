//! Which address the exchange sees us from, watched in the background.
//!
//! Several services are asked in parallel: at start, at every interval, and soon after somebody pulled the [`Trigger`].
//! Guarantees: an address is taken for ours only where at least two services agree; a change, and an address that the
//! operator does not expect, are said once each, before the first call fails for it; nothing here is in the path of a
//! call. Does not: say anything about the whitelist itself, which only the exchange knows.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use gateway::{
    connect::Resolver,
    observed::Observed,
    upstream::{self, ClientProblem},
};

mod announce;
mod services;
#[cfg(test)]
mod tests;

use announce::Announcer;
pub use services::Reading;
use services::{NoAnswer, agree, ask};

/// Measurements that somebody asked for are at least this far apart.
const TRIGGERED_AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// How our outbound address is watched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Services that answer with the caller's address as text; empty switches the watch off. At least two must agree.
    pub services: Vec<Url>,
    /// Time between measurements.
    pub interval: Duration,
    /// One service must answer within this time.
    pub deadline: Duration,
}

impl Settings {
    /// No watch.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            services: Vec::new(),
            interval: Duration::from_secs(300),
            deadline: Duration::from_secs(4),
        }
    }
}

/// Asks for a measurement soon, and tells when one confirmed an address. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trigger {
    wanted: Arc<Notify>,
    confirmed: watch::Receiver<Option<Instant>>,
}

impl Trigger {
    /// A trigger whose other end the test holds: what it asks, and what it is told.
    #[cfg(test)]
    pub(super) fn held_by_a_test() -> (Self, Arc<Notify>, watch::Sender<Option<Instant>>) {
        let (sender, confirmed) = watch::channel(None);
        let wanted = Arc::<Notify>::default();
        (
            Self {
                wanted: Arc::clone(&wanted),
                confirmed,
            },
            wanted,
            sender,
        )
    }

    /// Asks for a measurement: at once, but at most once a minute, then as soon as the minute is over. Never waits.
    pub fn remeasure(&self) {
        self.wanted.notify_one();
    }

    /// When the last measurement that confirmed an address began; changes with each. Closed once the watch has ended.
    #[must_use]
    pub fn confirmed(&self) -> watch::Receiver<Option<Instant>> {
        self.confirmed.clone()
    }
}

/// The watch, to be run as a task of its own.
#[derive(Debug)]
pub struct Watch {
    settings: Settings,
    observed: Arc<Observed>,
    client: reqwest::Client,
    calls: Option<Calls>,
    wanted: Arc<Notify>,
    confirmed: watch::Sender<Option<Instant>>,
    announcer: Announcer,
}

/// Where calls go, and how services are asked where they leave by IPv6.
#[derive(Debug)]
struct Calls {
    host: String,
    resolver: Resolver,
    services: Vec<Url>,
    over_ipv6: reqwest::Client,
}

impl Watch {
    /// Prepares to ask the services; two entries for the same host and port count as one service. `ca_file` holds the
    /// trust roots as PEM; `None` takes the system's bundle.
    ///
    /// # Errors
    /// [`ClientProblem`] where a service is neither https nor on loopback, or no client could be set up.
    pub fn new(
        mut settings: Settings,
        observed: Arc<Observed>,
        resolver: Resolver,
        ca_file: Option<&Path>,
    ) -> Result<Self, ClientProblem> {
        keep_one_per_origin(&mut settings.services);
        let client =
            upstream::service_client(&settings.services, settings.deadline, ca_file, resolver)?;
        let (wanted, confirmed) = (Arc::default(), watch::channel(None).0);
        Ok(Self {
            settings,
            observed,
            client,
            calls: None,
            wanted,
            confirmed,
            announcer: Announcer::default(),
        })
    }

    /// Measures the family by which calls to this host leave, and not the other one: a whitelist holds single addresses.
    ///
    /// # Errors
    /// [`ClientProblem`], as [`Watch::new`].
    pub fn of_calls_to(
        mut self,
        host: &str,
        resolver: Resolver,
        ca_file: Option<&Path>,
    ) -> Result<Self, ClientProblem> {
        let services = over_ipv6(&self.settings.services);
        let over_ipv6 = upstream::service_client(
            &services,
            self.settings.deadline,
            ca_file,
            resolver.over_ipv6(),
        )?;
        self.calls = Some(Calls {
            host: host.to_owned(),
            resolver,
            services,
            over_ipv6,
        });
        Ok(self)
    }

    /// A handle that asks this watch for measurements.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        Trigger {
            wanted: Arc::clone(&self.wanted),
            confirmed: self.confirmed.subscribe(),
        }
    }

    /// Watches until `shutdown`; returns at once where there is no service to ask.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if !self.settings.services.is_empty() {
            shutdown.run_until_cancelled(self.watch()).await;
        }
    }

    async fn watch(&mut self) {
        let mut triggered = None;
        loop {
            self.measure().await;
            self.next_turn(&mut triggered).await;
        }
    }

    /// Waits for the interval to pass, or for a trigger; `triggered` is when one last came through.
    async fn next_turn(&self, triggered: &mut Option<Instant>) {
        let wanted = async {
            self.wanted.notified().await;
            if let Some(last) = *triggered {
                time::sleep_until(last + TRIGGERED_AT_MOST_EVERY).await;
            }
        };
        if time::timeout(self.settings.interval, wanted).await.is_ok() {
            *triggered = Some(Instant::now());
        }
    }

    async fn measure(&mut self) {
        let began = Instant::now();
        let Settings {
            services, deadline, ..
        } = &self.settings;
        let answers = match &self.calls {
            Some(calls) if calls.leave_by_ipv6(*deadline).await => {
                ask_all(&calls.over_ipv6, &calls.services, *deadline).await
            }
            _ => ask_all(&self.client, services, *deadline).await,
        };
        let reading = agree(&answers);
        let confirmed = matches!(reading, Reading::Confirmed { .. });
        self.announcer.take(reading, &self.observed);
        if confirmed {
            self.confirmed.send_replace(Some(began));
        }
    }
}

impl Calls {
    /// Whether they leave by IPv6. A name service that says nothing in time says nothing new.
    async fn leave_by_ipv6(&self, deadline: Duration) -> bool {
        let asked = self.resolver.leaves_by_ipv6(&self.host);
        time::timeout(deadline, asked).await.unwrap_or(false)
    }
}

/// The services that may be reached over IPv4.
pub(crate) fn over_ipv4(services: &[Url]) -> Vec<Url> {
    but_for(services, |host| matches!(host, Host::Ipv6(_)))
}

/// The services that may be reached over IPv6.
pub(crate) fn over_ipv6(services: &[Url]) -> Vec<Url> {
    but_for(services, |host| matches!(host, Host::Ipv4(_)))
}

fn but_for(services: &[Url], is_other: impl Fn(Host<&str>) -> bool) -> Vec<Url> {
    let may = |service: &&Url| !service.host().is_some_and(&is_other);
    services.iter().filter(may).cloned().collect()
}

/// Measures once, by itself: for a diagnosis without a daemon.
///
/// # Errors
/// [`ClientProblem`], as [`Watch::new`].
pub async fn measure_once(
    services: &[Url],
    deadline: Duration,
    resolver: Resolver,
    ca_file: Option<&Path>,
) -> Result<Reading, ClientProblem> {
    let mut services = services.to_vec();
    keep_one_per_origin(&mut services);
    let client = upstream::service_client(&services, deadline, ca_file, resolver)?;
    Ok(agree(&ask_all(&client, &services, deadline).await))
}

fn keep_one_per_origin(services: &mut Vec<Url>) {
    let mut origins = Vec::new();
    services.retain(|service| {
        let new = !origins.contains(&service.origin());
        origins.push(service.origin());
        new
    });
}

async fn ask_all(client: &reqwest::Client, services: &[Url], deadline: Duration) -> Vec<IpAddr> {
    let mut asked = JoinSet::new();
    for service in services {
        let (client, service) = (client.clone(), service.clone());
        asked.spawn(async move {
            let answer = time::timeout(deadline, ask(&client, &service)).await;
            let answer = answer.unwrap_or(Err(NoAnswer::NotReached));
            if let Err(problem) = answer {
                tracing::debug!("{} {problem}", service.host_str().unwrap_or_default());
            }
            answer.ok()
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = asked.join_next().await {
        // A service whose task panicked has no voice; the panic hook has said so.
        answers.extend(answer.ok().flatten());
    }
    answers
}
