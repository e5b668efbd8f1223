//! A stand-in exchange, to try everything against: for tests, and as the body of `crypto-proxy sandbox`.
//!
//! Guarantees: it verifies signatures by code of its own, keeps accounts and orders in the exchange's shapes, records
//! all it receives and all it executes, and misbehaves exactly as scripted. Nothing that is sent to it makes it panic,
//! and everything it keeps is bounded, except the names that were taken. Of this crate it uses the tables of `catalogue`
//! and nothing else: a stand-in that verifies with the code under test proves nothing.
//! Does not: talk to anyone, hold a real key, or match orders.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use crypto_proxy_sandbox::{Fault, Settings, FakeExchange};
//!
//! let exchange = FakeExchange::new(Settings::with_key("key", "secret"));
//! let running = exchange.start().await?;
//! exchange.script("private/create-order", Fault::cut_after());
//! // … send an order to running.base_url() …
//! exchange.wait_received("private/create-order", 1).await;
//! assert_eq!(exchange.executed("private/create-order"), 1);
//! # Ok(())
//! # }
//! ```

mod account;
mod amount;
mod authentication;
mod clock;
mod control;
mod executed;
mod fault;
mod handling;
mod journal;
mod json;
mod limits;
mod market;
mod reply;
mod server;
mod settings;
mod signature;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

use self::{
    account::{Account, Change},
    authentication::ParsedCall,
    executed::{Arrival, Book},
    fault::Script,
    journal::Journal,
    limits::Limits,
    stream::{Instruction, OpenSocket, Streams},
};
pub use self::{
    executed::Executed,
    fault::{Canned, EVERY_METHOD, Fault, WireStep},
    journal::{Counts, Received},
    server::Running,
    settings::{ApiKey, Dialect, KeyState, Names, Permission, RateLimits, Refusal, Settings},
    stream::{OpenStream, Side},
};

/// The stand-in exchange. Clones are the same exchange.
#[derive(Clone)]
pub struct FakeExchange {
    state: Arc<State>,
}

struct State {
    settings: Mutex<Settings>,
    account: Mutex<Account>,
    script: Mutex<Script>,
    limits: Mutex<Limits>,
    journal: Journal,
    executed: Book,
    streams: Streams,
    /// Changes whenever hanging requests are released.
    released: watch::Sender<()>,
}

