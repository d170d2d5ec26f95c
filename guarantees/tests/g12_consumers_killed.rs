//! G12 and G8: the consumers die by SIGKILL around the transaction that issues coupons
//! and around the commit of offsets, under load; every claim becomes one coupon.

use std::time::Duration;

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::{Evidence, assert_none};
use headgate_testkit::eventually;
use headgate_testkit::topic::{self, Record};

const QUOTA: u32 = 2_000;
const USERS: usize = 2_200;
const CONNECTIONS: usize = 32;
/// Until something is under way after a death.
const IN_FLIGHT_TIMEOUT: Duration = Duration::from_secs(30);
/// Records that no schema describes.
const POISON: usize = 3;

async fn dies_at(test: &str, point: &str, poison: usize) {
    let installation = Installation::new(test).await;
    let (relay, api) = (installation.relay(), installation.api());
    let (relay, api) = tokio::join!(relay.spawn(), api.spawn());
    let doomed = installation.consumers().crash_at(point).spawn().await;
    let mut pipeline = Pipeline {
        apis: vec![api],
        relay,
        consumers: doomed,
    };
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let load = pipeline.load(&installation, campaign, USERS, CONNECTIONS).start();
    load.wait_for_promises(1).await;
    for number in 0..poison {
        write_poison(&installation, number).await;
    }

    pipeline.consumers.assert_died_at_crash_point().await;
    eventually("answered work in flight", IN_FLIGHT_TIMEOUT, async || {
        let query = "SELECT COUNT(*) FROM claims c WHERE NOT EXISTS
            (SELECT 1 FROM coupons p WHERE p.coupon_id = c.claim_id)";
        let waiting: i64 = sqlx::query_scalar(query)
            .fetch_one(installation.environment().pool())
            .await
            .ok()?;
        (waiting > 0).then_some(())
    })
    .await;
    pipeline.consumers = installation.consumers().spawn().await;

    let ledger = load.finish().await;
    println!("{point}: {}", ledger.summary());
    assert_none(&ledger.faults(false));
    eventually("all poison to be buried", IN_FLIGHT_TIMEOUT, async || {
        let letters: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM dead_letters WHERE disposition = 'poison'")
                .fetch_one(installation.environment().pool())
                .await
                .ok()?;
        (usize::try_from(letters) == Ok(poison)).then_some(())
    })
    .await;
    assert_all_hold(&installation, campaign, &ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    assert_eq!(evidence.letters.len(), poison, "only what was poisoned is dead");
    pipeline.stop().await;
}

async fn write_poison(installation: &Installation, number: usize) {
    let environment = installation.environment();
    let record = Record {
        topic: format!("{}headgate.coupons", environment.kafka_prefix()),
        partition: i32::try_from(number % 4).expect("small"),
        offset: 0,
        key: Some(format!("poison-{number}").into_bytes()),
        value: Some(b"no avro".to_vec()),
        headers: Vec::new(),
    };
    topic::write(environment.kafka_bootstrap(), &record).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_consumers_killed_before_a_batch() {
    dies_at("g12_consumer_before", "consumer.before-batch:5", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_consumers_killed_after_the_handler_before_the_commit() {
    dies_at(
        "g12_consumer_handler",
        "consumer.after-handler-before-commit:5",
        0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g08_consumers_killed_after_the_commit_before_the_offset() {
    dies_at("g08_consumer_offset", "consumer.after-commit-before-offset:5", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g09_consumers_killed_while_burying_a_letter() {
    dies_at("g09_consumer_letter", "consumer.inside-dead-letter:2", POISON).await;
}
