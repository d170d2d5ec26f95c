//! Several locks at once.

use headgate_testkit::Environment;

use crate::support::{Redis, held, is_busy, key, locks, settings};

const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn opposite_orders_do_not_deadlock() {
    let environment = Environment::new("lock_orders").await;
    let (one, other) = (key(), key());
    let transfers = [[one, other], [other, one]].map(|keys| {
        let locks = locks(&environment, settings());
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                // Busy, after a wait, is what a deadlock comes to.
                let guards = held(locks.acquire_all(&keys).await);
                assert!(guards.is_held());
                guards.release().await;
            }
        })
    });
    for transfer in transfers {
        transfer.await.expect("nobody waits in vain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_or_none() {
    let environment = Environment::new("lock_all").await;
    let (locks, redis) = (locks(&environment, settings()), Redis::of(&environment));
    let mut keys = [key(), key(), key()];
    keys.sort_unstable();
    let [first, second, last] = keys;
    let last_is_anothers = held(locks.try_acquire(&last).await);
    assert!(is_busy(&locks.try_acquire_all(&[last, first, second]).await));
    assert_eq!((redis.get(&first).await, redis.get(&second).await), (None, None));
    last_is_anothers.release().await;

    let guards = held(locks.try_acquire_all(&[last, first, last, first]).await);
    assert!(guards.is_held());
    assert_eq!(redis.get(&second).await, None, "nobody named it");
    guards.release().await;
    assert_eq!((redis.get(&first).await, redis.get(&last).await), (None, None));
    assert!(
        held(locks.try_acquire_all(&[]).await).is_held(),
        "of nothing, all"
    );
}
