//! Subscriptions over HTTP.

use headgate_domain::notifications::SUBSCRIPTIONS_MAX;
use headgate_domain::partners::Scopes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Installation;
use crate::partner::{Answer, Partner};

const USED: &str = "io.headgate.points.PointsUsed";
const EARNED: &str = "io.headgate.points.PointsAccumulated";

fn webhook(url: &str) -> Value {
    json!({"sink": {"type": "webhook", "url": url}, "event_types": [USED]})
}

impl Partner {
    async fn subscribe(&self, id: &str, body: &Value) -> Answer {
        let path = format!("/v1/subscriptions/{id}");
        Answer::of(self.request(Method::PUT, &path).json(body)).await
    }

    async fn subscription(&self, id: &str) -> Answer {
        self.get(&format!("/v1/subscriptions/{id}")).await
    }

    async fn unsubscribe(&self, id: &str) -> Answer {
        let path = format!("/v1/subscriptions/{id}");
        Answer::of(self.request(Method::DELETE, &path)).await
    }
}

#[tokio::test]
async fn p7_a_subscription_is_made_changed_and_ended() {
    let (installation, api, partner) = Installation::with_partner("subscription_life").await;
    let made = partner.subscribe("crm", &webhook("https://shop.example/a")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.text("secret").starts_with("whsec_"));
    assert_eq!(
        (&made.body["payload"], &made.body["enabled"]),
        (&json!("full"), &json!(true))
    );
    let again = partner.subscribe("crm", &webhook("https://shop.example/a")).await;
    assert_eq!((again.status, again.body.get("secret")), (200, None));

    let changed = json!({"sink": {"type": "webhook", "url": "https://shop.example/b"},
        "event_types": [USED, EARNED, USED], "payload": "zero", "enabled": false});
    assert_eq!(partner.subscribe("crm", &changed).await.status, 200);
    let shown = partner.subscription("crm").await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.body["sink"]["url"], json!("https://shop.example/b"));
    assert_eq!(shown.body["event_types"], json!([EARNED, USED]));
    assert_eq!(
        (&shown.body["circuit"], &shown.body["pending"]),
        (&json!("closed"), &json!(0))
    );
    assert_eq!(shown.body.get("secret"), None, "it is shown once");

    let stranger = installation.partner(&api).await;
    let not_found = (404, "subscription-not-found");
    assert_eq!(stranger.subscription("crm").await.problem(), not_found);
    assert_eq!(stranger.unsubscribe("crm").await.problem(), not_found);
    assert_eq!(partner.unsubscribe("crm").await.status, 204);
    assert_eq!(partner.unsubscribe("crm").await.problem(), not_found);
    assert_eq!(partner.subscription("crm").await.problem(), not_found);
    api.stop().await;
}

#[tokio::test]
async fn p7_a_secret_is_replaced_and_the_one_before_holds_for_a_while() {
    let (installation, api, partner) = Installation::with_partner("subscription_secret").await;
    let first = partner.subscribe("crm", &webhook("https://shop.example/a")).await;
    let secrets = "SELECT CONCAT('whsec_', TO_BASE64(secret)), CONCAT('whsec_', TO_BASE64(previous_secret))
        FROM subscriptions";
    let rotate = async || {
        let rotated = partner.post("/v1/subscriptions/crm/secret", &json!({})).await;
        assert_eq!(rotated.status, 200, "{rotated:?}");
        let (now, before): (Vec<u8>, Vec<u8>) = sqlx::query_as(secrets)
            .fetch_one(installation.pool())
            .await
            .expect("a row");
        assert_eq!(now, rotated.text("secret").as_bytes());
        assert_eq!(before, first.text("secret").as_bytes(), "receivers know this one");
        rotated.text("previous_secret_until").to_owned()
    };
    // Whoever did not hear the answer asks again, and no receiver is left without a secret.
    let until = rotate().await;
    assert_eq!(rotate().await, until);
    api.stop().await;
}

#[tokio::test]
async fn p7_email_is_offered_only_where_it_is_set_up() {
    let installation = Installation::new("subscription_email").await;
    let email = json!({"sink": {"type": "email", "address": "kim@shop.example"}, "event_types": [USED]});
    let api = installation.start().await;
    let partner = installation.partner(&api).await;
    let refused = partner.subscribe("mail", &email).await;
    assert_eq!(refused.problem(), (422, "invalid-body"));
    assert_eq!(refused.wrong_fields(), ["sink.type"]);
    let mut config = installation.config();
    config.subscriptions.email = true;
    let other = installation.start_with(config).await;
    let partner = installation.partner(&other).await;
    let made = partner.subscribe("mail", &email).await;
    assert_eq!((made.status, made.body.get("secret")), (201, None));
    let refused = partner.post("/v1/subscriptions/mail/secret", &json!({})).await;
    assert_eq!(refused.problem(), (409, "subscription-not-webhook"));
    // What becomes a webhook is signed.
    let changed = partner
        .subscribe("mail", &webhook("https://shop.example/a"))
        .await;
    assert_eq!(changed.status, 200);
    assert!(changed.text("secret").starts_with("whsec_"));
    for api in [api, other] {
        api.stop().await;
    }
}

