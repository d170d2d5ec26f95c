//! A coupon's life after the claim: listed, used, given back, expired. And a claim's
//! answers: waiting, status, and what a campaign's state does to them.

use std::time::Duration;

use futures::future::join_all;
use headgate_guarantees::partner::hours_from_now;
use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::client::Ledger;
use headgate_testkit::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// Until a coupon is issued or expired, at most.
const TIMEOUT: Duration = Duration::from_secs(40);

async fn issued(partner: &Partner, campaign: Uuid, user: &str) -> String {
    let path = format!("/v1/campaigns/{campaign}/claims");
    let request = partner
        .request(Method::POST, &path)
        .header("prefer", "wait=20")
        .json(&json!({"user_id": user}));
    let reply = Partner::reply(request).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    assert_eq!(reply.body["state"], "issued", "{}", reply.body);
    reply.body["claim_id"].as_str().expect("a claim").to_owned()
}

async fn coupon(partner: &Partner, user: &str) -> Value {
    let listed = partner.get(&format!("/v1/users/{user}/coupons")).await;
    assert_eq!(listed.status, StatusCode::OK, "{}", listed.body);
    listed.body["items"][0].clone()
}

/// Claims were made here by hand; the checkers want to know who asked.
fn asked(users: &[&str], tickets: &[(&str, u32, Uuid)]) -> Ledger {
    let ledger = Ledger::default();
    let now = std::time::Instant::now();
    for user in users {
        let (_, ticket, claim_id) = tickets
            .iter()
            .find(|(name, ..)| name == user)
            .expect("he was admitted");
        ledger.add(headgate_testkit::client::Asked {
            user: (*user).to_owned(),
            asked_at: now,
            answered_at: now,
            answer: headgate_testkit::client::Answer::AlreadyClaimed(headgate_testkit::client::Claim {
                claim_id: *claim_id,
                ticket: *ticket,
                sequence: None,
                state: "issued".to_owned(),
            }),
        });
    }
    ledger
}

#[tokio::test]
async fn c06_use_restore_and_two_uses_at_once() {
    let installation = Installation::new("c06_use").await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    let campaign = partner.open_campaign(5).await;
    let id = issued(&partner, campaign, "u-1").await;
    assert_eq!(coupon(&partner, "u-1").await["state"], "issued");

    // Twenty orders want the coupon at once: one gets it.
    let orders = (0..20).map(|number| {
        let (partner, path) = (partner.clone(), format!("/v1/coupons/{id}/use"));
        async move {
            partner
                .post(&path, &json!({"order_reference": format!("order-{number}")}))
                .await
        }
    });
    let replies = join_all(orders).await;
    let won: Vec<_> = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::OK)
        .collect();
    assert_eq!(won.len(), 1, "{replies:?}");
    let lost = replies
        .iter()
        .filter(|reply| reply.code() == "coupon-already-used")
        .count();
    assert_eq!(lost, 19);
    let order = won[0].body["order_reference"]
        .as_str()
        .expect("an order")
        .to_owned();
    assert_eq!(coupon(&partner, "u-1").await["state"], "used");

    // The same order may ask again; another one may not give it back.
    let again = partner
        .post(
            &format!("/v1/coupons/{id}/use"),
            &json!({"order_reference": order}),
        )
        .await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    let restore = format!("/v1/coupons/{id}/restore");
    let wrong = partner
        .post(&restore, &json!({"order_reference": "another"}))
        .await;
    assert_eq!(wrong.status, StatusCode::CONFLICT, "{}", wrong.body);
    let restored = partner.post(&restore, &json!({"order_reference": order})).await;
    assert_eq!(restored.status, StatusCode::OK, "{}", restored.body);
    let used = partner
        .post(
            &format!("/v1/coupons/{id}/use"),
            &json!({"order_reference": "order-next"}),
        )
        .await;
    assert_eq!(used.status, StatusCode::OK, "{}", used.body);

    let ledger = asked(&["u-1"], &[("u-1", 1, id.parse().expect("an id"))]);
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}

#[tokio::test]
async fn c06_a_coupon_expires_by_the_leased_job() {
    let installation = Installation::new("c06_expiry").await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    let campaign = partner
        .campaign(&json!({"quota": 3, "coupon_valid_for_seconds": 1}))
        .await;
    let id = issued(&partner, campaign, "u-1").await;
    eventually("the coupon to expire", TIMEOUT, async || {
        (coupon(&partner, "u-1").await["state"] == "expired").then_some(())
    })
    .await;
    let late = partner
        .post(
            &format!("/v1/coupons/{id}/use"),
            &json!({"order_reference": "order-1"}),
        )
        .await;
    assert_eq!((late.status, late.code()), (StatusCode::GONE, "coupon-expired"));
    let ledger = asked(&["u-1"], &[("u-1", 1, id.parse().expect("an id"))]);
    eventually("its event to be written", TIMEOUT, async || {
        let state: String = sqlx::query_scalar("SELECT CAST(state AS CHAR) FROM coupons")
            .fetch_one(installation.environment().pool())
            .await
            .ok()?;
        (state == "expired").then_some(())
    })
    .await;
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}

#[tokio::test]
async fn c03_each_state_of_a_campaign_has_its_answer() {
    let installation = Installation::new("c03_states").await;
    let pipeline = installation.start(1).await;
    let partner = pipeline.partner(&installation);
    let later = partner
        .campaign(&json!({"quota": 3, "opens_at": hours_from_now(1)}))
        .await;
    let not_open = partner.claim(later, "u-1").await;
    assert_eq!(
        (not_open.status, not_open.code()),
        (StatusCode::CONFLICT, "campaign-not-open")
    );
    assert!(not_open.body["opens_at"].is_string(), "{}", not_open.body);

    let campaign = partner.open_campaign(1).await;
    for (act, status, code) in [
        ("pause", StatusCode::CONFLICT, "campaign-paused"),
        ("resume", StatusCode::ACCEPTED, ""),
        ("end", StatusCode::GONE, "campaign-ended"),
    ] {
        let done = partner
            .post(&format!("/v1/campaigns/{campaign}/{act}"), &json!({}))
            .await;
        assert_eq!(done.status, StatusCode::OK, "{act}: {}", done.body);
        let user = format!("u-{act}");
        let reply = partner.claim(campaign, &user).await;
        assert_eq!(
            (reply.status, reply.code()),
            (status, code),
            "after {act}: {}",
            reply.body
        );
    }
    pipeline.stop().await;
}

#[tokio::test]
async fn t15_a_raised_quota_is_claimable_and_never_exceeded() {
    let installation = Installation::new("t15_raise").await;
    let pipeline = installation.start(2).await;
    let partner = pipeline.partner(&installation);
    let campaign = partner.open_campaign(50).await;
    let ledger = pipeline.load(&installation, campaign, 100, 8).run().await;
    assert_eq!(ledger.promises().len(), 50);
    let raised = partner
        .send(
            Method::PATCH,
            &format!("/v1/campaigns/{campaign}"),
            Some(&json!({"quota": 80})),
        )
        .await;
    assert_eq!(raised.status, StatusCode::OK, "{}", raised.body);
    eventually("the raised quota to be claimed", TIMEOUT, async || {
        ledger.extend(&pipeline.load(&installation, campaign, 100, 8).run().await);
        (ledger.promises().len() == 80).then_some(())
    })
    .await;
    let lowered = partner
        .send(
            Method::PATCH,
            &format!("/v1/campaigns/{campaign}"),
            Some(&json!({"quota": 60})),
        )
        .await;
    assert!(lowered.status.is_client_error(), "{}", lowered.body);
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}
