//! G11: what a user has is what the ledger says, in the wallet, in its lots, in the balance that is
//! kept beside it and in what Redis remembers. Whatever drifts is found, named, and mended with
//! a line in the audit log.

use std::time::Duration;

use headgate_guarantees::{Installation, Partner};
use headgate_testkit::checkers::settle;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use serde_json::{Value, json};

/// Until events have come through, or the watch has come by, at most.
const TIMEOUT: Duration = Duration::from_secs(40);
/// Users with 70 points each.
const USERS: [&str; 5] = ["u-0", "u-1", "u-2", "u-3", "u-4"];

async fn installation(test: &str) -> Installation {
    Installation::new(test)
        .await
        .with("HEADGATE_RECONCILE__EVERY_MS", "200")
}

/// Every user earned 100 and spent 30, and Redis remembers it.
async fn live(partner: &Partner, installation: &Installation) {
    for user in USERS {
        let path = format!("/v1/users/{user}/points");
        for (what, amount) in [("earn", 100), ("use", 30)] {
            let body = json!({ "amount": amount });
            let reply = partner.post(&format!("{path}/{what}"), &body).await;
            assert_eq!(reply.status.as_u16(), 201, "{}", reply.body);
        }
    }
    settle(installation.environment(), TIMEOUT).await;
    for user in USERS {
        eventually("the balance to catch up", TIMEOUT, async || {
            (balance(partner, user).await == json!(70)).then_some(())
        })
        .await;
    }
}

async fn balance(partner: &Partner, user: &str) -> Value {
    let reply = partner.get(&format!("/v1/users/{user}/points")).await;
    reply.body["balance"].clone()
}

async fn plant(installation: &Installation, statement: &'static str) {
    let done = sqlx::query(statement)
        .execute(installation.environment().pool())
        .await
        .expect("it is planted");
    assert!(done.rows_affected() > 0, "{statement}");
}

/// Redis remembers 99,999 points of the user, at the version that is right.
async fn plant_in_redis(installation: &Installation, user: &str) {
    let environment = installation.environment();
    let client = redis::Client::open(environment.redis_url()).expect("an address");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("redis is there");
    let pattern = format!("{}balance:*:{user}", environment.redis_prefix());
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg(pattern)
        .query_async(&mut connection)
        .await
        .expect("keys");
    let [key] = keys.as_slice() else {
        panic!("it is remembered once: {keys:?}");
    };
    let value: String = redis::cmd("GET")
        .arg(key)
        .query_async(&mut connection)
        .await
        .expect("a value");
    let wrong = value.replace("\"balance\":70", "\"balance\":99999");
    assert_ne!(wrong, value);
    let _: () = redis::cmd("SET")
        .arg(key)
        .arg(wrong)
        .query_async(&mut connection)
        .await
        .expect("it is planted");
}

/// Something of each kind, with a user each.
async fn drift(installation: &Installation) {
    plant(
        installation,
        "UPDATE wallets SET balance = 71 WHERE user_id = 'u-0'",
    )
    .await;
    plant(
        installation,
        "UPDATE point_lots JOIN wallets USING (wallet_no) SET remaining = 60 WHERE user_id = 'u-1'",
    )
    .await;
    plant(
        installation,
        "UPDATE point_balances SET balance = 7 WHERE user_id = 'u-2'",
    )
    .await;
    plant_in_redis(installation, "u-3").await;
}

async fn reconcile(installation: &Installation, operator: &Service, more: &[&str]) -> (i32, Value) {
    let command: Vec<&str> = ["reconcile", "points"].iter().chain(more).copied().collect();
    let (code, said, _) = installation.headgate_any(operator, &command).await;
    (code, said)
}

/// The differences of each user, by their words.
fn named(said: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = said["items"].as_array().cloned().unwrap_or_default();
    let kinds = |item: &Value| {
        let differences = item["differences"].as_array().cloned().unwrap_or_default();
        differences.iter().map(|wrong| text(&wrong["kind"])).collect()
    };
    items
        .iter()
        .map(|item| (text(&item["user_id"]), kinds(item)))
        .collect()
}

