//! The locks as operators see them.

use std::collections::BTreeSet;
use std::time::Duration;

use headgate_runtime::lock::{Config, Cursor, LockKey, LockTable};
use headgate_testkit::{Environment, eventually};
use uuid::Uuid;

use crate::support::{PATIENCE, Redis, connection, held, key, locks, settings};

fn table(environment: &Environment) -> LockTable {
    LockTable::new(connection(environment.redis_url()), &environment.redis_prefix())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lock_is_on_one_of_the_pages() {
    let environment = Environment::new("lock_pages").await;
    let (locks, table) = (locks(&environment, settings()), table(&environment));
    let mut keys: Vec<LockKey> = (0..40).map(|_| key()).collect();
    keys.push(LockKey::point_cancel_accumulation(Uuid::now_v7()));
    let _guards = held(locks.try_acquire_all(&keys).await);
    // Of the same family, and no lock.
    let balance = format!("{}point:balance:1", environment.redis_prefix());
    let _ok: String = ::redis::cmd("SET")
        .arg(balance)
        .arg(1)
        .query_async(&mut connection(environment.redis_url()))
        .await
        .expect("Redis answers");

    let (mut seen, mut at) = (BTreeSet::new(), Some(Cursor::default()));
    while let Some(from) = at {
        let page = table.page(from, 7).await.expect("Redis answers");
        assert!(page.locks.len() <= 7);
        for lock in page.locks {
            let left = lock.remaining.expect("it has a lease");
            assert!(left <= settings().lease && lock.since.is_some(), "{lock:?}");
            assert_eq!(lock.holder.as_deref(), Some("test-1"));
            seen.insert(lock.key);
        }
        at = page.next;
    }
    assert_eq!(seen, keys.into_iter().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_ended_by_force_and_its_holder_learns_of_it() {
    let environment = Environment::new("lock_forced").await;
    let config = Config {
        lease: Duration::from_secs(3),
        ..settings()
    };
    let (locks, table) = (locks(&environment, config), table(&environment));
    let (redis, key) = (Redis::of(&environment), key());
    assert_eq!(table.find(key).await.expect("Redis answers"), None);
    let guard = held(locks.try_acquire(&key).await);
    let seen = table.find(key).await.expect("Redis answers").expect("it is held");
    assert!(table.release(&seen).await.expect("Redis answers"));
    eventually("its holder to know", PATIENCE, async || {
        (!guard.is_held()).then_some(())
    })
    .await;

    let next = held(locks.try_acquire(&key).await);
    assert!(
        !table.release(&seen).await.expect("Redis answers"),
        "that one is gone"
    );
    assert!(redis.get(&key).await.is_some(), "and the next one's stays");
    next.release().await;
    redis.hand_over(&key, "by hand", PATIENCE).await;
    let unknown = table.find(key).await.expect("Redis answers").expect("it is held");
    assert_eq!((unknown.holder.as_deref(), unknown.since), (None, None));
}
