//! Notifications through the whole pipe: from a partner's request to its endpoint, signed; over the
//! death of the sender; and back from the dead by an operator's hand.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::eventually;
use headgate_testkit::receiver::{Answers, Received, Receiver};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

/// Until a notification has come through, at most.
const TIMEOUT: Duration = Duration::from_secs(40);
const EARNED: &str = "io.headgate.points.PointsAccumulated";
const EXPIRING: &str = "io.headgate.points.PointsExpiring";

/// An installation whose sender is quick, and may send to the test's own endpoint.
async fn installation(test: &str) -> Installation {
    Installation::new(test)
        .await
        .with("HEADGATE_NOTIFICATIONS__ALLOW_PRIVATE_ADDRESSES", "true")
        .with("HEADGATE_NOTIFICATIONS__POLL_EVERY_MS", "50")
        .with("HEADGATE_NOTIFICATIONS__PAUSE_FIRST_MS", "50")
        .with("HEADGATE_NOTIFICATIONS__PAUSE_LONGEST_MS", "50")
        .with("HEADGATE_JOBS__NOTICE_EVERY_MS", "100")
}

async fn subscribe(partner: &Partner, id: &str, body: &Value) -> String {
    let path = format!("/v1/subscriptions/{id}");
    let made = partner.send(Method::PUT, &path, Some(body)).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.body);
    made.body["secret"].as_str().expect("a secret").to_owned()
}

async fn earn(partner: &Partner, user: &str, body: &Value) -> Value {
    let reply = partner.post(&format!("/v1/users/{user}/points/earn"), body).await;
    assert_eq!(reply.status.as_u16(), 201, "{}", reply.body);
    reply.body
}

async fn received(receiver: &Receiver, count: usize) -> Vec<Received> {
    eventually("notifications to arrive", TIMEOUT, async || {
        let requests = receiver.received();
        (requests.len() >= count).then_some(requests)
    })
    .await
}

