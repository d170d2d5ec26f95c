//! Points over HTTP.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::Installation;
use crate::partner::{Answer, Partner};

impl Partner {
    async fn earn(&self, user: &str, amount: u64) -> Answer {
        let path = format!("/v1/users/{user}/points/earn");
        self.post(&path, &json!({"amount": amount, "reason": "signup"}))
            .await
    }

    async fn spend(&self, user: &str, amount: u64) -> Answer {
        let path = format!("/v1/users/{user}/points/use");
        self.post(&path, &json!({"amount": amount, "reference": "order-7"}))
            .await
    }

    async fn cancel(&self, point_key: &str, body: &Value) -> Answer {
        self.post(&format!("/v1/points/{point_key}/cancel"), body).await
    }

    async fn transfer(&self, key: &str, from: &str, to: &str, amount: u64) -> Answer {
        let body = json!({"from_user": from, "to_user": to, "amount": amount});
        self.post_keyed("/v1/points/transfers", key, &body).await
    }

    async fn balance(&self, user: &str) -> Value {
        let answer = self
            .get(&format!("/v1/users/{user}/points?consistent=true"))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["balance"].clone()
    }
}

#[tokio::test]
async fn p1_points_are_granted_spent_and_cancelled() {
    let (installation, api, partner) = Installation::with_partner("points_life").await;
    let earned = partner.earn("u-1", 1_000).await;
    assert_eq!((earned.status, &earned.body["balance"]), (201, &json!(1_000)));
    assert!(earned.body["expires_at"].is_string(), "{earned:?}");
    let used = partner.spend("u-1", 300).await;
    assert_eq!(
        (used.status, &used.body["amount"], &used.body["balance"]),
        (201, &json!(300), &json!(700))
    );
    let key = used.text("point_key");
    let back = partner.cancel(key, &json!({"amount": 100})).await;
    assert_eq!(
        (back.status, &back.body["cancels"], &back.body["balance"]),
        (201, &json!(key), &json!(800))
    );
    let rest = partner.cancel(key, &json!({})).await;
    assert_eq!(
        (&rest.body["amount"], &rest.body["balance"]),
        (&json!(200), &json!(1_000))
    );
    let nothing = partner.cancel(key, &json!({})).await;
    assert_eq!(nothing.problem(), (409, "point-cancel-exceeds"));
    assert_eq!(nothing.body["available"], json!(0));
    let cancelled = partner.cancel(back.text("point_key"), &json!({})).await;
    assert_eq!(cancelled.problem(), (409, "point-not-cancellable"));
    assert_eq!(partner.balance("u-1").await, json!(1_000));
    let wallet = installation.wallet_id("u-1").await;
    assert_eq!(
        installation.events(&wallet).await,
        [
            "PointsAccumulated",
            "PointsUsed",
            "PointsUseCancelled",
            "PointsUseCancelled"
        ]
    );
    api.stop().await;
}

impl Installation {
    async fn wallet_id(&self, user: &str) -> String {
        sqlx::query_scalar("SELECT BIN_TO_UUID(wallet_id) FROM wallets WHERE user_id = ?")
            .bind(user.as_bytes())
            .fetch_one(self.pool())
            .await
            .expect("a wallet")
    }
}

