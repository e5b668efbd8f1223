//! A daemon before a stand-in exchange, in this thread, and one connection to it for each input.
//!
//! A daemon has limits in time: whoever guesses waits, nonces run ahead, frames of strangers are counted. An engine meets
//! all of them within a second, and would then see nothing but refusals. So a daemon serves a few inputs, and makes room
//! for the next one.

use std::{
    cell::{Cell, RefCell},
    io::ErrorKind,
    sync::Arc,
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
use sandbox::{FakeExchange, RateLimits, Received, Running, Settings};
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

/// What the daemon asks in order to find out what became of an order.
const LOOKS_AFTER: [&str; 4] = [
    "get-order-detail",
    "get-open-orders",
    "get-order-history",
    "get-withdrawal-history",
];

/// So many looks without a word, and the proxy is taken to wait for us.
const QUIET: u32 = 300;
/// No input may take longer, on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Inputs that one daemon serves.
const INPUTS: u32 = 100;
/// Wrong credentials that one daemon is given: fewer than what it lets pass without a wait.
const WRONG: usize = 6;

/// The daemon, the exchange, and the thread's runtime that both are on.
pub(crate) struct World {
    runtime: Runtime,
    exchange: Running,
    gateway: Arc<Gateway>,
    secret: String,
    directory: TempDir,
    begun_ms: u64,
    said: Cell<u32>,
    wrong: Cell<usize>,
    /// Whether the daemon had an order to look after: its questions about it are nobody's.
    looks_after: Cell<bool>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// How long the proxy is listened to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until it ends the connection, as a request asks for. It may be busy aside, on another thread.
    End,
    /// Until it seems to wait for more; it is then told that there is none.
    Quiet,
}

/// What became of some bytes.
pub(crate) struct Said {
    /// What the proxy answered.
    pub(crate) heard: Vec<u8>,
    /// What the exchange received meanwhile, logins and frames of streams included; not what the daemon asked for itself.
    pub(crate) sent_on: Vec<Received>,
}

/// Calls `check` with this thread's world, or with a new one where that has served its time.
pub(crate) fn with(check: impl FnOnce(&World)) {
    WORLD.with_borrow_mut(|world| {
        if world.as_ref().is_some_and(World::is_spent) {
            *world = None;
        }
        check(world.get_or_insert_with(World::new));
    });
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
            begun_ms: Clock::system().now_ms(),
            said: Cell::new(0),
            wrong: Cell::new(0),
            looks_after: Cell::new(false),
        }
    }

    fn is_spent(&self) -> bool {
        self.said.get() >= INPUTS || self.wrong.get() >= WRONG || self.looks_after.get()
    }

    /// What the proxy says to these bytes, on a connection of their own, until it ends the connection or waits for more.
    pub(crate) fn say(&self, bytes: &[u8], until: Until) -> Said {
        let exchange = self.exchange.exchange();
        let before = exchange.total().received;
        let heard = self.runtime.block_on(async {
            let begun = Instant::now();
            let heard = self.listen(bytes, until, begun).await;
            // The exchange reads a stream to its end: what was on its way belongs to this input, not to the next.
            while self.gateway.in_flight() > 0
                || !self.gateway.sockets().is_empty()
                || !exchange.streams().is_empty()
            {
                assert!(begun.elapsed() < PATIENCE, "something goes on for ever");
                self.pause().await;
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
        self.said.set(self.said.get() + 1);
        let wrong = count(&heard, b"HTTP/1.1 401") + count(&heard, b"40101");
        self.wrong.set(self.wrong.get() + wrong);
        let mut sent_on = exchange.received_from(before);
        if self.looks_after.get() {
            sent_on.retain(|sent| !LOOKS_AFTER.iter().any(|end| sent.method.ends_with(end)));
        }
        Said { heard, sent_on }
    }

    /// Lets the proxy go on, and looks whether it has an order to find out about: a question and its answer take several
    /// turns of the loop.
    async fn pause(&self) {
        if self.gateway.ledger().in_doubt() > 0 {
            self.looks_after.set(true);
        }
        yield_now().await;
    }

    /// Nothing sleeps here: all that the proxy does for us is done between two looks.
    async fn listen(&self, mut unsent: &[u8], until: Until, begun: Instant) -> Vec<u8> {
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
            if quiet == QUIET && until == Until::Quiet {
                let _ = stream.shutdown().await;
            }
            self.pause().await;
        }
    }

    /// A nonce that no input of this world had before, near the time.
    pub(crate) fn nonce(&self) -> u64 {
        self.begun_ms + 1000 + u64::from(self.said.get())
    }

    /// The signature of this text with the secret of [`VIRTUAL_KEY`].
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("any length");
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// How often `part` stands in `bytes`.
pub(crate) fn count(bytes: &[u8], part: &[u8]) -> usize {
    // Not by comparing windows: each would be a comparison for the engine to learn from, and they are thousands.
    memmem::find_iter(bytes, part).count()
}
