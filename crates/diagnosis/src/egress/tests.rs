//! The watch against services on loopback that answer as told.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Mutex,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;
use crate::lines::Lines;
use gateway::observed::Expected;

const HOME: &str = "203.0.113.7";
const AWAY: &str = "198.51.100.4";

/// A service whose next answers can be changed.
#[derive(Clone)]
struct Service {
    at: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
}

impl Service {
    /// Answers with `body`.
    async fn says(body: &str) -> Self {
        Self::answers(Some(page("200 OK", body))).await
    }

    /// Takes connections and says nothing.
    async fn hangs() -> Self {
        Self::answers(None).await
    }

    async fn answers(raw: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            at: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(raw)),
        };
        let answer = Arc::clone(&service.answer);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let text = answer.lock().unwrap().clone();
                if let Some(text) = text {
                    let _ = stream.read(&mut [0; 1024]).await;
                    let _ = stream.write_all(text.as_bytes()).await;
                } else {
                    open.push(stream);
                }
            }
        });
        service
    }

    fn now_says(&self, body: &str) {
        *self.answer.lock().unwrap() = Some(page("200 OK", body));
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://{}/", self.at)).unwrap()
    }
}

fn page(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn settings(services: &[Service]) -> Settings {
    Settings {
        services: services.iter().map(Service::url).collect(),
        interval: Duration::from_secs(3600),
        deadline: Duration::from_secs(10),
    }
}

fn watch_of(services: &[Service], expected: Expected) -> Watch {
    let observed = Arc::new(Observed::new(expected));
    Watch::new(settings(services), observed, Resolver::system(), None).unwrap()
}

/// What one measurement of these services confirms.
async fn confirmed_by(services: &[Service]) -> Option<IpAddr> {
    let mut watch = watch_of(services, Expected::Unstated);
    watch.measure().await;
    watch.observed.outbound().map(|seen| seen.address)
}

#[tokio::test]
async fn two_services_that_agree_confirm_an_address_and_one_does_not() {
    let (one, two) = (
        Service::says(&format!("{HOME}\n")).await,
        Service::says(HOME).await,
    );
    assert_eq!(confirmed_by(&[one.clone(), two]).await, Some(ip(HOME)));
    assert_eq!(confirmed_by(std::slice::from_ref(&one)).await, None);
    // The same service under two paths has one voice.
    let mut watch = watch_of(&[one.clone(), one.clone()], Expected::Unstated);
    watch.measure().await;
    assert_eq!(watch.observed.outbound(), None);
}

#[tokio::test]
async fn an_answer_that_is_not_one_address_has_no_voice() {
    let good = Service::says(HOME).await;
    let long = format!("{HOME}{}", " ".repeat(256));
    let mut wrong = Vec::new();
    for answer in [
        page("200 OK", &format!("<html>{HOME}</html>")),
        page("200 OK", &long),
        page("200 OK", ""),
        page("503 Service Unavailable", HOME),
        "garbage\r\n\r\n".to_owned(),
    ] {
        let bad = Service::answers(Some(answer.clone())).await;
        let third = Service::says(HOME).await;
        let found = [
            confirmed_by(&[good.clone(), bad.clone()]).await,
            confirmed_by(&[good.clone(), bad, third]).await,
        ];
        if found != [None, Some(ip(HOME))] {
            wrong.push((answer, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (good, target) = (Service::says(HOME).await, Service::says(HOME).await);
    let moved = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        target.url()
    );
    let redirect = Service::answers(Some(moved)).await;
    assert_eq!(confirmed_by(&[good, redirect]).await, None);
}

#[tokio::test]
async fn a_service_that_hangs_or_is_gone_does_not_hold_up_the_others() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let gone = Service {
        at: gone,
        answer: Arc::default(),
    };
    let (one, two) = (Service::says(HOME).await, Service::says(HOME).await);
    let services = [Service::hangs().await, gone, one, two];
    let short = Settings {
        deadline: Duration::from_millis(700),
        ..settings(&services)
    };
    let observed = Arc::new(Observed::default());
    let mut watch = Watch::new(short, Arc::clone(&observed), Resolver::system(), None).unwrap();
    let began = Instant::now();
    watch.measure().await;
    assert_eq!(observed.outbound().map(|seen| seen.address), Some(ip(HOME)));
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "the deadline did not end the service that hangs"
    );
}

#[tokio::test]
async fn a_change_is_said_once_with_the_address_before() {
    let services = [Service::says(HOME).await, Service::says(HOME).await];
    let mut watch = watch_of(&services, Expected::Unstated);
    let lines = Lines::listen();
    watch.measure().await;
    let first = lines.take();
    assert!(first[0].contains(
        "[CRYPTO_AUTH_DIAG] event=address CRYPTO_COM_OUTBOUND_IP: 203.0.113.7 before=none"
    ));
    assert!(
        first[0].contains("CRYPTO_OUTBOUND_IP=203.0.113.7"),
        "{first:?}"
    );
    assert_eq!(first.len(), 1);
    let seen = watch.observed.outbound().unwrap().seen;
    watch.measure().await;
    assert_eq!(lines.take(), Vec::<String>::new());
    assert!(
        watch.observed.outbound().unwrap().seen > seen,
        "each confirmation keeps the age fresh"
    );
    services.iter().for_each(|service| service.now_says(AWAY));
    watch.measure().await;
    let moved = lines.take();
    assert!(
        moved[0].starts_with("INFO")
            && moved[0].contains("CRYPTO_COM_OUTBOUND_IP: 198.51.100.4 before=203.0.113.7")
    );
    assert_eq!(moved.len(), 1);
}

#[tokio::test]
async fn drift_is_a_warning_once_per_change_with_a_next_step() {
    let services = [Service::says(HOME).await, Service::says(HOME).await];
    let mut watch = watch_of(&services, Expected::Listed(vec![ip(HOME), ip("192.0.2.9")]));
    let lines = Lines::listen();
    watch.measure().await;
    assert!(lines.take().iter().all(|line| line.starts_with("INFO")));
    services.iter().for_each(|service| service.now_says(AWAY));
    watch.measure().await;
    let drift: Vec<String> = lines
        .take()
        .into_iter()
        .filter(|line| line.starts_with("WARN"))
        .collect();
    let [warning] = drift.as_slice() else {
        panic!("{drift:?}")
    };
    for part in [
        "event=address drift CRYPTO_COM_OUTBOUND_IP: 198.51.100.4 expected=203.0.113.7,192.0.2.9",
        "add exactly 198.51.100.4",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
    watch.measure().await;
    assert_eq!(lines.take(), Vec::<String>::new());
    services.iter().for_each(|service| service.now_says(HOME));
    watch.measure().await;
    assert!(
        lines
            .take()
            .iter()
            .any(|line| line.contains("203.0.113.7 is an expected address again"))
    );
}

#[tokio::test]
async fn disagreement_silence_and_a_lone_voice_are_said_once_each() {
    let services = [Service::says("").await, Service::says("").await];
    let mut watch = watch_of(&services, Expected::Unstated);
    let lines = Lines::listen();
    let mut wrong = Vec::new();
    for (one, two, words) in [
        (
            HOME,
            AWAY,
            "unconfirmed: services name different addresses (198.51.100.4,203.0.113.7)",
        ),
        (
            HOME,
            "nothing",
            "unconfirmed=203.0.113.7: one service alone",
        ),
        ("nothing", "nothing", "no service answered with an address"),
    ] {
        services[0].now_says(one);
        services[1].now_says(two);
        watch.measure().await;
        watch.measure().await;
        let said = lines.take();
        if said.len() != 1 || !said[0].contains(words) {
            wrong.push((words, said));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(watch.observed.outbound(), None);
    services.iter().for_each(|service| service.now_says(HOME));
    watch.measure().await;
    assert!(
        lines
            .take()
            .iter()
            .any(|line| line.contains("confirmed again"))
    );
}

#[tokio::test]
async fn the_watch_measures_at_start_and_when_the_trigger_is_pulled_and_ends_on_shutdown() {
    let services = [Service::says(HOME).await, Service::says(HOME).await];
    let watch = watch_of(&services, Expected::Unstated);
    let (observed, trigger, shutdown) = (
        Arc::clone(&watch.observed),
        watch.trigger(),
        CancellationToken::new(),
    );
    let mut confirmed = trigger.confirmed();
    let running = tokio::spawn(watch.run(shutdown.clone()));
    confirmed.changed().await.unwrap();
    assert_eq!(observed.outbound().unwrap().address, ip(HOME));
    services.iter().for_each(|service| service.now_says(AWAY));
    trigger.remeasure();
    confirmed.changed().await.unwrap();
    assert_eq!(observed.outbound().unwrap().address, ip(AWAY));
    shutdown.cancel();
    running.await.unwrap();
    assert!(
        confirmed.changed().await.is_err(),
        "nobody measures any more"
    );
}

#[tokio::test]
async fn without_services_the_watch_ends_at_once() {
    watch_of(&[], Expected::Unstated)
        .run(CancellationToken::new())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_trigger_comes_through_at_once_and_then_once_a_minute() {
    let watch = watch_of(&[], Expected::Unstated);
    let (trigger, began, mut triggered) = (watch.trigger(), Instant::now(), None);
    (0..3).for_each(|_| trigger.remeasure());
    watch.next_turn(&mut triggered).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    trigger.remeasure();
    watch.next_turn(&mut triggered).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    watch.next_turn(&mut triggered).await;
    assert_eq!(
        began.elapsed().as_secs(),
        60 + 3600,
        "without a trigger the interval decides"
    );
}

#[test]
fn clear_text_beyond_loopback_is_refused() {
    let settings = Settings {
        services: vec![Url::parse("http://echo.example/").unwrap()],
        ..settings(&[])
    };
    let made = Watch::new(settings, Arc::default(), Resolver::system(), None);
    assert!(matches!(made, Err(ClientProblem::NotHttps(_))));
}

#[tokio::test]
async fn a_name_is_looked_up_by_the_resolver_that_was_given() {
    let service = Service::says(HOME).await;
    let (asked, mut names) = mpsc::unbounded_channel();
    let resolver = Resolver::with_lookup(Arc::new(move |name| {
        asked.send(name).unwrap();
        Box::pin(async { Ok(vec![ip("::1"), ip("127.0.0.1")]) })
    }));
    let mut url = service.url();
    url.set_host(Some("localhost")).unwrap();
    let settings = Settings {
        services: vec![url],
        ..settings(&[])
    };
    let watch = Watch::new(settings, Arc::default(), resolver, None).unwrap();
    assert_eq!(
        ask_all(
            &watch.client,
            &watch.settings.services,
            watch.settings.deadline
        )
        .await,
        [ip(HOME)]
    );
    assert_eq!(names.try_recv().unwrap(), "localhost");
}

/// A service of one name with a listener of each family, which name different addresses.
async fn of_both_families() -> Url {
    let ipv6 = TcpListener::bind("[::1]:0").await.unwrap();
    let port = ipv6.local_addr().unwrap().port();
    let ipv4 = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    for (listener, address) in [(ipv4, HOME), (ipv6, AWAY_BY_IPV6)] {
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(page("200 OK", address).as_bytes()).await;
            }
        });
    }
    Url::parse(&format!("http://localhost:{port}/")).unwrap()
}

const AWAY_BY_IPV6: &str = "2001:db8::7";

#[tokio::test]
async fn the_family_that_calls_leave_by_is_measured() {
    let rows: [(&[&str], bool, &str); 4] = [
        (&["104.18.1.1"], true, HOME),
        (&["2606:4700::1"], true, AWAY_BY_IPV6),
        (&["2606:4700::1", "104.18.1.1"], true, HOME),
        (&["2606:4700::1", "104.18.1.1"], false, AWAY_BY_IPV6),
    ];
    for (exchange, has_ipv4, seen) in rows {
        let lookup = move |name: String| {
            let found = if name == "localhost" {
                ["127.0.0.1", "::1"].map(ip).to_vec()
            } else {
                exchange.iter().map(|text| ip(text)).collect()
            };
            Box::pin(async move { Ok(found) }) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
        };
        let resolver = Resolver::with_lookup(Arc::new(lookup));
        let resolver = if has_ipv4 {
            resolver.with_routes(|_| true)
        } else {
            resolver.with_routes(|address| address.is_ipv6())
        };
        let services = vec![of_both_families().await, of_both_families().await];
        let settings = Settings {
            services,
            ..settings(&[])
        };
        let listed = Expected::Listed(vec![ip(HOME)]);
        let observed = Arc::new(Observed::new(listed));
        let watch = Watch::new(settings, Arc::clone(&observed), resolver.clone(), None).unwrap();
        let mut watch = watch
            .of_calls_to("exchange.example", resolver, None)
            .unwrap();
        watch.measure().await;
        let outbound = observed.outbound().map(|seen| seen.address);
        assert_eq!(outbound, Some(ip(seen)), "{exchange:?}");
        // What /ready, the page and the alarm say of drift is about this address.
        let drift = (seen != HOME).then(|| ip(seen));
        assert_eq!(observed.drift(), drift, "{exchange:?}");
    }
}
