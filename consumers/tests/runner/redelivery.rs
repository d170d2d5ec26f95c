//! What is delivered again, twice or out of order changes nothing.

use std::time::Duration;

use chrono::{Days, Utc};
use headgate_outbox::inbox;
use headgate_schemas::ids::EventId;
use headgate_testkit::{eventually, topic};

use crate::support::campaign::Campaign;
use crate::support::{GROUP, PATIENCE, Pipe, tables};

/// Everything that must not change when records come again.
async fn state(pipe: &Pipe, campaign: &Campaign) -> (i64, i64, i64, (u32, u32)) {
    let pool = pipe.environment.pool();
    (
        tables::count(pool, "coupons").await,
        tables::count(pool, "inbox WHERE state = 'applied'").await,
        tables::count(pool, "outbox").await,
        tables::stock(pool, campaign.campaign_no).await,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn g08_what_is_delivered_again_changes_nothing() {
    let pipe = Pipe::new("delivered_again").await;
    let campaign = pipe.campaign(1_000).await;
    let admitted = pipe.admit(&campaign, 1..=700).await;
    let records = pipe.records(&admitted);
    let running = pipe.start().await;
    pipe.publish(&records).await;
    pipe.caught_up().await;
    let before = state(&pipe, &campaign).await;
    assert_eq!(before, (700, 700, 700, (300, 700)));

    // Again, backwards, one of them thrice and one on a partition that is not its own.
    pipe.publish(records.iter().rev()).await;
    pipe.publish([&records[0], &records[0]]).await;
    pipe.publish([
        &records[1].clone().at_partition(0),
        &records[1].clone().at_partition(3),
    ])
    .await;
    pipe.caught_up().await;
    assert_eq!(state(&pipe, &campaign).await, before);
    running.stop().await;

    // A group whose offsets were lost reads everything anew.
    topic::rewind(
        pipe.environment.kafka_bootstrap(),
        &pipe.names.group(GROUP),
        &pipe.topic(),
    )
    .await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(state(&pipe, &campaign).await, before);
    assert_eq!(tables::count(pipe.environment.pool(), "dead_letters").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g08_new_and_old_events_in_one_batch() {
    let pipe = Pipe::new("new_and_old").await;
    let campaign = pipe.campaign(1_000).await;
    let admitted = pipe.admit(&campaign, 1..=400).await;
    let records = pipe.records(&admitted);
    let running = pipe.start().await;
    pipe.publish(records.iter().step_by(2)).await;
    pipe.caught_up().await;
    // Every batch of these meets events that are known and events that are not.
    pipe.publish(&records).await;
    pipe.caught_up().await;
    assert_eq!(state(&pipe, &campaign).await, (400, 400, 400, (600, 400)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t02_an_event_of_yesterday_is_recognised_today() {
    let pipe = Pipe::new("yesterday").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let mut admitted = pipe.admit(&campaign, 1..=2).await;
    let yesterday = Utc::now() - Days::new(1);
    for (place, of) in (0..).zip(&mut admitted) {
        of.event_id = EventId::of_foreign_record("made yesterday", 0, place, yesterday.timestamp_millis());
    }
    let records = pipe.records(&admitted);
    let running = pipe.start().await;
    pipe.publish(&records).await;
    pipe.caught_up().await;
    let day = yesterday.date_naive();
    assert_eq!(
        tables::count(pool, &format!("inbox WHERE event_day = '{day}'")).await,
        2
    );
    let partition = format!("inbox PARTITION (p{})", day.format("%Y%m%d"));
    assert_eq!(tables::count(pool, &partition).await, 2);

    pipe.publish(&records).await;
    pipe.caught_up().await;
    assert_eq!(state(&pipe, &campaign).await, (2, 2, 2, (8, 2)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g08_an_event_that_the_inbox_forgot_issues_no_second_coupon() {
    let pipe = Pipe::new("forgotten").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let records = pipe.records(&pipe.admit(&campaign, 1..=3).await);
    let running = pipe.start().await;
    pipe.publish(&records).await;
    pipe.caught_up().await;
    sqlx::query("DELETE FROM inbox")
        .execute(pool)
        .await
        .expect("the inbox forgets");
    pipe.publish(&records).await;
    pipe.caught_up().await;
    assert_eq!(state(&pipe, &campaign).await, (3, 3, 3, (7, 3)));
    assert_eq!(tables::count(pool, "dead_letters").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_whoever_works_on_the_partition_is_waited_for() {
    let pipe = Pipe::new("one_at_a_time").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let records = pipe.records(&pipe.admit(&campaign, 1..=6).await);
    let records: Vec<_> = records.into_iter().map(|record| record.at_partition(2)).collect();
    let mut config = pipe.config();
    config.consumer.transaction_timeout = Duration::from_secs(1);
    let running = pipe.start_with(config).await;
    running.wait_joined().await;
    // Another process that believes it has this partition, in the middle of a transaction.
    let group = inbox::group_no(pool, GROUP).await.expect("a group");
    let mut zombie = pool.begin().await.expect("a transaction");
    assert!(
        inbox::lock_partition(&mut zombie, group, &pipe.topic(), 2)
            .await
            .expect("the partition is registered")
    );
    pipe.publish(&records).await;
    // The worker waits for it, or else it has been applied meanwhile.
    eventually("the partition to be worked on", PATIENCE, async || {
        let is_waiting = pipe.metric("headgate_consumer_waiting") > 0.0;
        (is_waiting || tables::count(pool, "coupons").await > 0).then_some(())
    })
    .await;
    assert_eq!(tables::count(pool, "coupons").await, 0);
    zombie.rollback().await.expect("it gives up");
    pipe.caught_up().await;
    assert_eq!(state(&pipe, &campaign).await, (6, 6, 6, (4, 6)));
    running.stop().await;
}
