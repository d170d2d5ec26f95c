//! The life of a campaign over HTTP.

use serde_json::json;

use crate::harness::Installation;
use crate::partner::{OPENS_LATER, open_campaign};

#[tokio::test]
async fn c1_a_campaign_is_registered_as_the_contract_shows_it() {
    let (installation, api, partner) = Installation::with_partner("register").await;
    let answer = partner.post("/v1/campaigns", &open_campaign(100)).await;
    assert_eq!(answer.status, 201);
    let id = answer.text("campaign_id").to_owned();
    assert_eq!(answer.header("location"), format!("/v1/campaigns/{id}"));
    let expected = [
        ("name", json!("autumn")),
        ("quota", json!(100)),
        ("claimed", json!(0)),
        ("issued", json!(0)),
        ("state", json!("open")),
        ("opens_at", json!("2020-01-01T00:00:00Z")),
        ("closes_at", json!("2999-01-01T00:00:00Z")),
        ("discount", json!({"type": "fixed", "amount": 1000})),
        ("order_amount_min", json!(0)),
        ("coupon_valid_for_seconds", json!(86_400)),
        ("reclaim_allowed", json!(true)),
    ];
    for (name, value) in expected {
        assert_eq!(answer.body[name], value, "{name}");
    }
    let read = partner.get(&format!("/v1/campaigns/{id}")).await;
    assert_eq!(read.body, answer.body);
    assert_eq!(installation.events(&id).await, ["CampaignOpened"]);

    let mut later = open_campaign(7);
    later["opens_at"] = json!("2998-01-01T09:00:00.123456+09:00");
    later["discount"] = json!({"type": "percent", "percent": 10, "amount_max": 5000});
    later["order_amount_min"] = json!(30_000);
    later["coupon_valid_for_seconds"] = json!(60);
    later["reclaim_allowed"] = json!(false);
    let scheduled = partner.post("/v1/campaigns", &later).await;
    assert_eq!((scheduled.status, scheduled.text("state")), (201, "scheduled"));
    assert_eq!(scheduled.body["opens_at"], json!("2998-01-01T00:00:00.123456Z"));
    assert_eq!(scheduled.body["discount"], later["discount"]);
    let read = partner
        .get(&format!("/v1/campaigns/{}", scheduled.text("campaign_id")))
        .await;
    assert_eq!(read.body, scheduled.body);
    assert_eq!(installation.count("outbox").await, 1);
    api.stop().await;
}

#[tokio::test]
async fn c1_pause_resume_and_end_answer_the_same_when_repeated() {
    let (installation, api, partner) = Installation::with_partner("life").await;
    let id = partner.campaign(10).await;
    let act = async |what: &str| {
        let answer = partner.act(&id, what).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        answer.text("state").to_owned()
    };
    for (what, state) in [
        ("resume", "open"),
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "open"),
        ("resume", "open"),
        ("pause", "paused"),
        ("end", "ended"),
        ("end", "ended"),
    ] {
        assert_eq!(act(what).await, state, "{what}");
    }
    assert_eq!(
        installation.events(&id).await,
        [
            "CampaignOpened",
            "CampaignPaused",
            "CampaignResumed",
            "CampaignPaused",
            "CampaignEnded"
        ]
    );
    for what in ["pause", "resume"] {
        let answer = partner.act(&id, what).await;
        assert_eq!(answer.problem(), (410, "campaign-ended"), "{what}");
    }
    let raised = partner
        .patch(&format!("/v1/campaigns/{id}"), &json!({"quota": 11}))
        .await;
    assert_eq!(raised.problem(), (410, "campaign-ended"));
    let ended = partner.get(&format!("/v1/campaigns/{id}")).await;
    assert!(ended.body["ended_at"].is_string(), "{ended:?}");
    api.stop().await;
}

