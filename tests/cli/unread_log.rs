//! Logs that nobody reads, and a disk that takes none: calls go on, and an end is an end.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    path::Path,
    process::{ExitStatus, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::Child,
    time::timeout,
};

use crate::support::{PATIENCE, Starting};

/// Where the stderr of a daemon goes, and who could read it.
struct Sink {
    stderr: File,
    reader: Option<File>,
}

type Make = fn() -> Sink;

/// A pipe that is full, and a disk that is.
fn sinks() -> [(&'static str, Make); 2] {
    [("a full pipe", full_pipe), ("a full disk", full_disk)]
}

fn full_pipe() -> Sink {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (reader, mut stderr) = (File::from(reader), File::from(writer));
    let has_room = |file: &File| {
        let mut fds = [PollFd::new(file, PollFlags::OUT)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
    };
    for _ in 0..1000 {
        if !has_room(&stderr) {
            break;
        }
        stderr.write_all(&[b'x'; 4096]).unwrap();
    }
    assert!(!has_room(&stderr));
    Sink {
        stderr,
        reader: Some(reader),
    }
}

fn full_disk() -> Sink {
    let stderr = OpenOptions::new().write(true).open("/dev/full").unwrap();
    Sink {
        stderr,
        reader: None,
    }
}

fn start(starting: &mut Starting, sink: &Sink) -> Child {
    starting
        .command
        .stdout(Stdio::null())
        .stderr(sink.stderr.as_fd().try_clone_to_owned().unwrap())
        .spawn()
        .unwrap()
}

async fn ended(mut child: Child, case: &str) -> ExitStatus {
    timeout(PATIENCE, child.wait())
        .await
        .unwrap_or_else(|_| panic!("{case}: it does not end"))
        .unwrap()
}

/// The status of a call on a connection of its own; the daemon may not listen yet.
async fn call(socket: &Path, token: &str) -> String {
    let connect = async {
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut stream = timeout(PATIENCE, connect).await.expect("it listens");
    let body = r#"{"method":"private/user-balance","params":{}}"#;
    let request = format!(
        "POST /proxy/private HTTP/1.1\r\nhost: localhost\r\nx-proxy-token: {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(PATIENCE, read).await.expect("an answer").unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn calls_go_on_and_a_stop_is_a_stop_when_the_log_takes_nothing() {
    for (case, sink) in sinks() {
        let (sink, directory) = (sink(), tempfile::TempDir::new().unwrap());
        let socket = directory.path().join("socket");
        let mut starting = Starting::new()
            .await
            .env("CRYPTO_PROXY_LISTEN", format!("unix:{}", socket.display()))
            .env("CRYPTO_PROXY__LOG__QUEUE_LINES", "100");
        let child = start(&mut starting, &sink);
        for _ in 0..150 {
            let status = call(&socket, &starting.canaries.token).await;
            assert_eq!(status, "HTTP/1.1 200 OK", "{case}");
        }
        let id = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        assert_eq!(ended(child, case).await.code(), Some(0), "{case}");
    }
}

#[tokio::test]
async fn what_was_lost_is_counted_and_told_once_there_is_somebody_who_reads() {
    let (mut sink, directory) = (full_pipe(), tempfile::TempDir::new().unwrap());
    let socket = directory.path().join("socket");
    let mut starting = Starting::new()
        .await
        .env("CRYPTO_PROXY_LISTEN", format!("unix:{}", socket.display()))
        .env("CRYPTO_PROXY__LOG__QUEUE_LINES", "100");
    let child = start(&mut starting, &sink);
    for _ in 0..150 {
        call(&socket, &starting.canaries.token).await;
    }
    let id = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    let mut reader = sink.reader.take().unwrap();
    drop(sink);
    drop(starting.command);
    let read = tokio::task::spawn_blocking(move || {
        let mut all = String::new();
        let mut buffer = [0; 4096];
        while !all.contains(" log lines (") {
            let length = reader.read(&mut buffer).unwrap();
            assert!(length > 0, "it ended without a word: {all}");
            all.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        (reader, all)
    });
    let (mut reader, all) = timeout(PATIENCE, read).await.expect("a line").unwrap();
    kill_process(id, Signal::TERM).unwrap();
    assert_eq!(ended(child, "a pipe that is read").await.code(), Some(0));
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    let all = all + &rest;
    let told: usize = all
        .split("dropped ")
        .skip(1)
        .map(|told| told.split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    let records = all.matches("event=call ").count();
    assert!(told >= 40 && records + told >= 150, "{told} {records}");
}

#[tokio::test]
async fn a_configuration_that_is_refused_says_so_by_its_exit_code_whatever_the_log_takes() {
    for (case, sink) in sinks() {
        let sink = sink();
        let mut starting = Starting::new()
            .await
            .env("CRYPTO_PROXY__CALLS__DEADLINE_MS", "soon");
        let child = start(&mut starting, &sink);
        assert_eq!(ended(child, case).await.code(), Some(78), "{case}");
    }
}
