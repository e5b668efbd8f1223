//! A daemon before a stand-in exchange, in this thread, and one connection to it for each input.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crypto_proxy::{app::Daemon, config::Config, server::Address};
use gateway::{
    Gateway,
    auth::{Caller, Callers, KeyHolder},
    clock::Clock,
    policy::Policy,
    secret::{ApiKey, ApiSecret, Credentials, TokenDigest},
    upstream::BaseUrl,
    virtual_key::{MasterKey, VirtualKey},
};
use hmac::{Hmac, KeyInit, Mac};
use memchr::memmem;
use sandbox::{FakeExchange, RateLimits, Running, Settings};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::UnixStream, runtime::Runtime, task::yield_now};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

// All of these are invented.
/// The token of a caller. An input that holds it may make calls.
pub(crate) const TOKEN: &str = "invented-token-of-the-fuzz-targets";
/// The virtual key of the same caller.
pub(crate) const VIRTUAL_KEY: &str = "cpvk_000102030405060708090a0b_1";
const KEY: &str = "invented-key-of-the-account";
const SECRET: &str = "invented-secret-of-the-account";

/// So many looks without a word, and the proxy is taken to wait for us.
const QUIET: u32 = 300;
/// No input may take longer, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// The daemon, the exchange, and the thread's runtime that both are on.
pub(crate) struct World {
    runtime: Runtime,
    exchange: Running,
    gateway: Arc<Gateway>,
    secret: String,
    directory: TempDir,
}

thread_local! {
    static WORLD: World = World::new();
}

/// What the private methods of the exchange received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Private {
    /// Requests.
    pub(crate) received: u64,
    /// Those of them whose signature the exchange's own code believed.
    pub(crate) authenticated: u64,
}

/// Calls `check` with this thread's world.
pub(crate) fn with(check: impl FnOnce(&World)) {
    WORLD.with(check);
}

impl World {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let directory = tempfile::tempdir().expect("a directory");
        let mut settings = Settings::with_key(KEY, SECRET);
        settings.rate_limits = RateLimits::Off;
        let (key, master) = (
            VirtualKey::parse(VIRTUAL_KEY).expect("a virtual key"),
            MasterKey::new(Zeroizing::new([7; 32])),
        );
        let secret = master.secret_of(&key);
        let caller = Arc::new(Caller {
            name: "fuzz".into(),
            policy: Policy::default(),
        });
        let holder = KeyHolder {
            caller: Arc::clone(&caller),
            verifier: secret.verifier(),
        };
        let callers = Callers::new(vec![(TokenDigest::of(TOKEN.as_bytes()), caller)])
            .with_virtual_key(key, holder);
        let listen = directory.path().join("proxy");
        let (exchange, gateway) = runtime.block_on(async {
            let exchange = FakeExchange::new(settings)
                .start()
                .await
                .expect("a free port");
            let credentials = Credentials {
                key: ApiKey::new(KEY.to_owned()),
                secret: ApiSecret::new(SECRET.to_owned()),
            };
            let base = BaseUrl::parse(&exchange.base_url(), None).expect("a base URL");
            let mut config = Config::new(credentials, callers, base);
            config.server.listen = vec![Address::Unix(listen)];
            config.streams.settle = Duration::ZERO;
            // What a source may take is tested elsewhere; here it would hide what lies behind it.
            config.http.exchange_v1.public_calls_per_s = usize::MAX;
            let daemon = Daemon::bind(config).await.expect("the proxy binds");
            let gateway = daemon.gateway();
            tokio::spawn(daemon.run(CancellationToken::new()));
            (exchange, gateway)
        });
        Self {
            runtime,
            exchange,
            gateway,
            secret: secret.reveal().to_owned(),
            directory,
        }
    }

    /// What the proxy says to these bytes, on a connection of their own, until it ends the connection or waits for more.
    pub(crate) fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let heard = self.runtime.block_on(async {
            let begun = Instant::now();
            let heard = self.listen(bytes, begun).await;
            while self.gateway.in_flight() > 0 || !self.gateway.sockets().is_empty() {
                assert!(begun.elapsed() < PATIENCE, "something goes on for ever");
                yield_now().await;
            }
            heard
        });
        for secret in [KEY, SECRET, &self.secret, TOKEN] {
            // What the engine has found out for itself may be repeated, as the name of a method that there is not.
            let is_said = count(&heard, secret.as_bytes()) > 0;
            assert!(
                !is_said || count(bytes, secret.as_bytes()) > 0,
                "a secret is said"
            );
        }
        heard
    }

    /// Nothing sleeps here: all that the proxy does for us is done between two looks.
    async fn listen(&self, mut unsent: &[u8], begun: Instant) -> Vec<u8> {
        let path = self.directory.path().join("proxy");
        let mut stream = UnixStream::connect(path).await.expect("a connection");
        let (mut heard, mut quiet) = (Vec::new(), 0);
        loop {
            assert!(begun.elapsed() < PATIENCE, "no answer and no end in time");
            if !unsent.is_empty() {
                match stream.try_write(unsent) {
                    Ok(sent) => (unsent, quiet) = (unsent.get(sent..).unwrap_or_default(), 0),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    // The proxy may end a connection before it has read everything.
                    Err(_) => unsent = &[],
                }
            }
            match stream.try_read_buf(&mut heard) {
                Ok(0) => return heard,
                Ok(_) => quiet = 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    quiet += u32::from(self.gateway.in_flight() == 0);
                }
                Err(_) => return heard,
            }
            if quiet == QUIET {
                let _ = stream.shutdown().await;
            }
            yield_now().await;
        }
    }

    /// What the private methods received so far, logins of streams included.
    pub(crate) fn private(&self) -> Private {
        let mut all = Private {
            received: 0,
            authenticated: 0,
        };
        for (name, counts) in self.exchange.exchange().all_counts() {
            if name.contains("private/") || name.contains("public/auth") {
                all.received += counts.received;
                all.authenticated += counts.authenticated;
            }
        }
        all
    }

    /// The signature of this text with the secret of [`VIRTUAL_KEY`].
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length");
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// A nonce that was not given before, near the time.
pub(crate) fn nonce() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = Clock::system().now_ms();
    let next = |last: u64| Some((last + 1).max(now));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .map_or(now, |last| (last + 1).max(now))
}

/// How often `part` stands in `bytes`.
pub(crate) fn count(bytes: &[u8], part: &[u8]) -> usize {
    // Not by comparing windows: each would be a comparison for the engine to learn from, and they are thousands.
    memmem::find_iter(bytes, part).count()
}
