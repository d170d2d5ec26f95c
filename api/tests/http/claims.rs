//! Claims over HTTP: every answer of the contract, waiting, and what happens to too many.

use std::time::{Duration, Instant};

use headgate_domain::partners::Scopes;
use headgate_schemas::ids::ClaimId;
use headgate_testkit::eventually;
use reqwest::Method;
use serde_json::json;

use crate::harness::Installation;
use crate::partner::{Answer, OPENS_LATER, Partner, open_campaign};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn c3_each_outcome_has_its_answer() {
    let (installation, api, partner) = Installation::with_partner("outcomes").await;
    let campaign = partner.campaign(2).await;
    let first = partner.claim(&campaign, "u-1").await;
    assert_eq!(first.status, 202);
    let id = first.text("claim_id").to_owned();
    assert_eq!(
        first.body,
        json!({"claim_id": id, "campaign_id": campaign, "user_id": "u-1", "ticket": 1, "sequence": 1,
               "state": "admitted"})
    );
    assert_eq!(first.header("location"), format!("/v1/claims/{id}"));
    assert_eq!(partner.claim(&campaign, "U-1").await.body["ticket"], json!(2));

    let again = partner.claim(&campaign, "u-1").await;
    assert_eq!(again.problem(), (409, "coupon-already-claimed"));
    let earlier = json!({"claim_id": id, "ticket": 1, "state": "admitted"});
    assert_eq!(again.body["claim"], earlier);
    assert_eq!(again.header("location"), format!("/v1/claims/{id}"));

    let late = partner.claim(&campaign, "u-3").await;
    assert_eq!(late.problem(), (409, "coupon-sold-out"));
    assert!(late.body["final"].is_boolean(), "{late:?}");
    // Whoever won hears of it, also now.
    installation.issue(first.id("claim_id")).await;
    let winner = partner.claim(&campaign, "u-1").await;
    assert_eq!(winner.problem(), (409, "coupon-already-claimed"));
    assert_eq!(winner.body["claim"]["state"], json!("issued"));

    let scheduled = partner.scheduled_campaign(1).await;
    let early = partner.claim(&scheduled, "u-1").await;
    assert_eq!(early.problem(), (409, "campaign-not-open"));
    assert_eq!(early.body["opens_at"], json!(OPENS_LATER));

    let unknown = partner.claim(&uuid::Uuid::now_v7().to_string(), "u-1").await;
    assert_eq!(unknown.problem(), (404, "campaign-not-found"));
    api.stop().await;
}

#[tokio::test]
async fn c3_a_pause_and_an_end_are_heard_of_by_every_process() {
    let installation = Installation::new("closed").await;
    // One of them remembers campaigns as long as the test lasts.
    let mut config = installation.config();
    config.campaigns.remembered = Duration::from_mins(1);
    let apis = [installation.start().await, installation.start_with(config).await];
    let (_, key) = installation.partner_and_key(Scopes::all()).await;
    let [near, far] = [&apis[0], &apis[1]].map(|api| Partner::new(&api.url, key.text.reveal()));
    for (what, expected) in [
        ("pause", (409, "campaign-paused")),
        ("end", (410, "campaign-ended")),
    ] {
        let campaign = near.campaign(100).await;
        assert_eq!(far.claim(&campaign, "u-1").await.status, 202);
        let done = near
            .post(&format!("/v1/campaigns/{campaign}/{what}"), &json!({}))
            .await;
        assert_eq!(done.status, 200);
        assert_eq!(near.claim(&campaign, "u-2").await.problem(), expected);
        // Its memory says open; the transaction of the claim says no.
        assert_eq!(far.claim(&campaign, "u-2").await.problem(), expected);
        assert_eq!(installation.count("claims WHERE user_id = 'u-2'").await, 0);
    }
    for api in apis {
        api.stop().await;
    }
}

#[tokio::test]
async fn c4_a_claim_is_read_as_it_goes_on() {
    let (installation, api, partner) = Installation::with_partner("status").await;
    let campaign = partner.campaign(2).await;
    let claim = partner.claim(&campaign, "u-1").await;
    let path = format!("/v1/claims/{}", claim.text("claim_id"));
    let admitted = partner.get(&path).await;
    assert_eq!((admitted.status, admitted.text("state")), (200, "admitted"));
    assert!(admitted.body["admitted_at"].is_string(), "{admitted:?}");
    installation.issue(claim.id("claim_id")).await;
    assert_eq!(partner.get(&path).await.text("state"), "issued");
    let nobody = partner.get(&format!("/v1/claims/{}", uuid::Uuid::now_v7())).await;
    assert_eq!(nobody.problem(), (404, "claim-not-found"));
    api.stop().await;
}

