//! Requests that are sent again under one `Idempotency-Key`.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use headgate_domain::Error;
use headgate_domain::idempotency::{
    Answer as Kept, Fingerprint, KeyedRequest, Refusal, Reservation, ScopedKey, Standing, store,
};
use headgate_domain::partners::{Rates, Scopes, store as partners};
use headgate_testkit::eventually;
use reqwest::Method;
use serde_json::json;

use crate::harness::Installation;
use crate::partner::{Answer, Partner, open_campaign};

const CAMPAIGNS: &str = "/v1/campaigns";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn g05_the_same_key_again_hears_the_same_answer_and_makes_nothing() {
    let installation = Installation::new("key_twice").await;
    let api = installation.start().await;
    let (partner_no, key) = installation.partner_and_key(Scopes::all()).await;
    let partner = Partner::new(&api.url, key.text.reveal());
    let body = open_campaign(10);
    let first = partner.post_keyed(CAMPAIGNS, "\"k-1\"", &body).await;
    assert_eq!((first.status, first.is_replayed()), (201, false));
    // Without the quotes, and with another of the partner's keys.
    let rotated = partners::create_key(installation.pool(), partner_no, Scopes::all(), Rates::HIGHEST)
        .await
        .expect("a key");
    let rotated = Partner::new(&api.url, rotated.text.reveal());
    for (partner, key) in [(&partner, "\"k-1\""), (&partner, "k-1"), (&rotated, "k-1")] {
        let again = partner.post_keyed(CAMPAIGNS, key, &body).await;
        assert_eq!((again.status, again.is_replayed()), (201, true), "{again:?}");
        assert_eq!(again.body, first.body);
        for header in ["location", "content-type"] {
            assert_eq!(again.header(header), first.header(header));
        }
    }
    assert_eq!(installation.count("campaigns").await, 1);
    assert_eq!(installation.count("outbox").await, 1);
    // Another key, and none at all, are other requests.
    for answer in [
        partner.post_keyed(CAMPAIGNS, "K-1", &body).await,
        partner.post(CAMPAIGNS, &body).await,
    ] {
        assert_eq!((answer.status, answer.is_replayed()), (201, false), "{answer:?}");
    }
    assert_eq!(installation.count("campaigns").await, 3);
    api.stop().await;
}

#[tokio::test]
async fn g05_another_body_under_a_key_is_refused() {
    let (installation, api, partner) = Installation::with_partner("key_reused").await;
    let first = partner.post_keyed(CAMPAIGNS, "k", &open_campaign(10)).await;
    assert_eq!(first.status, 201);
    let other = partner.post_keyed(CAMPAIGNS, "k", &open_campaign(11)).await;
    assert_eq!(other.problem(), (422, "idempotency-key-reused"));
    let again = partner.post_keyed(CAMPAIGNS, "k", &open_campaign(10)).await;
    assert_eq!((again.is_replayed(), &again.body), (true, &first.body));
    assert_eq!(installation.count("campaigns").await, 1);
    api.stop().await;
}

#[tokio::test]
async fn g05_a_key_belongs_to_a_partner_and_a_path() {
    let installation = Installation::new("key_scope").await;
    let api = installation.start().await;
    let (one, other) = tokio::join!(installation.partner(&api), installation.partner(&api));
    let body = open_campaign(10);
    let mine = one.post_keyed(CAMPAIGNS, "k", &body).await;
    let theirs = other.post_keyed(CAMPAIGNS, "k", &body).await;
    assert_eq!((mine.status, theirs.status), (201, 201));
    assert!(!theirs.is_replayed());
    assert_ne!(mine.body["campaign_id"], theirs.body["campaign_id"]);
    // The same key for two coupons.
    let campaign = one.campaign(2).await;
    for user in ["u-1", "u-2"] {
        let claim = one.claim(&campaign, user).await;
        installation.issue(claim.id("claim_id")).await;
        let path = format!("/v1/coupons/{}/use", claim.text("claim_id"));
        let used = one.post_keyed(&path, "k", &json!({"order_reference": "o"})).await;
        assert_eq!((used.status, used.is_replayed()), (200, false), "{used:?}");
    }
    api.stop().await;
}

