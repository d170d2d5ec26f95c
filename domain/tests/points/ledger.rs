//! Earning, spending, cancelling, moving.

use headgate_domain::points::{EntryKind, Fence, Policy, Refusal, store};
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
    let fenced = async |entries, is_lost: &'static (dyn Fn() -> bool + Sync)| {
        let fence = Fence { entries, is_lost };
        let mut transaction = points.begin().await;
        let change = points.change(start());
        let used = store::use_points(&mut transaction, change, wallet, 10, None, Some(fence)).await;
        let used = refused(used);
        transaction.commit().await.expect("a commit");
        used.map(|moved| moved.balance)
    };
    let (held, lost) = (&|| false, &|| true);
    assert_eq!(fenced(1, lost).await, Ok(90), "nobody was there meanwhile");
    // Since it was read, the wallet has one entry more.
    assert_eq!(fenced(1, lost).await, Err(Refusal::Busy));
    // Under another lock somebody may have earned.
    assert_eq!(fenced(1, held).await, Ok(80));
    assert_eq!(fenced(3, lost).await, Ok(70));
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_for_is_bounded_by_the_wallet_alone() {
    let mut points = Points::new("points_charge").await;
    points.policy = Policy {
        earn_max: 10,
        wallet_max: 100,
        ..Policy::default()
    };
    let wallet = points.wallet("kim").await;
    let charge = async |amount| {
        let mut transaction = points.begin().await;
        let grant = grant(wallet, amount, hour(10));
        let change = points.change(start());
        let charged = refused(store::charge(&mut transaction, change, &grant, &points.policy, None).await);
        transaction.commit().await.expect("a commit");
        charged
    };
    let charged = charge(90).await.expect("the wallet holds it");
    assert_eq!(charged.balance, 90);
    assert_eq!(charge(11).await, Err(Refusal::WalletFull { wallet_max: 100 }));
    let cancelled = points.cancel(charged.point_key, None, start()).await;
    let kind = EntryKind::Charge;
    assert_eq!(cancelled, Err(Refusal::NotCancellable { kind }));
    points.expect_sums().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_has_so_many_lots_and_no_more() {
    let points = Points::new("points_lots").await;
    let wallet = points.wallet("kim").await;
    sqlx::query(
        "INSERT INTO point_lots (wallet_no, entry_no, amount, remaining, expires_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
         SELECT /*+ SET_VAR(cte_max_recursion_depth = 10000) */ ?, i, 1, 1, '2026-12-01' FROM n",
    )
    .bind(wallet)
    .execute(&points.pool)
    .await
    .expect("many lots");
    points.earn(wallet, 1, hour(10)).await;
    let mut transaction = points.begin().await;
    let (grant, change) = (grant(wallet, 1, hour(10)), points.change(start()));
    let earned = store::earn(&mut transaction, change, &grant, &points.policy, None).await;
    assert_eq!(refused(earned), Err(Refusal::TooManyLots));
}

#[tokio::test(flavor = "multi_thread")]
async fn g08_an_older_balance_that_comes_late_changes_nothing() {
    let points = Points::new("points_heard").await;
    points.wallet("kim").await;
    let user_id = UserId::new("kim").expect("a name");
    let (wallet_id, partner_id) =
        sqlx::query_as("SELECT wallet_id, partner_id FROM wallets JOIN partners USING (partner_no)")
            .fetch_one(&points.pool)
            .await
            .expect("a wallet");
    for (entry_no, balance, expected) in [(2, 70, 70), (1, 100, 70), (2, 70, 70), (3, 60, 60)] {
        let heard = store::Heard {
            wallet_id,
            partner_id,
            user_id: user_id.clone(),
            balance,
            entry_no,
            as_of: hour(i64::try_from(entry_no).expect("few")),
        };
        let mut transaction = points.begin().await;
        store::hear(&mut transaction, &[heard])
            .await
            .expect("it is written");
        transaction.commit().await.expect("a commit");
        let known = store::balance_heard(&points.pool, PARTNER, &user_id, start())
            .await
            .expect("MySQL answers")
            .expect("it was heard of");
        assert_eq!(known.balance.balance, expected, "after entry {entry_no}");
        assert_eq!(known.entry_no, entry_no.max(2));
    }
}
