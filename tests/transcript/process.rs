//! The binary under test as a process: run to its end, or running beside the test.
//!
//! Guarantees: an empty environment but for what is named; the directory of the scene, so that paths are relative and
//! lines break at the same places everywhere; a process that is forgotten is killed.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, Once},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

/// Longer than anything a test waits for; reached only when a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Names and values of an environment.
pub(crate) type Env = Vec<(String, String)>;

pub(crate) fn binary() -> OsString {
    std::env::var_os("CRYPTO_PROXY_BINARY")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_crypto-proxy").into())
}

/// The limit of open files is in some texts; it is the same everywhere.
fn limit_files() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(1024),
                maximum,
            },
        )
        .expect("a limit that is lower");
    });
}

fn command(folder: &Path, env: &Env, arguments: &[&str]) -> Command {
    limit_files();
    let mut command = Command::new(binary());
    // Help names the program as it was called.
    command
        .arg0("crypto-proxy")
        .env_clear()
        .current_dir(folder)
        .args(arguments);
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a process that ended said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end.
pub(crate) fn run(folder: &Path, env: &Env, arguments: &[&str], stdin: Option<&str>) -> Said {
    let mut command = command(folder, env, arguments);
    if stdin.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("the binary starts");
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        pipe.write_all(text.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let [out, err] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
    Said {
        code: output.status.code(),
        out,
        err,
    }
}

#[derive(Default)]
struct Lines {
    all: Mutex<Vec<String>>,
    more: Condvar,
}

/// A process that runs beside the test, and every line it wrote.
pub(crate) struct Running {
    child: Child,
    lines: Arc<Lines>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(folder: &Path, env: &Env, arguments: &[&str]) -> Self {
        let mut child = command(folder, env, arguments)
            .spawn()
            .expect("the binary starts");
        let lines = Arc::new(Lines::default());
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = vec![follow(out, &lines), follow(err, &lines)];
        Self {
            child,
            lines,
            readers,
        }
    }

    /// Waits for a line that holds every part.
    pub(crate) fn wait(&self, parts: &[&str]) -> String {
        let has_all = |line: &&String| parts.iter().all(|part| line.contains(part));
        self.wait_for(&format!("a line with {parts:?}"), |lines| {
            lines.iter().find(has_all).cloned()
        })
    }

    /// Waits until every stream that was opened has ended.
    pub(crate) fn wait_streams_ended(&self) {
        let count =
            |lines: &[String], word: &str| lines.iter().filter(|line| line.contains(word)).count();
        let (opened, closed) = ("event=stream what=opened", "event=stream what=closed");
        self.wait_for("an end of each stream", |lines| {
            (count(lines, opened) == count(lines, closed)).then_some(())
        });
    }

    fn wait_for<T>(&self, what: &str, find: impl Fn(&[String]) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.all.lock().unwrap();
        loop {
            if let Some(found) = find(&lines) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} is not in {lines:#?}");
            lines = self.lines.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.all.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).expect("a signal is delivered");
    }

    /// Tells it to stop; its exit code and all of its lines.
    pub(crate) fn stop(self) -> (Option<i32>, Vec<String>) {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for its end and for its last word.
    pub(crate) fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let status = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status.code(), self.lines())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(pipe: impl Read + Send + 'static, lines: &Arc<Lines>) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            lines.all.lock().unwrap().push(line);
            lines.more.notify_all();
        }
    })
}