#[tokio::test]
async fn g05_of_many_requests_at_once_one_takes_effect() {
    let installation = Installation::new("key_race").await;
    let (first, second) = tokio::join!(installation.start(), installation.start());
    let partner = installation.partner(&first).await;
    let (_, key) = installation.partner_and_key(Scopes::all()).await;
    let apis = [&first, &second].map(|api| Partner::new(&api.url, key.text.reveal()));
    let body = open_campaign(10);
    for round in 0..5 {
        let key = format!("race-{round}");
        let asked = (0..20).map(|place| apis[place % 2].post_keyed(CAMPAIGNS, &key, &body));
        let answers = join_all(asked).await;
        let fresh = answers
            .iter()
            .filter(|answer| answer.status == 201 && !answer.is_replayed())
            .count();
        assert_eq!(fresh, 1, "{answers:?}");
        let last = apis[0].post_keyed(CAMPAIGNS, &key, &body).await;
        assert!(last.is_replayed());
        for answer in answers {
            if answer.status == 201 {
                assert_eq!(answer.body, last.body);
            } else {
                assert_eq!(answer.problem(), (409, "idempotency-in-progress"));
                assert!(answer.header("retry-after").parse::<u32>().is_ok());
            }
        }
        assert_eq!(installation.count("campaigns").await, round + 1);
    }
    assert_eq!(partner.get(CAMPAIGNS).await.body["items"], json!([]));
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_anything_is_done() {
    let (installation, api, partner) = Installation::with_partner("key_wrong").await;
    let long = "x".repeat(256);
    for key in ["", "\"\"", "\"open", "two words", "a,b", "\u{e9}", &long] {
        let refused = partner.post_keyed(CAMPAIGNS, key, &open_campaign(10)).await;
        assert_eq!(refused.problem(), (400, "invalid-parameter"), "{key}");
        assert_eq!(refused.wrong_fields(), ["Idempotency-Key"], "{key}");
    }
    let twice = partner
        .request(Method::POST, CAMPAIGNS)
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "a")
        .json(&open_campaign(10));
    assert_eq!(Answer::of(twice).await.problem(), (400, "invalid-parameter"));
    assert_eq!(installation.count("campaigns").await, 0);
    assert_eq!(installation.count("idempotency_keys").await, 0);
    api.stop().await;
}

#[tokio::test]
async fn what_was_refused_before_it_began_is_not_kept() {
    let (installation, api, partner) = Installation::with_partner("key_invalid").await;
    let invalid = partner.post_keyed(CAMPAIGNS, "k", &json!({"quota": 1})).await;
    assert_eq!(invalid.problem(), (422, "invalid-body"));
    let stranger = partner
        .anonymous(Method::POST, CAMPAIGNS)
        .header("Idempotency-Key", "k")
        .json(&open_campaign(10));
    assert_eq!(Answer::of(stranger).await.problem(), (401, "unauthenticated"));
    assert_eq!(installation.count("idempotency_keys").await, 0);
    let good = partner.post_keyed(CAMPAIGNS, "k", &open_campaign(10)).await;
    assert_eq!((good.status, good.is_replayed()), (201, false));
    api.stop().await;
}

