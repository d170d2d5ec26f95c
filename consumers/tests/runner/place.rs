//! Where a group begins, and that it never skips.

use headgate_schemas::topics::COUPONS;
use headgate_testkit::eventually;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::{GROUP, PATIENCE, Pipe, tables};

/// Lets Kafka drop everything below `offset` of each partition.
async fn drop_records(pipe: &Pipe, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", pipe.environment.kafka_bootstrap())
        .create()
        .expect("an admin client");
    admin
        .delete_records(&offsets(pipe, offset), &AdminOptions::new())
        .await
        .expect("records are dropped");
}

/// Moves the group, of which nobody runs, to `offset` of each partition.
async fn move_group(pipe: &Pipe, offset: i64) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", pipe.environment.kafka_bootstrap())
        .set("group.id", pipe.names.group(GROUP));
    let offsets = offsets(pipe, offset);
    let moved = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        consumer.commit(&offsets, CommitMode::Sync)
    });
    moved
        .await
        .expect("committing does not panic")
        .expect("the group is moved");
}

fn offsets(pipe: &Pipe, offset: i64) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    for partition in 0..COUPONS.partitions {
        offsets
            .add_partition_offset(&pipe.topic(), partition, Offset::Offset(offset))
            .expect("an offset");
    }
    offsets
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
    move_group(&pipe, 4).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 8 + 8 + 16);
    running.stop().await;
}
