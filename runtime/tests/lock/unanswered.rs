//! Acquires whose answer never comes: what they may have taken is given back.

use std::time::Duration;

use headgate_runtime::lock::Config;
use headgate_testkit::toxiproxy::{Harm, Stream, Toxiproxy};
use headgate_testkit::{Environment, eventually};

use crate::support::{PATIENCE, Redis, held, is_bypassed, key, locks_at, once_held, settings};

fn upstream(environment: &Environment) -> String {
    environment
        .redis_url()
        .trim_start_matches("redis://")
        .trim_end_matches('/')
        .to_owned()
}

/// A lease that outlives the test: nothing ends by itself.
fn long() -> Config {
    Config {
        lease: Duration::from_mins(1),
        ..settings()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_that_heard_no_answer_locks_nobody_out() {
    let environment = Environment::new("lock_unanswered").await;
    let toxiproxy = Toxiproxy::start(environment.servers()).await;
    let proxy = toxiproxy.proxy("redis", &upstream(&environment)).await;
    let config = Config {
        command_timeout: Duration::from_secs(2),
        ..long()
    };
    let url = format!("redis://{}", proxy.address());
    let locks = locks_at(&url, &environment.redis_prefix(), config);
    let (redis, other, key) = (Redis::of(&environment), key(), key());
    // The connection is there before answers get lost.
    eventually("the connection", PATIENCE, async || {
        once_held(locks.try_acquire(&other).await)
    })
    .await
    .release()
    .await;

    let late = Harm::Latency(Duration::from_secs(4));
    proxy.harm(Stream::Answers, late).await;
    let request = tokio::spawn({
        let locks = locks.clone();
        async move { is_bypassed(&locks.try_acquire(&key).await) }
    });
    eventually("the lock to be taken", PATIENCE, async || redis.get(&key).await).await;
    assert!(request.await.expect("nobody panics"));
    proxy.heal().await;
    eventually("the lock to be free", PATIENCE, async || {
        redis.get(&key).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquire_whose_caller_is_gone_locks_nobody_out() {
    let environment = Environment::new("lock_dropped").await;
    let toxiproxy = Toxiproxy::start(environment.servers()).await;
    let proxy = toxiproxy.proxy("redis", &upstream(&environment)).await;
    let url = format!("redis://{}", proxy.address());
    let locks = locks_at(&url, &environment.redis_prefix(), long());
    let (redis, other, key) = (Redis::of(&environment), key(), key());
    held(locks.try_acquire(&other).await).release().await;

    let late = Harm::Latency(Duration::from_secs(4));
    proxy.harm(Stream::Answers, late).await;
    let request = tokio::spawn({
        let locks = locks.clone();
        async move { is_bypassed(&locks.try_acquire(&key).await) }
    });
    eventually("the lock to be taken", PATIENCE, async || redis.get(&key).await).await;
    request.abort();
    eventually("the lock to be free", PATIENCE, async || {
        redis.get(&key).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_cannot_renew_believes_in_its_lock_for_one_lease() {
    let environment = Environment::new("lock_unrenewed").await;
    let toxiproxy = Toxiproxy::start(environment.servers()).await;
    let proxy = toxiproxy.proxy("redis", &upstream(&environment)).await;
    let url = format!("redis://{}", proxy.address());
    let config = Config {
        lease: Duration::from_secs(2),
        command_timeout: Duration::from_millis(300),
        ..settings()
    };
    let locks = locks_at(&url, &environment.redis_prefix(), config);
    let (redis, key) = (Redis::of(&environment), key());
    let guard = eventually("the lock", PATIENCE, async || {
        once_held(locks.try_acquire(&key).await)
    })
    .await;
    proxy.cut().await;
    eventually("the holder to know", PATIENCE, async || {
        (!guard.is_held()).then_some(())
    })
    .await;
    // The holder's belief ends before the lease in Redis does, which still bars others for
    // a moment; then it is anybody's.
    eventually("the lease to end", PATIENCE, async || {
        redis.get(&key).await.is_none().then_some(())
    })
    .await;
    proxy.restore().await;
    assert!(!guard.is_held(), "lost stays lost");
    guard.release().await;
}
