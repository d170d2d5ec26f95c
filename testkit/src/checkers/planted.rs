//! The violations that each check has to find in a world in which everything else
//! holds.

mod world;

use std::time::{Duration, Instant};

use uuid::Uuid;

use self::world::{World, event};
use super::Evidence;
use crate::client::{Answer, Asked, Claim};
use crate::topic::{self, Record};

/// What is done to MySQL, how it is undone, and what has to be found.
const SQL_VIOLATIONS: &[(&str, &str, &str)] = &[
    (
        "UPDATE claims SET ticket = 4 WHERE claim_id = {c3}",
        "UPDATE claims SET ticket = 3 WHERE claim_id = {c3}",
        "ticket 4 of claims lies beyond the quota 3",
    ),
    (
        "UPDATE coupons SET ticket = 2 WHERE coupon_id = {c1}",
        "UPDATE coupons SET ticket = 1 WHERE coupon_id = {c1}",
        "a ticket was given twice: 2 coupons, 1 tickets",
    ),
    (
        "UPDATE coupons SET user_id = 'u-2' WHERE coupon_id = {c1}",
        "UPDATE coupons SET user_id = 'u-1' WHERE coupon_id = {c1}",
        "a user has two: 2 coupons, 1 users",
    ),
    (
        "UPDATE campaign_stock SET remaining = 0",
        "UPDATE campaign_stock SET remaining = 1",
        "the stock says 2 issued and 0 remaining",
    ),
    (
        "UPDATE claims SET user_id = 'U-3' WHERE claim_id = {c3}",
        "UPDATE claims SET user_id = 'u-3' WHERE claim_id = {c3}",
        "but it is U-3's with ticket 3",
    ),
    (
        "UPDATE dead_letters SET state = 'archived', archived_at = NOW()",
        "UPDATE dead_letters SET state = 'open', archived_at = NULL",
        "of u-3 never became a coupon",
    ),
    (
        "UPDATE campaigns SET quota = 2",
        "UPDATE campaigns SET quota = 3",
        "3 users asked for 2 coupons, but 3 claims stand, not 2",
    ),
    (
        "UPDATE claims SET sequence = 2 WHERE claim_id = {c3}",
        "UPDATE claims SET sequence = 3 WHERE claim_id = {c3}",
        "G4 campaign 1: sequence 2 was used twice",
    ),
    (
        "UPDATE claims SET admission_epoch = 2 WHERE claim_id = {c1}",
        "UPDATE claims SET admission_epoch = 1 WHERE claim_id = {c1}",
        "sequence 1 of epoch 2 lies before 2 of epoch 1",
    ),
    (
        "UPDATE claims SET sequence = 7 WHERE claim_id = {c1}",
        "UPDATE claims SET sequence = 1 WHERE claim_id = {c1}",
        "u-1 had his answer before u-2 asked, but comes later (7 > 2)",
    ),
    (
        "UPDATE claims SET event_sequence = 3 WHERE claim_id = {c3}",
        "UPDATE claims SET event_sequence = 2 WHERE claim_id = {c3}",
        "has events numbered [1, 2], its row says 1 to 3",
    ),
    (
        "UPDATE outbox_archive SET event_type = 'ClaimReleased' WHERE event_type LIKE '%ClaimFailed'",
        "UPDATE outbox_archive SET event_type = 'io.headgate.coupons.ClaimFailed' WHERE event_type = 'ClaimReleased'",
        "has 1 events ClaimReleased, not 0",
    ),
    (
        "UPDATE coupons SET state = 'expired' WHERE coupon_id = {c1}",
        "UPDATE coupons SET state = 'issued' WHERE coupon_id = {c1}",
        "is expired, but its last event is ClaimIssued",
    ),
    (
        "UPDATE claims SET admission_epoch = 3 WHERE claim_id = {c3}",
        "UPDATE claims SET admission_epoch = 1 WHERE claim_id = {c3}",
        "says something else than its row",
    ),
    (
        "UPDATE inbox SET state = 'discarded' WHERE state = 'dead'",
        "UPDATE inbox SET state = 'dead' WHERE state = 'discarded'",
        "is discarded in the inbox of coupon-issuance, its letter is Some(\"open\")",
    ),
    (
        "UPDATE inbox SET state = 'parked' WHERE state = 'applied'",
        "UPDATE inbox SET state = 'applied' WHERE state = 'parked'",
        "exists, but no inbox row says that its event was applied",
    ),
    (
        "UPDATE inbox SET state = 'applied', recorded_at = '2000-01-01' WHERE state = 'dead'",
        "UPDATE inbox SET state = 'dead' WHERE recorded_at = '2000-01-01'",
        "counts as applied, but there is no coupon",
    ),
    (
        "UPDATE coupons SET ticket = 3 WHERE coupon_id = {c1}",
        "UPDATE coupons SET ticket = 1 WHERE coupon_id = {c1}",
        "differs from its claim",
    ),
    (
        "UPDATE dead_letters SET record_value = 'x', error = 'moved'",
        "UPDATE dead_letters l JOIN outbox_archive a ON a.event_id = l.event_id AND a.payload IS NOT NULL
            SET l.record_value = a.payload",
        "does not hold the bytes of the record it came from",
    ),
    (
        "UPDATE dead_letters SET state = 'discarded', closed_at = NOW()",
        "UPDATE dead_letters SET state = 'open', closed_at = NULL",
        "was discarded without an audit row",
    ),
    (
        "UPDATE dead_letter_history SET letter_id = REVERSE(letter_id)",
        "UPDATE dead_letter_history SET letter_id = REVERSE(letter_id)",
        "has no history",
    ),
];

