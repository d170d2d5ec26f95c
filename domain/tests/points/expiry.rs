//! Points that run out: once, and never those that were spent.

use headgate_domain::points::{ExpiredPoints, Refusal, store};

use crate::support::{Points, hour, start};

impl Points {
    async fn expire(&self, hours: i64, lots_max: u32) -> ExpiredPoints {
        let mut transaction = self.begin().await;
        let expired = store::expire_due(&mut transaction, self.change(hour(hours)), start(), lots_max)
            .await
            .expect("points");
        transaction.commit().await.expect("a commit");
        expired
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_spent_points_are_not_deducted_again_when_their_lot_expires() {
    let points = Points::new("points_spent_expiry").await;
    let wallet = points.wallet("kim").await;
    points.earn(wallet, 100, hour(10)).await;
    points.earn(wallet, 100, hour(20)).await;
    points.spend(wallet, 70, start()).await.expect("there is enough");
    // Before the job comes by, what has expired can no longer be spent.
    let refused = points.spend(wallet, 101, hour(10)).await;
    assert_eq!(refused, Err(Refusal::Insufficient { available: 100 }));
    let expired = points.expire(10, 100).await;
    assert_eq!((expired.wallets, expired.lots, expired.points), (1, 1, 30));
    assert_eq!(points.balance("kim", hour(10)).await, 100);
    assert_eq!(points.expire(10, 100).await, ExpiredPoints::default());
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wallets_that_somebody_works_on_are_left_for_the_next_round() {
    let points = Points::new("points_busy_expiry").await;
    let (kim, lee) = (points.wallet("kim").await, points.wallet("lee").await);
    for wallet in [kim, lee] {
        points.earn(wallet, 10, hour(1)).await;
        points.earn(wallet, 10, hour(2)).await;
    }
    let mut held = points.begin().await;
    sqlx::query("SELECT wallet_no FROM wallets WHERE wallet_no = ? FOR UPDATE")
        .bind(kim)
        .execute(&mut *held)
        .await
        .expect("a lock");
    let expired = points.expire(3, 100).await;
    assert_eq!((expired.wallets, expired.lots, expired.points), (1, 2, 20));
    held.rollback().await.expect("a rollback");
    let expired = points.expire(3, 100).await;
    assert_eq!((expired.wallets, expired.lots, expired.points), (1, 2, 20));
    points.expect_sums().await;
}
