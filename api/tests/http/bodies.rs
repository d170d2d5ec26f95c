//! Wrong requests: a problem each, and nothing written.

use std::time::Duration;

use headgate_domain::partners::Scopes;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::Installation;
use crate::partner::{Answer, open_campaign};

/// A good body with one member replaced, or taken out.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut body = open_campaign(10);
    let members = body.as_object_mut().expect("an object");
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_coming_is_refused_and_nothing_is_written() {
    let installation = Installation::new("slow_body").await;
    let mut config = installation.config();
    config.http.body_timeout = Duration::from_millis(200);
    let api = installation.start_with(config).await;
    let (_, key) = installation.partner_and_key(Scopes::all()).await;
    let address = api.url.strip_prefix("http://").expect("an address");
    let mut connection = TcpStream::connect(address).await.expect("the api listens");
    let begun = format!(
        "POST /v1/campaigns HTTP/1.1\r\nHost: {address}\r\nX-API-KEY: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{",
        key.text.reveal()
    );
    connection.write_all(begun.as_bytes()).await.expect("it is read");
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .await
        .expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body-timeout"), "{answer}");
    assert_eq!(installation.count("campaigns").await, 0);
    api.stop().await;
}

/// A wrong body, and the fields that are wrong in it.
type Case = (Value, &'static [&'static str]);

fn wrong_quotas_and_names() -> Vec<Case> {
    let quotas = [
        json!(0),
        json!(-1),
        json!(10_000_001),
        json!(u64::MAX),
        json!(1e300),
        json!(1.5),
        json!("100"),
        json!(null),
    ];
    let names = [json!(""), json!("x".repeat(129)), json!("a\u{0}b"), json!(7)];
    let quotas = quotas.map(|quota| (with("quota", Some(quota)), &["quota"][..]));
    let names = names.map(|name| (with("name", Some(name)), &["name"][..]));
    quotas.into_iter().chain(names).collect()
}

fn wrong_times() -> Vec<Case> {
    let (opens, closes) = (&["opens_at"][..], &["closes_at"][..]);
    vec![
        (with("opens_at", Some(json!("tomorrow"))), opens),
        (with("opens_at", Some(json!("1969-01-01T00:00:00Z"))), opens),
        (with("opens_at", Some(json!("2999-01-01T00:00:00Z"))), closes),
        (with("closes_at", Some(json!("2021-01-01T00:00:00Z"))), closes),
        (with("closes_at", Some(json!("9999-12-31T23:59:59Z"))), closes),
        (with("closes_at", Some(json!(1_800_000_000))), closes),
    ]
}

fn wrong_discounts() -> Vec<Case> {
    let discount = |discount: Value| with("discount", Some(discount));
    vec![
        (discount(json!("10%")), &["discount"]),
        (discount(json!({"type": "gift"})), &["discount.type"]),
        (discount(json!({"type": "fixed"})), &["discount.amount"]),
        (
            discount(json!({"type": "fixed", "amount": 0})),
            &["discount.amount"],
        ),
        (
            discount(json!({"type": "fixed", "amount": 1, "percent": 5})),
            &["discount.percent"],
        ),
        (
            discount(json!({"type": "percent", "percent": 0, "amount_max": 5})),
            &["discount.percent"],
        ),
        (
            discount(json!({"type": "percent", "percent": 101, "amount_max": 5})),
            &["discount.percent"],
        ),
        (
            discount(json!({"type": "percent", "percent": "x", "amount_max": 0})),
            &["discount.percent", "discount.amount_max"],
        ),
    ]
}

