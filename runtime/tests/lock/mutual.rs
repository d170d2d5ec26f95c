//! One holder at a time, and nobody touches another's lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use headgate_runtime::lock::Config;
use headgate_testkit::{Environment, eventually};

use crate::support::{PATIENCE, Redis, held, is_busy, is_bypassed, key, locks, settings};

const PROCESSES: u32 = 8;
const ROUNDS: u32 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_holds_it_at_a_time() {
    let environment = Environment::new("lock_mutual").await;
    let (inside, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let key = key();
    let processes = (0..PROCESSES).map(|_| {
        let locks = locks(&environment, settings());
        let (inside, done) = (inside.clone(), done.clone());
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let guard = held(locks.acquire(&key).await);
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                guard.release().await;
            }
        })
    });
    for process in processes.collect::<Vec<_>>() {
        process.await.expect("nobody panics");
    }
    assert_eq!(done.load(Ordering::SeqCst), PROCESSES * ROUNDS);
    assert_eq!(Redis::of(&environment).get(&key).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_hears_busy_at_once_and_a_job_waits() {
    let environment = Environment::new("lock_busy").await;
    let wait = Duration::from_millis(300);
    let (holder, hasty) = (
        locks(&environment, settings()),
        locks(&environment, Config { wait, ..settings() }),
    );
    let (key, begin) = (key(), Instant::now());
    let guard = held(holder.try_acquire(&key).await);
    assert!(is_busy(&hasty.acquire(&key).await));
    let waited = begin.elapsed();
    assert!(waited >= wait, "a job gave up after {waited:?}");

    // Whose settings would let a job wait for longer than the test.
    let begin = Instant::now();
    assert!(is_busy(&holder.try_acquire(&key).await));
    assert!(begin.elapsed() < PATIENCE / 2, "a request waits");

    let job = tokio::spawn({
        let holder = holder.clone();
        async move { held(holder.acquire(&key).await).is_held() }
    });
    guard.release().await;
    assert!(job.await.expect("it gets it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_guard_gives_its_lock_back() {
    let environment = Environment::new("lock_drop").await;
    let (locks, redis, key) = (locks(&environment, settings()), Redis::of(&environment), key());
    drop(held(locks.try_acquire(&key).await));
    eventually("the lock to be free", PATIENCE, async || {
        redis.get(&key).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_lock_is_not_released() {
    let environment = Environment::new("lock_others_release").await;
    let (locks, redis, key) = (locks(&environment, settings()), Redis::of(&environment), key());
    let guard = held(locks.try_acquire(&key).await);
    redis.hand_over(&key, "another's", PATIENCE).await;
    guard.release().await;
    assert_eq!(redis.get(&key).await.as_deref(), Some("another's"));
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_lock_is_not_renewed_and_the_loser_learns_of_it() {
    let environment = Environment::new("lock_others_renew").await;
    // The renewal comes long before the holder's own lease ends: it is what tells.
    let lease = Duration::from_secs(6);
    let locks = locks(&environment, Config { lease, ..settings() });
    let (redis, key, begin) = (Redis::of(&environment), key(), Instant::now());
    let guard = held(locks.try_acquire(&key).await);
    let anothers = Duration::from_mins(10);
    redis.hand_over(&key, "another's", anothers).await;
    eventually("the loser to know", PATIENCE, async || {
        (!guard.is_held()).then_some(())
    })
    .await;
    assert!(begin.elapsed() < lease, "only its own clock told it");
    assert!(redis.remaining(&key).await + PATIENCE > anothers);
    guard.release().await;
    assert_eq!(redis.get(&key).await.as_deref(), Some("another's"));
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_it_is_bypassed() {
    let environment = Environment::new("lock_off").await;
    let off = Config {
        enabled: false,
        ..settings()
    };
    let (locks, key) = (locks(&environment, off), key());
    assert!(is_bypassed(&locks.try_acquire(&key).await));
    assert!(is_bypassed(&locks.acquire(&key).await));
    assert!(is_bypassed(&locks.acquire_all(&[key]).await));
    assert_eq!(Redis::of(&environment).get(&key).await, None);
}
