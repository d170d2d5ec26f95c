//! Kafka that is silent or gone for a while: nothing is lost, nothing is given up, and
//! the order stays.

mod support;

use std::time::Duration;

use headgate_outbox::bucket::Bucket;
use headgate_relay::ownership::HeldBucket;
use headgate_relay::publisher::Publisher;
use headgate_testkit::eventually;
use headgate_testkit::stack::{PrivateStack, Server};
use support::{World, first_occurrences, sequences};

const LAST: u64 = 40;

/// A world whose Kafka is the test's own, and whose publishers wait a second for it.
async fn world(stack: &PrivateStack, test: &str) -> World {
    let mut world = World::on(stack.servers().clone(), test).await;
    world.config.relay.stall = Duration::from_secs(1);
    world
}

async fn write(world: &World, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        world
            .write(&[world.event("a", sequence), world.event("b", sequence)])
            .await;
    }
}

async fn publish_all(world: &World, publisher: &mut Publisher, held: &[HeldBucket]) {
    eventually("everything to be published", Duration::from_mins(1), async || {
        publisher.step(held).await.expect("MySQL answers");
        (world.count("outbox").await == 0).then_some(())
    })
    .await;
}

async fn assert_complete(world: &World) {
    let records = world.records().await;
    for aggregate in ["a", "b"] {
        let seen = sequences(&records, aggregate);
        assert_eq!(
            first_occurrences(&seen),
            (1..=LAST).collect::<Vec<_>>(),
            "{aggregate}"
        );
    }
    assert_eq!(
        world.count("outbox_blocked").await,
        0,
        "a broker that is away is no reason to give up"
    );
}

#[tokio::test]
async fn t18_a_silent_broker_delays_and_reorders_nothing() {
    let stack = PrivateStack::up(&[Server::Kafka]).await;
    let world = world(&stack, "relay_silent").await;
    let mut publisher = world.publisher();
    let held = [
        world.hold(Bucket::of("a")).await,
        world.hold(Bucket::of("b")).await,
    ];
    write(&world, 1..=10).await;
    publish_all(&world, &mut publisher, &held).await;
    stack.pause(Server::Kafka).await;
    for from in [11, 16, 21] {
        write(&world, from..=from + 4).await;
        // More rounds than a row has attempts, some with a producer made anew.
        let round = publisher.step(&held).await.expect("MySQL answers");
        assert_eq!((round.published, round.blocked, round.stalled), (0, 0, true));
    }
    stack.resume(Server::Kafka).await;
    write(&world, 26..=LAST).await;
    publish_all(&world, &mut publisher, &held).await;
    assert_complete(&world).await;
}

#[tokio::test]
async fn t18_a_broker_that_comes_back_within_the_wait_gets_each_record_once() {
    let stack = PrivateStack::up(&[Server::Kafka]).await;
    let mut world = world(&stack, "relay_short").await;
    world.config.relay.stall = Duration::from_mins(2);
    let mut publisher = world.publisher();
    let held = [
        world.hold(Bucket::of("a")).await,
        world.hold(Bucket::of("b")).await,
    ];
    write(&world, 1..=10).await;
    publish_all(&world, &mut publisher, &held).await;
    stack.kill(Server::Kafka).await;
    write(&world, 11..=LAST).await;
    let (round, ()) = tokio::join!(publisher.step(&held), stack.start(Server::Kafka));
    let round = round.expect("MySQL answers");
    assert_eq!((round.read, round.published, round.stalled), (60, 60, false));
    assert_complete(&world).await;
    let records = world.records().await;
    assert_eq!(
        sequences(&records, "a").len(),
        40,
        "the idempotent producer repeats nothing"
    );
}
