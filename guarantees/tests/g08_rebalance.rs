//! G8: instances of a group come, go and die while a sale runs. Partitions move from one to
//! the other all the time; nothing is lost, and nothing is applied twice.

use std::collections::VecDeque;
use std::time::Duration;

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::assert_none;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;

const USERS: usize = 3_000;
const USERS_PER_SECOND: u32 = 200;
const QUOTA: u32 = 3_000;
/// Coupons between two changes of the group: about a second of the sale.
const COUPONS_PER_CHANGE: i64 = 250;
const CHANGES: i64 = 10;
const INSTANCES_MAX: usize = 4;
/// Until the group has shared out the partitions of one that died, and gone on.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Events that an instance applied.
async fn applied(consumers: &Service) -> f64 {
    let labels = ["outcome=\"applied\""];
    consumers
        .metric("headgate_consumer_events_total", &labels)
        .await
        .unwrap_or_default()
}

async fn coupons(installation: &Installation, at_least: i64) {
    eventually(&format!("{at_least} coupons"), TIMEOUT, async || {
        let coupons: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM coupons")
            .fetch_one(installation.environment().pool())
            .await
            .ok()?;
        (coupons >= at_least).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g08_instances_come_go_and_die_while_a_sale_runs() {
    let installation = Installation::new("g08_rebalance").await;
    let pipeline = installation.start(1).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let mut load = pipeline.load(&installation, campaign, USERS, 16);
    let Pipeline {
        apis,
        mut relay,
        consumers,
    } = pipeline;
    load.users_per_second = Some(USERS_PER_SECOND);
    let load = load.start();
    let mut instances = VecDeque::from([consumers]);
    let mut worked = 0;
    for change in 1..=CHANGES {
        coupons(&installation, change * COUPONS_PER_CHANGE).await;
        if instances.len() < INSTANCES_MAX {
            instances.push_back(installation.consumers().spawn().await);
        }
        // Every other time the oldest goes: by itself, or as a machine that dies.
        if change % 2 == 0 {
            let mut oldest: Service = instances.pop_front().expect("there are several");
            worked += usize::from(applied(&oldest).await > 0.0);
            if change % 4 == 0 {
                oldest.kill9().await;
            } else {
                oldest.stop().await;
            }
        }
    }
    let ledger = load.finish().await;
    assert_none(&ledger.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    for instance in &mut instances {
        worked += usize::from(applied(instance).await > 0.0);
        instance.stop().await;
    }
    assert!(worked >= 3, "only {worked} instances had a share in the work");
    for mut api in apis {
        api.stop().await;
    }
    relay.stop().await;
}