/// Verifies as a receiver does, by the Standard Webhooks specification.
fn verifies(secret: &str, request: &Received) -> bool {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").expect("the prefix"))
        .expect("base64");
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    hmac.update(format!("{id}.{timestamp}.").as_bytes());
    hmac.update(&request.body);
    let expected = format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()));
    request
        .header("webhook-signature")
        .split(' ')
        .any(|signature| signature == expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_what_happened_reaches_the_partners_endpoint_signed() {
    let installation = installation("p7_signed").await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    let (full, zero) = (Receiver::start().await, Receiver::start().await);
    let body = |receiver: &Receiver, payload: &str| {
        json!({"sink": {"type": "webhook", "url": receiver.url("/hooks")}, "payload": payload,
            "event_types": [EARNED, EXPIRING]})
    };
    let secret = subscribe(&partner, "full", &body(&full, "full")).await;
    let other = subscribe(&partner, "zero", &body(&zero, "zero")).await;
    // It expires within the time in which it is told of.
    let soon = (chrono::Utc::now() + chrono::TimeDelta::days(2)).to_rfc3339();
    let earned = earn(&partner, "u-1", &json!({"amount": 100, "expires_at": soon})).await;

    let requests = received(&full, 2).await;
    let of_type = |name: &str| requests.iter().find(|request| request.header("ce-type") == name);
    let request = of_type(EARNED).expect("what was earned");
    assert!(
        verifies(&secret, request) && !verifies(&other, request),
        "{request:?}"
    );
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("ce-specversion"), "1.0");
    assert_eq!(request.header("ce-sequence"), "1");
    let said = request.json();
    assert_eq!(said["point_key"], earned["point_key"]);
    assert_eq!((&said["amount"], &said["user_id"]), (&json!(100), &json!("u-1")));
    assert_eq!(said["wallet_id"], json!(request.header("ce-subject")));
    let notice = of_type(EXPIRING).expect("what will expire").json();
    assert_eq!(
        (&notice["amount"], &notice["balance"]),
        (&json!(100), &json!(100))
    );

    let requests = received(&zero, 2).await;
    for request in &requests {
        assert!(
            request.body.is_empty() && verifies(&other, request),
            "{request:?}"
        );
        assert!(!request.header("ce-id").is_empty(), "{request:?}");
    }

    // Receivers that know only the secret before go on while the new one is handed out.
    let rotated = partner.post("/v1/subscriptions/full/secret", &json!({})).await;
    let replaced = rotated.body["secret"].as_str().expect("a secret");
    earn(&partner, "u-1", &json!({"amount": 5})).await;
    let requests = received(&full, 3).await;
    let last = requests.last().expect("one more");
    assert!(verifies(&secret, last) && verifies(replaced, last), "{last:?}");
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_sender_that_dies_after_sending_has_it_sent_again_under_the_same_id() {
    let installation = installation("p7_killed").await;
    let (relay, api) = (
        installation.relay().spawn().await,
        installation.api().spawn().await,
    );
    let mut doomed = installation
        .consumers()
        .crash_at("notify.after-send-before-record")
        .spawn()
        .await;
    let partner = installation.partner(&api);
    let receiver = Receiver::start().await;
    let body = json!({"sink": {"type": "webhook", "url": receiver.url("/")}, "event_types": [EARNED]});
    let secret = subscribe(&partner, "hook", &body).await;
    earn(&partner, "u-1", &json!({"amount": 100})).await;
    doomed.assert_died_at_crash_point().await;
    assert_eq!(receiver.count(), 1);
    // Nobody waits for the lease of a process that is gone: not even this test.
    sqlx::query("UPDATE deliveries SET next_attempt_at = UTC_TIMESTAMP(6)")
        .execute(installation.environment().pool())
        .await
        .expect("MySQL answers");
    let mut consumers = installation.consumers().spawn().await;
    let requests = received(&receiver, 2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].header("ce-id"), requests[1].header("ce-id"));
    assert!(requests.iter().all(|request| verifies(&secret, request)));
    for mut service in [relay, api] {
        service.stop().await;
    }
    consumers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_what_was_given_up_is_tried_again_by_an_operator() {
    let installation = installation("p7_retried")
        .await
        .with("HEADGATE_NOTIFICATIONS__ATTEMPTS_MAX", "2");
    let pipeline = installation.start(1).await;
    let operator = installation.operator().spawn().await;
    let partner = pipeline.partner(&installation);
    let receiver = Receiver::start().await;
    receiver.answer(Answers::With(500, None));
    let body = json!({"sink": {"type": "webhook", "url": receiver.url("/")}, "event_types": [EARNED]});
    subscribe(&partner, "hook", &body).await;
    earn(&partner, "u-1", &json!({"amount": 100})).await;
    earn(&partner, "u-2", &json!({"amount": 100})).await;
    let list = async |state: &str| -> Vec<Value> {
        let arguments = ["--output", "json", "deliveries", "list", "--state", state];
        let said = installation.headgate(&operator, &arguments).await;
        let said: Value = serde_json::from_str(&said).expect("JSON");
        said["items"].as_array().expect("items").clone()
    };
    let dead = eventually("both to be given up", TIMEOUT, async || {
        let dead = list("dead").await;
        (dead.len() == 2).then_some(dead)
    })
    .await;
    assert_eq!(dead[0]["attempts"], json!(2));
    assert!(
        dead[0]["last_error"]
            .as_str()
            .is_some_and(|error| error.contains("500"))
    );
    let shown = partner.get("/v1/subscriptions/hook").await.body;
    assert_eq!(
        (&shown["dead"], &shown["pending"]),
        (&json!(2), &json!(0)),
        "{shown}"
    );

    receiver.answer(Answers::Well);
    let one = dead[0]["delivery_id"].as_str().expect("an id");
    installation
        .headgate(&operator, &["deliveries", "retry", one])
        .await;
    let owner = dead[0]["partner_id"].as_str().expect("an id");
    let all = [
        "deliveries",
        "retry",
        "--partner",
        owner,
        "--subscription",
        "hook",
    ];
    installation.headgate(&operator, &all).await;
    eventually("both to be delivered", TIMEOUT, async || {
        (list("delivered").await.len() == 2).then_some(())
    })
    .await;
    let shown = installation
        .headgate(&operator, &["deliveries", "show", one])
        .await;
    assert!(shown.contains("delivered"), "{shown}");
    let audited: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM audit_log WHERE action = 'delivery.retry'")
        .fetch_one(installation.environment().pool())
        .await
        .expect("MySQL answers");
    assert_eq!(audited, 2);
    pipeline.stop().await;
}
