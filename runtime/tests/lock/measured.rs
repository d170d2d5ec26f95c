//! What the metrics say.

use std::time::Duration;

use headgate_runtime::breaker;
use headgate_runtime::lock::{Config, LockKey};
use headgate_runtime::telemetry;
use headgate_testkit::{Environment, eventually};
use uuid::Uuid;

use crate::support::{PATIENCE, Redis, held, is_busy, is_bypassed, locks, locks_at, settings};

/// The value of the series that begins so.
fn value(shown: &str, series: &str) -> u64 {
    shown
        .lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
        .unwrap_or_else(|| panic!("there is no {series} in\n{shown}"))
}

/// One thread: what its tasks count goes to the test's own recorder.
#[tokio::test]
async fn outcomes_waits_and_holds_are_counted_by_kind() {
    let recorder = telemetry::metrics_recorder().expect("buckets").build_recorder();
    let _this_thread = metrics::set_default_local_recorder(&recorder);
    let shown = || recorder.handle().render();
    let total = |kind: &str, outcome: &str| {
        value(
            &shown(),
            &format!("headgate_lock_total{{kind=\"{kind}\",outcome=\"{outcome}\"}}"),
        )
    };
    let environment = Environment::new("lock_metrics").await;
    let config = Config {
        lease: Duration::from_secs(3),
        ..settings()
    };
    let (locks, redis) = (locks(&environment, config), Redis::of(&environment));
    assert_eq!(
        total("point-cancel-usage", "lost"),
        0,
        "shown before it is counted"
    );

    let key = LockKey::point_accumulate(Uuid::now_v7());
    let guard = held(locks.try_acquire(&key).await);
    assert!(is_busy(&locks.try_acquire(&key).await));
    redis.hand_over(&key, "another's", PATIENCE).await;
    eventually("the loss to be known", PATIENCE, async || {
        (!guard.is_held()).then_some(())
    })
    .await;
    guard.release().await;
    let of = |outcome| total("point-accumulate", outcome);
    assert_eq!(
        [
            of("acquired"),
            of("busy"),
            of("lost"),
            of("bypassed"),
            of("error")
        ],
        [1, 1, 1, 0, 0]
    );
    for (histogram, count) in [("wait", 2), ("hold", 1)] {
        let series = format!("headgate_lock_{histogram}_seconds_count{{kind=\"point-accumulate\"}}");
        assert_eq!(value(&shown(), &series), count, "{histogram}");
    }
    assert_eq!(value(&shown(), "headgate_lock_breaker_open"), 0);
}

#[tokio::test]
async fn failures_and_the_open_breaker_are_counted() {
    let recorder = telemetry::metrics_recorder().expect("buckets").build_recorder();
    let _this_thread = metrics::set_default_local_recorder(&recorder);
    let shown = || recorder.handle().render();
    let config = Config {
        breaker: breaker::Config {
            failures_max: 2,
            open: PATIENCE,
            ..settings().breaker
        },
        command_timeout: Duration::from_millis(200),
        ..settings()
    };
    // Nobody listens there.
    let locks = locks_at("redis://127.0.0.1:1", "", config);
    let key = LockKey::point_cancel_usage(Uuid::now_v7());
    for _ in 0..5 {
        assert!(is_bypassed(&locks.try_acquire(&key).await));
    }
    let total = |outcome: &str| {
        value(
            &shown(),
            &format!("headgate_lock_total{{kind=\"point-cancel-usage\",outcome=\"{outcome}\"}}"),
        )
    };
    assert!([1, 2].contains(&total("error")), "{}", total("error"));
    assert_eq!(total("error") + total("bypassed"), 5);
    assert_eq!(value(&shown(), "headgate_lock_breaker_open"), 1);
}
