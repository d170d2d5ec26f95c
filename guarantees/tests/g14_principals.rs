//! G14 and bad input: whatever is wrong with a request gets a problem of its own, and
//! nothing is written.

use std::time::Duration;

use headgate_guarantees::partner::{Reply, campaign_body};
use headgate_guarantees::{Installation, Partner};
use headgate_testkit::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::MySqlPool;

/// Until a revoked key stops working, at most: what the product states.
const REVOCATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Rows of every table that a request could write to.
async fn rows(pool: &MySqlPool) -> i64 {
    let query = "SELECT (SELECT COUNT(*) FROM campaigns) + (SELECT COUNT(*) FROM claims)
        + (SELECT COUNT(*) FROM coupons) + (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM outbox_archive)";
    sqlx::query_scalar(query)
        .fetch_one(pool)
        .await
        .expect("MySQL answers")
}

fn assert_problem(what: &str, reply: &Reply, status: u16) {
    assert_eq!(reply.status.as_u16(), status, "{what}: {}", reply.body);
    assert_eq!(reply.media_type, "application/problem+json", "{what}");
    for member in ["type", "title", "code"] {
        assert!(
            reply.body[member].is_string(),
            "{what} has no {member}: {}",
            reply.body
        );
    }
    assert_eq!(reply.body["status"], status, "{what}: {}", reply.body);
}

/// Bodies of campaigns that are wrong in one way each.
fn wrong_campaigns() -> Vec<(&'static str, Value)> {
    let with = |key: &str, value: Value| {
        let mut body = campaign_body(10);
        body[key] = value;
        body
    };
    vec![
        ("an unknown field", with("colour", json!("red"))),
        ("a quota of nothing", with("quota", json!(0))),
        ("a negative quota", with("quota", json!(-1))),
        ("an absurd quota", with("quota", json!(10_000_001))),
        ("a quota beyond every integer", with("quota", json!(1e30))),
        ("a quota that is text", with("quota", json!("100"))),
        ("no name", with("name", json!(""))),
        ("a name without end", with("name", json!("n".repeat(129)))),
        ("a time that is none", with("opens_at", json!("tomorrow"))),
        (
            "closing before opening",
            with("closes_at", json!("2019-01-01T00:00:00Z")),
        ),
        (
            "a discount of another kind",
            with("discount", json!({"type": "gift"})),
        ),
        (
            "more than everything off",
            with(
                "discount",
                json!({"type": "percent", "percent": 101, "amount_max": 1}),
            ),
        ),
        (
            "a discount of nothing",
            with("discount", json!({"type": "fixed", "amount": 0})),
        ),
        ("no object", json!([1, 2])),
    ]
}

#[tokio::test]
async fn g14_bad_input_is_refused_and_writes_nothing() {
    let installation = Installation::new("g14_input").await;
    let api = installation.api().spawn().await;
    let partner = installation.partner(&api);
    let campaign = partner.open_campaign(10).await;
    let pool = installation.environment().pool();
    let before = rows(pool).await;
    for (what, body) in wrong_campaigns() {
        let reply = partner.post("/v1/campaigns", &body).await;
        assert!(
            matches!(reply.status.as_u16(), 400 | 422),
            "{what}: {} {}",
            reply.status,
            reply.body
        );
        assert_problem(what, &reply, reply.status.as_u16());
    }
    let claims = format!("/v1/campaigns/{campaign}/claims");
    let wrong_claims = [
        ("no user", json!({})),
        ("an empty user", json!({"user_id": ""})),
        ("a long user", json!({"user_id": "u".repeat(65)})),
        ("a control character", json!({"user_id": "u\u{0}"})),
        ("a number", json!({"user_id": 7})),
        ("an unknown field", json!({"user_id": "u", "quantity": 2})),
    ];
    for (what, body) in wrong_claims {
        let reply = partner.post(&claims, &body).await;
        assert!(
            matches!(reply.status.as_u16(), 400 | 422),
            "{what}: {} {}",
            reply.status,
            reply.body
        );
        assert_problem(what, &reply, reply.status.as_u16());
    }
    let cut = partner
        .request(Method::POST, &claims)
        .header("content-type", "application/json")
        .body("{\"user");
    assert_problem("half a body", &Partner::reply(cut).await, 400);
    let oversized = json!({"user_id": "u", "more": "x".repeat(2 * 1024 * 1024)});
    assert_problem("an oversized body", &partner.post(&claims, &oversized).await, 413);
    let text = partner
        .request(Method::POST, &claims)
        .header("content-type", "text/plain")
        .body("{}");
    assert_problem("another media type", &Partner::reply(text).await, 415);
    assert_problem(
        "another method",
        &partner.send(Method::DELETE, &claims, None).await,
        405,
    );
    assert_problem("no such path", &partner.get("/v1/nothing").await, 404);
    let unknown = partner.claim(uuid::Uuid::now_v7(), "u-1").await;
    assert_problem("an unknown campaign", &unknown, 404);
    assert_eq!(unknown.code(), "campaign-not-found");
    assert_problem(
        "no id",
        &partner
            .post("/v1/campaigns/x/claims", &json!({"user_id": "u"}))
            .await,
        404,
    );
    assert_eq!(rows(pool).await, before, "nothing was written");
}