fn wrong_others() -> Vec<Case> {
    let valid_for = |seconds: u64| with("coupon_valid_for_seconds", Some(json!(seconds)));
    vec![
        (with("name", None), &["name"]),
        (with("quota", None), &["quota"]),
        (with("discount", None), &["discount"]),
        (with("order_amount_min", Some(json!(-1))), &["order_amount_min"]),
        (valid_for(0), &["coupon_valid_for_seconds"]),
        (valid_for(4_000_000_000), &["coupon_valid_for_seconds"]),
        (with("reclaim_allowed", Some(json!("yes"))), &["reclaim_allowed"]),
        (with("colour", Some(json!("red"))), &["colour"]),
        (
            json!({"quota": 0, "colour": 1}),
            &["name", "quota", "opens_at", "closes_at", "discount", "colour"],
        ),
    ]
}

#[tokio::test]
async fn every_wrong_campaign_is_refused_by_field_and_nothing_is_written() {
    let (installation, api, partner) = Installation::with_partner("wrong_campaign").await;
    let cases = [
        wrong_quotas_and_names(),
        wrong_times(),
        wrong_discounts(),
        wrong_others(),
    ];
    for (body, fields) in cases.into_iter().flatten() {
        let answer = partner.post("/v1/campaigns", &body).await;
        assert_eq!(answer.problem(), (422, "invalid-body"), "{body}");
        assert_eq!(answer.wrong_fields(), fields, "{body}");
    }
    let written = installation.count("campaigns").await + installation.count("outbox").await;
    assert_eq!(written, 0);
    api.stop().await;
}

#[tokio::test]
async fn every_wrong_body_of_the_others_is_refused_by_field() {
    let (installation, api, partner) = Installation::with_partner("wrong_body").await;
    let campaign = partner.campaign(10).await;
    let nobody = uuid::Uuid::now_v7();
    let claims = format!("/v1/campaigns/{campaign}/claims");
    let change = format!("/v1/campaigns/{campaign}");
    let pause = format!("/v1/campaigns/{campaign}/pause");
    let used = format!("/v1/coupons/{nobody}/use");
    let restored = format!("/v1/coupons/{nobody}/restore");
    let cases: Vec<(Method, &str, Value, &[&str])> = vec![
        (Method::POST, &claims, json!({}), &["user_id"]),
        (Method::POST, &claims, json!({"user_id": ""}), &["user_id"]),
        (
            Method::POST,
            &claims,
            json!({"user_id": "u".repeat(65)}),
            &["user_id"],
        ),
        (Method::POST, &claims, json!({"user_id": 7}), &["user_id"]),
        (Method::POST, &claims, json!({"user_id": null}), &["user_id"]),
        (Method::POST, &claims, json!({"user_id": ["u-1"]}), &["user_id"]),
        (
            Method::POST,
            &claims,
            json!({"user_id": "u-1", "ticket": 1}),
            &["ticket"],
        ),
        (Method::PATCH, &change, json!({}), &["quota"]),
        (Method::PATCH, &change, json!({"quota": "9"}), &["quota"]),
        (Method::PATCH, &change, json!({"quota": 10_000_001}), &["quota"]),
        (
            Method::PATCH,
            &change,
            json!({"name": "", "quota": 0}),
            &["name", "quota"],
        ),
        (
            Method::PATCH,
            &change,
            json!({"name": "x", "state": "ended"}),
            &["state"],
        ),
        (Method::POST, &pause, json!({"until": "monday"}), &["until"]),
        (Method::POST, &used, json!({}), &["order_reference"]),
        (
            Method::POST,
            &used,
            json!({"order_reference": "o".repeat(65)}),
            &["order_reference"],
        ),
        (
            Method::POST,
            &restored,
            json!({"order_reference": 5}),
            &["order_reference"],
        ),
        (Method::POST, &restored, json!({"order": "x"}), &["order"]),
    ];
    for (method, path, body, fields) in cases {
        let answer = Answer::of(partner.request(method, path).json(&body)).await;
        assert_eq!(answer.problem(), (422, "invalid-body"), "{path} {body}");
        assert_eq!(answer.wrong_fields(), fields, "{path} {body}");
    }
    assert_eq!(installation.count("claims").await, 0);
    api.stop().await;
}

