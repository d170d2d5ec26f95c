//! The listener as a process.

use std::time::Duration;

use headgate_testkit::process::{Start, run_any};
use headgate_testkit::{Environment, eventually};
use sha2::{Digest, Sha256};

use crate::listener::{ADMIN, Listener, OPERATOR, VIEWER};

/// Longest wait for the continuous reconciliation.
const PATIENCE: Duration = Duration::from_secs(30);

fn variables(environment: &Environment) -> Vec<(String, String)> {
    let mut variables = environment.env_vars();
    for (name, value) in [
        ("HEADGATE_HTTP__LISTEN", "127.0.0.1:0"),
        ("HEADGATE_HEALTH__LISTEN", "127.0.0.1:0"),
        ("HEADGATE_RECONCILE__EVERY_MS", "50"),
        ("HEADGATE_OPERATOR_TOKEN", ADMIN),
    ] {
        variables.push((name.to_owned(), value.to_owned()));
    }
    variables
}

#[tokio::test]
async fn without_a_token_it_does_not_start_and_says_why() {
    let environment = Environment::new("no_operator_token").await;
    let mut without = variables(&environment);
    without.retain(|(name, _)| name != "HEADGATE_OPERATOR_TOKEN");
    let (status, _, stderr) = run_any("headgate-operator", &without, &["--check-config"]).await;
    assert!(
        !status.success() && stderr.contains("there is no operator token"),
        "{stderr}"
    );
    let mut short = without.clone();
    short.push(("HEADGATE_OPERATOR_TOKEN".to_owned(), "short".to_owned()));
    let (status, _, stderr) = run_any("headgate-operator", &short, &["--check-config"]).await;
    assert!(
        !status.success() && stderr.contains("at least 16 bytes"),
        "{stderr}"
    );
    let (status, _, stderr) =
        run_any("headgate-operator", &variables(&environment), &["--check-config"]).await;
    assert!(status.success(), "{stderr}");
}

#[tokio::test]
async fn tokens_come_from_a_file_too_by_their_hash() {
    let environment = Environment::migrated("token_file").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("operator.toml");
    let hash = hex::encode(Sha256::digest(VIEWER));
    let tokens = format!("[[tokens]]\nname = \"vera\"\nrole = \"viewer\"\nsha256 = \"{hash}\"\n");
    std::fs::write(&file, tokens).expect("the file can be written");
    let file = file.to_str().expect("UTF-8");
    let start = Start::new("headgate-operator", variables(&environment));
    let operator = start.argument("--config").argument(file).spawn().await;
    let http = reqwest::Client::new();
    for (token, status) in [(VIEWER, 200), (ADMIN, 200), (OPERATOR, 401)] {
        let request = http
            .get(format!("{}/v1/audit", operator.http()))
            .bearer_auth(token);
        assert_eq!(
            request.send().await.expect("it answers").status(),
            status,
            "{token}"
        );
    }
}

#[tokio::test]
async fn it_starts_without_kafka_and_registry_and_stops_when_told() {
    let environment = Environment::migrated("operator_alone").await;
    let start = Start::new("headgate-operator", variables(&environment))
        .variable("KAFKA_BOOTSTRAP", "127.0.0.1:1")
        .variable("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
        .variable("REDIS_URL", "redis://127.0.0.1:1/0");
    let mut operator = start.spawn().await;
    let http = reqwest::Client::new();
    let get = async |path: &str| {
        let request = http.get(format!("{}{path}", operator.http())).bearer_auth(ADMIN);
        request.send().await.expect("it answers")
    };
    assert_eq!(get("/v1/dead-letters").await.status(), 200);
    assert_eq!(get("/v1/reconciliation").await.status(), 200);
    let lag = get("/v1/lag").await;
    assert_eq!(
        (lag.status().as_u16(), lag.headers().contains_key("retry-after")),
        (503, true)
    );
    operator.stop().await;
    assert!(!operator.log().contains(ADMIN), "the token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_shows_in_the_metric_until_it_is_gone() {
    let listener = Listener::start("reconcile_metric").await;
    listener.campaign(10).await;
    let operator = Start::new("headgate-operator", variables(&listener.environment))
        .spawn()
        .await;
    for (remaining, differences) in [(10, 0.0), (9, 1.0), (10, 0.0)] {
        sqlx::query("UPDATE campaign_stock SET remaining = ?")
            .bind(remaining)
            .execute(listener.environment.pool())
            .await
            .expect("MySQL answers");
        eventually("the metric to follow", PATIENCE, async || {
            let value = operator.metric("headgate_reconcile_difference", &[]).await;
            (value == Some(differences)).then_some(())
        })
        .await;
    }
}
