//! Where a group begins, and that it never skips.

use headgate_testkit::{eventually, topic};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::{GROUP, PATIENCE, Pipe, tables};

/// The partition that loses nothing.
const WHOLE: i32 = 3;

/// Lets Kafka drop everything below `offset` of each partition but the whole one.
async fn drop_records(pipe: &Pipe, offset: i64) {
    let bootstrap = pipe.environment.kafka_bootstrap();
    topic::drop_records(bootstrap, &pipe.topic(), 0..WHOLE, Offset::Offset(offset)).await;
}

/// Moves the group, of which nobody runs, to `offset` of each partition but the whole one.
async fn move_group(pipe: &Pipe, offset: i64) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", pipe.environment.kafka_bootstrap())
        .set("group.id", pipe.names.group(GROUP));
    let offsets = offsets(pipe, 0..WHOLE, offset);
    let moved = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        consumer.commit(&offsets, CommitMode::Sync)
    });
    moved
        .await
        .expect("committing does not panic")
        .expect("the group is moved");
}

fn offsets(pipe: &Pipe, partitions: std::ops::Range<i32>, offset: i64) -> TopicPartitionList {
    let mut offsets = TopicPartitionList::new();
    for partition in partitions {
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
    // written, and Kafka keeps only the last two, except on one partition.
    pipe.publish(&at(&records[8..24])).await;
    drop_records(&pipe, 4).await;
    let running = pipe.start().await;
    running.wait_joined().await;
    let said = running.says("place").await;
    assert!(said.contains(&format!("{}/0", pipe.topic())), "{said}");
    assert!(!said.contains(&format!("{}/{WHOLE}", pipe.topic())), "{said}");
    // The others had as much time to go on as the partition that does.
    for (step, record) in (1..).zip(&records[24..28]) {
        let elsewhere = records[28..].iter().zip((0..WHOLE).cycle());
        let elsewhere = elsewhere.map(|(record, partition)| record.clone().at_partition(partition));
        let mut published: Vec<_> = elsewhere.skip(3 * (step - 1)).take(3).collect();
        published.push(record.clone().at_partition(WHOLE));
        pipe.publish(&published).await;
        eventually("the whole partition to go on", PATIENCE, async || {
            (tables::count(pool, "coupons").await >= 8 + 4 + i64::try_from(step).expect("small"))
                .then_some(())
        })
        .await;
    }
    assert_ne!(running.says("place").await, "ok", "it goes on saying so");
    running.stop().await;
    assert_eq!(
        tables::count(pool, "coupons").await,
        8 + 4 + 4,
        "nothing was skipped"
    );

    // An operator moves the group on, knowingly.
    move_group(&pipe, 4).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    // All but the six that Kafka has dropped.
    assert_eq!(tables::count(pool, "coupons").await, 40 - 6);
    running.stop().await;
}
