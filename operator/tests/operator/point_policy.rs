//! What partners' points may do, as operators set it.

use headgate_operator::partners::PartnerView;
use headgate_operator::partners::point_policy::PointPolicyView;
use reqwest::Method;
use serde_json::{Value, json};

use crate::listener::{ADMIN, Answer, Listener, OPERATOR, VIEWER};

impl Listener {
    async fn shop(&self) -> String {
        let created = self.post(ADMIN, "/v1/partners", &json!({"name": "shop"})).await;
        let partner: PartnerView = created.ok();
        format!("/v1/partners/{}/point-policy", partner.partner_id)
    }

    async fn set_policy(&self, token: &str, path: &str, policy: &Value) -> Answer {
        let request = self.request(Method::PUT, path).bearer_auth(token).json(policy);
        self.send(request).await
    }
}

fn policy(earn_min: u64, earn_max: u64, wallet_max: u64, valid_for_seconds: u64) -> Value {
    json!({
        "earn_min": earn_min, "earn_max": earn_max, "wallet_max": wallet_max,
        "valid_for_seconds": valid_for_seconds,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_policy_is_set_by_admins_shown_to_all_and_audited() {
    let listener = Listener::start("point_policy").await;
    let path = listener.shop().await;
    let default: PointPolicyView = listener.get(VIEWER, &path).await.ok();
    assert_eq!((default.policy.earn_max, default.updated_by), (1_000_000, None));
    let wanted = policy(10, 100, 150, 3_600);
    listener
        .set_policy(OPERATOR, &path, &wanted)
        .await
        .refused(403, "role-missing");
    let set: PointPolicyView = listener.set_policy(ADMIN, &path, &wanted).await.ok();
    assert_eq!(set.updated_by.as_deref(), Some("anna"));
    let shown: Value = listener.get(VIEWER, &path).await.ok();
    assert_eq!(
        (&shown["earn_min"], &shown["valid_for_seconds"]),
        (&json!(10), &json!(3_600)),
        "{shown}"
    );
    let detail: String = sqlx::query_scalar(
        "SELECT CAST(detail AS CHAR) FROM audit_log WHERE actor = 'anna' AND action = 'point-policy.set'",
    )
    .fetch_one(listener.environment.pool())
    .await
    .expect("one act");
    let detail: Value = serde_json::from_str(&detail).expect("JSON");
    assert_eq!(
        (&detail["before"]["earn_max"], &detail["after"]["earn_max"]),
        (&json!(1_000_000), &json!(100)),
        "{detail}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_policy_that_contradicts_itself_changes_nothing() {
    let listener = Listener::start("point_policy_wrong").await;
    let path = listener.shop().await;
    let wrong = [
        (policy(0, 100, 150, 1), "earn_min"),
        (policy(10, 9, 150, 1), "earn_max"),
        (policy(1, 100, 99, 1), "wallet_max"),
        (policy(1, 100, 1_000_000_000_001, 1), "wallet_max"),
        (policy(1, 100, 150, 0), "valid_for_seconds"),
        (policy(1, 100, 150, 316_224_001), "valid_for_seconds"),
        (policy(1, 100, 150, 5_000_000_000), "valid_for_seconds"),
    ];
    for (body, field) in wrong {
        let problem = listener
            .set_policy(ADMIN, &path, &body)
            .await
            .refused(422, "invalid-body");
        let fields: Vec<_> = problem.errors.iter().map(|wrong| wrong.field.as_str()).collect();
        assert_eq!(fields, [field], "{body}");
    }
    let unknown = "/v1/partners/0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77/point-policy";
    listener
        .set_policy(ADMIN, unknown, &policy(1, 2, 3, 4))
        .await
        .refused(404, "partner-not-found");
    let shown: PointPolicyView = listener.get(VIEWER, &path).await.ok();
    assert_eq!(shown.updated_by, None);
}
