//! Redis hangs, or is gone: locks are bypassed, at once, and taken again when it is back.

use std::time::{Duration, Instant};

use headgate_runtime::breaker;
use headgate_runtime::lock::{Config, Locks};
use headgate_testkit::eventually;
use headgate_testkit::stack::{PrivateStack, Server};

use crate::support::{PATIENCE, is_bypassed, key, locks_at, once_held, settings};

/// Acquires whose typical time is looked at.
const SAMPLES: usize = 101;
/// What a bypass may typically take: nothing is asked, so nothing is waited for.
const AT_ONCE: Duration = Duration::from_millis(3);

/// As by default, but that only real trouble counts on a busy machine, and that nothing ends
/// by itself: what is free again was given back.
fn config() -> Config {
    let command_timeout = Duration::from_millis(300);
    Config {
        lease: Duration::from_mins(1),
        command_timeout,
        breaker: breaker::Config {
            failures_max: 5,
            window: Duration::from_mins(1),
            open: Duration::from_secs(1),
            slow: command_timeout,
        },
        ..settings()
    }
}

/// The typical time of an acquire, all of which are bypassed.
async fn bypass_time(locks: &Locks) -> Duration {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let begin = Instant::now();
        assert!(is_bypassed(&locks.try_acquire(&key()).await));
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    times[SAMPLES / 2]
}

/// Locks are bypassed while Redis is harmed, at once, and are taken again afterwards.
async fn goes_on(harm: impl AsyncFn(&PrivateStack), mend: impl AsyncFn(&PrivateStack)) {
    let stack = PrivateStack::up(&[Server::Redis]).await;
    let locks = locks_at(&stack.servers().redis_url, "lock:", config());
    let (kept, asked_for) = (key(), key());
    let guard = eventually("the connection", PATIENCE, async || {
        once_held(locks.try_acquire(&kept).await)
    })
    .await;

    harm(&stack).await;
    for _ in 0..config().breaker.failures_max {
        assert!(is_bypassed(&locks.try_acquire(&asked_for).await));
    }
    let typical = bypass_time(&locks).await;
    assert!(typical < AT_ONCE, "a bypass takes {typical:?}");
    assert!(is_bypassed(&locks.acquire(&key()).await), "a job goes on, too");
    let begin = Instant::now();
    guard.release().await;
    let released = begin.elapsed();
    assert!(
        released < config().command_timeout,
        "a release takes {released:?}"
    );

    mend(&stack).await;
    for key in [asked_for, kept] {
        let guard = eventually("the lock to be had", PATIENCE, async || {
            once_held(locks.try_acquire(&key).await)
        })
        .await;
        guard.release().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a_redis_that_hangs_is_bypassed_at_once() {
    goes_on(
        async |stack| stack.pause(Server::Redis).await,
        async |stack| stack.resume(Server::Redis).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_a_redis_that_is_gone_is_bypassed_at_once() {
    goes_on(
        async |stack| stack.kill(Server::Redis).await,
        async |stack| stack.start(Server::Redis).await,
    )
    .await;
}
