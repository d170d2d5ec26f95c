//! The life of a coupon over HTTP.

use headgate_domain::Change;
use headgate_domain::coupons::store;
use serde_json::{Value, json};

use crate::harness::{Api, Installation};
use crate::partner::{Answer, Partner};

/// A partner with one issued coupon of `u-1`.
async fn issued(test: &str) -> (Installation, Api, Partner, String) {
    let (installation, api, partner) = Installation::with_partner(test).await;
    let campaign = partner.campaign(10).await;
    let claim = partner.claim(&campaign, "u-1").await;
    installation.issue(claim.id("claim_id")).await;
    let id = claim.text("claim_id").to_owned();
    (installation, api, partner, id)
}

/// Ends the validity of all coupons a second ago.
async fn let_expire(installation: &Installation) {
    installation
        .sql("UPDATE coupons SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
        .await;
}

async fn only_coupon(partner: &Partner) -> Value {
    let list = partner.get("/v1/users/u-1/coupons").await;
    assert_eq!(list.body["items"].as_array().map(Vec::len), Some(1), "{list:?}");
    list.body["items"][0].clone()
}

#[tokio::test]
async fn c6_a_coupon_is_used_given_back_and_used_again() {
    let (installation, api, partner, id) = issued("coupon_life").await;
    let listed = only_coupon(&partner).await;
    assert_eq!(
        (&listed["coupon_id"], &listed["state"], &listed["user_id"]),
        (&json!(id), &json!("issued"), &json!("u-1"))
    );
    assert_eq!(listed["discount"], json!({"type": "fixed", "amount": 1000}));

    let used = partner.use_coupon(&id, "order-7").await;
    assert_eq!((used.status, used.text("state")), (200, "used"));
    assert_eq!(used.text("order_reference"), "order-7");
    assert!(used.body["used_at"].is_string(), "{used:?}");
    assert_eq!(only_coupon(&partner).await, used.body);

    let restored = partner
        .restore_coupon(&id, &json!({"order_reference": "order-7"}))
        .await;
    assert_eq!((restored.status, restored.text("state")), (200, "issued"));
    assert_eq!(restored.body.get("order_reference"), None);

    let elsewhere = partner.use_coupon(&id, "order-8").await;
    assert_eq!(elsewhere.text("order_reference"), "order-8");
    assert_eq!(
        installation.events(&id).await,
        [
            "ClaimAdmitted",
            "ClaimIssued",
            "CouponUsed",
            "CouponRestored",
            "CouponUsed"
        ]
    );
    api.stop().await;
}

#[tokio::test]
async fn c6_asking_again_with_the_same_order_hears_the_same() {
    let (installation, api, partner, id) = issued("coupon_again").await;
    let first = partner.use_coupon(&id, "order-7").await;
    let second = partner.use_coupon(&id, "order-7").await;
    assert_eq!((second.status, &second.body), (200, &first.body));
    let other = partner.use_coupon(&id, "order-8").await;
    assert_eq!(other.problem(), (409, "coupon-already-used"));

    let order = json!({"order_reference": "order-7"});
    let first = partner.restore_coupon(&id, &order).await;
    let second = partner.restore_coupon(&id, &order).await;
    assert_eq!((second.status, &second.body), (200, &first.body));
    assert_eq!(
        installation.events(&id).await,
        ["ClaimAdmitted", "ClaimIssued", "CouponUsed", "CouponRestored"]
    );
    api.stop().await;
}

#[tokio::test]
async fn c6_of_two_orders_at_once_one_wins() {
    let (installation, api, partner, id) = issued("coupon_race").await;
    let orders: Vec<_> = (0..8).map(|n| format!("order-{n}")).collect();
    let answers = futures::future::join_all(orders.iter().map(|order| partner.use_coupon(&id, order))).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.problem(), (409, "coupon-already-used"));
    }
    assert_eq!(
        only_coupon(&partner).await["order_reference"],
        won[0].body["order_reference"]
    );
    let events = installation.events(&id).await;
    assert_eq!(events, ["ClaimAdmitted", "ClaimIssued", "CouponUsed"]);
    api.stop().await;
}

