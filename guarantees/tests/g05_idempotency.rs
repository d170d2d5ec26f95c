//! G5: a request that is sent again under its `Idempotency-Key` takes effect once, also
//! when the process that worked on it died by SIGKILL.

use std::time::Duration;

use headgate_guarantees::partner::campaign_body;
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Longer than the lease.
const PATIENCE: Duration = Duration::from_secs(30);
/// Times of an api whose keys are free again soon, in milliseconds: a claim is shorter
/// than a request, and a request than a lease.
const SHORT: [(&str, &str); 4] = [
    ("HEADGATE_CLAIMS__COMMIT_TIMEOUT_MS", "2000"),
    ("HEADGATE_CLAIMS__TIMEOUT_MS", "2500"),
    ("HEADGATE_HTTP__REQUEST_TIMEOUT_MS", "3000"),
    ("HEADGATE_IDEMPOTENCY__LEASE_MS", "4000"),
];

async fn installation(test: &str) -> Installation {
    let installation = Installation::new(test).await;
    SHORT.iter().fold(installation, |installation, (key, value)| {
        installation.with(key, *value)
    })
}

fn register(partner: &Partner, body: &Value) -> reqwest::RequestBuilder {
    partner
        .request(Method::POST, "/v1/campaigns")
        .header("Idempotency-Key", "\"c-1\"")
        .json(body)
}

async fn count(installation: &Installation, table: &'static str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")))
        .fetch_one(installation.environment().pool())
        .await
        .expect("a count")
}

/// Lets an api die at `point` while it registers a campaign; returns another one.
async fn dies_at(installation: &Installation, point: &str, body: &Value) -> Service {
    // Both run before the crash: the lease is not spent on a start.
    let successor = installation.api().spawn().await;
    let mut doomed = installation.api().crash_at(point).spawn().await;
    let lost = register(&installation.partner(&doomed), body).send().await;
    assert!(lost.is_err(), "{lost:?}");
    doomed.assert_died_at_crash_point().await;
    successor
}

#[tokio::test]
async fn g05_a_key_whose_owner_died_works_again_after_its_lease() {
    let installation = installation("g05_reserved").await;
    let body = campaign_body(5);
    let successor = dies_at(&installation, "api.after-key-before-work", &body).await;
    let partner = installation.partner(&successor);
    assert_eq!(count(&installation, "campaigns").await, 0);
    let mut refused = 0;
    let made = eventually("the key to be free", PATIENCE, async || {
        let reply = Partner::reply(register(&partner, &body)).await;
        if reply.status == StatusCode::CREATED {
            return Some(reply);
        }
        assert_eq!(
            (reply.status, reply.code()),
            (StatusCode::CONFLICT, "idempotency-in-progress")
        );
        assert!(reply.retry_after, "{reply:?}");
        refused += 1;
        None
    })
    .await;
    assert!(refused > 0, "the lease of the dead process did not hold");
    let again = Partner::reply(register(&partner, &body)).await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &made.body));
    assert_eq!(count(&installation, "campaigns").await, 1);
    assert_eq!(count(&installation, "outbox").await, 1);
}

#[tokio::test]
async fn g05_an_answer_that_was_lost_on_its_way_is_heard_the_next_time() {
    let installation = installation("g05_committed").await;
    let body = campaign_body(5);
    let successor = dies_at(&installation, "api.after-keyed-commit-before-answer", &body).await;
    let answer = register(&installation.partner(&successor), &body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["idempotency-replayed"], "true");
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let made: Value = answer.json().await.expect("JSON");
    let read = installation.partner(&successor).get(&location).await;
    assert_eq!(read.body["campaign_id"], made["campaign_id"]);
    assert_eq!(count(&installation, "campaigns").await, 1);
    assert_eq!(count(&installation, "outbox").await, 1);
}
