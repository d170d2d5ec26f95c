//! G13: a process that stalls (a frozen host, a cut network) must not stop the others,
//! whatever locks it holds, and does no harm when it wakes.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_guarantees::pipeline::assert_all_hold;
use headgate_testkit::checkers::assert_none;
use headgate_testkit::client::Ledger;
use headgate_testkit::{Environment, eventually};

const QUOTA: u32 = 2_000;
const USERS: usize = 2_200;
const CONNECTIONS: usize = 32;
const PROMISES_BEFORE: usize = 200;
/// Until another process works in a frozen one's place, at most.
const TAKEOVER_TIMEOUT: Duration = Duration::from_mins(1);

async fn count(environment: &Environment, query: &'static str) -> Option<i64> {
    sqlx::query_scalar(query).fetch_one(environment.pool()).await.ok()
}

async fn everything_is_issued(environment: &Environment, ledger: &Ledger) {
    let promised = i64::try_from(ledger.promises().len()).expect("small");
    eventually("every promise to be issued", TAKEOVER_TIMEOUT, async || {
        (count(environment, "SELECT COUNT(*) FROM coupons").await? >= promised).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_frozen_consumers_do_not_stop_the_others() {
    let installation = Installation::new("g13_consumers").await;
    let pipeline = installation.start(1).await;
    let mut other = installation.consumers().spawn().await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let load = pipeline.load(&installation, campaign, USERS, CONNECTIONS).start();
    eventually("coupons to be issued", TAKEOVER_TIMEOUT, async || {
        (count(installation.environment(), "SELECT COUNT(*) FROM coupons").await? > 50).then_some(())
    })
    .await;
    pipeline.consumers.pause();
    let ledger = load.finish().await;
    everything_is_issued(installation.environment(), &ledger).await;
    pipeline.consumers.resume();
    assert_none(&ledger.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    other.stop().await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_frozen_api_does_not_stop_the_others() {
    let installation = Installation::new("g13_api").await;
    let pipeline = installation.start(1).await;
    let frozen = installation.api().spawn().await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let caller = headgate_testkit::client::Caller::new(vec![frozen.http()], installation.api_key());
    // Its own users: they hear nothing while it is frozen, and something true afterwards.
    let stuck = headgate_testkit::client::Load {
        caller,
        users: headgate_testkit::client::named_users("stuck", 1_000),
        ..pipeline.load(&installation, campaign, 0, CONNECTIONS)
    }
    .start();
    stuck.wait_for_promises(PROMISES_BEFORE).await;
    frozen.pause();
    let ledger = pipeline
        .load(&installation, campaign, USERS, CONNECTIONS)
        .run()
        .await;
    frozen.resume();
    let late = stuck.finish().await;
    println!("{}; of the frozen one: {}", ledger.summary(), late.summary());
    assert_none(&ledger.faults(false));
    assert_none(&late.faults(true));
    ledger.extend(&late);
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}
