//! G12 and G7: the relay dies by SIGKILL between reading, publishing and marking, under
//! load; every event still reaches Kafka, in order.

use std::time::Duration;

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::assert_none;
use headgate_testkit::{Environment, eventually};

const QUOTA: u32 = 2_000;
const USERS: usize = 2_200;
const CONNECTIONS: usize = 32;
/// Until another relay works in a dead one's place, at most.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(30);

/// Answered claims without a coupon: work that is in flight.
async fn in_flight(environment: &Environment) -> i64 {
    let query = "SELECT COUNT(*) FROM claims c WHERE NOT EXISTS
        (SELECT 1 FROM coupons p WHERE p.coupon_id = c.claim_id)";
    sqlx::query_scalar(query)
        .fetch_one(environment.pool())
        .await
        .expect("MySQL answers")
}

async fn dies_at(test: &str, point: &str) {
    let installation = Installation::new(test).await;
    let (consumers, api) = (installation.consumers(), installation.api());
    let (consumers, api) = tokio::join!(consumers.spawn(), api.spawn());
    let doomed = installation.relay().crash_at(point).spawn().await;
    let mut pipeline = Pipeline {
        apis: vec![api],
        relay: doomed,
        consumers,
    };
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let load = pipeline.load(&installation, campaign, USERS, CONNECTIONS).start();

    pipeline.relay.assert_died_at_crash_point().await;
    load.wait_for_promises(1).await;
    eventually("answered work in flight", TAKEOVER_TIMEOUT, async || {
        (in_flight(installation.environment()).await > 0).then_some(())
    })
    .await;
    pipeline.relay = installation.relay().spawn().await;

    let ledger = load.finish().await;
    println!("{point}: {}", ledger.summary());
    assert_none(&ledger.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_relay_killed_after_reading() {
    dies_at("g12_relay_read", "relay.after-read:5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_relay_killed_after_publishing_before_marking() {
    dies_at("g12_relay_publish", "relay.after-publish-before-mark:5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_relay_killed_inside_the_marking_transaction() {
    dies_at("g12_relay_inside", "relay.inside-mark-before-commit:5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_relay_killed_after_marking() {
    dies_at("g12_relay_mark", "relay.after-mark:5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g07_another_relay_takes_over_from_a_dead_one() {
    let installation = Installation::new("g07_takeover").await;
    let mut pipeline = installation.start(1).await;
    let mut other = installation.relay().spawn().await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let load = pipeline.load(&installation, campaign, USERS, CONNECTIONS).start();
    load.wait_for_promises(200).await;
    pipeline.relay.kill9().await;
    let ledger = load.finish().await;
    assert_none(&ledger.faults(false));
    // Nobody starts a new one: the survivor has to take every bucket.
    eventually(
        "the survivor to publish everything",
        TAKEOVER_TIMEOUT,
        async || {
            let waiting = installation.waiting_events().await?;
            (waiting == 0).then_some(())
        },
    )
    .await;
    assert_all_hold(&installation, campaign, &ledger).await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_a_relay_that_slept_past_its_lease_marks_nothing() {
    let installation = Installation::new("t04_zombie").await;
    let pipeline = installation.start(1).await;
    let mut other = installation.relay().spawn().await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let load = pipeline.load(&installation, campaign, USERS, CONNECTIONS).start();
    load.wait_for_promises(200).await;
    pipeline.relay.pause();
    let ledger = load.finish().await;
    eventually(
        "the other relay to publish everything",
        TAKEOVER_TIMEOUT,
        async || {
            let waiting = installation.waiting_events().await?;
            (waiting == 0).then_some(())
        },
    )
    .await;
    pipeline.relay.resume();
    let campaign_after = pipeline.partner(&installation).open_campaign(10).await;
    let after = pipeline.load(&installation, campaign_after, 20, 4).run().await;
    assert_none(&after.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    assert_all_hold(&installation, campaign_after, &after).await;
    other.stop().await;
    pipeline.stop().await;
}
