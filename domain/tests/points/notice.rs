//! Points that run out soon: told once, of each lot, and never where nobody can spend them.

use chrono::{DateTime, Utc};
use headgate_domain::points::{NoticedPoints, store};

use crate::support::{Points, hour, start};

impl Points {
    /// A round at one time, which tells of what expires until another.
    async fn notice(&self, now: DateTime<Utc>, until: DateTime<Utc>, lots_max: u32) -> NoticedPoints {
        let mut transaction = self.begin().await;
        let noticed = store::notice_due(&mut transaction, self.change(now), until, lots_max)
            .await
            .expect("notices");
        transaction.commit().await.expect("a commit");
        noticed
    }

    async fn notices(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE event_type LIKE '%PointsExpiring'")
            .fetch_one(self.environment.pool())
            .await
            .expect("a count")
    }
}

const fn noticed(wallets: usize, lots: usize) -> NoticedPoints {
    NoticedPoints { wallets, lots }
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_a_lot_is_told_of_once_and_together_with_what_expires_the_day_after() {
    let points = Points::new("points_notice").await;
    let (kim, lee) = (points.wallet("kim").await, points.wallet("lee").await);
    // Within the notice, a day later, long after; and one that is over already.
    for hours in [20, 40, 100, 1] {
        points.earn(kim, 10, hour(hours)).await;
    }
    points.earn(lee, 10, hour(40)).await;
    points.spend(kim, 5, start()).await.expect("there is enough");
    assert_eq!(points.notice(hour(2), hour(24), 100).await, noticed(1, 2));
    assert_eq!(points.notice(hour(2), hour(24), 100).await, noticed(0, 0));
    assert_eq!(points.notices().await, 1);
    // Another one of hers, and his first.
    points.earn(kim, 10, hour(30)).await;
    assert_eq!(points.notice(hour(10), hour(45), 100).await, noticed(2, 2));
    assert_eq!(points.notices().await, 2 + 1);
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_wait_for_nobody_and_take_as_many_lots_as_they_may() {
    let points = Points::new("points_busy_notice").await;
    let (kim, lee) = (points.wallet("kim").await, points.wallet("lee").await);
    for hours in 1..=3 {
        points.earn(kim, 10, hour(hours)).await;
        points.earn(lee, 10, hour(hours)).await;
    }
    let mut held = points.begin().await;
    sqlx::query("SELECT wallet_no FROM wallets WHERE wallet_no = ? FOR UPDATE")
        .bind(kim)
        .execute(&mut *held)
        .await
        .expect("a lock");
    assert_eq!(points.notice(start(), hour(5), 2).await, noticed(1, 2));
    held.rollback().await.expect("a rollback");
    // The rest, two lots at a time.
    let mut lots = 2;
    while lots < 6 {
        let more = points.notice(start(), hour(5), 2).await;
        assert!((1..=2).contains(&more.lots), "{more:?}");
        lots += more.lots;
    }
    assert_eq!(points.notice(start(), hour(5), 2).await, noticed(0, 0));
}
