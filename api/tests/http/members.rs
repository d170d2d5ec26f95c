//! Members: sign-up, login, refresh, logout.

use std::time::Duration;

use headgate_testkit::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Api, Installation};
use crate::partner::{Answer, Partner};

const PASSWORD: &str = "correct horse";
/// What `docs/errors/token-invalid.md` and the answer of a logout promise.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// A shop, and a browser that has no key.
struct Shop {
    browser: Partner,
    partner_id: String,
}

impl Shop {
    async fn open(installation: &Installation, api: &Api) -> Self {
        let (partner_no, _) = installation
            .partner_and_key(headgate_domain::partners::Scopes::all())
            .await;
        let partners = headgate_domain::partners::store::list(installation.pool(), 10).await;
        let partners = partners.expect("mysql");
        let partner = partners.iter().find(|partner| partner.partner_no == partner_no);
        Self {
            browser: Partner::new(&api.url, "none"),
            partner_id: partner.expect("the partner").partner_id.to_string(),
        }
    }

    fn at(&self, api: &Api) -> Self {
        Self {
            browser: Partner::new(&api.url, "none"),
            partner_id: self.partner_id.clone(),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.browser.anonymous(Method::POST, path).json(body)).await
    }

    fn credentials(&self, login: &str, password: &str) -> Value {
        json!({"partner_id": self.partner_id, "login": login, "password": password})
    }

    async fn sign_up(&self, login: &str) -> Answer {
        self.post("/v1/members", &self.credentials(login, PASSWORD)).await
    }

    async fn log_in(&self, login: &str, password: &str) -> Answer {
        self.post("/v1/sessions", &self.credentials(login, password))
            .await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.post("/v1/sessions/refresh", &json!({"refresh_token": token}))
            .await
    }

    async fn log_out(&self, access: &str) -> Answer {
        let request = self
            .browser
            .anonymous(Method::DELETE, "/v1/sessions/current")
            .header("Authorization", format!("Bearer {access}"));
        Answer::of(request).await
    }
}

#[tokio::test]
async fn i2_a_member_signs_up_logs_in_goes_on_and_logs_out() {
    let installation = Installation::new("members").await;
    let api = installation.start().await;
    let shop = Shop::open(&installation, &api).await;
    let member = shop.sign_up("Anna@Example.com").await;
    assert_eq!(member.status, 201, "{member:?}");
    assert_eq!(member.text("user_id"), member.text("member_id"));
    assert_eq!(
        shop.sign_up("anna@example.com").await.problem(),
        (409, "login-taken")
    );

    let first = shop.log_in("anna@EXAMPLE.com", PASSWORD).await;
    assert_eq!(
        (first.status, first.text("token_type")),
        (201, "Bearer"),
        "{first:?}"
    );
    assert_eq!(first.text("member_id"), member.text("member_id"));
    let second = shop.refresh(first.text("refresh_token")).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_ne!(second.text("refresh_token"), first.text("refresh_token"));

    assert_eq!(shop.log_out(second.text("access_token")).await.status, 204);
    for access in [first.text("access_token"), second.text("access_token")] {
        assert_eq!(shop.log_out(access).await.problem(), (401, "token-invalid"));
    }
    let over = shop.refresh(second.text("refresh_token")).await;
    assert_eq!(over.problem(), (401, "token-invalid"));
    // Other sessions go on.
    assert_eq!(shop.log_in("anna@example.com", PASSWORD).await.status, 201);
    // Nothing that opens anything lies in MySQL as it was sent.
    let stored = installation
        .count(&format!("members WHERE password_hash LIKE '%{PASSWORD}%'"))
        .await;
    assert_eq!(stored, 0);
    let argon = installation
        .count("members WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'")
        .await;
    assert_eq!(argon, 1);
    api.stop().await;
}

#[tokio::test]
async fn i2_a_refresh_token_that_comes_again_ends_its_session_everywhere() {
    let installation = Installation::new("members_reuse").await;
    let apis = [installation.start().await, installation.start().await];
    let shop = Shop::open(&installation, &apis[0]).await;
    let elsewhere = shop.at(&apis[1]);
    assert_eq!(shop.sign_up("anna").await.status, 201);
    let login = shop.log_in("anna", PASSWORD).await;
    let stolen = login.text("refresh_token");
    let thief = elsewhere.refresh(stolen).await;
    assert_eq!(thief.status, 200, "a token of one process is good in another");
    assert_eq!(shop.refresh(stolen).await.problem(), (401, "token-invalid"));
    // What the thief has is worth nothing now, in no process.
    let next = elsewhere.refresh(thief.text("refresh_token")).await;
    assert_eq!(next.problem(), (401, "token-invalid"));
    eventually("the access token to end elsewhere", ENDED_WITHIN, async || {
        (elsewhere.log_out(thief.text("access_token")).await.status == 401).then_some(())
    })
    .await;
    let ended = installation
        .count("member_sessions WHERE ended_by = 'reuse'")
        .await;
    assert_eq!(ended, 1);
    for api in apis {
        api.stop().await;
    }
}

