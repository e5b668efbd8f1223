//! `check`: the loader of `serve`, without network.

use crate::{
    canary::Canaries,
    support::{Process, command},
};

/// Checks an environment file; the exit code, and what was written.
async fn check(canaries: &Canaries, environment: &str) -> (Option<i32>, Vec<String>) {
    let directory = tempfile::TempDir::new().unwrap();
    let (file, config) = (directory.path().join("crypto.env"), directory.path().join("config.toml"));
    std::fs::write(&file, environment).unwrap();
    std::fs::write(&config, "").unwrap();
    let process = Process::start(command().arg("check").arg("--config").arg(&config).arg("--env-file").arg(&file));
    let (status, lines) = process.ended().await;
    lines.iter().for_each(|line| canaries.assert_absent(line, "what check says"));
    (status.code(), lines)
}

#[tokio::test]
async fn a_complete_file_is_good_and_its_secrets_are_not_shown() {
    let canaries = Canaries::random();
    let environment = format!(
        "CRYPTO_API_KEY={}\nCRYPTO_API_SECRET={}\nCRYPTO_PROXY_TOKEN={}\nCRYPTO_REST_BASE=http://127.0.0.1:9/v1\n",
        canaries.key, canaries.secret, canaries.token
    );
    let (code, lines) = check(&canaries, &environment).await;
    assert_eq!(code, Some(0), "{lines:#?}");
}

#[tokio::test]
async fn a_file_without_a_secret_is_what_serve_would_refuse_as_well() {
    let canaries = Canaries::random();
    let (key, token) = (&canaries.key, &canaries.token);
    let (code, lines) = check(&canaries, &format!("CRYPTO_API_KEY={key}\nCRYPTO_PROXY_TOKEN={token}\n")).await;
    assert_eq!(code, Some(78), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("CRYPTO_API_SECRET")), "{lines:#?}");
}
