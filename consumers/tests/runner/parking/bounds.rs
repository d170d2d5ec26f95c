//! Parking is bounded: at the bound the partition stands still and says so.

use headgate_schemas::topics::COUPONS;
use headgate_testkit::eventually;
use headgate_testkit::topic::{self, Record};

use super::{give_up, ids, issued, junk, letters, under};
use crate::support::{GROUP, PATIENCE, Pipe, tables};

/// Waits until a partition has no room for what must be parked.
async fn full(pipe: &Pipe) {
    eventually("the partition to stand still", PATIENCE, async || {
        (pipe.metric("headgate_consumer_parking_full") > 0.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_at_the_bound_the_partition_stands_still_until_there_is_room() {
    let pipe = Pipe::new("bound").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=5).await;
    let mut config = pipe.config();
    config.consumer.parked_per_key_max = 2;
    config.consumer.parked_per_partition_max = 3;
    let running = pipe.start_with(config).await;
    let of = |key: &str, claim: usize| under(&pipe, key, &admitted[claim]);
    // What stands before the one that finds no room is settled: key b flows.
    pipe.publish(&[
        junk("a"),
        of("a", 0),
        of("a", 1),
        of("b", 2),
        of("a", 3),
        of("b", 4),
    ])
    .await;
    full(&pipe).await;
    assert_eq!(letters(&pipe, "a").await.len(), 3);
    assert_eq!(issued(&pipe).await, ids(&admitted[2..3]));
    // Room again: the partition goes on by itself, in order.
    let head = letters(&pipe, "a").await[0].letter_id;
    give_up(&pipe, head).await;
    eventually("the partition to go on", PATIENCE, async || {
        (tables::count(pool, "coupons").await == 5).then_some(())
    })
    .await;
    let (of_a, of_b) = (
        ids(&[0, 1, 3].map(|claim: usize| admitted[claim].clone())),
        [2, 4],
    );
    let of_b = ids(&of_b.map(|claim: usize| admitted[claim].clone()));
    let (issued_a, issued_b): (Vec<String>, Vec<String>) = issued(&pipe)
        .await
        .into_iter()
        .partition(|claim| of_a.contains(claim));
    assert_eq!((issued_a, issued_b), (of_a, of_b));
    assert!(pipe.metric("headgate_consumer_parking_full") < 1.0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_a_partition_bounds_what_is_parked_under_all_its_keys() {
    let pipe = Pipe::new("partition_bound").await;
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=3).await;
    let mut config = pipe.config();
    config.consumer.parked_per_key_max = 2;
    config.consumer.parked_per_partition_max = 2;
    let running = pipe.start_with(config).await;
    let of = |key: &str, claim: usize| under(&pipe, key, &admitted[claim]);
    pipe.publish(&[junk("a"), junk("b"), of("a", 0), of("b", 1), of("b", 2)])
        .await;
    full(&pipe).await;
    assert_eq!(
        (letters(&pipe, "a").await.len(), letters(&pipe, "b").await.len()),
        (2, 2)
    );
    running.stop().await;
    // Whoever has the partition next says whether there is room.
    assert!(pipe.metric("headgate_consumer_parking_full") < 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_at_the_bound_what_was_applied_before_needs_no_room() {
    let pipe = Pipe::new("redelivered_at_the_bound").await;
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=4).await;
    let mut config = pipe.config();
    config.consumer.parked_per_key_max = 1;
    config.consumer.parked_per_partition_max = 1;
    let running = pipe.start_with(config.clone()).await;
    let of = |key: &str, claim: usize| under(&pipe, key, &admitted[claim]);
    pipe.publish(&[of("a", 0), junk("a"), of("a", 1)]).await;
    pipe.caught_up().await;
    running.stop().await;
    // All of it is delivered again, with what stands behind it.
    let bootstrap = pipe.environment.kafka_bootstrap();
    topic::rewind(bootstrap, &pipe.names.group(GROUP), &pipe.topic()).await;
    pipe.publish(&[of("b", 2), of("c", 3)]).await;
    let running = pipe.start_with(config).await;
    pipe.caught_up().await;
    assert_eq!(
        issued(&pipe).await,
        ids(&[0, 2, 3].map(|claim: usize| admitted[claim].clone()))
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_what_is_fed_again_leaves_the_way_free_for_the_release_that_makes_room() {
    let pipe = Pipe::new("refed_at_the_bound").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=3).await;
    let mut config = pipe.config();
    config.consumer.parked_per_key_max = 1;
    config.consumer.parked_per_partition_max = 1;
    let running = pipe.start_with(config).await;
    // The partition that the key belongs to: there it is held on the retry topic, too.
    let of = |claim: usize| {
        let mut record = under(&pipe, "a", &admitted[claim]);
        record.partition = None;
        record
    };
    let mut poison = junk("a");
    poison.partition = None;
    pipe.publish(&[poison, of(0)]).await;
    pipe.caught_up().await;
    let fed = of(1);
    let headers = fed
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())));
    let record = Record {
        topic: pipe.names.retry(&COUPONS, GROUP),
        partition: 0,
        offset: 0,
        key: fed.key.clone(),
        value: fed.value.clone(),
        headers: headers.collect(),
    };
    topic::write(pipe.environment.kafka_bootstrap(), &record).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "dead_letters WHERE is_parked = 1").await, 2);
    give_up(&pipe, letters(&pipe, "a").await[0].letter_id).await;
    assert_eq!(issued(&pipe).await, ids(&admitted[..2]));
    running.stop().await;
}
