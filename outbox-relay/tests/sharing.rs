//! Several relays, as processes: they share the buckets, hand over, and take over.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use headgate_testkit::eventually;
use headgate_testkit::process::{Service, Start};
use support::{World, first_occurrences, sequences};

const LEASE: Duration = Duration::from_secs(4);
const AGGREGATES: usize = 64;

fn start(world: &World) -> Start {
    Start::new("headgate-relay", world.environment.env_vars())
        .variable("HEADGATE_HEALTH__LISTEN", "127.0.0.1:0")
        .variable("HEADGATE_RELAY__LEASE_MS", LEASE.as_millis().to_string())
}

/// How many buckets each relay holds.
async fn holders(world: &World) -> BTreeMap<String, i64> {
    let held: Vec<(String, i64)> = sqlx::query_as(
        "SELECT holder, COUNT(*) FROM leases
         WHERE name LIKE 'outbox-bucket-%' AND expires_at > UTC_TIMESTAMP(6) AND holder IS NOT NULL GROUP BY holder",
    )
    .fetch_all(&world.pool)
    .await
    .expect("MySQL answers");
    held.into_iter().collect()
}

async fn wait_for_shares(world: &World, expected: &[i64]) {
    let what = format!("shares of {expected:?} buckets");
    eventually(&what, support::LIMIT, async || {
        let mut shares: Vec<_> = holders(world).await.into_values().collect();
        shares.sort_unstable();
        (shares == expected).then_some(())
    })
    .await;
}

/// One event of each aggregate.
async fn write(world: &World, sequence: u64) {
    let rows: Vec<_> = (0..AGGREGATES)
        .map(|number| world.event(&number.to_string(), sequence))
        .collect();
    world.write(&rows).await;
}

async fn wait_until_published(world: &World) {
    eventually("the outbox to be empty", support::LIMIT, async || {
        (world.count("outbox").await == 0).then_some(())
    })
    .await;
}

async fn assert_in_order(world: &World, last: u64) {
    let records = world.records().await;
    for number in 0..AGGREGATES {
        let seen = sequences(&records, &number.to_string());
        assert_eq!(
            first_occurrences(&seen),
            (1..=last).collect::<Vec<_>>(),
            "aggregate {number}"
        );
    }
}

#[tokio::test]
async fn relays_share_the_buckets_and_one_that_stops_hands_over() {
    let world = World::new("relay_share").await;
    let one = start(&world).spawn().await;
    wait_for_shares(&world, &[16]).await;
    write(&world, 1).await;
    let mut others: Vec<Service> = Vec::new();
    for expected in [&[8, 8][..], &[5, 5, 6]] {
        others.push(start(&world).spawn().await);
        write(&world, others.len() as u64 + 1).await;
        wait_for_shares(&world, expected).await;
    }
    wait_until_published(&world).await;
    for other in &mut others {
        other.stop().await;
    }
    // Nothing has to run out: a relay that stops gives its buckets back.
    let stopped = Instant::now();
    wait_for_shares(&world, &[16]).await;
    assert!(stopped.elapsed() < LEASE, "{:?}", stopped.elapsed());
    write(&world, 4).await;
    wait_until_published(&world).await;
    assert_in_order(&world, 4).await;
    drop(one);
}

#[tokio::test]
async fn a_killed_relays_buckets_are_taken_over_within_the_lease() {
    let world = World::new("relay_takeover").await;
    let mut doomed = start(&world).spawn().await;
    wait_for_shares(&world, &[16]).await;
    let _survivor = start(&world).spawn().await;
    wait_for_shares(&world, &[8, 8]).await;
    write(&world, 1).await;
    doomed.kill9().await;
    let killed = Instant::now();
    write(&world, 2).await;
    wait_until_published(&world).await;
    // The lease, one renewal of the survivor, and its work.
    let limit = LEASE + Duration::from_secs(3);
    assert!(killed.elapsed() < limit, "{:?}", killed.elapsed());
    assert_in_order(&world, 2).await;
    wait_for_shares(&world, &[16]).await;
}

#[tokio::test]
async fn a_commit_wakes_the_relay() {
    let world = World::new("relay_wake").await;
    // It hardly looks by itself.
    let _relay = start(&world)
        .variable("HEADGATE_RELAY__POLL_SHORTEST_MS", "600000")
        .variable("HEADGATE_RELAY__POLL_LONGEST_MS", "600000")
        .spawn()
        .await;
    wait_for_shares(&world, &[16]).await;
    let waker = headgate_outbox::wake::Waker::new(&world.config.redis).expect("the address is readable");
    let started = Instant::now();
    for sequence in 1..=5 {
        write(&world, sequence).await;
        waker.wake();
        wait_until_published(&world).await;
    }
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert_in_order(&world, 5).await;
}

#[tokio::test]
async fn without_redis_the_relay_looks_by_itself() {
    let world = World::new("relay_poll").await;
    let _relay = start(&world)
        // A port at which nobody listens.
        .variable("REDIS_URL", "redis://127.0.0.1:1/")
        .spawn()
        .await;
    wait_for_shares(&world, &[16]).await;
    for sequence in 1..=3 {
        write(&world, sequence).await;
        wait_until_published(&world).await;
    }
    assert_in_order(&world, 3).await;
}
