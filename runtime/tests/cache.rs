//! The cache in Redis: what is newer stays, however late somebody else comes.

use std::time::Duration;

use headgate_runtime::cache::{Cache, CacheKey, Cached};
use headgate_runtime::redis;
use headgate_schemas::names::UserId;
use headgate_testkit::{Environment, eventually};

/// Longer than a test takes.
const LONG: Duration = Duration::from_mins(10);
/// Longest wait for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn cache(url: &str, prefix: &str) -> Cache {
    let config = redis::Config {
        url: url.to_owned(),
        prefix: String::new(),
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
    };
    Cache::new(redis::connection(&config).expect("an address"), prefix)
}

async fn environment(test: &str) -> (Cache, Environment) {
    let environment = Environment::new(test).await;
    (
        cache(environment.redis_url(), &environment.redis_prefix()),
        environment,
    )
}

fn key(user: &str) -> CacheKey {
    let partner = uuid::Uuid::from_u128(7).into();
    CacheKey::balance(partner, &UserId::new(user).expect("a name"))
}

fn at(version: u64) -> Cached<String> {
    Cached {
        version,
        value: format!("as of {version}"),
    }
}

/// Fills until it is remembered: Redis may be slow to answer on a busy machine.
async fn filled(cache: &Cache, key: &CacheKey, version: u64) {
    eventually("the value to be remembered", PATIENCE, async || {
        cache.fill(key, &at(version), LONG).await;
        (cache.get(key).await == Some(at(version))).then_some(())
    })
    .await;
}

async fn outdated(cache: &Cache, written: &[(CacheKey, u64)]) {
    eventually("redis to hear of it", PATIENCE, async || {
        cache.outdate(written).await.then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_put_back_after_it() {
    let (cache, _environment) = environment("cache_late").await;
    let (kim, lee) = (key("kim"), key("lee"));
    filled(&cache, &kim, 3).await;
    filled(&cache, &lee, 3).await;
    outdated(&cache, &[(kim.clone(), 4), (lee.clone(), 2)]).await;
    assert_eq!(cache.get::<String>(&kim).await, None);
    assert_eq!(
        cache.get(&lee).await,
        Some(at(3)),
        "it is newer than what was written"
    );
    // Somebody read version 3 before the change, and comes now.
    for _ in 0..3 {
        cache.fill(&kim, &at(3), LONG).await;
    }
    assert_eq!(cache.get::<String>(&kim).await, None);
    filled(&cache, &kim, 4).await;
    // Told again, as after a redelivery.
    outdated(&cache, &[(kim.clone(), 4)]).await;
    assert_eq!(cache.get(&kim).await, Some(at(4)));
}

#[tokio::test]
async fn a_value_is_forgotten_after_its_time() {
    let (cache, _environment) = environment("cache_ttl").await;
    let key = key("kim");
    filled(&cache, &key, 1).await;
    let brief = Duration::from_millis(50);
    cache.fill(&key, &at(1), brief).await;
    eventually("it to be forgotten", PATIENCE, async || {
        cache.get::<String>(&key).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_redis_nothing_is_remembered_and_nobody_waits_for_long() {
    let cache = cache("redis://127.0.0.1:1/0", "");
    cache.fill(&key("kim"), &at(1), LONG).await;
    assert_eq!(cache.get::<String>(&key("kim")).await, None);
    assert!(!cache.outdate(&[(key("kim"), 1)]).await);
}
