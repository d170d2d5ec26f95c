//! Points run out by a leased job: each lot once, however often its process dies, and without
//! getting in the way of users.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::eventually;
use serde_json::json;

/// Points of each lot that runs out.
const POINTS: u64 = 10;
/// Users who spend while others' and their own points run out.
const SPENDERS: [&str; 4] = ["e-1", "e-2", "e-3", "e-4"];
/// What each of them has beside what runs out.
const GRANTED: u64 = 100_000;

async fn sql(installation: &Installation, statement: String) {
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(installation.environment().pool())
        .await
        .expect("it is planted");
}

async fn count(installation: &Installation, what: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {what}")))
        .fetch_one(installation.environment().pool())
        .await
        .expect("MySQL answers")
}

/// So many users `e-1`, `e-2`, ..., each with so many lots whose time is up; a hundred thousand
/// rows at a time.
async fn plant(installation: &Installation, wallets: u32, lots: u32) {
    let digits = "SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
        UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9";
    let numbers = format!(
        "(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n
          FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d, ({digits}) e) AS numbers"
    );
    let balance = u64::from(lots) * POINTS;
    sql(
        installation,
        format!(
            "INSERT INTO wallets (wallet_id, partner_no, user_id, balance, entries)
             SELECT UUID_TO_BIN(UUID()), (SELECT MIN(partner_no) FROM partners), CONCAT('e-', n), {balance}, {lots}
             FROM {numbers} WHERE n <= {wallets}"
        ),
    )
    .await;
    for lot in 1..=lots {
        sql(
            installation,
            format!(
                "INSERT INTO point_entries (wallet_no, entry_no, point_key, kind, amount, balance_after, made_at)
                 SELECT wallet_no, {lot}, UUID_TO_BIN(UUID()), 'earn', {POINTS}, {lot} * {POINTS},
                     NOW(6) - INTERVAL 1 DAY FROM wallets"
            ),
        )
        .await;
        sql(
            installation,
            format!(
                "INSERT INTO point_lots (wallet_no, entry_no, amount, remaining, expires_at)
                 SELECT wallet_no, {lot}, {POINTS}, {POINTS}, NOW(6) - INTERVAL {lot} MINUTE FROM wallets"
            ),
        )
        .await;
        sql(
            installation,
            format!(
                "INSERT INTO point_allocations (wallet_no, entry_no, lot_no, amount)
                 SELECT wallet_no, entry_no, lot_no, {POINTS} FROM point_lots WHERE entry_no = {lot}"
            ),
        )
        .await;
    }
}

/// All of it has run out, once.
async fn expect_all_expired(installation: &Installation, wallets: u32, lots: u32) {
    let overdue = "point_lots WHERE is_open = 1 AND expires_at <= NOW(6)";
    assert_eq!(count(installation, overdue).await, 0);
    let expired: u64 = sqlx::query_scalar(
        "SELECT CAST(COALESCE(SUM(-amount), 0) AS UNSIGNED) FROM point_entries WHERE kind = 'expire'",
    )
    .fetch_one(installation.environment().pool())
    .await
    .expect("a sum");
    assert_eq!(expired, u64::from(wallets) * u64::from(lots) * POINTS);
    let strange = "wallets w WHERE w.balance <> (SELECT SUM(amount) FROM point_entries e
        WHERE e.wallet_no = w.wallet_no) OR w.balance <> (SELECT SUM(remaining) FROM point_lots l
        WHERE l.wallet_no = w.wallet_no)";
    assert_eq!(count(installation, strange).await, 0);
}

async fn wait_until_expired(installation: &Installation, patience: Duration) {
    eventually("all of it to run out", patience, async || {
        let open = "point_lots WHERE is_open = 1 AND expires_at <= NOW(6)";
        (count(installation, open).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_a_job_that_is_killed_goes_on_in_another_process() {
    let installation = Installation::new("points_killed")
        .await
        .with("HEADGATE_JOBS__LEASE_MS", "2000");
    plant(&installation, 400, 5).await;
    // It dies with its third piece done and not committed.
    let mut first = installation
        .consumers()
        .crash_at("consumers.points-expired:3")
        .launch()
        .await;
    first.assert_died_at_crash_point().await;
    let expired = count(&installation, "point_entries WHERE kind = 'expire'").await;
    assert!(
        (1..400).contains(&expired),
        "{expired} of 400 wallets before it died"
    );
    let mut second = installation.consumers().spawn().await;
    wait_until_expired(&installation, Duration::from_mins(1)).await;
    expect_all_expired(&installation, 400, 5).await;
    second.stop().await;
}

/// Spends a point after the other until told to stop. Returns how many. Where Redis was too slow
/// to hear that the lock was given back, the next use may find it taken, and comes again.
async fn spend(partner: &Partner, user: &str, stop: &AtomicBool) -> u64 {
    let path = format!("/v1/users/{user}/points/use");
    let mut spent = 0;
    while spent < GRANTED && !stop.load(Ordering::Relaxed) {
        let reply = partner.post(&path, &json!({"amount": 1})).await;
        if reply.code() != "wallet-busy" {
            assert_eq!(reply.status.as_u16(), 201, "after {spent}: {}", reply.body);
            spent += 1;
        }
    }
    spent
}

/// Lets so many lots run out while users spend.
async fn run_out(test: &str, wallets: u32, lots: u32, patience: Duration) {
    let installation = Installation::new(test).await;
    plant(&installation, wallets, lots).await;
    let mut api = installation.api().spawn().await;
    let partner = installation.partner(&api);
    for user in SPENDERS {
        let path = format!("/v1/users/{user}/points/earn");
        let reply = partner.post(&path, &json!({"amount": GRANTED})).await;
        assert_eq!(reply.status.as_u16(), 201, "{}", reply.body);
    }
    let mut consumers = installation.consumers().spawn().await;
    let stop = AtomicBool::new(false);
    let spending = join_all(SPENDERS.map(|user| spend(&partner, user, &stop)));
    let waiting = async {
        wait_until_expired(&installation, patience).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (spent, ()) = tokio::join!(spending, waiting);
    println!("{spent:?} points spent meanwhile");
    assert!(spent.iter().all(|spent| *spent > 0), "{spent:?}");
    expect_all_expired(&installation, wallets, lots).await;
    for (user, spent) in SPENDERS.iter().zip(spent) {
        let path = format!("/v1/users/{user}/points?consistent=true");
        let left = partner.get(&path).await.body["balance"].clone();
        assert_eq!(left, json!(GRANTED - spent), "{user}");
    }
    api.stop().await;
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_points_run_out_while_users_spend() {
    run_out("points_run_out", 1_000, 10, Duration::from_mins(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_a_million_lots_run_out_while_users_spend() {
    run_out("points_million", 100_000, 10, Duration::from_mins(20)).await;
}