#[tokio::test]
async fn every_violation_in_mysql_is_found() {
    let world = World::new("planted_mysql").await;
    super::settle(&world.environment, Duration::from_secs(5)).await;
    assert_eq!(world.violations().await, Vec::<String>::new());
    for (plant, undo, expected) in SQL_VIOLATIONS {
        world.sql_violation(plant, undo, expected).await;
    }
    assert_eq!(world.violations().await, Vec::<String>::new());
}

#[tokio::test]
async fn every_violation_in_redis_is_found() {
    let world = World::new("planted_redis").await;
    assert_eq!(world.violations().await, Vec::<String>::new());
    let cases: [(&[&str], &[&str], &str); 5] = [
        (
            &["ZADD", "pending", "1", "x"],
            &["ZREM", "pending", "x"],
            "1 reservations were never settled",
        ),
        (
            &["ZADD", "free", "1", "2"],
            &["ZREM", "free", "2"],
            "ticket 2 of u-2 is free in Redis",
        ),
        (
            &["HSET", "state", "counter", "4"],
            &["HSET", "state", "counter", "3"],
            "ticket 4 is nobody's, and not free",
        ),
        (
            &["HSET", "state", "counter", "2"],
            &["HSET", "state", "counter", "3"],
            "ticket 3 is held, but Redis will hand it out",
        ),
        (
            &["HSET", "users", "u-9", "0123456789abcdef0000"],
            &["HDEL", "users", "u-9"],
            "Redis blocks u-9",
        ),
    ];
    for (plant, undo, expected) in cases {
        world.redis(plant).await;
        world.require(expected).await;
        world.redis(undo).await;
    }
    assert_eq!(world.violations().await, Vec::<String>::new());
}

#[tokio::test]
async fn every_violation_in_kafka_is_found() {
    let world = World::new("planted_kafka").await;
    assert_eq!(world.violations().await, Vec::<String>::new());
    let stranger = Uuid::now_v7();
    let lost =
        "UPDATE outbox_archive SET event_id = REVERSE(event_id) WHERE event_type LIKE '%CampaignOpened'";
    world.sql_violation(lost, lost, "CampaignOpened").await;
    world.sql_violation(lost, lost, "was never committed").await;
    let changed = "UPDATE outbox_archive SET payload = X'01' WHERE event_type LIKE '%CampaignOpened'";
    let back = "UPDATE outbox_archive SET payload = X'00' WHERE event_type LIKE '%CampaignOpened'";
    world
        .sql_violation(changed, back, "was published with other bytes")
        .await;
    let ahead = event("claim", stranger, "ClaimAdmitted", 2, vec![0]);
    let (event_id, record) = world.publish(ahead).await;
    world.require("2 came where 1 was next").await;
    // A repeated suffix is no violation: a takeover may publish again.
    let before = world.violations().await.len();
    topic::write(world.environment.kafka_bootstrap(), &record).await;
    assert_eq!(world.violations().await.len(), before, "{event_id} came twice");
    let late = event("claim", stranger, "ClaimAdmitted", 1, vec![0]);
    let late = world.record(&late, Uuid::now_v7());
    let elsewhere = Record {
        partition: (record.partition + 1) % 4,
        ..late
    };
    topic::write(world.environment.kafka_bootstrap(), &elsewhere).await;
    world.require("lies on partitions").await;
}

#[tokio::test]
async fn a_promise_that_nobody_wrote_down_is_found() {
    let world = World::new("planted_promise").await;
    let now = Instant::now();
    world.ledger.add(Asked {
        user: "u-1".to_owned(),
        asked_at: now,
        answered_at: now,
        answer: Answer::AlreadyClaimed(Claim {
            claim_id: Uuid::now_v7(),
            ticket: 1,
            sequence: None,
            state: "admitted".to_owned(),
        }),
    });
    world.require("which does not exist").await;
}

#[tokio::test]
async fn tickets_out_of_order_are_found() {
    let world = World::new("planted_order").await;
    let evidence = Evidence::collect(&world.environment).await;
    assert_eq!(super::order::tickets_follow(&evidence), Vec::<String>::new());
    world
        .sql("UPDATE claims SET sequence = 9 WHERE claim_id = {c1}")
        .await;
    let evidence = Evidence::collect(&world.environment).await;
    assert_eq!(
        super::order::tickets_follow(&evidence),
        ["G4 ticket 3 was given before ticket 1"]
    );
}
