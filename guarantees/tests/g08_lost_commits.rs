//! G8: a commit of offsets that meets a rebalance fails, and Kafka's client tells nobody. It
//! is made good even in a partition in which nothing comes after: else the group would seem to
//! need a record that Kafka drops one day, and stand still.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_testkit::eventually;
use headgate_testkit::topic::{self, Record};

const TIMEOUT: Duration = Duration::from_mins(2);
const PARTITIONS: i32 = 4;
/// So many records, settled one after the other and not committed, show that commits wait
/// behind a rebalance.
const UNCOMMITTED: i64 = 4;

/// A record that becomes a letter.
async fn write(installation: &Installation, partition: i32) {
    let environment = installation.environment();
    let record = Record {
        topic: format!("{}headgate.coupons", environment.kafka_prefix()),
        partition,
        offset: 0,
        key: None,
        value: Some(b"no avro".to_vec()),
        headers: Vec::new(),
    };
    topic::write(environment.kafka_bootstrap(), &record).await;
}

/// The letters of each partition, those with most first.
async fn letters(installation: &Installation) -> Vec<(i32, i64)> {
    sqlx::query_as("SELECT partition_no, COUNT(*) FROM dead_letters GROUP BY partition_no ORDER BY 2 DESC")
        .fetch_all(installation.environment().pool())
        .await
        .expect("letters")
}

/// Records that the group has not committed.
async fn behind(installation: &Installation) -> i64 {
    let environment = installation.environment();
    let (bootstrap, prefix) = (environment.kafka_bootstrap(), environment.kafka_prefix());
    let group = format!("{prefix}coupon-issuance");
    topic::behind(bootstrap, &group, &format!("{prefix}headgate.coupons")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g08_commits_that_meet_a_rebalance_are_made_good() {
    let installation = Installation::new("g08_lost_commits").await;
    let mut working = installation.consumers().spawn().await;
    let mut frozen = installation.consumers().spawn().await;
    eventually("the group to have begun", TIMEOUT, async || {
        (behind(&installation).await == 0).then_some(())
    })
    .await;
    // From now on a rebalance lasts until Kafka takes this one for dead.
    frozen.pause();
    for partition in 0..PARTITIONS {
        write(&installation, partition).await;
    }
    let (mine, _) = eventually("a partition that is not the frozen one's", TIMEOUT, async || {
        letters(&installation).await.first().copied()
    })
    .await;
    let mut joining = installation.consumers().launch().await;
    let mut written = 1;
    let before = behind(&installation).await;
    eventually("commits to wait behind the rebalance", TIMEOUT, async || {
        write(&installation, mine).await;
        written += 1;
        eventually("a record to be settled", TIMEOUT, async || {
            let letters = letters(&installation).await;
            letters.contains(&(mine, written)).then_some(())
        })
        .await;
        // A rebalance that was over too soon has harmed nothing, and there is nothing to see.
        let is_over = joining.ready().await;
        (is_over || behind(&installation).await >= before + UNCOMMITTED).then_some(())
    })
    .await;
    joining.wait_ready().await;
    frozen.kill9().await;
    eventually("everything to be committed", TIMEOUT, async || {
        (behind(&installation).await == 0).then_some(())
    })
    .await;
    working.stop().await;
    joining.stop().await;
}
