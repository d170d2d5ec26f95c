//! Deliveries to partners as operators see them and try them again.

use std::collections::BTreeSet;

use headgate_operator::deliveries::{Deliveries, Delivery, RetriedDeliveries};
use headgate_schemas::ids::{DeliveryId, EventId, PartnerId};
use serde_json::json;

use crate::listener::{Listener, OPERATOR, VIEWER};

impl Listener {
    /// A partner with a webhook whose endpoint rests, and so many deliveries of it in this state.
    async fn deliveries(&self, state: &str, count: u32) -> PartnerId {
        let partner_id = PartnerId::generate();
        let partner_no = sqlx::query("INSERT INTO partners (partner_id, name) VALUES (?, 'shop')")
            .bind(partner_id)
            .execute(self.environment.pool())
            .await
            .expect("a partner")
            .last_insert_id();
        let subscription_no = sqlx::query(
            "INSERT INTO subscriptions (partner_no, subscription_id, sink, target, event_types, payload, enabled, secret,
                 failures, rests_until, created_at, updated_at)
             VALUES (?, 'crm', 'webhook', 'https://shop.example/', 'T', 'full', TRUE, 's', 12,
                 UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
        )
        .bind(partner_no)
        .execute(self.environment.pool())
        .await
        .expect("a subscription")
        .last_insert_id();
        for number in 0..count {
            sqlx::query(
                "INSERT INTO deliveries (delivery_id, subscription_no, event_id, event_type, aggregate_id, sequence,
                     event_time, body, state, attempts, next_attempt_at, last_error, created_at, waits_since, settled_at)
                 VALUES (?, ?, ?, 'T', 'a-1', ?, UTC_TIMESTAMP(6), '{}', ?, 20, UTC_TIMESTAMP(6), 'no', UTC_TIMESTAMP(6),
                     UTC_TIMESTAMP(6) - INTERVAL 40 DAY, IF(? = 'pending', NULL, UTC_TIMESTAMP(6)))",
            )
            .bind(DeliveryId::generate())
            .bind(subscription_no)
            .bind(EventId::generate())
            .bind(number)
            .bind(state)
            .bind(state)
            .execute(self.environment.pool())
            .await
            .expect("a delivery");
        }
        partner_id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_by_state_page_by_page() {
    let listener = Listener::start("deliveries_listed").await;
    let first = listener.deliveries("dead", 5).await;
    listener.deliveries("dead", 2).await;
    listener.deliveries("pending", 1).await;
    let all: Deliveries = listener.get(VIEWER, "/v1/deliveries").await.ok();
    assert_eq!((all.items.len(), all.next_cursor), (7, None));
    let of_first = format!("/v1/deliveries?partner={first}&subscription=crm&limit=2");
    let (mut seen, mut path) = (BTreeSet::new(), of_first.clone());
    loop {
        let page: Deliveries = listener.get(VIEWER, &path).await.ok();
        seen.extend(page.items.iter().map(|delivery| delivery.delivery_id));
        assert!(page.items.iter().all(|delivery| delivery.partner_id == first));
        let Some(cursor) = page.next_cursor else { break };
        path = format!("{of_first}&cursor={cursor}");
    }
    assert_eq!(seen.len(), 5);
    let pending: Deliveries = listener.get(VIEWER, "/v1/deliveries?state=pending").await.ok();
    assert_eq!(pending.items.len(), 1);
    assert!(pending.items[0].next_attempt_at.is_some());
    let one = pending.items[0].delivery_id;
    let shown: Delivery = listener.get(VIEWER, &format!("/v1/deliveries/{one}")).await.ok();
    assert_eq!((shown.attempts, shown.last_error.as_deref()), (20, Some("no")));
    for wrong in [
        "state=gone",
        "limit=501",
        "cursor=x",
        "partner=x",
        "subscription=crm",
        "colour=red",
    ] {
        let answer = listener.get(VIEWER, &format!("/v1/deliveries?{wrong}")).await;
        answer.refused(400, "invalid-parameter");
    }
    let nobody = PartnerId::generate();
    let of_nobody = format!("/v1/deliveries?partner={nobody}&subscription=crm");
    listener
        .get(VIEWER, &of_nobody)
        .await
        .refused(404, "partner-not-found");
    let unknown = format!("/v1/deliveries?partner={first}&subscription=x");
    listener
        .get(VIEWER, &unknown)
        .await
        .refused(404, "subscription-not-found");
    let unknown = format!("/v1/deliveries/{nobody}");
    listener
        .get(VIEWER, &unknown)
        .await
        .refused(404, "delivery-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_deliveries_are_tried_again_by_an_operator_and_their_endpoint_at_once() {
    let listener = Listener::start("deliveries_retried").await;
    let partner = listener.deliveries("dead", 3).await;
    let all: Deliveries = listener.get(VIEWER, "/v1/deliveries").await.ok();
    let one = json!({"delivery_id": all.items[0].delivery_id});
    let retry = "/v1/deliveries/retry";
    listener
        .post(VIEWER, retry, &one)
        .await
        .refused(403, "role-missing");
    for (deliveries, asked) in [
        (1, one.clone()),
        (0, one),
        (2, json!({"partner_id": partner, "subscription_id": "crm"})),
    ] {
        let retried: RetriedDeliveries = listener.post(OPERATOR, retry, &asked).await.ok();
        assert_eq!((retried.deliveries, retried.more), (deliveries, false));
    }
    let fresh = "SELECT COUNT(*) FROM deliveries d JOIN subscriptions s USING (subscription_no)
        WHERE d.state = 'pending' AND d.attempts = 0 AND d.waits_since > UTC_TIMESTAMP(6) - INTERVAL 1 DAY
            AND s.rests_until IS NULL AND s.failures = 0";
    let fresh: i64 = sqlx::query_scalar(fresh)
        .fetch_one(listener.environment.pool())
        .await
        .expect("a count");
    assert_eq!(fresh, 3);
    let acts = listener.audit().await;
    let retries = acts.iter().filter(|(_, action, _)| action == "delivery.retry");
    assert_eq!(retries.count(), 2, "what changed nothing is no act: {acts:?}");
    for wrong in [json!({}), json!({"partner_id": partner})] {
        listener
            .post(OPERATOR, retry, &wrong)
            .await
            .refused(422, "invalid-body");
    }
    let unknown = json!({"delivery_id": DeliveryId::generate()});
    listener
        .post(OPERATOR, retry, &unknown)
        .await
        .refused(404, "delivery-not-found");
}