#[tokio::test]
async fn c6_only_what_is_in_use_is_given_back_and_only_by_its_order() {
    let (_installation, api, partner, id) = issued("coupon_restore").await;
    for body in [
        json!({}),
        json!({"order_reference": "order-7"}),
        json!({"order_reference": null}),
    ] {
        let unused = partner.restore_coupon(&id, &body).await;
        assert_eq!(unused.problem(), (409, "coupon-not-used"));
    }
    assert_eq!(partner.use_coupon(&id, "order-7").await.status, 200);
    let foreign = partner
        .restore_coupon(&id, &json!({"order_reference": "order-8"}))
        .await;
    assert_eq!(foreign.problem(), (409, "order-reference-mismatch"));
    assert_eq!(only_coupon(&partner).await["state"], json!("used"));
    // Without a body, and without a name, whichever order has it.
    let path = format!("/v1/coupons/{id}/restore");
    let request = partner.request(reqwest::Method::POST, &path);
    assert_eq!(Answer::of(request).await.text("state"), "issued");
    let nobody = partner
        .use_coupon(&uuid::Uuid::now_v7().to_string(), "order-7")
        .await;
    assert_eq!(nobody.problem(), (404, "coupon-not-found"));
    api.stop().await;
}

#[tokio::test]
async fn c6_an_expired_coupon_is_neither_used_nor_given_back() {
    let (installation, api, partner, id) = issued("coupon_expired").await;
    let_expire(&installation).await;
    assert_eq!(only_coupon(&partner).await["state"], json!("expired"));
    let late = partner.use_coupon(&id, "order-7").await;
    assert_eq!(late.problem(), (410, "coupon-expired"));
    assert_eq!(
        partner.restore_coupon(&id, &json!({})).await.problem(),
        (410, "coupon-expired")
    );

    // Used in time, it stays used, and asking again still hears so; only back it cannot go.
    installation
        .sql("UPDATE coupons SET expires_at = '2999-01-01'")
        .await;
    let used = partner.use_coupon(&id, "order-7").await;
    assert_eq!(used.status, 200);
    let_expire(&installation).await;
    assert_eq!(partner.use_coupon(&id, "order-7").await.text("state"), "used");
    let order = json!({"order_reference": "order-7"});
    let late = partner.restore_coupon(&id, &order).await;
    assert_eq!(late.problem(), (410, "coupon-expired"));
    api.stop().await;
}

#[tokio::test]
async fn c6_the_expiry_job_expires_each_coupon_once_and_no_used_one() {
    let (installation, api, partner) = Installation::with_partner("coupon_expiry").await;
    let campaign = partner.campaign(10).await;
    let mut ids = Vec::new();
    for user in ["u-1", "u-2", "u-3", "u-4", "u-5"] {
        let claim = partner.claim(&campaign, user).await;
        installation.issue(claim.id("claim_id")).await;
        ids.push(claim.text("claim_id").to_owned());
    }
    assert_eq!(partner.use_coupon(&ids[0], "order-1").await.status, 200);
    assert_eq!(expire(&installation, 10).await, 0);
    let_expire(&installation).await;
    // Somebody holds one of them: it is skipped, not waited for.
    let mut holder = installation.pool().begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM coupons WHERE coupon_id = ? FOR UPDATE")
        .bind(ids[1].parse::<headgate_schemas::ids::ClaimId>().expect("an id"))
        .execute(&mut *holder)
        .await
        .expect("locked");
    assert_eq!(expire(&installation, 2).await, 2);
    assert_eq!(expire(&installation, 2).await, 1);
    holder.rollback().await.expect("released");
    assert_eq!(expire(&installation, 2).await, 1);
    assert_eq!(expire(&installation, 2).await, 0);
    assert_eq!(installation.count("coupons WHERE state = 'expired'").await, 4);
    let own_event = "coupons u JOIN outbox o ON o.aggregate_id = CAST(BIN_TO_UUID(u.coupon_id) AS BINARY)
         AND o.id = u.last_outbox_id AND o.sequence = u.event_sequence WHERE u.state = 'expired'";
    assert_eq!(
        installation.count(own_event).await,
        4,
        "each keeps the id of its own last event"
    );
    let events = installation.events(&ids[1]).await;
    assert_eq!(events, ["ClaimAdmitted", "ClaimIssued", "CouponExpired"]);
    let events = installation.events(&ids[0]).await;
    assert_eq!(events, ["ClaimAdmitted", "ClaimIssued", "CouponUsed"]);
    api.stop().await;
}

async fn expire(installation: &Installation, limit: u32) -> usize {
    let mut transaction = installation.pool().begin().await.expect("a transaction");
    let change: Change<'_> = installation.change();
    let expired = store::expire_due(&mut transaction, change, limit)
        .await
        .expect("expired");
    transaction.commit().await.expect("committed");
    expired
}