#[tokio::test]
async fn c1_a_scheduled_campaign_is_neither_paused_nor_resumed_but_may_be_ended() {
    let (installation, api, partner) = Installation::with_partner("scheduled").await;
    let id = partner.scheduled_campaign(10).await;
    for what in ["pause", "resume"] {
        let answer = partner.act(&id, what).await;
        assert_eq!(answer.problem(), (409, "campaign-not-open"), "{what}");
        assert_eq!(answer.body["opens_at"], json!(OPENS_LATER));
    }
    let ended = partner.act(&id, "end").await;
    assert_eq!(ended.text("state"), "ended");
    assert_eq!(installation.events(&id).await, ["CampaignEnded"]);
    api.stop().await;
}

#[tokio::test]
async fn c1_a_quota_goes_up_with_its_stock_and_never_down() {
    let (installation, api, partner) = Installation::with_partner("quota").await;
    let id = partner.campaign(2).await;
    let path = format!("/v1/campaigns/{id}");
    let claim = partner.claim(&id, "u-1").await;
    installation.issue(claim.id("claim_id")).await;

    let raised = partner
        .patch(&path, &json!({"quota": 5, "name": "late autumn"}))
        .await;
    assert_eq!((raised.status, &raised.body["quota"]), (200, &json!(5)));
    assert_eq!(
        (raised.text("name"), &raised.body["issued"]),
        ("late autumn", &json!(1))
    );
    let again = partner.patch(&path, &json!({"quota": 5})).await;
    assert_eq!(again.body, raised.body);
    let lowered = partner.patch(&path, &json!({"quota": 4, "name": "never"})).await;
    assert_eq!(lowered.problem(), (409, "quota-lowered"));
    // Refused as a whole.
    assert_eq!(partner.get(&path).await.text("name"), "late autumn");

    assert_eq!(
        installation
            .count("campaign_stock WHERE remaining = 4 AND issued = 1")
            .await,
        1
    );
    assert_eq!(
        installation.events(&id).await,
        ["CampaignOpened", "CampaignQuotaRaised"]
    );
    api.stop().await;
}

#[tokio::test]
async fn c1_quotas_raised_at_once_end_at_the_largest() {
    let (installation, api, partner) = Installation::with_partner("quotas").await;
    let id = partner.campaign(1).await;
    let path = format!("/v1/campaigns/{id}");
    let bodies: Vec<_> = (2..=9).map(|quota| json!({"quota": quota})).collect();
    let answers = futures::future::join_all(bodies.iter().map(|body| partner.patch(&path, body))).await;
    assert!(answers.iter().all(|answer| [200, 409].contains(&answer.status)));
    assert_eq!(partner.get(&path).await.body["quota"], json!(9));
    assert_eq!(
        installation
            .count("campaign_stock WHERE remaining = 9 AND issued = 0")
            .await,
        1
    );
    // The events follow each other without a gap, one for each that was not refused.
    let raised = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(installation.events(&id).await.len(), 1 + raised);
    api.stop().await;
}

#[tokio::test]
async fn c1_the_answer_counts_claims_and_coupons() {
    let (installation, api, partner) = Installation::with_partner("progress").await;
    let id = partner.campaign(3).await;
    let path = format!("/v1/campaigns/{id}");
    let mut claims = Vec::new();
    for user in ["u-1", "u-2", "u-3"] {
        claims.push(partner.claim(&id, user).await.id("claim_id"));
    }
    let seen = async || {
        let answer = partner.get(&path).await;
        (answer.body["claimed"].clone(), answer.body["issued"].clone())
    };
    assert_eq!(seen().await, (json!(3), json!(0)));
    installation.issue(claims[0]).await;
    assert_eq!(seen().await, (json!(3), json!(1)));
    installation.issue(claims[1]).await;
    installation.issue(claims[2]).await;
    assert_eq!(seen().await, (json!(3), json!(3)));
    let events = installation.events(&id).await;
    assert_eq!(events, ["CampaignOpened", "CampaignSoldOut"]);
    api.stop().await;
}
