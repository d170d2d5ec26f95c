//! Many at once: sums are exact, and nobody hears of a deadlock. No lock but the wallet's row
//! is held.

use futures::StreamExt;
use headgate_domain::points::Refusal;

use crate::support::{Points, hour, start};

/// What `count` concurrent calls came to, at most as many at a time as there are connections.
async fn at_once<T>(count: usize, call: impl AsyncFn(usize) -> T) -> Vec<T> {
    futures::stream::iter(0..count)
        .map(|number| call(number))
        .buffer_unordered(count)
        .collect()
        .await
}

async fn charge_only(test: &str, count: usize) {
    let points = Points::new(test).await;
    let wallet = points.wallet("kim").await;
    at_once(count, async |_| points.earn(wallet, 7, hour(10)).await).await;
    assert_eq!(points.balance("kim", start()).await, 7 * count as u64);
    points.expect_sums().await;
}

async fn use_only(test: &str, count: usize) {
    let points = Points::new(test).await;
    let wallet = points.wallet("kim").await;
    for _ in 0..10 {
        points.earn(wallet, count as u64, hour(10)).await;
    }
    let used = at_once(count, async |_| points.spend(wallet, 9, start()).await).await;
    assert!(used.iter().all(Result::is_ok));
    assert_eq!(points.balance("kim", start()).await, count as u64);
    points.expect_sums().await;
}

async fn mixed(test: &str, count: usize) {
    let points = Points::new(test).await;
    let wallet = points.wallet("kim").await;
    points.earn(wallet, 3 * count as u64, hour(10)).await;
    let moved = at_once(count, async |number| {
        if number % 2 == 0 {
            points.earn(wallet, 5, hour(20)).await;
            Ok(())
        } else {
            points.spend(wallet, 4, start()).await.map(drop)
        }
    })
    .await;
    assert!(moved.iter().all(Result::is_ok));
    let expected = 3 * count + 5 * (count / 2) - 4 * (count / 2);
    assert_eq!(points.balance("kim", start()).await, expected as u64);
    points.expect_sums().await;
}

async fn insufficient(test: &str, count: usize) {
    let points = Points::new(test).await;
    let wallet = points.wallet("kim").await;
    let winners = count / 4;
    points.earn(wallet, 10 * winners as u64 + 9, hour(10)).await;
    let used = at_once(count, async |_| points.spend(wallet, 10, start()).await).await;
    let refused = used.iter().filter_map(|used| used.as_ref().err());
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), count - winners);
    assert!(
        refused
            .iter()
            .all(|refusal| **refusal == Refusal::Insufficient { available: 9 })
    );
    assert_eq!(points.balance("kim", start()).await, 9);
    points.expect_sums().await;
}

macro_rules! at_100_and_1_000 {
    ($($body:ident: $hundred:ident, $thousand:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $hundred() {
                $body(stringify!($hundred), 100).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn $thousand() {
                $body(stringify!($thousand), 1_000).await;
            }
        )*
    };
}

at_100_and_1_000! {
    charge_only: g11_charge_only_100_at_once, g11_charge_only_1000_at_once;
    use_only: g11_use_only_100_at_once, g11_use_only_1000_at_once;
    mixed: g11_mixed_100_at_once, g11_mixed_1000_at_once;
    insufficient: g11_insufficient_100_at_once, g11_insufficient_1000_at_once;
}

#[tokio::test(flavor = "multi_thread")]
async fn t25_transfers_to_and_fro_meet_no_deadlock_and_keep_the_sum() {
    let points = Points::new("points_to_and_fro").await;
    let (kim, lee) = (points.wallet("kim").await, points.wallet("lee").await);
    points.earn(kim, 1_000, hour(10)).await;
    points.earn(lee, 1_000, hour(20)).await;
    let count = 1_000;
    let moved = at_once(count, async |number| {
        let (from, to) = if number % 2 == 0 { (kim, lee) } else { (lee, kim) };
        points.transfer(from, to, 3).await
    })
    .await;
    let short = |refusal: &Refusal| matches!(refusal, Refusal::Insufficient { .. });
    assert!(moved.iter().filter_map(|moved| moved.as_ref().err()).all(short));
    let sum = points.balance("kim", start()).await + points.balance("lee", start()).await;
    assert_eq!(sum, 2_000);
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_made_once_however_many_ask_for_it() {
    let points = Points::new("points_wallet_once").await;
    let numbers = at_once(200, async |number| {
        points.wallet(&format!("u-{}", number % 5)).await
    })
    .await;
    let distinct: std::collections::BTreeSet<u64> = numbers.into_iter().collect();
    assert_eq!(distinct.len(), 5);
}
