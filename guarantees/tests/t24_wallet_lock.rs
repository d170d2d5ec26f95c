//! T24: the lock on a wallet turns others away in a moment, and nothing depends on it: a holder
//! that the machine forgot for longer than its lease writes nothing late, and without the lock
//! every sum is the same.

use std::time::Duration;

use futures::future::join_all;
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::eventually;
use serde_json::{Value, json};

/// Until a lease has ended, at most.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A lease that is soon over.
const SHORT_LEASE: [(&str, &str); 4] = [
    ("HEADGATE_LOCK__LEASE_MS", "2000"),
    ("HEADGATE_LOCK__HOLD_MAX_MS", "2000"),
    // However busy the machine is, Redis is not passed over.
    ("HEADGATE_LOCK__COMMAND_TIMEOUT_MS", "600"),
    ("HEADGATE_LOCK__BREAKER__SLOW_MS", "600"),
];

async fn earn(partner: &Partner, user: &str, amount: u64) {
    let path = format!("/v1/users/{user}/points/earn");
    let reply = partner.post(&path, &json!({"amount": amount})).await;
    assert_eq!(reply.status.as_u16(), 201, "{}", reply.body);
}

/// Its status and its problem's code.
async fn spend(partner: &Partner, amount: u64) -> (u16, String) {
    let reply = partner
        .post("/v1/users/u-1/points/use", &json!({"amount": amount}))
        .await;
    if reply.status == 409 {
        assert!(reply.code() != "wallet-busy" || reply.retry_after, "{reply:?}");
        return (409, reply.code().to_owned());
    }
    (reply.status.as_u16(), String::new())
}

async fn balance(partner: &Partner) -> Value {
    let reply = partner.get("/v1/users/u-1/points?consistent=true").await;
    reply.body["balance"].clone()
}

fn busy() -> (u16, String) {
    (409, "wallet-busy".to_owned())
}

fn done() -> (u16, String) {
    (201, String::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_a_holder_frozen_past_its_lease_writes_nothing_late() {
    let installation = SHORT_LEASE.iter().fold(
        Installation::new("wallet_frozen").await,
        |installation, (key, value)| installation.with(key, *value),
    );
    // Its second lock is the use's; the first is the earn's.
    let mut frozen = installation.api().freeze_at("api.wallet-locked:2").spawn().await;
    let mut other = installation.api().spawn().await;
    let (late, partner) = (installation.partner(&frozen), installation.partner(&other));
    earn(&late, "u-1", 100).await;

    let late_use = tokio::spawn(async move { spend(&late, 60).await });
    frozen.wait_frozen().await;
    assert_eq!(spend(&partner, 60).await, busy(), "the lock is the frozen one's");
    eventually("the lease to end", TIMEOUT, async || {
        let answer = spend(&partner, 60).await;
        assert!(answer == busy() || answer == done(), "{answer:?}");
        (answer == done()).then_some(())
    })
    .await;
    earn(&partner, "u-1", 1_000).await;
    frozen.thaw();

    // There would be points enough again: what refuses it is that the wallet has changed.
    assert_eq!(late_use.await.expect("an answer"), busy());
    assert_eq!(balance(&partner).await, json!(1_040));
    assert_eq!(spend(&partner, 1_040).await, done());
    frozen.stop().await;
    other.stop().await;
}

/// Two apis, and a wallet that holds 100.
async fn race(test: &str, lock: &str) -> Vec<(u16, String)> {
    let installation = Installation::new(test).await.with("HEADGATE_LOCK__ENABLED", lock);
    let (mut first, mut second) = (installation.api().spawn().await, installation.api().spawn().await);
    let partners = [installation.partner(&first), installation.partner(&second)];
    earn(&partners[0], "u-1", 100).await;
    let answers = join_all((0..40).map(|number| spend(&partners[number % 2], 10))).await;
    let spent = answers.iter().filter(|answer| **answer == done()).count() as u64;
    assert_eq!(
        balance(&partners[1]).await,
        json!(100 - 10 * spent),
        "{answers:?}"
    );
    first.stop().await;
    second.stop().await;
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_a_busy_wallet_turns_requests_away_at_once() {
    let answers = race("wallet_busy", "true").await;
    assert!(answers.contains(&busy()), "nobody met the lock: {answers:?}");
    assert!(answers.contains(&done()), "nobody had the lock: {answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_without_the_lock_every_point_is_spent_once() {
    let answers = race("wallet_unlocked", "false").await;
    assert!(!answers.contains(&busy()), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == done()).count(), 10);
}