#[tokio::test]
async fn p7_subscriptions_are_listed_and_bounded() {
    let (installation, api, partner) = Installation::with_partner("subscription_many").await;
    for number in 0..SUBSCRIPTIONS_MAX {
        let made = partner
            .subscribe(&format!("s{number:02}"), &webhook("https://shop.example/"))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    let refused = partner.subscribe("more", &webhook("https://shop.example/")).await;
    assert_eq!(refused.problem(), (409, "too-many-subscriptions"));
    assert_eq!(
        partner
            .subscribe("s00", &webhook("https://shop.example/x"))
            .await
            .status,
        200
    );
    let first = partner.get("/v1/subscriptions?limit=30").await;
    let second = partner
        .get(&format!(
            "/v1/subscriptions?limit=30&cursor={}",
            first.text("next_cursor")
        ))
        .await;
    let names = [&first, &second].map(|page| {
        let items = page.body["items"].as_array().expect("items");
        let names = items
            .iter()
            .map(|item| item["subscription_id"].as_str().expect("a name"));
        names.map(str::to_owned).collect::<Vec<_>>()
    });
    let all: Vec<String> = (0..SUBSCRIPTIONS_MAX)
        .map(|number| format!("s{number:02}"))
        .collect();
    assert_eq!((names.concat(), &second.body["next_cursor"]), (all, &Value::Null));
    let stranger = installation.partner(&api).await;
    assert_eq!(stranger.get("/v1/subscriptions").await.body["items"], json!([]));
    api.stop().await;
}

/// A good body with one member replaced, or taken out.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut body = webhook("https://shop.example/a");
    let members = body.as_object_mut().expect("an object");
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    body
}

fn wrong_sinks() -> Vec<(Value, &'static [&'static str])> {
    let url = |url: &str| with("sink", Some(json!({"type": "webhook", "url": url})));
    let address = |address: &str| with("sink", Some(json!({"type": "email", "address": address})));
    vec![
        (with("sink", None), &["sink"]),
        (with("sink", Some(json!("https://shop.example/"))), &["sink"]),
        (with("sink", Some(json!({"type": "pigeon"}))), &["sink.type"]),
        (with("sink", Some(json!({"type": "webhook"}))), &["sink.url"]),
        (url("/hooks"), &["sink.url"]),
        (url("ftp://shop.example/"), &["sink.url"]),
        (url("gopher://127.0.0.1:25/x"), &["sink.url"]),
        (url("https://kim:secret@shop.example/"), &["sink.url"]),
        (url("https://shop.example/#a"), &["sink.url"]),
        (
            url(&format!("https://shop.example/{}", "x".repeat(2_048))),
            &["sink.url"],
        ),
        (address("kim"), &["sink.address"]),
        (
            address("kim@shop.example\r\nBcc: lee@shop.example"),
            &["sink.address"],
        ),
        (
            with(
                "sink",
                Some(json!({"type": "webhook", "url": "https://a.example/", "secret": "s"})),
            ),
            &["sink.secret"],
        ),
    ]
}

fn wrong_others() -> Vec<(Value, &'static [&'static str])> {
    let types = |types: Value| with("event_types", Some(types));
    vec![
        (with("event_types", None), &["event_types"]),
        (types(json!([])), &["event_types"]),
        (types(json!(USED)), &["event_types"]),
        (types(json!(["PointsUsed"])), &["event_types"]),
        (types(json!([7])), &["event_types"]),
        (types(json!(vec![USED; 65])), &["event_types"]),
        (with("payload", Some(json!("half"))), &["payload"]),
        (with("enabled", Some(json!("yes"))), &["enabled"]),
        (with("colour", Some(json!("red"))), &["colour"]),
        (json!({}), &["sink", "event_types"]),
    ]
}

#[tokio::test]
async fn g14_every_wrong_subscription_is_refused_by_field_and_nothing_is_written() {
    let (installation, api, partner) = Installation::with_partner("wrong_subscription").await;
    for (body, fields) in wrong_sinks().into_iter().chain(wrong_others()) {
        let answer = partner.subscribe("s", &body).await;
        assert_eq!(answer.problem(), (422, "invalid-body"), "{body}");
        assert_eq!(answer.wrong_fields(), fields, "{body}");
    }
    for name in ["a%00b", &"n".repeat(65), "%ff"] {
        let answer = partner.subscribe(name, &webhook("https://shop.example/a")).await;
        assert_eq!(answer.problem(), (400, "invalid-parameter"), "{name}");
    }
    assert_eq!(installation.count("subscriptions").await, 0);
    let (_, reads) = installation
        .partner_and_key(
            "subscriptions:read points:write"
                .parse::<Scopes>()
                .expect("scopes"),
        )
        .await;
    let reader = Partner::new(&api.url, reads.text.reveal());
    assert_eq!(reader.get("/v1/subscriptions").await.status, 200);
    let refused = reader.subscribe("s", &webhook("https://shop.example/a")).await;
    assert_eq!(refused.problem(), (403, "scope-missing"));
    api.stop().await;
}