async fn measured(operator: &Service) -> Option<f64> {
    operator.metric("headgate_reconcile_difference", &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_a_drift_is_found_named_and_mended() {
    let installation = installation("points_drift").await;
    let mut operator = installation.operator().spawn().await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    live(&partner, &installation).await;
    eventually("all wallets to add up, also in Redis", TIMEOUT, async || {
        let (code, said) = reconcile(&installation, &operator, &[]).await;
        assert_eq!((code, &said["differences"]), (0, &json!(0)), "{said:#}");
        assert_eq!(said["wallets"], json!(5), "{said:#}");
        (said["remembered"] == json!(5)).then_some(())
    })
    .await;

    drift(&installation).await;
    eventually("Redis to be asked", TIMEOUT, async || {
        (balance(&partner, "u-3").await == json!(99_999)).then_some(())
    })
    .await;
    let wrong = |user: &str, kinds: &[&str]| {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        (user.to_owned(), kinds)
    };
    let expected: Vec<(String, Vec<String>)> = vec![
        wrong(
            "u-0",
            &[
                "balance-unlike-ledger",
                "kept-balance-wrong",
                "cached-balance-wrong",
            ],
        ),
        wrong("u-1", &["lots-unlike-allocations", "lots-unlike-ledger"]),
        wrong("u-2", &["kept-balance-wrong"]),
        wrong("u-3", &["cached-balance-wrong"]),
    ];
    // Where Redis is slow to answer, it is passed over.
    eventually("all of it to be named", TIMEOUT, async || {
        let (code, said) = reconcile(&installation, &operator, &[]).await;
        (code == 1 && named(&said) == expected).then_some(())
    })
    .await;
    eventually("the watch to find all of it", TIMEOUT, async || {
        measured(&operator).await.filter(|found| *found >= 7.0)
    })
    .await;

    let repair = ["--repair", "--reason", "rows changed by hand", "--yes"];
    eventually("all of it to be mended", TIMEOUT, async || {
        let (code, said) = reconcile(&installation, &operator, &repair).await;
        (code == 0 && said["differences"] == json!(0)).then_some(())
    })
    .await;
    for user in USERS {
        assert_eq!(balance(&partner, user).await, json!(70), "{user}");
    }
    let lines = installation
        .headgate_any(&operator, &["audit", "list", "--action", "points.repair"])
        .await
        .1;
    let lines = lines["items"].as_array().cloned().unwrap_or_default();
    assert!(lines.len() >= 4, "{lines:#?}");
    assert!(
        lines
            .iter()
            .all(|line| line["detail"]["reason"] == json!("rows changed by hand"))
    );
    eventually("the watch to see it", TIMEOUT, async || {
        measured(&operator).await.filter(|found| *found < 1.0)
    })
    .await;
    pipeline.stop().await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_a_ledger_that_contradicts_itself_is_left_to_people() {
    let installation = installation("points_damaged").await;
    let mut operator = installation.operator().spawn().await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    live(&partner, &installation).await;
    plant(
        &installation,
        "DELETE e FROM point_entries e JOIN wallets USING (wallet_no) WHERE user_id = 'u-4' AND entry_no = 1",
    )
    .await;
    let repair = ["--repair", "--reason", "try", "--yes"];
    let (code, said) = reconcile(&installation, &operator, &repair).await;
    assert_eq!(code, 1, "{said:#}");
    assert_eq!(said["repaired"], json!([]), "{said:#}");
    let named = named(&said);
    assert_eq!(named.len(), 1, "{said:#}");
    assert!(named[0].1.contains(&"ledger-broken".to_owned()), "{said:#}");
    let kept: u64 = sqlx::query_scalar("SELECT balance FROM wallets WHERE user_id = 'u-4'")
        .fetch_one(installation.environment().pool())
        .await
        .expect("a balance");
    assert_eq!(kept, 70, "nothing of it was changed");
    pipeline.stop().await;
    operator.stop().await;
}