#[tokio::test]
async fn g14_every_wrong_field_is_listed() {
    let installation = Installation::new("g14_fields").await;
    let api = installation.api().spawn().await;
    let mut body = campaign_body(0);
    body["name"] = json!("");
    body["closes_at"] = json!("2019-01-01T00:00:00Z");
    let reply = installation.partner(&api).post("/v1/campaigns", &body).await;
    assert_problem("three wrong fields", &reply, reply.status.as_u16());
    let errors = reply.body["errors"].as_array().expect("errors");
    assert!(errors.len() >= 3, "{}", reply.body);
}

#[tokio::test]
async fn g14_nobody_acts_outside_their_principal() {
    let installation = Installation::new("g14_principal").await;
    let api = installation.api().spawn().await;
    let partner = installation.partner(&api);
    let campaign = partner.open_campaign(10).await;
    let claim = partner.claim(campaign, "u-1").await;
    let claim_id = claim.body["claim_id"].as_str().expect("a claim").to_owned();
    let pool = installation.environment().pool();
    let before = rows(pool).await;

    let stranger = Partner::new(api.http(), &installation.add_partner("stranger").await);
    let claims = stranger.claim(campaign, "u-2").await;
    assert_problem("another partner's campaign", &claims, 404);
    assert_problem(
        "another partner's campaign",
        &stranger.get(&format!("/v1/campaigns/{campaign}")).await,
        404,
    );
    assert_problem(
        "another partner's claim",
        &stranger.get(&format!("/v1/claims/{claim_id}")).await,
        404,
    );
    let ended = stranger
        .post(&format!("/v1/campaigns/{campaign}/end"), &json!({}))
        .await;
    assert_problem("ending another partner's campaign", &ended, 404);
    let coupons = stranger.get("/v1/users/u-1/coupons").await;
    assert_eq!(
        coupons.body["items"],
        json!([]),
        "another partner's user is another user"
    );

    let reader = installation.add_partner_with("reader", "campaigns:read").await;
    let reader = Partner::new(api.http(), &reader);
    assert_problem(
        "a key without the scope",
        &reader.post("/v1/campaigns", &campaign_body(5)).await,
        403,
    );
    for (what, key) in [
        ("no key", ""),
        ("a wrong key", "hgk_0"),
        ("an unknown key", &format!("hgk_{}", "0".repeat(64))),
    ] {
        let reply = Partner::new(api.http(), key).claim(campaign, "u-3").await;
        assert_problem(what, &reply, 401);
    }
    assert_eq!(rows(pool).await, before, "nothing was written");
}

#[tokio::test]
async fn g14_a_revoked_key_stops_working() {
    let installation = Installation::new("g14_revoked").await;
    let api = installation.api().spawn().await;
    let key = installation.add_partner("short-lived").await;
    let partner = Partner::new(api.http(), &key);
    let campaign = partner.open_campaign(1_000).await;
    assert_eq!(partner.claim(campaign, "u-1").await.status, StatusCode::ACCEPTED);
    sqlx::query("UPDATE api_keys SET revoked_at = UTC_TIMESTAMP(6) WHERE key_hash = UNHEX(SHA2(?, 256))")
        .bind(&key)
        .execute(installation.environment().pool())
        .await
        .expect("the key can be revoked");
    eventually("the key to stop working", REVOCATION_TIMEOUT, async || {
        let reply = partner.claim(campaign, "u-2").await;
        (reply.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}