#[tokio::test]
async fn c4_whoever_prefers_to_wait_is_woken_when_the_coupon_is_there() {
    let (installation, api, partner) = Installation::with_partner("wait").await;
    let campaign = partner.campaign(5).await;
    let begun = Instant::now();
    let claiming = {
        let (partner, campaign) = (partner.clone(), campaign.clone());
        tokio::spawn(async move {
            let request = partner
                .request(Method::POST, &format!("/v1/campaigns/{campaign}/claims"))
                .header("Prefer", "wait=25")
                .json(&json!({"user_id": "u-1"}));
            Answer::of(request).await
        })
    };
    let claim_id: ClaimId = eventually("the claim to be durable", LONG, async || {
        sqlx::query_scalar("SELECT claim_id FROM claims")
            .fetch_optional(installation.pool())
            .await
            .expect("mysql")
    })
    .await;
    let asking = {
        let partner = partner.clone();
        tokio::spawn(async move { partner.wait_for_claim(&claim_id.to_string(), 25).await })
    };
    installation.issue(claim_id).await;
    let claimed = claiming.await.expect("no panic");
    assert_eq!(
        (claimed.status, claimed.text("state")),
        (201, "issued"),
        "{claimed:?}"
    );
    assert_eq!(claimed.header("preference-applied"), "wait=25");
    assert_eq!(claimed.header("location"), format!("/v1/claims/{claim_id}"));
    let asked = asking.await.expect("no panic");
    assert_eq!((asked.status, asked.text("state")), (200, "issued"));
    assert!(begun.elapsed() < LONG, "woken, not waited out");
    api.stop().await;
}

#[tokio::test]
async fn c4_the_wait_ends_with_what_is_true_then() {
    let (installation, api, partner) = Installation::with_partner("deadline").await;
    let campaign = partner.campaign(5).await;
    let request = partner
        .request(Method::POST, &format!("/v1/campaigns/{campaign}/claims"))
        .header("Prefer", "wait=1")
        .json(&json!({"user_id": "u-1"}));
    let unissued = Answer::of(request).await;
    assert_eq!((unissued.status, unissued.text("state")), (202, "admitted"));
    // Nobody is told of this one: the deadline finds it out.
    let claim_id = unissued.text("claim_id").to_owned();
    let asking = {
        let (partner, claim_id) = (partner.clone(), claim_id.clone());
        tokio::spawn(async move { partner.wait_for_claim(&claim_id, 2).await })
    };
    installation
        .sql(
            "INSERT INTO coupons (coupon_id, campaign_no, partner_no, ticket, user_id, state, issued_at, expires_at,
                 event_sequence, last_outbox_id)
             SELECT claim_id, campaign_no, 1, ticket, user_id, 'issued', NOW(6), '2999-01-01', 2, 1 FROM claims",
        )
        .await;
    assert_eq!(asking.await.expect("no panic").text("state"), "issued");
    api.stop().await;
}

#[tokio::test]
async fn a_trace_goes_on_into_answers_and_events() {
    let (installation, api, partner) = Installation::with_partner("trace").await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace_id}-b7ad6b7169203331-01");
    let registered = partner
        .request(Method::POST, "/v1/campaigns")
        .header("traceparent", &traceparent)
        .json(&open_campaign(1));
    let campaign = Answer::of(registered).await.text("campaign_id").to_owned();
    let claim = |user: &str| {
        partner
            .request(Method::POST, &format!("/v1/campaigns/{campaign}/claims"))
            .header("traceparent", &traceparent)
            .json(&json!({"user_id": user}))
    };
    assert_eq!(Answer::of(claim("u-1")).await.status, 202);
    let refused = Answer::of(claim("u-2")).await;
    assert_eq!(refused.problem(), (409, "coupon-sold-out"));
    assert_eq!(refused.text("trace_id"), trace_id);
    let of_this_trace = format!("outbox WHERE traceparent = '{traceparent}'");
    assert_eq!(installation.count(&of_this_trace).await, 2);
    api.stop().await;
}
