//! `crypto-proxy diagnose` without `--alone`: the running daemon looks, with the credentials that it signs with.
//!
//! Guarantees: address and token come from the daemon's own loader; the token is shown to that address alone and is
//! printed nowhere; what the daemon says reads as a look of this command does; it ends within its deadline. Where nobody
//! could be asked it says why, and how to look without the daemon. Does not: take an answer's word for more than text,
//! or follow it anywhere.

use std::{
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use text::time::rfc3339;

use super::{
    Arguments, conclude,
    endpoint::{self, DaemonEndpoint},
    html,
    request::{self, Answer},
    show,
};
use crate::{
    cli::{self, CONFIGURATION, Failure, USAGE},
    config::{self, DEFAULT_ENV_FILE, Inspection, Severity, Sources},
};
use diagnosis::{causes::Conclusion, report::Report};

/// From the first connection to the whole answer: a run's 10 s, a slow disk's 2 s, and time to spare.
const DEADLINE: Duration = Duration::from_secs(15);
const ALONE: &str = "without the daemon: `sudo crypto-proxy diagnose --alone`";

/// Asks the daemon and shows what it says.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    match ask(&arguments) {
        Ok(told) => tell(&arguments, &told),
        Err(failure) => failure.end(),
    }
}

/// What the daemon said.
struct Told {
    json: Value,
    report: Report,
    page: Option<Bytes>,
}

fn tell(arguments: &Arguments, told: &Told) -> ExitCode {
    let concluded =
        Conclusion::of_word(&told.report.conclusion).map_or(ExitCode::FAILURE, conclude);
    if let Some((target, page)) = arguments.html.as_ref().zip(told.page.as_ref()) {
        if let Err(problem) = html::put(target, page) {
            return cli::fail(1, &problem);
        }
        if target == Path::new("-") {
            return concluded;
        }
    }
    cli::after_writing(show(&told.report, &told.json, arguments.json), concluded)
}

fn ask(arguments: &Arguments) -> Result<Told, Failure> {
    refuse_what_needs_a_look(arguments)?;
    let sources = Sources::from_process(arguments.sources.config.clone())
        .of_the_unit(arguments.sources.env_file.clone());
    let examined = config::inspect(&sources);
    let token = examined
        .endpoint
        .token
        .as_ref()
        .and_then(config::DiagnosisToken::header)
        .ok_or_else(|| no_token(&examined))?;
    let endpoints = match &arguments.url {
        Some(endpoint) => vec![endpoint.clone()],
        None => endpoint::of(&examined.endpoint.listen),
    };
    if endpoints.is_empty() {
        return Err(Failure::new(
            CONFIGURATION,
            "`listen` does not tell where the daemon is (port 0): name it with --url",
        ));
    }
    let target = format!("/diag/run{}", query(arguments, &examined));
    let runtime = cli::runtime().map_err(|problem| Failure::new(1, problem))?;
    let late = |_| {
        Failure::new(
            1,
            format!(
                "the daemon did not answer within {} s; {ALONE}",
                DEADLINE.as_secs()
            ),
        )
    };
    let asked = runtime.block_on(async {
        let asked = ask_first(&endpoints, &target, &token);
        tokio::time::timeout(DEADLINE, asked).await.map_err(late)?
    });
    let (answer, endpoint) = asked?;
    let (json, report) = read(answer)?;
    let page = arguments.html.is_some().then(|| {
        runtime.block_on(async {
            tokio::time::timeout(DEADLINE, page(endpoint, &token))
                .await
                .map_err(late)?
        })
    });
    Ok(Told {
        json,
        report,
        page: page.transpose()?,
    })
}

/// The daemon's own page of what it has just found.
async fn page(endpoint: &DaemonEndpoint, token: &http::HeaderValue) -> Result<Bytes, Failure> {
    let failed = |problem: &dyn std::fmt::Display| {
        Failure::new(1, format!("no page from {endpoint}: {problem}; {ALONE}"))
    };
    let stream = endpoint.connect().await.map_err(|error| failed(&error))?;
    let answer = request::page(stream, endpoint, token)
        .await
        .map_err(|problem| failed(&problem))?;
    if answer.status == 200 && answer.body.starts_with(b"<!DOCTYPE html>") {
        return Ok(answer.body);
    }
    Err(failed(&format!("HTTP {}", answer.status)))
}

/// An option that would be passed over in silence is refused instead.
fn refuse_what_needs_a_look(arguments: &Arguments) -> Result<(), Failure> {
    let options = [
        (
            arguments.probe_trade,
            "--probe-trade is for --alone: nothing that could touch an order is asked of a daemon",
        ),
        (
            arguments.db.is_some(),
            "--db is for --alone: the running daemon asks its own history",
        ),
    ];
    let given = options.into_iter().find(|(given, _)| *given);
    given.map_or(Ok(()), |(_, why)| Err(Failure::new(USAGE, why)))
}

