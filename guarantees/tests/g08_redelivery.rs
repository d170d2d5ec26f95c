//! G8: a redelivered, duplicated or reordered record changes nothing, and never gives
//! quota back.

use std::time::Duration;

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::{Evidence, assert_none, violations};
use headgate_testkit::client::Ledger;
use headgate_testkit::eventually;
use headgate_testkit::topic::{self, Record};
use uuid::Uuid;

const QUOTA: u32 = 50;
const USERS: usize = 60;
/// Until the consumers have read what was written, at most.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

async fn sold(test: &str) -> (Installation, Pipeline, Uuid, Ledger, Evidence) {
    let installation = Installation::new(test).await;
    let pipeline = installation.start(1).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let ledger = pipeline.load(&installation, campaign, USERS, 8).run().await;
    assert_all_hold(&installation, campaign, &ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    (installation, pipeline, campaign, ledger, evidence)
}

/// Waits until the group has read everything that is in the topic: one more claim, and
/// its coupon, come behind it on the same partition.
async fn wait_until_read(installation: &Installation, pipeline: &Pipeline) {
    let partner = pipeline.partner(installation);
    let behind = partner.open_campaign(64).await;
    for number in 0..64 {
        partner.claim(behind, &format!("behind-{number}")).await;
    }
    eventually(
        "the consumers to have read everything",
        READ_TIMEOUT,
        async || {
            let issued: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM coupons WHERE user_id LIKE 'behind-%'")
                    .fetch_one(installation.environment().pool())
                    .await
                    .ok()?;
            (issued == 64).then_some(())
        },
    )
    .await;
}

async fn rewrite(installation: &Installation, records: impl Iterator<Item = &Record>) {
    let records: Vec<Record> = records.cloned().collect();
    topic::write_all(installation.environment().kafka_bootstrap(), &records).await;
}

fn unchanged(before: &Evidence, after: &Evidence) {
    let coupons = |evidence: &Evidence| {
        let mut coupons: Vec<_> = evidence
            .coupons
            .iter()
            .filter(|coupon| !coupon.user_id.starts_with(b"behind"))
            .map(|coupon| {
                (
                    coupon.coupon_id,
                    coupon.ticket,
                    coupon.state.clone(),
                    coupon.event_sequence,
                )
            })
            .collect();
        coupons.sort_unstable();
        coupons
    };
    assert_eq!(coupons(before), coupons(after));
    let campaign = |evidence: &Evidence| {
        let campaign = &evidence.campaigns[0];
        (campaign.remaining, campaign.issued, campaign.event_sequence)
    };
    assert_eq!(campaign(before), campaign(after));
    assert_eq!(after.letters.len(), 0, "a repeated record is no dead letter");
}

#[tokio::test]
async fn g08_records_that_come_again_change_nothing() {
    let (installation, pipeline, campaign, ledger, before) = sold("g08_again").await;
    rewrite(&installation, before.public_records()).await;
    rewrite(&installation, before.public_records()).await;
    wait_until_read(&installation, &pipeline).await;
    let after = Evidence::collect(installation.environment()).await;
    unchanged(&before, &after);
    assert_none(&violations(installation.environment(), campaign, &ledger).await);
    pipeline.stop().await;
}

#[tokio::test]
async fn g08_records_in_the_wrong_order_change_nothing() {
    let (installation, pipeline, _, _, before) = sold("g08_order").await;
    let mut reversed: Vec<_> = before.public_records().cloned().collect();
    reversed.reverse();
    rewrite(&installation, reversed.iter()).await;
    wait_until_read(&installation, &pipeline).await;
    let after = Evidence::collect(installation.environment()).await;
    unchanged(&before, &after);
    pipeline.stop().await;
}

#[tokio::test]
async fn g08_offsets_set_back_to_the_beginning_change_nothing() {
    let (installation, mut pipeline, campaign, ledger, before) = sold("g08_offsets").await;
    pipeline.consumers.stop().await;
    topic::rewind(
        installation.environment().kafka_bootstrap(),
        &format!("{}coupon-issuance", installation.environment().kafka_prefix()),
        &before.public_topic(),
    )
    .await;
    pipeline.consumers = installation.consumers().spawn().await;
    wait_until_read(&installation, &pipeline).await;
    let after = Evidence::collect(installation.environment()).await;
    unchanged(&before, &after);
    assert_none(&violations(installation.environment(), campaign, &ledger).await);
    pipeline.stop().await;
}

#[tokio::test]
async fn t02_an_event_is_remembered_under_its_own_day() {
    let (installation, pipeline, _, _, before) = sold("t02_day").await;
    // An admission that was published two days ago, by its id.
    let two_days_ago = std::time::SystemTime::now() - Duration::from_hours(48);
    let since_1970 = two_days_ago
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    let millis = u64::try_from(since_1970.as_millis()).expect("small");
    let event_id = uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid();
    let mut record = before
        .public_records()
        .find(|record| record.header("ce_type") == Some("io.headgate.coupons.ClaimAdmitted"))
        .expect("somebody was admitted")
        .clone();
    let id = record
        .headers
        .iter_mut()
        .find(|(name, _)| name == "ce_id")
        .expect("every event has an id");
    id.1 = Some(event_id.to_string().into_bytes());
    topic::write(installation.environment().kafka_bootstrap(), &record).await;
    wait_until_read(&installation, &pipeline).await;
    let agrees: Option<bool> =
        sqlx::query_scalar("SELECT event_day = DATE(FROM_UNIXTIME(? / 1000)) FROM inbox WHERE event_id = ?")
            .bind(millis)
            .bind(event_id)
            .fetch_optional(installation.environment().pool())
            .await
            .expect("MySQL answers");
    assert_eq!(
        agrees,
        Some(true),
        "the inbox keeps an event under the day of its id, whatever the clock says"
    );
    pipeline.stop().await;
}

#[tokio::test]
async fn t19_a_group_that_starts_late_misses_nothing() {
    let installation = Installation::new("t19_late").await;
    let (relay, api) = (installation.relay(), installation.api());
    let (mut relay, api) = tokio::join!(relay.spawn(), api.spawn());
    let campaign = installation.partner(&api).open_campaign(QUOTA).await;
    let load = headgate_testkit::client::Load {
        caller: headgate_testkit::client::Caller::new(vec![api.http()], installation.api_key()),
        campaign,
        users: headgate_testkit::client::users(USERS),
        connections: 8,
        users_per_second: None,
    };
    let ledger = load.run().await;
    eventually("everything to be published", READ_TIMEOUT, async || {
        let waiting = installation.waiting_events().await?;
        (waiting == 0).then_some(())
    })
    .await;
    relay.stop().await;
    // The group has never been there before.
    let pipeline = Pipeline {
        apis: vec![api],
        relay: installation.relay().spawn().await,
        consumers: installation.consumers().spawn().await,
    };
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}