#[tokio::test]
async fn p1_history_is_paged_and_names_what_was_done() {
    let (_installation, api, partner) = Installation::with_partner("points_history").await;
    for amount in [10, 20, 30] {
        assert_eq!(partner.earn("u-1", amount).await.status, 201);
    }
    partner.spend("u-1", 15).await;
    assert_eq!(partner.transfer("t-1", "u-1", "u-2", 5).await.status, 201);
    let first = partner.get("/v1/users/u-1/points/history?limit=2").await;
    let kinds = |answer: &Answer| -> Vec<(String, i64, u64)> {
        let items = answer.body["items"].as_array().expect("items");
        let kind = |item: &Value| {
            let kind = item["kind"].as_str().expect("a kind").to_owned();
            let amount = item["amount"].as_i64().expect("a number");
            (kind, amount, item["balance"].as_u64().expect("a number"))
        };
        items.iter().map(kind).collect()
    };
    assert_eq!(
        kinds(&first),
        [("send".to_owned(), -5, 40), ("use".to_owned(), -15, 45)]
    );
    assert_eq!(first.body["items"][0]["other_user"], json!("u-2"));
    assert_eq!(first.body["items"][1]["reference"], json!("order-7"));
    let cursor = first.text("next_cursor");
    let rest = partner
        .get(&format!("/v1/users/u-1/points/history?limit=100&cursor={cursor}"))
        .await;
    let earned: Vec<_> = kinds(&rest).into_iter().map(|(_, amount, _)| amount).collect();
    assert_eq!(
        (earned, &rest.body["next_cursor"]),
        (vec![30, 20, 10], &Value::Null)
    );
    let received = partner.get("/v1/users/u-2/points/history").await;
    assert_eq!(kinds(&received), [("receive".to_owned(), 5, 5)]);
    let nobody = partner.get("/v1/users/u-3/points/history").await;
    assert_eq!((nobody.status, &nobody.body["items"]), (200, &json!([])));
    let wrong = partner
        .get("/v1/users/u-1/points/history?limit=101&cursor=x")
        .await;
    assert_eq!(wrong.problem(), (400, "invalid-parameter"));
    assert_eq!(wrong.wrong_fields(), ["limit", "cursor"]);
    api.stop().await;
}

#[tokio::test]
async fn p1_what_cannot_be_is_refused_and_moves_nothing() {
    let (installation, api, partner) = Installation::with_partner("points_bad_input").await;
    partner.earn("u-1", 50).await;
    let past = json!({"amount": 5, "expires_at": "2020-01-01T00:00:00Z"});
    let far = json!({"amount": 5, "expires_at": "2999-01-01T00:00:00Z"});
    for (body, fields) in [
        (json!({}), vec!["amount"]),
        (json!({"amount": 0}), vec!["amount"]),
        (json!({"amount": -1}), vec!["amount"]),
        (json!({"amount": 1.5}), vec!["amount"]),
        (json!({"amount": "5"}), vec!["amount"]),
        (json!({"amount": u64::MAX}), vec!["amount"]),
        (json!({"amount": 1_000_000_000_001_u64}), vec!["amount"]),
        (json!({"amount": 1_000_001}), vec!["amount"]),
        (past, vec!["expires_at"]),
        (far, vec!["expires_at"]),
        (
            json!({"amount": 5, "reason": "", "points": 1}),
            vec!["reason", "points"],
        ),
    ] {
        let refused = partner.post("/v1/users/u-1/points/earn", &body).await;
        assert_eq!(refused.problem(), (422, "invalid-body"), "{body}");
        assert_eq!(refused.wrong_fields(), fields, "{body}");
    }
    for body in [
        json!({"amount": 0}),
        json!({"amount": u64::MAX}),
        json!({"amount": 5, "reference": ""}),
    ] {
        let refused = partner.post("/v1/users/u-1/points/use", &body).await;
        assert_eq!(refused.problem(), (422, "invalid-body"), "{body}");
    }
    let short = partner.spend("u-1", 51).await;
    assert_eq!(short.problem(), (409, "points-insufficient"));
    assert_eq!(short.body["available"], json!(50));
    assert_eq!(
        partner.spend("u-2", 1).await.problem(),
        (409, "points-insufficient")
    );
    let long = "u".repeat(65);
    assert_eq!(partner.earn(&long, 1).await.problem(), (400, "invalid-parameter"));
    let maybe = partner.get("/v1/users/u-1/points?consistent=maybe").await;
    assert_eq!(maybe.problem(), (400, "invalid-parameter"));
    assert_eq!(partner.balance("u-1").await, json!(50));
    assert_eq!(installation.count("point_entries").await, 1);
    assert_eq!(installation.count("wallets").await, 1, "none for who has nothing");
    api.stop().await;
}