#[tokio::test]
async fn what_is_no_json_at_all_is_told_so() {
    let (installation, api, partner) = Installation::with_partner("no_json").await;
    let campaign = partner.campaign(10).await;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let large = format!("{{\"user_id\": \"{}\"}}", "u".repeat(20_000));
    let json = "application/json";
    let cases: [(&str, &[u8], (u16, &str)); 10] = [
        (json, b"", (400, "malformed-body")),
        (json, b"{\"user_id\": \"u-1\"", (400, "malformed-body")),
        (json, b"user_id=u-1", (400, "malformed-body")),
        (json, b"\xff\xfe", (400, "malformed-body")),
        (json, deep.as_bytes(), (400, "malformed-body")),
        (json, b"[]", (422, "invalid-body")),
        (
            json,
            b"{\"user_id\": \"u-1\", \"user_id\": \"u-2\"}",
            (422, "invalid-body"),
        ),
        (json, large.as_bytes(), (413, "body-too-large")),
        (
            "text/plain",
            b"{\"user_id\": \"u-1\"}",
            (415, "unsupported-media-type"),
        ),
        (
            "application/x-www-form-urlencoded",
            b"user_id=u-1",
            (415, "unsupported-media-type"),
        ),
    ];
    for (content_type, body, expected) in cases {
        let request = partner
            .request(Method::POST, &format!("/v1/campaigns/{campaign}/claims"))
            .header("content-type", content_type)
            .body(body.to_vec());
        let answer = Answer::of(request).await;
        assert_eq!(
            answer.problem(),
            expected,
            "{:.60}",
            String::from_utf8_lossy(body)
        );
    }
    let charset = partner
        .request(Method::POST, &format!("/v1/campaigns/{campaign}/claims"))
        .header("content-type", "Application/JSON; charset=utf-8")
        .body(r#"{"user_id": "가-🎟"}"#);
    assert_eq!(Answer::of(charset).await.status, 202);
    assert_eq!(installation.count("claims").await, 1);
    api.stop().await;
}

#[tokio::test]
async fn unknown_paths_methods_and_parameters_are_problems_too() {
    let (_installation, api, partner) = Installation::with_partner("wrong_path").await;
    let long_user = format!("/v1/users/{}/coupons", "u".repeat(65));
    let cases = [
        (Method::GET, "/v1", (404, "route-not-found")),
        (Method::GET, "/v1/campaigns/", (404, "route-not-found")),
        (Method::POST, "/v2/campaigns", (404, "route-not-found")),
        (Method::GET, "/errors/no-such-code", (404, "route-not-found")),
        (Method::DELETE, "/v1/campaigns", (405, "method-not-allowed")),
        (
            Method::GET,
            "/v1/campaigns/not-an-id",
            (404, "campaign-not-found"),
        ),
        (Method::GET, "/v1/claims/%ff", (404, "claim-not-found")),
        (Method::POST, "/v1/coupons/1/use", (404, "coupon-not-found")),
        (Method::GET, "/v1/campaigns?limit=0", (400, "invalid-parameter")),
        (Method::GET, "/v1/campaigns?limit=101", (400, "invalid-parameter")),
        (Method::GET, "/v1/campaigns?cursor=x", (400, "invalid-parameter")),
        (Method::GET, "/v1/campaigns?offset=5", (400, "invalid-parameter")),
        (Method::GET, long_user.as_str(), (400, "invalid-parameter")),
    ];
    for (method, path, expected) in cases {
        let answer = Answer::of(
            partner
                .request(method, path)
                .json(&json!({"order_reference": "o"})),
        )
        .await;
        assert_eq!(answer.problem(), expected, "{path}");
    }
    let method = Answer::of(partner.request(Method::DELETE, "/v1/campaigns")).await;
    assert!(method.header("allow").contains("POST"), "{method:?}");
    api.stop().await;
}
