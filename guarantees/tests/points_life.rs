//! Points through the whole pipe: what is granted and spent is known, the balance that is kept
//! beside the ledger catches up with it, what expires is taken out by the leased job, and a
//! lost event is found.

use std::time::Duration;

use futures::future::join_all;
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::checkers::settle;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use serde_json::{Value, json};

/// Until events have come through, or a job has come by, at most.
const TIMEOUT: Duration = Duration::from_secs(40);

async fn earn(partner: &Partner, user: &str, body: &Value) -> Value {
    let reply = partner.post(&format!("/v1/users/{user}/points/earn"), body).await;
    assert_eq!(reply.status.as_u16(), 201, "{}", reply.body);
    reply.body
}

async fn spend(partner: &Partner, user: &str, amount: u64) -> (u16, Value) {
    let path = format!("/v1/users/{user}/points/use");
    // As a client does: whoever finds the wallet busy comes again.
    eventually("the wallet to be free", TIMEOUT, async || {
        let reply = partner.post(&path, &json!({"amount": amount})).await;
        (reply.code() != "wallet-busy").then(|| (reply.status.as_u16(), reply.body))
    })
    .await
}

async fn balance(partner: &Partner, user: &str, how: &str) -> Value {
    partner.get(&format!("/v1/users/{user}/points{how}")).await.body
}

async fn caught_up(partner: &Partner, user: &str, expected: u64) -> Value {
    eventually("the balance to catch up", TIMEOUT, async || {
        let heard = balance(partner, user, "").await;
        (heard["balance"] == json!(expected)).then_some(heard)
    })
    .await
}

async fn count(installation: &Installation, what: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {what}")))
        .fetch_one(installation.environment().pool())
        .await
        .expect("MySQL answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_many_processes_spend_a_wallet_to_the_point_and_the_balance_catches_up() {
    let installation = Installation::new("points_sum").await;
    let pipeline = installation.start(2).await;
    let partners: Vec<Partner> = pipeline
        .apis
        .iter()
        .map(|api| installation.partner(api))
        .collect();
    earn(&partners[0], "u-1", &json!({"amount": 1_000})).await;
    // Redis remembers it, for longer than this waits.
    caught_up(&partners[0], "u-1", 1_000).await;
    // 60 want 25 of 1,000 each.
    let uses = (0..60).map(|number| spend(&partners[number % 2], "u-1", 25));
    let answers = join_all(uses).await;
    let won = answers.iter().filter(|(status, _)| *status == 201).count();
    assert_eq!(won, 40, "{answers:?}");
    for (status, body) in answers.iter().filter(|(status, _)| *status != 201) {
        assert_eq!(
            (*status, &body["code"]),
            (409, &json!("points-insufficient")),
            "{body}"
        );
    }
    let heard = caught_up(&partners[0], "u-1", 0).await;
    assert!(heard["as_of"].is_string(), "{heard}");
    assert_eq!(
        balance(&partners[1], "u-1", "?consistent=true").await["balance"],
        json!(0)
    );
    settle(installation.environment(), TIMEOUT).await;
    let agree = "wallets w JOIN point_balances b USING (wallet_id) WHERE w.balance = b.balance AND w.entries = b.entry_no";
    assert_eq!(count(&installation, agree).await, 1);
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_points_expire_by_the_leased_job_and_only_those_that_are_left() {
    let installation = Installation::new("points_expiry").await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(3);
    earn(
        &partner,
        "u-1",
        &json!({"amount": 100, "expires_at": soon.to_rfc3339()}),
    )
    .await;
    earn(&partner, "u-1", &json!({"amount": 50})).await;
    assert_eq!(spend(&partner, "u-1", 70).await.0, 201);
    eventually("the job to come by", TIMEOUT, async || {
        (count(&installation, "point_entries WHERE kind = 'expire'").await == 1).then_some(())
    })
    .await;
    assert_eq!(
        balance(&partner, "u-1", "?consistent=true").await["balance"],
        json!(50)
    );
    let history = partner.get("/v1/users/u-1/points/history?limit=1").await.body;
    let last = &history["items"][0];
    assert_eq!(
        (&last["kind"], &last["amount"]),
        (&json!("expire"), &json!(-30)),
        "{last}"
    );
    caught_up(&partner, "u-1", 50).await;
    pipeline.stop().await;
}

async fn reconcile(installation: &Installation, operator: &Service) -> (i32, Value) {
    let (code, said, _) = installation.headgate_any(operator, &["reconcile", "pipe"]).await;
    (code, said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_a_lost_event_of_a_wallet_is_named() {
    let installation = Installation::new("points_lost")
        .await
        .with("HEADGATE_RECONCILE__SETTLE_MS", "0");
    let operator = installation.operator().spawn().await;
    let mut pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    earn(&partner, "u-1", &json!({"amount": 100})).await;
    settle(installation.environment(), TIMEOUT).await;
    assert_eq!(reconcile(&installation, &operator).await.0, 0);
    pipeline.relay.stop().await;
    assert_eq!(spend(&partner, "u-1", 10).await.0, 201);
    sqlx::query("DELETE FROM outbox")
        .execute(installation.environment().pool())
        .await
        .expect("it is lost");
    pipeline.relay = installation.relay().spawn().await;
    let (code, said) = reconcile(&installation, &operator).await;
    let found = &said["found"][0];
    assert_eq!((code, &found["kind"]), (1, &json!("outbox-lost")), "{said:#}");
    let topic = found["examples"][0]["topic"].as_str().unwrap_or_default();
    assert!(topic.ends_with("headgate.points"), "{said:#}");
    pipeline.stop().await;
}
