//! Who may call what: no key, a wrong key, a key without the scope, another partner's.

use headgate_domain::partners::{Scope, Scopes};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Installation;
use crate::partner::{Answer, Partner};

/// Every operation of the document that needs a key: method, path template, scope.
fn operations() -> Vec<(Method, String, String)> {
    let document = headgate_api::openapi::document().expect("the document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .expect("methods")
            .iter()
            .filter_map(|(method, operation)| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
                let scope = operation["security"][0]["api_key"][0].as_str()?;
                Some((method, path.clone(), scope.to_owned()))
            })
    });
    operations.collect()
}

/// The path with ids that nobody has.
fn concrete(path: &str) -> String {
    let id = uuid::Uuid::now_v7().to_string();
    let path = path.replace("{user_id}", "u-1");
    [
        "{campaign_id}",
        "{claim_id}",
        "{coupon_id}",
        "{point_key}",
        "{subscription_id}",
    ]
    .iter()
    .fold(path, |path, name| path.replace(name, &id))
}

#[tokio::test]
async fn no_operation_is_open_to_strangers_or_to_keys_without_its_scope() {
    let installation = Installation::new("strangers").await;
    let api = installation.start().await;
    let good = installation.partner(&api).await;
    let operations = operations();
    assert_eq!(operations.len(), 24);
    for (method, path, scope) in operations {
        let path = concrete(&path);
        let anonymous = Answer::of(good.anonymous(method.clone(), &path)).await;
        assert_eq!(anonymous.problem(), (401, "unauthenticated"), "{method} {path}");
        assert_eq!(anonymous.header("www-authenticate"), "ApiKey");
        for wrong in [
            "",
            "hgk_",
            "0".repeat(68).as_str(),
            &format!("hgk_{}", "0".repeat(64)),
        ] {
            let stranger = Partner::new(&api.url, wrong);
            let answer = Answer::of(stranger.request(method.clone(), &path)).await;
            assert_eq!(
                answer.problem(),
                (401, "unauthenticated"),
                "{method} {path} {wrong}"
            );
        }
        // Everything but what this operation needs.
        let needed: Scopes = scope.parse().expect("a scope");
        let others: Scopes = Scope::ALL
            .into_iter()
            .filter(|other| {
                let granted = Scopes::from_iter([*other]);
                !Scope::ALL
                    .iter()
                    .any(|s| needed.allow(*s) && granted.allow(*s) && s.as_str() == scope)
            })
            .collect();
        let (_, key) = installation.partner_and_key(others).await;
        let lesser = Partner::new(&api.url, key.text.reveal());
        let answer = Answer::of(lesser.request(method.clone(), &path)).await;
        assert_eq!(
            answer.problem(),
            (403, "scope-missing"),
            "{method} {path} {others}"
        );
        assert!(answer.text("detail").contains(&scope), "{answer:?}");
    }
    api.stop().await;
}

/// Everything that can be asked of one campaign, claim or coupon.
fn requests(campaign: &str, claim: &str) -> Vec<(Method, String, Value, &'static str)> {
    let of_campaign = |what: &str| format!("/v1/campaigns/{campaign}{what}");
    let of_claim = |what: &str| format!("/v1/claims/{claim}{what}");
    let of_coupon = |what: &str| format!("/v1/coupons/{claim}{what}");
    let order = json!({"order_reference": "o-1"});
    let user = json!({"user_id": "u-2"});
    let [no_campaign, no_claim, no_coupon] = ["campaign-not-found", "claim-not-found", "coupon-not-found"];
    vec![
        (Method::GET, of_campaign(""), json!({}), no_campaign),
        (Method::PATCH, of_campaign(""), json!({"quota": 9}), no_campaign),
        (Method::POST, of_campaign("/pause"), json!({}), no_campaign),
        (Method::POST, of_campaign("/resume"), json!({}), no_campaign),
        (Method::POST, of_campaign("/end"), json!({}), no_campaign),
        (Method::POST, of_campaign("/claims"), user, no_campaign),
        (Method::GET, of_claim(""), json!({}), no_claim),
        (Method::GET, of_claim("/events"), json!({}), no_claim),
        (Method::POST, of_coupon("/use"), order.clone(), no_coupon),
        (Method::POST, of_coupon("/restore"), order, no_coupon),
    ]
}

#[tokio::test]
async fn what_is_anothers_looks_like_nothing() {
    let installation = Installation::new("foreign").await;
    let api = installation.start().await;
    let owner = installation.partner(&api).await;
    let other = installation.partner(&api).await;
    let campaign = owner.campaign(5).await;
    let claim = owner.claim(&campaign, "u-1").await;
    installation.issue(claim.id("claim_id")).await;
    let id = claim.text("claim_id");
    for (method, path, body, code) in requests(&campaign, id) {
        let answer = Answer::of(other.request(method, &path).json(&body)).await;
        assert_eq!(answer.problem(), (404, code), "{path}");
    }
    for path in [
        "/v1/campaigns".to_owned(),
        "/v1/users/u-1/coupons".to_owned(),
        format!("/v1/users/u-1/coupons?cursor={id}"),
    ] {
        let list = other.get(&path).await;
        assert_eq!(list.body["items"], json!([]), "{list:?}");
    }
    let cursor = other.get(&format!("/v1/campaigns?cursor={campaign}")).await;
    assert_eq!(cursor.problem(), (400, "invalid-parameter"));
    // Nothing of it has touched the owner's.
    let seen = owner.get(&format!("/v1/campaigns/{campaign}")).await;
    assert_eq!((seen.text("state"), &seen.body["quota"]), ("open", &json!(5)));
    assert_eq!(seen.body["claimed"], json!(1));
    let coupons = owner.get("/v1/users/u-1/coupons").await;
    assert_eq!(coupons.body["items"][0]["state"], json!("issued"));
    api.stop().await;
}