#[tokio::test]
async fn a_request_that_time_made_wrong_still_hears_its_answer() {
    let (_installation, api, partner) = Installation::with_partner("key_time").await;
    let mut body = open_campaign(10);
    body["closes_at"] = json!((Utc::now() + TimeDelta::milliseconds(1_500)).to_rfc3339());
    let first = partner.post_keyed(CAMPAIGNS, "k", &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    eventually("the closing time to pass", LONG, async || {
        let key = uuid::Uuid::now_v7().to_string();
        let answer = partner.post_keyed(CAMPAIGNS, &key, &body).await;
        (answer.status == 422).then_some(())
    })
    .await;
    let again = partner.post_keyed(CAMPAIGNS, "k", &body).await;
    assert_eq!((again.status, again.is_replayed()), (201, true), "{again:?}");
    assert_eq!(again.body, first.body);
    api.stop().await;
}

/// A partner with one issued coupon, and the path of it.
async fn with_coupon(installation: &Installation, url: &str) -> (Partner, String) {
    let partner = installation.partner_of(url).await;
    let campaign = partner.campaign(1).await;
    let claim = partner.claim(&campaign, "u-1").await;
    installation.issue(claim.id("claim_id")).await;
    let path = format!("/v1/coupons/{}", claim.text("claim_id"));
    (partner, path)
}

#[tokio::test]
async fn g05_a_late_request_does_not_undo_what_came_after_it() {
    let installation = Installation::new("key_late").await;
    let api = installation.start().await;
    let (partner, coupon) = with_coupon(&installation, &api.url).await;
    let (using, restoring) = (format!("{coupon}/use"), format!("{coupon}/restore"));
    let order = json!({"order_reference": "o-1"});
    let used = partner.post_keyed(&using, "k", &order).await;
    assert_eq!(used.text("state"), "used");
    let restored = partner.post_keyed(&restoring, "k", &order).await;
    assert_eq!(restored.text("state"), "issued");
    let late = partner.post_keyed(&using, "k", &order).await;
    assert_eq!((late.is_replayed(), &late.body), (true, &used.body));
    let list = partner.get("/v1/users/u-1/coupons").await;
    assert_eq!(list.body["items"][0]["state"], json!("issued"));
    // The other way round.
    let again = partner.post_keyed(&using, "k-2", &order).await;
    assert_eq!(again.text("state"), "used");
    let late = partner.post_keyed(&restoring, "k", &order).await;
    assert_eq!((late.is_replayed(), &late.body), (true, &restored.body));
    let list = partner.get("/v1/users/u-1/coupons").await;
    assert_eq!(list.body["items"][0]["state"], json!("used"));
    api.stop().await;
}

#[tokio::test]
async fn g05_a_refusal_is_kept_word_for_word() {
    let installation = Installation::new("key_refusal").await;
    let api = installation.start().await;
    let (partner, coupon) = with_coupon(&installation, &api.url).await;
    let path = format!("{coupon}/use");
    let (one, other) = (
        json!({"order_reference": "o-1"}),
        json!({"order_reference": "o-2"}),
    );
    assert_eq!(partner.post_keyed(&path, "k-1", &one).await.status, 200);
    let refused = partner.post_keyed(&path, "k-2", &other).await;
    assert_eq!(refused.problem(), (409, "coupon-already-used"));
    assert!(!refused.is_replayed());
    let restored = partner.post(&format!("{coupon}/restore"), &one).await;
    assert_eq!(restored.status, 200);
    let again = partner.post_keyed(&path, "k-2", &other).await;
    assert_eq!(again.problem(), (409, "coupon-already-used"));
    assert_eq!((again.is_replayed(), &again.body), (true, &refused.body));
    assert_eq!(partner.post_keyed(&path, "k-3", &other).await.status, 200);

    // Also what is nobody's.
    let nowhere = format!("/v1/coupons/{}/use", uuid::Uuid::now_v7());
    let missing = partner.post_keyed(&nowhere, "k", &one).await;
    assert_eq!(missing.problem(), (404, "coupon-not-found"));
    let again = partner.post_keyed(&nowhere, "k", &one).await;
    assert_eq!((again.is_replayed(), &again.body), (true, &missing.body));
    api.stop().await;
}

#[tokio::test]
async fn g13_an_answer_that_asks_to_try_again_is_not_kept() {
    let installation = Installation::new("key_busy").await;
    let mut config = installation.config();
    config.mysql.lock_wait_timeout_s = 1;
    let api = installation.start_with(config).await;
    let (partner, coupon) = with_coupon(&installation, &api.url).await;
    let path = format!("{coupon}/use");
    let order = json!({"order_reference": "o-1"});
    // Somebody holds the coupon for longer than the api waits.
    let mut holder = installation.pool().begin().await.expect("a transaction");
    sqlx::query("SELECT coupon_id FROM coupons FOR UPDATE")
        .fetch_all(&mut *holder)
        .await
        .expect("the lock");
    let refused = partner.post_keyed(&path, "k", &order).await;
    assert_eq!(refused.problem(), (503, "service-unavailable"));
    assert_eq!(installation.count("idempotency_keys").await, 0);
    holder.rollback().await.expect("the lock is given up");
    let used = partner.post_keyed(&path, "k", &order).await;
    assert_eq!((used.status, used.is_replayed()), (200, false), "{used:?}");
    api.stop().await;
}

#[tokio::test]
async fn a_key_is_kept_for_a_day_and_then_free() {
    let (installation, api, partner) = Installation::with_partner("key_day").await;
    let first = partner.post_keyed(CAMPAIGNS, "k", &open_campaign(10)).await;
    assert_eq!(first.status, 201);
    let kept = "idempotency_keys WHERE expires_at BETWEEN UTC_TIMESTAMP(6) + INTERVAL 1439 MINUTE
                AND UTC_TIMESTAMP(6) + INTERVAL 1440 MINUTE";
    assert_eq!(installation.count(kept).await, 1);
    installation
        .sql("UPDATE idempotency_keys SET expires_at = UTC_TIMESTAMP(6)")
        .await;
    let other = partner.post_keyed(CAMPAIGNS, "k", &open_campaign(11)).await;
    assert_eq!((other.status, other.is_replayed()), (201, false), "{other:?}");
    let again = partner.post_keyed(CAMPAIGNS, "k", &open_campaign(11)).await;
    assert_eq!((again.is_replayed(), &again.body), (true, &other.body));
    api.stop().await;
}

/// A request of this body under one key.
fn request(body: &str) -> KeyedRequest {
    KeyedRequest {
        key: ScopedKey::new("partner/1", "POST", "/v1/payments", "k"),
        fingerprint: Fingerprint::of(body.as_bytes()),
    }
}

fn answer(body: &str) -> Kept {
    Kept {
        status: 201,
        content_type: "application/json".to_owned(),
        location: None,
        body: body.into(),
    }
}

impl Installation {
    async fn reserve(&self, request: &KeyedRequest, lease: Duration) -> Standing {
        store::reserve(self.pool(), request, lease).await.expect("mysql")
    }

    async fn ours(&self, request: &KeyedRequest, lease: Duration) -> Reservation {
        match self.reserve(request, lease).await {
            Standing::Ours(reservation) => reservation,
            other => panic!("the key is not free: {other:?}"),
        }
    }
}

#[tokio::test]
async fn t05_who_slept_past_its_lease_and_was_taken_over_changes_nothing() {
    let installation = Installation::new("key_takeover").await;
    let payment = request("{}");
    let slept = installation.ours(&payment, Duration::ZERO).await;
    let second = installation.ours(&payment, LONG).await;
    assert_eq!(installation.reserve(&payment, LONG).await, Standing::InProgress);
    assert_eq!(
        installation.reserve(&request("other"), LONG).await,
        Standing::Reused
    );

    let mut transaction = installation.pool().begin().await.expect("a transaction");
    let held = store::hold(&mut transaction, &slept).await;
    assert!(
        matches!(held, Err(Error::Idempotency(Refusal::TakenOver))),
        "{held:?}"
    );
    let answered = store::answer(&mut *transaction, &slept, &answer("slept")).await;
    assert!(
        matches!(answered, Err(Error::Idempotency(Refusal::TakenOver))),
        "{answered:?}"
    );
    transaction.commit().await.expect("committed");
    store::give_back(installation.pool(), &slept)
        .await
        .expect("mysql");

    let mut transaction = installation.pool().begin().await.expect("a transaction");
    store::hold(&mut transaction, &second).await.expect("still ours");
    store::answer(&mut *transaction, &second, &answer("second"))
        .await
        .expect("still ours");
    transaction.commit().await.expect("committed");
    let replay = installation.reserve(&payment, LONG).await;
    assert_eq!(replay, Standing::Answered(answer("second")));
    // An answer is neither given back nor replaced.
    store::give_back(installation.pool(), &second)
        .await
        .expect("mysql");
    let replaced = store::answer(installation.pool(), &second, &answer("third")).await;
    assert!(
        matches!(replaced, Err(Error::Idempotency(Refusal::TakenOver))),
        "{replaced:?}"
    );
    assert_eq!(installation.reserve(&payment, LONG).await, replay);
}

#[tokio::test]
async fn t05_who_is_in_its_transaction_is_not_taken_over() {
    let installation = Installation::new("key_held").await;
    let payment = request("{}");
    let late = installation.ours(&payment, Duration::ZERO).await;
    let mut transaction = installation.pool().begin().await.expect("a transaction");
    store::hold(&mut transaction, &late).await.expect("still ours");
    let finish = async {
        store::answer(&mut *transaction, &late, &answer("late"))
            .await
            .expect("ours");
        transaction.commit().await.expect("committed");
    };
    // Its lease is over: whoever asks waits for the transaction, and hears its answer.
    let (standing, ()) = tokio::join!(installation.reserve(&payment, LONG), finish);
    assert_eq!(standing, Standing::Answered(answer("late")));
}
