//! A process that stood still: what waited in its sockets meanwhile is not sent afterwards.

use std::time::Duration;

use gateway::stall::BOUND;
use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{CREATE, PATIENCE, Served, order};

/// The state letter of the process, as the kernel tells it.
fn state(id: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it exists");
    let after = stat.rsplit_once(") ").expect("a name in brackets").1;
    after.chars().next().expect("a state")
}

fn request(served: &Served, name: &str) -> String {
    let body = json!({ "method": CREATE, "params": order(name) }).to_string();
    format!(
        "POST /proxy/private HTTP/1.1\r\nhost: localhost\r\nx-proxy-token: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        served.canaries.token,
        body.len()
    )
}

async fn written(served: &Served, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let request = request(served, name);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut read = vec![0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut read)).await;
    let length = length.expect("an answer in time").expect("an answer");
    String::from_utf8(read[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn what_waited_while_the_process_was_frozen_is_not_sent() {
    let served = Served::start().await;
    let id = served.process.id();
    // A connection that is open already, and one call, so that the freeze hits a daemon at work.
    let mut open = written(&served, "before").await;
    assert!(answer(&mut open).await.starts_with("HTTP/1.1 200"));
    served.process.signal(Signal::STOP);
    timeout(PATIENCE, async {
        while state(id) != 'T' {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it stands still");
    for number in 0..10 {
        drop(written(&served, &format!("gave-up-{number}")).await);
    }
    open.write_all(request(&served, "still-there").as_bytes())
        .await
        .unwrap();
    // The length of the stall is what is tested.
    sleep(BOUND + Duration::from_millis(300)).await;
    served.process.signal(Signal::CONT);
    let refused = answer(&mut open).await;
    assert!(
        refused.starts_with("HTTP/1.1 503")
            && refused.contains("x-proxy-outcome: refused")
            && refused.contains("the proxy was not running for 2 s"),
        "{refused}"
    );
    served
        .process
        .written
        .wait(&["event=stall length_s=2."])
        .await;
    let repeated = timeout(PATIENCE, async {
        loop {
            open.write_all(request(&served, "still-there").as_bytes())
                .await
                .unwrap();
            let answer = answer(&mut open).await;
            if !answer.contains("x-proxy-outcome: refused") {
                return answer;
            }
        }
    });
    let repeated = repeated.await.expect("an answer in time");
    assert!(repeated.contains("x-proxy-outcome: answered"), "{repeated}");
    let sent = served.exchange().count(CREATE);
    assert_eq!(sent, 2, "the one before, and the one that was repeated");
    served.process.signal(Signal::TERM);
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}
