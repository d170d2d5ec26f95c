//! The real process: its limits, its metrics, its end.

use std::time::Duration;

use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use reqwest::Method;

use crate::harness::Installation;
use crate::partner::{Answer, Partner};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Waits until that many requests are in work.
async fn in_work(api: &Service, number: u32) {
    eventually("requests in work", LONG, async || {
        let now = api.metric("headgate_http_in_flight", &[]).await;
        (now == Some(f64::from(number))).then_some(())
    })
    .await;
}

/// A client that waits for a claim which nobody settles.
fn waiting(partner: &Partner, claim: &Answer) -> tokio::task::JoinHandle<Answer> {
    let (partner, claim) = (partner.clone(), claim.text("claim_id").to_owned());
    tokio::spawn(async move { partner.wait_for_claim(&claim, 30).await })
}

#[tokio::test]
async fn who_waits_does_not_keep_the_process_from_stopping() {
    let installation = Installation::new("stop").await;
    let mut api = installation.spawn(&[]).await;
    let partner = installation.partner_of(&api.http()).await;
    let campaign = partner.campaign(5).await;
    let claim = partner.claim(&campaign, "u-1").await;
    let waiting = waiting(&partner, &claim);
    in_work(&api, 1).await;
    api.stop().await;
    let answer = waiting.await.expect("no panic");
    assert_eq!((answer.status, answer.text("state")), (200, "admitted"));
}

#[tokio::test]
async fn g13_too_many_requests_at_once_are_refused_at_once() {
    let installation = Installation::new("overload").await;
    let mut api = installation.spawn(&[("HEADGATE_HTTP__IN_FLIGHT_MAX", "2")]).await;
    let partner = installation.partner_of(&api.http()).await;
    let campaign = partner.campaign(5).await;
    let claim = partner.claim(&campaign, "u-1").await;
    let waiting = [waiting(&partner, &claim), waiting(&partner, &claim)];
    in_work(&api, 2).await;
    let refused = partner.claim(&campaign, "u-2").await;
    assert_eq!(refused.problem(), (503, "overloaded"));
    installation.issue(claim.id("claim_id")).await;
    for answer in waiting {
        assert_eq!(answer.await.expect("no panic").text("state"), "issued");
    }
    assert_eq!(partner.claim(&campaign, "u-2").await.status, 202);
    api.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let installation = Installation::new("gone").await;
    let mut api = installation.spawn(&[]).await;
    let partner = installation.partner_of(&api.http()).await;
    let campaign = partner.campaign(5).await;
    let claim = partner.claim(&campaign, "u-1").await;
    let waiting = waiting(&partner, &claim);
    in_work(&api, 1).await;
    waiting.abort();
    in_work(&api, 0).await;
    api.stop().await;
}

#[tokio::test]
async fn x3_health_and_metrics_are_on_a_listener_of_their_own() {
    let installation = Installation::new("health").await;
    let mut api = installation.spawn(&[]).await;
    let partner = installation.partner_of(&api.http()).await;
    let campaign = partner.campaign(1).await;
    assert_eq!(partner.claim(&campaign, "u-1").await.status, 202);
    let health = Partner::new(&api.health(), "none");
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(
            Answer::of(health.anonymous(Method::GET, path)).await.status,
            200,
            "{path}"
        );
    }
    let claims = r#"route="/v1/campaigns/{campaign_id}/claims""#;
    let expected: [(&str, &[&str], f64); 3] = [
        (
            "headgate_http_request_seconds_count",
            &[claims, r#"status="202""#],
            1.0,
        ),
        ("headgate_http_in_flight", &[], 0.0),
        ("headgate_claims_total", &[r#"outcome="admitted""#], 1.0),
    ];
    for (name, labels, value) in expected {
        assert_eq!(api.metric(name, labels).await, Some(value), "{name}");
    }
    for state in [r#"state="idle""#, r#"state="in_use""#] {
        let connections = api.metric("headgate_db_pool_connections", &[state]).await;
        assert!(connections.is_some(), "{state}");
    }
    // Not on the public one.
    assert_eq!(partner.get("/metrics").await.problem(), (404, "route-not-found"));
    api.stop().await;
}

#[tokio::test]
async fn wrong_settings_are_all_named_and_good_ones_pass_the_check() {
    let check = async |variables: &[(&str, &str)]| {
        let checked = tokio::process::Command::new(env!("CARGO_BIN_EXE_headgate-api"))
            .arg("--check-config")
            .envs(variables.iter().copied())
            .output()
            .await
            .expect("the program runs");
        (
            checked.status.success(),
            String::from_utf8_lossy(&checked.stderr).into_owned(),
        )
    };
    assert!(check(&[]).await.0);
    let (passed, said) = check(&[
        ("HEADGATE_HTTP__IN_FLIGHT_MAX", "0"),
        ("HEADGATE_KEYS__REVOCATIONS_EVERY_MS", "60000"),
        ("HEADGATE_HTTP__PROBLEM_BASE", "https://example.com/problems"),
    ])
    .await;
    assert!(!passed);
    for part in ["limits of http", "keys.revocations_every_ms", "http.problem_base"] {
        assert!(said.contains(part), "{part} is not named in:\n{said}");
    }
}
