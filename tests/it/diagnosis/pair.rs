//! The pair as it was found: missing, half, dirty, quoted, published, rotated by halves.

use diagnosis::{
    causes::{
        Cause, Conclusion,
        Likelihood::{Likely, Possible, VeryLikely},
    },
    probes::{Flaw, Seen},
};

use super::*;
use crate::support::each;

#[tokio::test]
async fn row_1_nothing_is_configured() {
    for empty in [false, true] {
        let scenario = Scenario::healthy()
            .await
            .without("CRYPTO_API_KEY")
            .without("CRYPTO_API_SECRET");
        let scenario = if empty {
            scenario.line("CRYPTO_API_KEY=").line("CRYPTO_API_SECRET=")
        } else {
            scenario
        };
        let outcome = scenario.run().await;
        outcome.says(
            &[Cause::NotConfigured],
            VeryLikely,
            "set CRYPTO_API_KEY and CRYPTO_API_SECRET in /",
        );
        outcome.concludes(Conclusion::Unusable);
    }
}

#[tokio::test]
async fn row_2_quotes_around_a_secret_are_seen_or_taken_off_and_the_calls_are_fine() {
    let rows = [
        ("quotes that systemd removes", "\"", "\"", Flaw::Quoted),
        ("quotes inside of them", "\"'", "'\"", Flaw::Dirt),
    ];
    each(rows, async |(_, before, after, flaw)| {
        let scenario = Scenario::healthy().await;
        let secret = &scenario.canaries.secret;
        let quoted = format!("CRYPTO_API_SECRET={before}{secret}{after}");
        let outcome = scenario.line(&quoted).run().await;
        outcome
            .says(&[Cause::DirtyCredentials], Possible, "correct the value in")
            .concludes(Conclusion::Healthy);
        let credentials = outcome.findings.credentials().unwrap();
        assert!(credentials.flaw(&[flaw]).is_some(), "{}", outcome.text);
    })
    .await;
}

#[tokio::test]
async fn row_3_half_a_pair_and_one_that_is_cut_short() {
    let half = Scenario::healthy()
        .await
        .without("CRYPTO_API_SECRET")
        .run()
        .await;
    half.says(
        &[Cause::MalformedPair],
        VeryLikely,
        "copy key and secret again",
    )
    .concludes(Conclusion::Unusable);
    let short = Scenario::healthy()
        .await
        .line("CRYPTO_API_SECRET=short")
        .run()
        .await;
    short.says(
        &[Cause::MalformedPair],
        VeryLikely,
        "copy key and secret again",
    );
}

#[tokio::test]
async fn row_3_key_and_secret_in_each_others_place() {
    let scenario = Scenario::healthy().await;
    let (key, secret) = (
        scenario.canaries.key.clone(),
        scenario.canaries.secret.clone(),
    );
    let scenario = scenario
        .line(&format!("CRYPTO_API_KEY={secret}"))
        .line(&format!("CRYPTO_API_SECRET={key}"));
    scenario
        .run()
        .await
        .says(&[Cause::MalformedPair], Likely, "both from one creation");
}

#[tokio::test]
async fn row_31_a_published_pair() {
    // The list holds digests alone, and a test cannot have its own: the fact is handed in as the loader would.
    let scenario = Scenario::healthy().await.plan(|plan| {
        plan.facts.flaws.push(probes::FlawFound {
            flaw: Flaw::Published,
            name: "CRYPTO_API_SECRET".into(),
            place: "/etc/crypto.env:2".into(),
            text: "this value was published: anybody may have it".into(),
        });
    });
    let outcome = scenario.run().await;
    outcome
        .says(
            &[Cause::Published],
            VeryLikely,
            "create a new key, delete this one",
        )
        .concludes(Conclusion::Trouble);
}

#[tokio::test]
async fn a_pair_without_a_callers_token_is_probed_all_the_same() {
    let outcome = Scenario::healthy()
        .await
        .without("CRYPTO_PROXY_TOKEN")
        .run()
        .await;
    outcome.concludes(Conclusion::Healthy);
    assert!(
        matches!(
            outcome.findings.seen(probes::Probe::Balance),
            Some(Seen::Answered(_))
        ),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn row_1_an_environment_file_that_is_not_there_is_named() {
    let scenario = Scenario::healthy().await;
    let folder = TempDir::new().unwrap();
    let sources = Sources::new(None, Vec::<(OsString, OsString)>::new());
    let default_config_file = folder.path().join("absent.toml");
    let sources = Sources {
        default_config_file,
        ..sources
    }
    .with_env_files(vec![folder.path().join("absent.env")]);
    let examined = config::inspect(&sources);
    let flaws: Vec<Flaw> = examined.pair.flaws.iter().map(|found| found.flaw).collect();
    assert_eq!(flaws, [Flaw::Missing]);
    assert!(examined.probing.is_none());
    let facts = examined.pair;
    let outcome = scenario
        .plan(|plan| (plan.facts, plan.ready) = (facts, None))
        .run()
        .await;
    outcome
        .says(&[Cause::NotConfigured], VeryLikely, "absent.env")
        .concludes(Conclusion::Unusable);
}
