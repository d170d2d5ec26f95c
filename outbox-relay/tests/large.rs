//! Large records: a round reads as many bytes as memory has room for, and the rest of them
//! follows at once.

mod support;

use std::collections::BTreeMap;

use headgate_outbox::bucket::Bucket;
use headgate_outbox::write::{CopiedRecord, OutboxRow};
use headgate_schemas::headers::RawHeaders;
use headgate_testkit::eventually;
use headgate_testkit::process::Start;
use headgate_testkit::topic::Record;
use support::World;

const BYTES: usize = 900_000;
/// What a worker reads in one round, give or take one row of each bucket.
const ROUND_BYTES: usize = 16 * 1024 * 1024;

/// A large record whose first byte is its number.
fn large(world: &World, letter: &str, number: u8) -> OutboxRow {
    let mut payload = vec![0; BYTES];
    payload[0] = number;
    let copied = CopiedRecord {
        key: Some(letter.into()),
        headers: RawHeaders::default(),
    };
    let (topic, event) = (world.topic(), support::event_id());
    world
        .writer
        .copy(topic, letter, event, "any".to_owned(), copied, Some(payload))
}

/// The numbers of each letter's records, in the order of Kafka.
fn numbers(records: Vec<Record>) -> BTreeMap<String, Vec<u8>> {
    let mut numbers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in records {
        let letter = record.key_text().expect("a key").to_owned();
        numbers
            .entry(letter)
            .or_default()
            .push(record.value.expect("a value")[0]);
    }
    numbers
}

/// Letters that lie in buckets of their own.
fn letters<const COUNT: usize>() -> [String; COUNT] {
    let mut buckets = Bucket::all();
    std::array::from_fn(|_| {
        let bucket = buckets.next().expect("there are enough");
        let mut names = (0..).map(|number: u32| format!("letter-{number}"));
        names
            .find(|name| Bucket::of(name) == bucket)
            .expect("every bucket is used")
    })
}

#[tokio::test]
async fn g13_large_records_are_read_a_few_at_a_time_and_stay_in_order() {
    const BUCKETS: usize = 4;
    const OF_EACH: u8 = 9;
    let world = World::new("relay_large").await;
    let mut publisher = world.publisher();
    let letters = letters::<BUCKETS>();
    let mut held = Vec::new();
    for letter in &letters {
        held.push(world.hold(Bucket::of(letter)).await);
        for number in 0..OF_EACH {
            world.write(&[large(&world, letter, number)]).await;
        }
    }
    let rounds = world.drain(&mut publisher, &held).await;
    let read: Vec<_> = rounds.iter().map(|round| round.read).collect();
    let most = ROUND_BYTES + BUCKETS * BYTES;
    assert!(read.iter().all(|rows| rows * BYTES <= most), "{read:?}");
    let all: Vec<u8> = (0..OF_EACH).collect();
    let expected = letters.map(|letter| (letter, all.clone()));
    assert_eq!(numbers(world.records().await), expected.into());
}

#[tokio::test]
async fn g07_what_a_round_leaves_goes_with_the_next_unasked() {
    const ROWS: u8 = 16;
    let world = World::new("relay_large_rest").await;
    for number in 0..ROWS {
        world.write(&[large(&world, "letter", number)]).await;
    }
    // It looks when it begins, and then hardly ever. One worker has all buckets: two rows are
    // more than a bucket's share.
    let _relay = Start::new("headgate-relay", world.environment.env_vars())
        .variable("HEADGATE_HEALTH__LISTEN", "127.0.0.1:0")
        .variable("HEADGATE_RELAY__WORKERS", "1")
        .variable("HEADGATE_RELAY__POLL_SHORTEST_MS", "600000")
        .variable("HEADGATE_RELAY__POLL_LONGEST_MS", "600000")
        .spawn()
        .await;
    eventually("the outbox to be empty", support::LIMIT, async || {
        (world.count("outbox").await == 0).then_some(())
    })
    .await;
    let expected = [("letter".to_owned(), (0..ROWS).collect())];
    assert_eq!(numbers(world.records().await), expected.into());
}
