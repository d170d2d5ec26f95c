//! A process that falls silent inside a transaction: a frozen host, a network that is cut.

mod support;

use std::time::Duration;

use headgate_runtime::lease;
use headgate_testkit::{Environment, eventually};

/// Until MySQL has ended a session that says nothing, at most.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(40);

#[tokio::test]
async fn g13_who_falls_silent_gives_its_locks_up() {
    let environment = Environment::migrated("silent").await;
    let (silent, other) = (support::pool(&environment), support::pool(&environment));
    let bucket = support::bucket(5);
    let brief = Duration::from_millis(1);
    let held = lease::acquire(&silent, &bucket.lease_name(), "silent", brief)
        .await
        .expect("MySQL answers")
        .expect("nobody else holds it");
    let mut marking = silent.begin().await.expect("MySQL answers");
    assert!(lease::fence(&mut marking, &held).await.expect("MySQL answers"));
    // It says nothing more, and nobody closes its connection.
    let taken = eventually("the lease to be had", GIVEN_UP_WITHIN, async || {
        lease::acquire(&other, &bucket.lease_name(), "other", brief)
            .await
            .expect("MySQL answers")
    });
    assert!(taken.await.epoch > held.epoch);
    let late = lease::fence(&mut marking, &held).await;
    late.expect_err("the transaction is over, whoever wakes up in it");
}