#[tokio::test]
async fn i2_of_many_refreshes_at_once_one_goes_on() {
    let installation = Installation::new("members_race").await;
    let api = installation.start().await;
    let shop = Shop::open(&installation, &api).await;
    assert_eq!(shop.sign_up("anna").await.status, 201);
    let login = shop.log_in("anna", PASSWORD).await;
    let token = login.text("refresh_token");
    let answers = futures::future::join_all((0..8).map(|_| shop.refresh(token))).await;
    let went_on = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(went_on, 1, "{answers:?}");
    assert_eq!(installation.count("refresh_tokens").await, 2);
    api.stop().await;
}

#[tokio::test]
async fn i2_unknown_and_wrong_hear_the_same_and_are_limited_by_address_and_name_together() {
    let installation = Installation::new("members_wrong").await;
    let mut config = installation.config();
    config.http.trusted_proxies = serde_json::from_value(json!(["127.0.0.1"])).expect("an address");
    config.rate_limits.login.per_minute = 1;
    config.rate_limits.login.burst = 2;
    let api = installation.start_with(config).await;
    let shop = Shop::open(&installation, &api).await;
    for login in ["anna", "berta"] {
        assert_eq!(shop.sign_up(login).await.status, 201);
    }
    let log_in_from = async |address: &str, login: &str, password: &str| {
        let request = shop
            .browser
            .anonymous(Method::POST, "/v1/sessions")
            .header("X-Forwarded-For", address);
        Answer::of(request.json(&shop.credentials(login, password))).await
    };
    let without_trace = |mut answer: Answer| {
        answer.body["trace_id"] = Value::Null;
        (answer.status, answer.body)
    };
    let wrong = without_trace(log_in_from("192.0.2.1", "anna", "wrong horse").await);
    let unknown = without_trace(log_in_from("192.0.2.1", "nobody", "wrong horse").await);
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.1["code"], "login-failed");

    // Right ones cost nothing.
    for _ in 0..5 {
        assert_eq!(log_in_from("192.0.2.1", "anna", PASSWORD).await.status, 201);
    }
    assert_eq!(log_in_from("192.0.2.1", "anna", "wrong horse").await.status, 401);
    let limited = log_in_from("192.0.2.1", "anna", PASSWORD).await;
    assert_eq!(limited.problem(), (429, "rate-limited"));
    // Nobody locks Anna out from elsewhere, nor others from where she was tried.
    assert_eq!(log_in_from("192.0.2.2", "anna", PASSWORD).await.status, 201);
    assert_eq!(log_in_from("192.0.2.1", "berta", PASSWORD).await.status, 201);
    api.stop().await;
}

#[tokio::test]
async fn i2_tokens_that_were_changed_or_made_elsewhere_are_refused() {
    let installation = Installation::new("members_forged").await;
    let api = installation.start().await;
    let shop = Shop::open(&installation, &api).await;
    assert_eq!(shop.sign_up("anna").await.status, 201);
    let login = shop.log_in("anna", PASSWORD).await;
    let access = login.text("access_token");
    let parts: Vec<_> = access.split('.').collect();
    let other = shop.log_in("anna", PASSWORD).await;
    let others: Vec<_> = other.text("access_token").split('.').collect();
    // {"alg":"none","typ":"at+jwt"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    for forged in [
        String::new(),
        "a.b.c".to_owned(),
        format!("{}.{}.{}", parts[0], others[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{none}.{}.", parts[1]),
    ] {
        assert_eq!(
            shop.log_out(&forged).await.problem(),
            (401, "token-invalid"),
            "{forged}"
        );
    }
    assert_eq!(shop.log_out(access).await.status, 204);
    api.stop().await;
}

#[tokio::test]
async fn i2_too_many_hashes_are_refused_at_once() {
    let installation = Installation::new("members_overload").await;
    let mut config = installation.config();
    config.members.hashes_at_once = 1;
    config.members.hashes_waiting_max = 1;
    let api = installation.start_with(config).await;
    let shop = Shop::open(&installation, &api).await;
    let names: Vec<_> = (0..24).map(|number| format!("member-{number}")).collect();
    let answers = futures::future::join_all(names.iter().map(|name| shop.sign_up(name))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 201).collect();
    assert!(
        !refused.is_empty() && refused.len() < answers.len(),
        "{answers:?}"
    );
    for answer in refused {
        assert_eq!(answer.problem(), (503, "overloaded"));
    }
    api.stop().await;
}