impl FakeExchange {
    /// A stand-in that is told to be this; it serves once it is started.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let state = State {
            account: Mutex::new(Account::new(&settings.balances)),
            settings: Mutex::new(settings),
            script: Mutex::default(),
            limits: Mutex::default(),
            journal: Journal::new(),
            executed: Book::new(),
            streams: Streams::new(),
            released: watch::Sender::new(()),
        };
        Self {
            state: Arc::new(state),
        }
    }

    /// Writes every order, amendment, withdrawal and other call that moves money to this file too, as a line of JSON
    /// each, before it is answered. What stands in the file already counts: its names stay taken. The orders of an
    /// earlier stand-in are unknown to the queries all the same.
    ///
    /// # Errors
    /// Those of opening and reading, and a line that is no [`Executed`].
    pub fn record_executed(&self, path: &Path) -> io::Result<()> {
        let mut account = lock(&self.state.account);
        account.go_on_after(&self.state.executed.open(path)?);
        Ok(())
    }

    /// Every order, amendment, withdrawal and other call that moves money, as it was executed, oldest first; the newest
    /// 100,000. The same as in the file of [`FakeExchange::record_executed`].
    #[must_use]
    pub fn executed_calls(&self) -> Vec<Executed> {
        self.state.executed.entries()
    }

    /// Serves on a free port of `127.0.0.1`.
    ///
    /// # Errors
    /// Those of binding.
    pub async fn start(&self) -> io::Result<Running> {
        self.serve(TcpListener::bind(("127.0.0.1", 0)).await?)
    }

    /// Serves on this listener; several at once are the same exchange at several addresses.
    ///
    /// # Errors
    /// If the listener does not know its own address.
    pub fn serve(&self, listener: TcpListener) -> io::Result<Running> {
        Running::start(self.clone(), listener)
    }

    /// Changes how it behaves; counts from the next request.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.state.settings));
    }

    /// Lets callers seem to come from this address; `None`: from where they connect.
    pub fn set_apparent_address(&self, address: impl Into<Option<IpAddr>>) {
        self.change(|settings| settings.apparent_address = address.into());
    }

    /// Queues a fault: the next request for `target` meets it, once. `target` is a method (`private/create-order`), a
    /// path that names none (`/ip`, `/ip/2`), or [`EVERY_METHOD`].
    pub fn script(&self, target: &str, fault: Fault) {
        lock(&self.state.script).queue(target, fault);
    }

    /// Sets the fault that every request for `target` meets once its queue is empty.
    pub fn script_always(&self, target: &str, fault: Fault) {
        lock(&self.state.script).stand(target, fault);
    }

    /// Lets each request for `target` meet one of these faults with the probability that stands with it, once the queue
    /// is empty; else the standing one. The same seed draws the same faults for the same order of arrival.
    pub fn script_sometimes(
        &self,
        target: &str,
        seed: u64,
        faults: impl IntoIterator<Item = (f64, Fault)>,
    ) {
        lock(&self.state.script).sometimes(target, seed, faults.into_iter().collect());
    }

    /// Forgets what is scripted for `target`.
    pub fn clear_script(&self, target: &str) {
        lock(&self.state.script).clear(target);
    }

    /// Lets every request that hangs now go on.
    pub fn release(&self) {
        self.state.released.send_replace(());
    }

    /// The requests that were read to their end, oldest first; the newest 100,000, and no more than 64 MiB of them.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.journal.entries()
    }

    /// Those of them that came from this [`Received::sequence`] on.
    #[must_use]
    pub fn received_from(&self, sequence: u64) -> Vec<Received> {
        self.state.journal.entries_from(sequence)
    }

    /// How many requests for a method were read to their end.
    #[must_use]
    pub fn count(&self, method: &str) -> u64 {
        self.counts(method).received
    }

    /// How many requests for a method were executed with success.
    #[must_use]
    pub fn executed(&self, method: &str) -> u64 {
        self.counts(method).executed
    }

    /// What became of the requests for a method.
    #[must_use]
    pub fn counts(&self, method: &str) -> Counts {
        self.state.journal.counts(method)
    }

    /// What became of the requests, by method or path.
    #[must_use]
    pub fn all_counts(&self) -> BTreeMap<String, Counts> {
        self.state.journal.all_counts()
    }

    /// What became of all requests together, the address echoes included.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.state.journal.total()
    }

    /// How many orders were ever accepted, by whichever method.
    #[must_use]
    pub fn orders_placed(&self) -> u64 {
        lock(&self.state.account).placed()
    }

    /// An order by its `client_oid`, as the exchange's queries show it.
    #[must_use]
    pub fn order(&self, client_oid: &str) -> Option<Value> {
        lock(&self.state.account).order(client_oid)
    }

    /// Resolves once `n` requests for a method were read to their end.
    pub async fn wait_received(&self, method: &str, n: u64) {
        self.state
            .journal
            .wait(method, |counts| counts.received >= n)
            .await;
    }

    /// Resolves once `n` requests for a method were executed with success.
    pub async fn wait_executed(&self, method: &str, n: u64) {
        self.state
            .journal
            .wait(method, |counts| counts.executed >= n)
            .await;
    }

    /// The sockets that are open now.
    #[must_use]
    pub fn streams(&self) -> Vec<OpenStream> {
        lock(&self.state.streams.open)
            .values()
            .map(OpenSocket::see)
            .collect()
    }

    /// Resolves once the open sockets are as wanted.
    pub async fn wait_streams(&self, enough: impl Fn(&[OpenStream]) -> bool) {
        let mut changes = self.state.streams.changed.subscribe();
        while !enough(&self.streams()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Sends this to every socket that is subscribed to the channel; the number of them.
    pub fn publish(&self, channel: &str, data: &Value) -> usize {
        self.state.streams.push(channel, data)
    }

    /// Sends this text to every socket of a side, as it is.
    pub fn send_text(&self, side: Side, text: &str) {
        self.state
            .streams
            .tell_all(Some(side), || Instruction::Send(text.into()));
    }

    /// Asks every socket for a sign of life now.
    pub fn send_heartbeats(&self) {
        self.state.streams.tell_all(None, || Instruction::Heartbeat);
    }

    /// Closes every socket with this code.
    pub fn close_streams(&self, code: u16, reason: &str) {
        self.state
            .streams
            .tell_all(None, || Instruction::Close(code, reason.to_owned()));
    }

    /// Ends every connection without a word.
    pub fn cut_streams(&self) {
        lock(&self.state.streams.open)
            .values()
            .for_each(|entry| entry.cut.cancel());
    }

    /// Lets every socket read nothing more until [`FakeExchange::release`].
    pub fn stall_streams(&self) {
        self.state.streams.tell_all(None, || Instruction::Stall);
    }

    /// Executes a call, records it, tells the streams, and says which orders it placed. Once a line could not be written
    /// the record would lie, so nothing is executed any more.
    fn execute(&self, asked: &ParsedCall, arrival: Arrival) -> (Result<Value, Refusal>, Vec<u64>) {
        let now_ms = self.now_ms();
        let mut account = lock(&self.state.account);
        if self.state.executed.has_failed() {
            return (Err(Refusal::code(50001)), Vec::new());
        }
        account.names = lock(&self.state.settings).names;
        let outcome = account.execute(asked, now_ms);
        let deeds = account.take_deeds().into_iter();
        let lines = deeds.map(|deed| deed.by(asked, arrival, now_ms)).collect();
        let is_recorded = self.state.executed.enter(lines);
        let placed = self.tell_changes(&mut account, now_ms);
        if is_recorded {
            (outcome, placed)
        } else {
            (Err(Refusal::code(50001)), placed)
        }
    }

    /// Under the account's lock, so that updates come in the order of what they tell.
    fn tell_changes(&self, account: &mut Account, now_ms: i64) -> Vec<u64> {
        let changes = account.take_changes();
        if !changes.is_empty() {
            self.state.streams.publish(&changes, account, now_ms);
        }
        changes.iter().filter_map(Change::placed_id).collect()
    }

    /// Takes a socket off the list, and carries out what it wanted for this case.
    fn lost(&self, id: u64) {
        let Some(entry) = self.state.streams.leave(id) else {
            return;
        };
        if entry.seen.cancels_on_disconnect {
            self.cancel_orders(&entry.orders);
        }
    }

    fn cancel_orders(&self, orders: &[u64]) {
        let now_ms = self.now_ms();
        let mut account = lock(&self.state.account);
        account.cancel_these(orders, now_ms);
        self.tell_changes(&mut account, now_ms);
    }

    fn now_ms(&self) -> i64 {
        clock::now_ms(lock(&self.state.settings).clock_offset_ms)
    }
}

impl fmt::Debug for FakeExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeExchange")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

/// Serves on `listener` until `shutdown` resolves: the body of `crypto-proxy sandbox`.
///
/// # Errors
/// If the listener does not know its own address, or if the record of what was executed could not be written.
pub async fn run(
    exchange: &FakeExchange,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let running = exchange.serve(listener)?;
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        failure = exchange.state.executed.failed() => Err(failure),
    };
    running.shutdown().await;
    ended
}

/// A poisoned lock still holds good data: every change under it is complete or harmless.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
