//! The campaign clock: campaigns open and end by MySQL's time.

use chrono::{DateTime, Utc};
use headgate_domain::Change;
use headgate_domain::campaigns::{Campaign, store};

use crate::harness::Installation;

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
    let (installation, api, partner) = Installation::with_partner("clock").await;
    let id = partner.scheduled_campaign(10).await;
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
    let (installation, api, partner) = Installation::with_partner("unwatched").await;
    let id = partner.scheduled_campaign(10).await;
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
    let (installation, api, partner) = Installation::with_partner("batches").await;
    for _ in 0..5 {
        partner.scheduled_campaign(10).await;
    }
    let paused = partner.campaign(10).await;
    let answer = partner.act(&paused, "pause").await;
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
    let (installation, api, partner) = Installation::with_partner("due_pause").await;
    let id = partner.scheduled_campaign(10).await;
    installation
        .sql("UPDATE campaigns SET opens_at = '2020-01-01'")
        .await;
    assert_eq!(
        partner.get(&format!("/v1/campaigns/{id}")).await.text("state"),
        "open"
    );
    assert_eq!(partner.claim(&id, "u-1").await.status, 202);
    let paused = partner.act(&id, "pause").await;
    assert_eq!(paused.text("state"), "paused");
    assert_eq!(
        installation.events(&id).await,
        ["CampaignOpened", "CampaignPaused"]
    );
    api.stop().await;
}
