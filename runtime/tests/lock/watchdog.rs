//! A lock lives as long as its guard, within a limit.

use std::time::{Duration, Instant};

use headgate_runtime::lock::Config;
use headgate_testkit::{Environment, eventually};

use crate::support::{PATIENCE, held, is_busy, key, locks, once_held, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_kept_beyond_its_lease() {
    let environment = Environment::new("lock_kept").await;
    let lease = Duration::from_secs(3);
    let locks = locks(&environment, Config { lease, ..settings() });
    let (key, begin) = (key(), Instant::now());
    let guard = held(locks.try_acquire(&key).await);
    eventually("more than a lease to pass", PATIENCE, async || {
        assert!(is_busy(&locks.try_acquire(&key).await), "another has it");
        assert!(guard.is_held(), "it does not believe in it any more");
        (begin.elapsed() > lease + lease / 2).then_some(())
    })
    .await;
    guard.release().await;
    drop(held(locks.try_acquire(&key).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_not_kept_for_ever() {
    let environment = Environment::new("lock_stuck").await;
    let config = Config {
        lease: Duration::from_secs(3),
        hold_max: Duration::from_secs(5),
        ..settings()
    };
    let (hold_max, locks) = (config.hold_max, locks(&environment, config));
    let (key, begin) = (key(), Instant::now());
    let stuck = held(locks.try_acquire(&key).await);
    let next = eventually("the lock to end", PATIENCE, async || {
        once_held(locks.try_acquire(&key).await)
    })
    .await;
    let after = begin.elapsed();
    // Redis rounds a lease down to milliseconds.
    assert!(after + Duration::from_millis(5) >= hold_max, "after {after:?}");
    assert!(!stuck.is_held());
    stuck.release().await;
    assert!(
        is_busy(&locks.try_acquire(&key).await),
        "the next one's was released"
    );
    next.release().await;
}