#[tokio::test]
async fn p3_a_transfer_needs_a_key_and_two_users() {
    let (_installation, api, partner) = Installation::with_partner("points_transfer").await;
    partner.earn("u-1", 100).await;
    let body = json!({"from_user": "u-1", "to_user": "u-2", "amount": 30});
    let keyless = partner.post("/v1/points/transfers", &body).await;
    assert_eq!(keyless.problem(), (400, "idempotency-key-missing"));
    let own = partner.transfer("t-1", "u-1", "u-1", 30).await;
    assert_eq!(
        (own.problem(), own.wrong_fields()),
        ((422, "invalid-body"), vec!["to_user"])
    );
    let first = partner.transfer("t-2", "u-1", "u-2", 30).await;
    let again = partner.transfer("t-2", "u-1", "u-2", 30).await;
    assert_eq!(
        (first.status, again.status, again.is_replayed()),
        (201, 201, true)
    );
    assert_eq!(again.body, first.body);
    let other = partner.transfer("t-2", "u-1", "u-2", 31).await;
    assert_eq!(other.problem(), (422, "idempotency-key-reused"));
    let short = partner.transfer("t-3", "u-1", "u-2", 71).await;
    assert_eq!(short.problem(), (409, "points-insufficient"));
    assert_eq!(
        (partner.balance("u-1").await, partner.balance("u-2").await),
        (json!(70), json!(30))
    );
    api.stop().await;
}

#[tokio::test]
async fn g05_twins_of_a_use_spend_once() {
    let (installation, api, partner) = Installation::with_partner("points_twins").await;
    partner.earn("u-1", 100).await;
    let body = json!({"amount": 10});
    let twins = join_all((0..8).map(|_| partner.post_keyed("/v1/users/u-1/points/use", "u-1", &body))).await;
    for twin in &twins {
        let waits = twin.status == 409 && twin.problem() == (409, "idempotency-in-progress");
        assert!(twin.status == 201 || waits, "{twin:?}");
    }
    let again = partner.post_keyed("/v1/users/u-1/points/use", "u-1", &body).await;
    assert_eq!((again.status, again.is_replayed()), (201, true));
    assert_eq!(partner.balance("u-1").await, json!(90));
    assert_eq!(installation.count("point_entries WHERE kind = 'use'").await, 1);
    api.stop().await;
}

#[tokio::test]
async fn g14_another_partners_points_are_out_of_reach() {
    let installation = Installation::new("points_foreign").await;
    let api = installation.start().await;
    let (owner, other) = (installation.partner(&api).await, installation.partner(&api).await);
    let earned = owner.earn("u-1", 100).await;
    assert_eq!(other.balance("u-1").await, json!(0));
    assert_eq!(
        other.spend("u-1", 1).await.problem(),
        (409, "points-insufficient")
    );
    let foreign = other.cancel(earned.text("point_key"), &json!({})).await;
    assert_eq!(foreign.problem(), (404, "point-not-found"));
    let no_key = other.cancel("nothing", &json!({})).await;
    assert_eq!(no_key.problem(), (404, "point-not-found"));
    assert_eq!(owner.balance("u-1").await, json!(100));
    api.stop().await;
}

#[tokio::test]
async fn p9_a_policy_bounds_what_is_granted_and_held() {
    let (installation, api, partner) = Installation::with_partner("points_policy").await;
    installation
        .sql(
            "INSERT INTO point_policies (partner_no, earn_min, earn_max, wallet_max, valid_for_seconds, updated_at,
                 updated_by)
             SELECT partner_no, 10, 100, 150, 3600, NOW(6), 'kim' FROM partners",
        )
        .await;
    for amount in [9, 101] {
        let refused = partner.earn("u-1", amount).await;
        assert_eq!(
            (refused.problem(), refused.wrong_fields()),
            ((422, "invalid-body"), vec!["amount"])
        );
    }
    assert_eq!(installation.count("wallets").await, 0);
    assert_eq!(partner.earn("u-1", 100).await.status, 201);
    let full = partner.earn("u-1", 51).await;
    assert_eq!(full.problem(), (409, "points-limit-exceeded"));
    assert_eq!(partner.earn("u-1", 50).await.body["balance"], json!(150));
    api.stop().await;
}
