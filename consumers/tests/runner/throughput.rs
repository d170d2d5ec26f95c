//! How fast records become rows, with everything the runner does. It asserts that all
//! of them do; the figure is printed. `make bench` measures the real process; this is
//! for whoever works on the runner.

use std::time::Instant;

use headgate_testkit::eventually;

use crate::support::{PATIENCE, Pipe, tables};

/// Claims of a run.
const CLAIMS: i32 = 200_000;
/// Claims that are made and written at a time.
const CHUNK: i32 = 20_000;

async fn run(test_name: &str, partition: Option<i32>) {
    let pipe = Pipe::new(test_name).await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(CLAIMS.unsigned_abs()).await;
    for first in (1..=CLAIMS).step_by(CHUNK as usize) {
        let admitted = pipe.admit(&campaign, first..first + CHUNK).await;
        let mut records = pipe.records(&admitted);
        for record in &mut records {
            record.partition = partition;
        }
        pipe.publish(&records).await;
    }
    let running = pipe.start().await;
    eventually("the first coupon", PATIENCE, async || {
        (tables::stock(pool, campaign.campaign_no).await.1 > 0).then_some(())
    })
    .await;
    let (begun, before) = (Instant::now(), tables::stock(pool, campaign.campaign_no).await.1);
    eventually("the last coupon", 5 * PATIENCE, async || {
        (tables::stock(pool, campaign.campaign_no).await.0 == 0).then_some(())
    })
    .await;
    let seconds = begun.elapsed().as_secs_f64();
    let persisted = CLAIMS.unsigned_abs() - before;
    eprintln!("{test_name}: {:.0} events/s", f64::from(persisted) / seconds);
    assert_eq!(tables::count(pool, "coupons").await, i64::from(CLAIMS));
    assert_eq!(
        tables::outbox(pool).await.get("ClaimIssued"),
        Some(&i64::from(CLAIMS))
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_throughput_of_one_partition() {
    run("one_partition", Some(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_throughput_of_four_partitions() {
    run("four_partitions", None).await;
}