/// The first of these endpoints where somebody takes the connection.
async fn ask_first<'e>(
    endpoints: &'e [DaemonEndpoint],
    target: &str,
    token: &http::HeaderValue,
) -> Result<(Answer, &'e DaemonEndpoint), Failure> {
    let shown = io::stderr().is_terminal();
    let mut problems = Vec::new();
    for endpoint in endpoints {
        if shown {
            anstream::eprint!("\r\u{1b}[Kasking the daemon at {endpoint} …");
        }
        let connected = endpoint.connect().await;
        let asked = match connected {
            Ok(stream) => Ok(request::post(stream, endpoint, target, token).await),
            Err(error) => Err(error),
        };
        if shown {
            anstream::eprint!("\r\u{1b}[K");
        }
        match asked {
            Ok(answer) => {
                return answer.map(|answer| (answer, endpoint)).map_err(|problem| {
                    Failure::new(
                        1,
                        format!("what listens at {endpoint} gave no answer ({problem}); {ALONE}"),
                    )
                });
            }
            Err(error) => problems.push(format!("{endpoint}: {error}")),
        }
    }
    let why = format!(
        "no daemon is reached ({}). Does it run? `systemctl status crypto-proxy`; {ALONE}",
        problems.join("; ")
    );
    Err(Failure::new(1, why))
}

/// What this side knows and the daemon does not: never anything secret.
fn query(arguments: &Arguments, examined: &Inspection) -> String {
    let updated = arguments
        .key_updated
        .map(|updated| format!("key_updated={}", rfc3339(updated)));
    let file = examined
        .pair
        .fingerprint
        .as_deref()
        .filter(|shown| shown.len() == 8 && hex::decode(shown).is_ok());
    let file = file.map(|fingerprint| format!("file_key_fp={fingerprint}"));
    let mut parts: Vec<String> = updated.into_iter().chain(file).collect();
    for symptom in arguments
        .symptom
        .iter()
        .map(|told| format!("symptom={}", told.word()))
    {
        // The daemon takes each of them once.
        if !parts.contains(&symptom) {
            parts.push(symptom);
        }
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("?{}", parts.join("&"))
    }
}

fn no_token(examined: &Inspection) -> Failure {
    let errors = examined
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    let errors: String = errors.map(|problem| format!("{problem}\n")).collect();
    let source = examined.pair.source.as_deref();
    let why = format!(
        "no CRYPTO_PROXY_DIAG_TOKEN to show to the daemon: set one in {} and restart it, or run this with sudo where it \
         is set",
        source.unwrap_or(DEFAULT_ENV_FILE)
    );
    Failure::new(
        CONFIGURATION,
        format!("{why}; {ALONE}\n{errors}").trim_end(),
    )
}

fn read(answer: Answer) -> Result<(Value, Report), Failure> {
    let Answer { status, body } = answer;
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status == 200 && json.get("test_result").is_some_and(Value::is_string) {
        let report = serde_json::from_value(json.clone());
        let strange = |_| {
            Failure::new(
                1,
                format!("the daemon's answer cannot be read: is it of another version? {ALONE}"),
            )
        };
        return Ok((json, report.map_err(strange)?));
    }
    // A sentence, or of a query that it cannot read a list of what is wrong with it.
    let detail = [json.get("detail"), json.pointer("/detail/0/msg")]
        .into_iter()
        .flatten()
        .find_map(Value::as_str);
    // Everything of ours gives a reason; an older version has no such path.
    let Some(detail) = detail.or((status == 404).then_some("")) else {
        let why = format!(
            "another program answers there (HTTP {status}); `sudo ss -ltnp` tells which one has the port; {ALONE}"
        );
        return Err(Failure::new(1, why));
    };
    Err(match status {
        401 => {
            let why = "the daemon does not take this CRYPTO_PROXY_DIAG_TOKEN: is it the one that the daemon was started with? \
                       `sudo systemctl restart crypto-proxy` after a change";
            Failure::new(CONFIGURATION, format!("{why}; {ALONE}"))
        }
        403 | 421 => Failure::new(CONFIGURATION, format!("the daemon refuses: {detail}")),
        404 => Failure::new(
            1,
            format!(
                "what answers there has no diagnosis: an older version, or another program; {ALONE}"
            ),
        ),
        429 => {
            let last = json
                .get("last_at")
                .and_then(Value::as_str)
                .unwrap_or("a moment ago");
            let wait = json
                .get("retry_after_s")
                .and_then(Value::as_u64)
                .unwrap_or(60);
            let why = format!(
                "the daemon was diagnosed five times in five minutes, which is the limit; the last time was {last}. \
                 Run it again in {wait} s"
            );
            Failure::new(1, format!("{why}, or {ALONE}"))
        }
        _ => Failure::new(
            1,
            format!("the daemon answers HTTP {status}: {detail}; {ALONE}"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_daemon_says_of_a_query_that_it_cannot_read_is_shown() {
        for (body, said) in [
            (
                r#"{"detail":[{"type":"query","loc":["query","symptom"],"msg":"an invented reason"}]}"#,
                "an invented reason",
            ),
            (
                r#"{"detail":"an invented sentence"}"#,
                "an invented sentence",
            ),
            (r#"{"detail":[]}"#, "another program"),
            ("<html>no such thing</html>", "another program"),
        ] {
            let failed = read(Answer {
                status: 422,
                body: Bytes::from_static(body.as_bytes()),
            })
            .err()
            .unwrap();
            assert!(
                failed.code == 1 && failed.why.contains("HTTP 422") && failed.why.contains(said),
                "{}",
                failed.why
            );
        }
    }
}
