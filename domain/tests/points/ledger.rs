//! Earning, spending, cancelling, moving.

use headgate_domain::points::{EntryKind, Policy, Refusal, store};
use headgate_schemas::ids::PointKey;
use headgate_schemas::names::UserId;
use headgate_testkit::Environment;

use crate::support::{PARTNER, Points, grant, hour, refused, start};

async fn lots(environment: &Environment) -> Vec<(u64, u64)> {
    sqlx::query_as("SELECT remaining, amount FROM point_lots ORDER BY lot_no")
        .fetch_all(environment.pool())
        .await
        .expect("lots")
}

#[tokio::test(flavor = "multi_thread")]
async fn g11_what_expires_first_is_spent_first_and_comes_back_to_its_lots() {
    let points = Points::new("points_order").await;
    let wallet = points.wallet("kim").await;
    points.earn(wallet, 100, hour(30)).await;
    points.earn(wallet, 50, hour(10)).await;
    let used = points.spend(wallet, 70, start()).await.expect("there is enough");
    assert_eq!((used.amount, used.balance), (70, 80));
    assert_eq!(lots(&points.environment).await, [(80, 100), (0, 50)]);
    let back = points
        .cancel(used.point_key, Some(30), start())
        .await
        .expect("it is left");
    assert_eq!((back.amount, back.balance), (30, 110));
    assert_eq!(lots(&points.environment).await, [(100, 100), (10, 50)]);
    let rest = points
        .cancel(used.point_key, None, start())
        .await
        .expect("it is left");
    assert_eq!((rest.amount, rest.balance), (40, 150));
    let nothing = points.cancel(used.point_key, None, start()).await;
    assert_eq!(nothing, Err(Refusal::CancelExceeds { left: 0 }));
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t25_what_comes_back_too_late_is_a_lot_of_its_own() {
    let points = Points::new("points_too_late").await;
    let wallet = points.wallet("kim").await;
    points.earn(wallet, 100, hour(10)).await;
    let used = points.spend(wallet, 60, start()).await.expect("there is enough");
    let first = points
        .cancel(used.point_key, Some(20), hour(11))
        .await
        .expect("it is left");
    assert_eq!(first.expires_at, Some(points.policy.expires_at(hour(11))));
    assert_eq!(lots(&points.environment).await, [(40, 100), (20, 20)]);
    // What came back in the lot's stead counts as returned.
    let too_much = points.cancel(used.point_key, Some(41), hour(11)).await;
    assert_eq!(too_much, Err(Refusal::CancelExceeds { left: 40 }));
    points
        .cancel(used.point_key, None, hour(11))
        .await
        .expect("it is left");
    assert_eq!(points.balance("kim", hour(11)).await, 60);
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t25_points_that_come_back_to_a_cancelled_earn_can_be_taken_back_again() {
    let points = Points::new("points_cancelled_earn").await;
    let wallet = points.wallet("kim").await;
    let earned = points.earn(wallet, 100, hour(10)).await;
    let used = points.spend(wallet, 60, start()).await.expect("there is enough");
    let too_much = points.cancel(earned.point_key, Some(41), start()).await;
    assert_eq!(too_much, Err(Refusal::CancelExceeds { left: 40 }));
    let taken = points
        .cancel(earned.point_key, None, start())
        .await
        .expect("it is unspent");
    assert_eq!((taken.amount, taken.balance), (40, 0));
    points
        .cancel(used.point_key, None, start())
        .await
        .expect("it comes back");
    assert_eq!(points.balance("kim", start()).await, 60);
    let taken = points
        .cancel(earned.point_key, None, start())
        .await
        .expect("it is unspent again");
    assert_eq!((taken.amount, taken.balance), (60, 0));
    // A cancellation is not cancelled.
    let kind = points.cancel(taken.point_key, None, start()).await;
    let expected = Refusal::NotCancellable {
        kind: EntryKind::CancelEarn,
    };
    assert_eq!(kind, Err(expected));
    let unknown = points.cancel(PointKey::generate(), None, start()).await;
    assert_eq!(unknown, Err(Refusal::NotFound));
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t25_a_transfer_keeps_each_expiry() {
    let points = Points::new("points_transfer").await;
    let (kim, lee) = (points.wallet("kim").await, points.wallet("lee").await);
    points.earn(kim, 50, hour(10)).await;
    points.earn(kim, 50, hour(20)).await;
    points.transfer(kim, lee, 70).await.expect("there is enough");
    for (now, kims, lees) in [(start(), 30, 70), (hour(10), 30, 20), (hour(20), 0, 0)] {
        let balances = (points.balance("kim", now).await, points.balance("lee", now).await);
        assert_eq!(balances, (kims, lees), "{now}");
    }
    let too_much = points.transfer(kim, lee, 31).await;
    assert_eq!(too_much, Err(Refusal::Insufficient { available: 30 }));
    let user = UserId::new("lee").expect("a name");
    let history = store::history(points.environment.pool(), PARTNER, &user, None, 10)
        .await
        .expect("a page");
    let entry = &history.items[0];
    assert_eq!((entry.kind, entry.amount), (EntryKind::Receive, 70));
    assert_eq!(entry.other_user.as_ref().map(UserId::as_str), Some("kim"));
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_bounds_what_is_earned_and_held() {
    let mut points = Points::new("points_policy").await;
    points.policy = Policy {
        earn_min: 10,
        earn_max: 100,
        wallet_max: 150,
        ..Policy::default()
    };
    let wallet = points.wallet("kim").await;
    points.earn(wallet, 100, hour(10)).await;
    for (amount, refusal) in [
        (9, Refusal::EarnOutOfRange { min: 10, max: 100 }),
        (101, Refusal::EarnOutOfRange { min: 10, max: 100 }),
        (51, Refusal::WalletFull { wallet_max: 150 }),
    ] {
        let mut transaction = points.begin().await;
        let grant = grant(wallet, amount, hour(10));
        let change = points.change(start());
        let earned = store::earn(&mut transaction, change, &grant, &points.policy, None).await;
        assert_eq!(refused(earned), Err(refusal));
    }
    assert_eq!(points.balance("kim", start()).await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn t24_the_late_write_of_a_holder_that_was_asleep_is_refused() {
    let points = Points::new("points_fence").await;
    let wallet = points.wallet("kim").await;
    points.earn(wallet, 100, hour(10)).await;
    let fenced = async |fence| {
        let mut transaction = points.begin().await;
        let change = points.change(start());
        let used = store::use_points(&mut transaction, change, wallet, 10, None, Some(fence)).await;
        let used = refused(used);
        transaction.commit().await.expect("a commit");
        used.map(|moved| moved.balance)
    };
    assert_eq!(fenced(1).await, Ok(90));
    // Since it was read, the wallet has one entry more.
    assert_eq!(fenced(1).await, Err(Refusal::Busy));
    assert_eq!(fenced(2).await, Ok(80));
    points.expect_sums().await;
}
