//! Admitted claims become coupons: once each, with their events, and the stock follows.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use headgate_runtime::process::PROCESS_BITS;
use headgate_schemas::codec::split_wire_format;
use headgate_schemas::event::Event;
use headgate_schemas::event::coupons::CouponEvent;
use headgate_testkit::{eventually, topic};

use crate::support::{GROUP, PATIENCE, Pipe, metrics, tables};

#[tokio::test(flavor = "multi_thread")]
async fn every_admitted_claim_becomes_a_coupon() {
    let pipe = Pipe::new("every_admitted_claim").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(1_500).await;
    let admitted = pipe.admit(&campaign, 1..=1_500).await;
    let running = pipe.start().await;
    pipe.publish(&pipe.records(&admitted)).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons WHERE state = 'issued'").await, 1_500);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (0, 1_500));
    assert_eq!(tables::count(pool, "dead_letters").await, 0);
    let events = tables::outbox(pool).await;
    assert_eq!(events.get("ClaimIssued"), Some(&1_500));
    assert_eq!(events.get("CampaignSoldOut"), Some(&1));
    assert_eq!(
        tables::count(
            pool,
            "coupons JOIN claims ON claim_id = coupon_id AND coupons.ticket = claims.ticket
             AND coupons.user_id = claims.user_id WHERE coupons.event_sequence = 2
             AND coupons.last_outbox_id > claims.last_outbox_id"
        )
        .await,
        1_500
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_say_what_the_tables_say() {
    let pipe = Pipe::new("events_say").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(2).await;
    let admitted = pipe.admit(&campaign, 1..=2).await;
    let running = pipe.start().await;
    pipe.publish(&pipe.records(&admitted)).await;
    eventually("the events of both coupons", PATIENCE, async || {
        (tables::count(pool, "outbox").await == 3).then_some(())
    })
    .await;
    let payloads: Vec<Vec<u8>> = sqlx::query_scalar("SELECT payload FROM outbox ORDER BY id")
        .fetch_all(pool)
        .await
        .expect("the outbox can be read");
    let mut tickets = BTreeSet::new();
    for payload in payloads {
        let (schema_id, datum) = split_wire_format(Some(&payload)).expect("wire format");
        let schema = pipe.registry.writer_schema(schema_id).await.expect("a schema");
        match schema.decode(datum).expect("an event") {
            Event::Coupon(CouponEvent::ClaimIssued(event)) => {
                let of = admitted.iter().find(|of| of.claim.claim_id == event.claim_id);
                let claim = &of.expect("a claim of ours").claim;
                assert_eq!(
                    (event.coupon_id, &event.user_id),
                    (claim.claim_id, &claim.user_id)
                );
                assert_eq!(event.expires_at.0 - event.issued_at.0, 3_600_000_000);
                tickets.insert(event.ticket);
            }
            Event::Coupon(CouponEvent::CampaignSoldOut(event)) => {
                assert_eq!((event.quota, event.issued), (2, 2));
                assert_eq!(event.campaign_id, campaign.campaign_id);
            }
            other => panic!("not expected: {other:?}"),
        }
    }
    assert_eq!(tickets, [1, 2].into());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_partitions_and_take_over() {
    let pipe = Pipe::new("two_processes").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(3_000).await;
    let admitted = pipe.admit(&campaign, 1..=3_000).await;
    let records = pipe.records(&admitted);
    let first = pipe.start().await;
    first.wait_joined().await;
    let second = pipe.start().await;
    pipe.publish(&records[..1_000]).await;
    second.wait_joined().await;
    pipe.publish(&records[1_000..2_000]).await;
    first.stop().await;
    pipe.publish(&records[2_000..]).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 3_000);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (0, 3_000));
    assert_eq!(tables::outbox(pool).await.get("ClaimIssued"), Some(&3_000));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_commits_what_was_done_and_the_metrics_say_so() {
    let pipe = Pipe::new("clean_stop").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(300).await;
    let mut config = pipe.config();
    // Longer than the test: only the stop itself commits.
    config.consumer.commit_every = 10 * PATIENCE;
    let running = pipe.start_with(config).await;
    pipe.publish(&pipe.records(&pipe.admit(&campaign, 1..=300).await))
        .await;
    eventually("every coupon", PATIENCE, async || {
        (tables::count(pool, "coupons").await == 300).then_some(())
    })
    .await;
    eventually("the lag to be reported as gone", PATIENCE, async || {
        let text = metrics().render();
        let series = format!("topic=\"{}\"", pipe.topic());
        let lags: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("headgate_consumer_lag_") && line.contains(&series))
            .collect();
        // Records and seconds of four partitions.
        (lags.len() == 8 && lags.iter().all(|line| line.ends_with(" 0"))).then_some(())
    })
    .await;
    // Some are read from MySQL every few seconds.
    eventually("every metric", PATIENCE, async || {
        let text = metrics().render();
        let names = [
            "headgate_end_to_end_seconds_bucket",
            "headgate_consumer_batch_seconds_bucket",
            "headgate_consumer_events_total",
            "headgate_dead_letters_open",
            "headgate_db_pool_connections",
        ];
        names.iter().all(|name| text.contains(name)).then_some(())
    })
    .await;
    running.stop().await;
    let group = pipe.names.group(GROUP);
    assert_eq!(
        topic::behind(pipe.environment.kafka_bootstrap(), &group, &pipe.topic()).await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_a_claims_next_event_goes_behind_one_made_by_a_clock_that_is_ahead() {
    let pipe = Pipe::new("clock_ahead").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let admitted = pipe.admit(&campaign, [1]).await;
    let in_an_hour = Utc::now() + TimeDelta::hours(1);
    let micros = u64::try_from(in_an_hour.timestamp_micros()).expect("after 1970");
    let ahead = micros << PROCESS_BITS;
    sqlx::query("UPDATE claims SET last_outbox_id = ?")
        .bind(ahead)
        .execute(pool)
        .await
        .expect("an update");
    let running = pipe.start().await;
    pipe.publish(&pipe.records(&admitted)).await;
    pipe.caught_up().await;
    let next: u64 = sqlx::query_scalar("SELECT id FROM outbox")
        .fetch_one(pool)
        .await
        .expect("the claim's next event");
    assert!(next > ahead, "{next} is not behind {ahead}");
    running.stop().await;
}
