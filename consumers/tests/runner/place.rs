//! Where a group begins, and that it never skips.

use chrono::{Days, TimeDelta, Utc};
use headgate_consumers::{Refused, reset_offsets};
use headgate_groups::Group;
use headgate_testkit::eventually;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use crate::support::{GROUP, PATIENCE, Pipe, tables};

/// Lets Kafka drop everything below `offset` of each partition.
async fn drop_records(pipe: &Pipe, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", pipe.environment.kafka_bootstrap())
        .create()
        .expect("an admin client");
    let mut offsets = TopicPartitionList::new();
    for partition in 0..4 {
        offsets
            .add_partition_offset(&pipe.topic(), partition, Offset::Offset(offset))
            .expect("an offset");
    }
    admin
        .delete_records(&offsets, &AdminOptions::new())
        .await
        .expect("records are dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn t19_a_new_group_begins_with_the_earliest_record() {
    let pipe = Pipe::new("new_group").await;
    let campaign = pipe.campaign(100).await;
    let records = pipe.records(&pipe.admit(&campaign, 1..=50).await);
    // Written before anybody listened.
    pipe.publish(&records).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pipe.environment.pool(), "coupons").await, 50);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t19_a_group_that_was_away_too_long_stands_still_and_says_so() {
    let pipe = Pipe::new("away_too_long").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let records = pipe.records(&pipe.admit(&campaign, 1..=40).await);
    let at = |records: &[crate::support::Outgoing]| {
        records
            .iter()
            .zip((0..4).cycle())
            .map(|(record, partition)| record.clone().at_partition(partition))
            .collect::<Vec<_>>()
    };
    let running = pipe.start().await;
    pipe.publish(&at(&records[..8])).await;
    pipe.caught_up().await;
    running.stop().await;
    // Two records of each partition are read; while the group is away four more are
    // written, and Kafka keeps only the last two.
    pipe.publish(&at(&records[8..24])).await;
    drop_records(&pipe, 4).await;
    let running = pipe.start().await;
    running.wait_joined().await;
    let said = running.says("place").await;
    assert!(said.contains(&format!("{}/0", pipe.topic())), "{said}");
    pipe.publish(&at(&records[24..])).await;
    eventually("readiness to go on saying so", PATIENCE, async || {
        (running.says("place").await != "ok").then_some(())
    })
    .await;
    running.stop().await;
    assert_eq!(tables::count(pool, "coupons").await, 8, "nothing was skipped");

    // An operator moves the group on, knowingly.
    let kafka = pipe.config().kafka;
    let resets = reset_offsets(
        pool,
        &kafka,
        Group::CouponIssuance,
        Utc::now() - TimeDelta::hours(1),
    )
    .await
    .expect("nobody runs");
    assert!(
        resets
            .iter()
            .all(|reset| (reset.before, reset.after) == (Some(2), 4)),
        "{resets:?}"
    );
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 8 + 8 + 16);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t02_a_reset_behind_the_inbox_is_refused_and_one_within_changes_nothing() {
    let pipe = Pipe::new("reset").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let begun = Utc::now();
    let running = pipe.start().await;
    pipe.publish(&pipe.records(&pipe.admit(&campaign, 1..=30).await))
        .await;
    pipe.caught_up().await;
    let kafka = pipe.config().kafka;
    let while_running = reset_offsets(pool, &kafka, Group::CouponIssuance, begun).await;
    assert!(
        matches!(while_running, Err(Refused::Running { .. })),
        "{while_running:?}"
    );
    running.stop().await;
    let too_old = reset_offsets(pool, &kafka, Group::CouponIssuance, begun - Days::new(30)).await;
    assert!(matches!(too_old, Err(Refused::TooOld { .. })), "{too_old:?}");
    let resets = reset_offsets(pool, &kafka, Group::CouponIssuance, begun)
        .await
        .expect("nobody runs");
    assert!(resets.iter().all(|reset| reset.after == 0), "{resets:?}");
    let behind = tables::lag(
        pipe.environment.kafka_bootstrap(),
        &pipe.names.group(GROUP),
        &pipe.topic(),
    )
    .await;
    assert_eq!(behind, 30);
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 30);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (70, 30));
    running.stop().await;
}
