//! The campaign clock: campaigns open and end by MySQL's time.

use chrono::{DateTime, Utc};
use headgate_domain::Change;
use headgate_domain::campaigns::{Campaign, store};
use serde_json::json;

use crate::harness::Installation;
use crate::partner::open_campaign;

/// More than there are.
const MANY: u32 = 100;

async fn run(installation: &Installation, now: &str, limit: u32) -> [Vec<Campaign>; 2] {
    let now: DateTime<Utc> = now.parse().expect("a time");
    let change = Change {
        now,
        ..installation.change()
    };
    let mut transaction = installation.pool().begin().await.expect("a transaction");
    let opened = store::open_due(&mut transaction, change, limit)
        .await
        .expect("opened");
    let ended = store::end_due(&mut transaction, change, limit)
        .await
        .expect("ended");
    transaction.commit().await.expect("committed");
    [opened, ended]
}

fn numbers(changed: &[Vec<Campaign>; 2]) -> [usize; 2] {
    [changed[0].len(), changed[1].len()]
}

#[tokio::test]
async fn c8_a_campaign_opens_and_ends_once_by_the_clock() {
    let installation = Installation::new("clock").await;
    let api = installation.start().await;
    let partner = installation.partner(&api).await;
    let mut body = open_campaign(10);
    body["opens_at"] = json!("2998-01-01T00:00:00Z");
    let id = partner
        .post("/v1/campaigns", &body)
        .await
        .text("campaign_id")
        .to_owned();
    for (now, expected, events) in [
        ("2997-12-31T23:59:59.999999Z", [0, 0], &[][..]),
        ("2998-01-01T00:00:00Z", [1, 0], &["CampaignOpened"]),
        ("2998-01-01T00:00:01Z", [0, 0], &["CampaignOpened"]),
        (
            "2999-01-01T00:00:00Z",
            [0, 1],
            &["CampaignOpened", "CampaignEnded"],
        ),
        (
            "2999-01-02T00:00:00Z",
            [0, 0],
            &["CampaignOpened", "CampaignEnded"],
        ),
    ] {
        let changed = run(&installation, now, MANY).await;
        assert_eq!(numbers(&changed), expected, "{now}");
        assert_eq!(installation.events(&id).await, events, "{now}");
    }
    let ended = installation.campaign(&id).await;
    assert_eq!(
        ended.ended_at,
        Some("2999-01-01T00:00:00Z".parse().expect("a time"))
    );
    api.stop().await;
}

#[tokio::test]
async fn c8_a_campaign_that_nobody_watched_opens_and_then_ends() {
    let installation = Installation::new("unwatched").await;
    let api = installation.start().await;
    let partner = installation.partner(&api).await;
    let mut body = open_campaign(10);
    body["opens_at"] = json!("2998-01-01T00:00:00Z");
    let id = partner
        .post("/v1/campaigns", &body)
        .await
        .text("campaign_id")
        .to_owned();
    let changed = run(&installation, "3000-01-01T00:00:00Z", MANY).await;
    assert_eq!(numbers(&changed), [1, 1]);
    assert_eq!(
        installation.events(&id).await,
        ["CampaignOpened", "CampaignEnded"]
    );
    api.stop().await;
}

#[tokio::test]
async fn the_clock_works_in_bounded_batches_and_leaves_paused_campaigns_paused() {
    let installation = Installation::new("batches").await;
    let api = installation.start().await;
    let partner = installation.partner(&api).await;
    let mut body = open_campaign(10);
    body["opens_at"] = json!("2998-01-01T00:00:00Z");
    for _ in 0..5 {
        assert_eq!(partner.post("/v1/campaigns", &body).await.status, 201);
    }
    let paused = partner.campaign(10).await;
    let answer = partner
        .post(&format!("/v1/campaigns/{paused}/pause"), &json!({}))
        .await;
    assert_eq!(answer.status, 200);
    let mut opened = Vec::new();
    for _ in 0..4 {
        opened.push(numbers(&run(&installation, "2998-06-01T00:00:00Z", 2).await));
    }
    assert_eq!(opened, [[2, 0], [2, 0], [1, 0], [0, 0]]);
    assert_eq!(installation.campaign(&paused).await.state.as_str(), "paused");
    let ended = run(&installation, "2999-01-01T00:00:00Z", MANY).await;
    assert_eq!(numbers(&ended), [0, 6]);
    let events = installation.events(&paused).await;
    assert_eq!(events, ["CampaignOpened", "CampaignPaused", "CampaignEnded"]);
    api.stop().await;
}

#[tokio::test]
async fn a_pause_before_the_clock_came_round_opens_first() {
    let installation = Installation::new("due_pause").await;
    let api = installation.start().await;
    let partner = installation.partner(&api).await;
    let mut body = open_campaign(10);
    body["opens_at"] = json!("2998-01-01T00:00:00Z");
    let id = partner
        .post("/v1/campaigns", &body)
        .await
        .text("campaign_id")
        .to_owned();
    installation
        .sql("UPDATE campaigns SET opens_at = '2020-01-01'")
        .await;
    assert_eq!(
        partner.get(&format!("/v1/campaigns/{id}")).await.text("state"),
        "open"
    );
    assert_eq!(partner.claim(&id, "u-1").await.status, 202);
    let paused = partner
        .post(&format!("/v1/campaigns/{id}/pause"), &json!({}))
        .await;
    assert_eq!(paused.text("state"), "paused");
    assert_eq!(
        installation.events(&id).await,
        ["CampaignOpened", "CampaignPaused"]
    );
    api.stop().await;
}
