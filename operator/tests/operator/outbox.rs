//! The outbox and the groups' lag as operators see them.

use headgate_operator::lag::Lags;
use headgate_operator::offsets::ResetGroup;
use headgate_operator::outbox::{BlockedRows, OutboxStatus, Retried};
use headgate_outbox::bucket::Bucket;
use headgate_outbox::partitions;
use headgate_schemas::ids::EventId;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use std::time::Duration;

use crate::listener::{Listener, OPERATOR, VIEWER};

/// Longest wait for Kafka.
const PATIENCE: Duration = Duration::from_secs(20);

impl Listener {
    /// A claim whose first event failed and whose second waits behind it.
    async fn blocked_claim(&self, claim: &str) {
        for (id, status, error) in [(1_u64, "failed", Some("the topic is gone")), (2, "waiting", None)] {
            sqlx::query(
                "INSERT INTO outbox_blocked (bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence,
                     topic, payload, created_at, status, attempts, max_attempts, last_error, blocked_at)
                 VALUES (?, ?, ?, 'claim', ?, 'T', ?, 't', 'p', NOW(6), ?, 3, 3, ?, NOW(6))",
            )
            .bind(Bucket::of(claim).get())
            .bind(id)
            .bind(EventId::generate())
            .bind(claim.as_bytes())
            .bind(id)
            .bind(status)
            .bind(error)
            .execute(self.environment.pool())
            .await
            .expect("a blocked row");
        }
    }

    fn topic(&self) -> String {
        self.config
            .kafka
            .names()
            .public(&headgate_schemas::topics::COUPONS)
    }

    fn client(&self) -> ClientConfig {
        let mut client = self.config.kafka.client();
        client.set("group.id", self.config.kafka.names().group("coupon-issuance"));
        client
    }

    /// Records of these times, in milliseconds, on partition 0.
    async fn produce(&self, times: &[i64]) {
        let producer: FutureProducer = self.client().create().expect("a producer");
        let topic = self.topic();
        for time in times {
            let record = FutureRecord::<(), _>::to(&topic)
                .payload("x")
                .partition(0)
                .timestamp(*time);
            producer.send(record, PATIENCE).await.expect("Kafka takes it");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_aggregate_is_shown_and_retried_in_its_order() {
    let listener = Listener::start("outbox_retry").await;
    let status = async || -> OutboxStatus { listener.get(VIEWER, "/v1/outbox").await.ok() };
    let empty = status().await;
    assert_eq!(
        (
            empty.pending,
            empty.failed,
            empty.waiting,
            empty.oldest_pending_seconds
        ),
        (0, 0, 0, None)
    );
    listener.blocked_claim("c-1").await;
    listener.blocked_claim("c-2").await;
    let blocked = status().await;
    assert_eq!((blocked.pending, blocked.failed, blocked.waiting), (0, 2, 2));

    let mut seen = Vec::new();
    let mut path = "/v1/outbox/blocked?limit=3".to_owned();
    loop {
        let page: BlockedRows = listener.get(VIEWER, &path).await.ok();
        seen.extend(
            page.items
                .iter()
                .map(|row| (row.aggregate_id.clone(), row.sequence)),
        );
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/v1/outbox/blocked?limit=3&cursor={cursor}");
    }
    seen.sort_unstable();
    let rows = [("c-1", 1), ("c-1", 2), ("c-2", 1), ("c-2", 2)];
    assert_eq!(seen, rows.map(|(claim, sequence)| (claim.to_owned(), sequence)));
    listener
        .get(VIEWER, "/v1/outbox/blocked?cursor=x")
        .await
        .refused(400, "invalid-parameter");

    let claim = json!({"aggregate_type": "claim", "aggregate_id": "c-1"});
    listener
        .post(VIEWER, "/v1/outbox/retry", &claim)
        .await
        .refused(403, "role-missing");
    let retried: Retried = listener.post(OPERATOR, "/v1/outbox/retry", &claim).await.ok();
    assert_eq!(retried.rows, 2);
    listener
        .post(OPERATOR, "/v1/outbox/retry", &claim)
        .await
        .refused(404, "nothing-blocked");
    let after = status().await;
    assert_eq!((after.pending, after.failed, after.waiting), (2, 1, 1));
    assert!(after.oldest_pending_seconds.is_some());
    let (actor, action, object) = listener.audit().await.remove(0);
    assert_eq!(
        (actor.as_str(), action.as_str(), object.as_str()),
        ("olga", "outbox.retry", "claim/c-1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_does_not_run_is_moved_in_time_as_far_as_its_inbox_reaches() {
    let listener = Listener::start("offsets_reset").await;
    partitions::ensure(listener.environment.pool(), 1)
        .await
        .expect("day partitions");
    let now = chrono::Utc::now().timestamp_millis();
    listener.produce(&[now - 3_000, now - 2_000, now - 1_000]).await;
    let lag = async || -> i64 {
        let lags: Lags = listener.get(VIEWER, "/v1/lag").await.ok();
        lags.items[0].lag_records
    };
    assert_eq!(lag().await, 3, "a new group begins at the oldest record");

    let path = "/v1/groups/coupon-issuance/offsets/reset";
    let to = |millis: i64| chrono::DateTime::from_timestamp_millis(millis).expect("a time");
    let dry = json!({"to": to(now - 2_000), "dry_run": true});
    let planned: ResetGroup = listener.post(OPERATOR, path, &dry).await.ok();
    assert_eq!((planned.partitions[0].from, planned.partitions[0].to), (None, 1));
    assert_eq!(
        (lag().await, listener.audit().await.len()),
        (3, 0),
        "nothing was done"
    );

    let wet = json!({"to": to(now - 2_000)});
    listener
        .post(VIEWER, path, &wet)
        .await
        .refused(403, "role-missing");
    let moved: ResetGroup = listener.post(OPERATOR, path, &wet).await.ok();
    assert_eq!(moved.partitions.len(), 4, "every partition of the public topic");
    assert_eq!(lag().await, 2);
    assert_eq!(listener.audit().await[0].1, "offsets.reset");

    let past = json!({"to": "2020-01-01T00:00:00Z"});
    listener
        .post(OPERATOR, path, &past)
        .await
        .refused(409, "offsets-too-old");
    let unknown = "/v1/groups/nobody/offsets/reset";
    listener
        .post(OPERATOR, unknown, &wet)
        .await
        .refused(404, "group-not-found");

    // A member: polled until the group has given it its partitions.
    let member: BaseConsumer = listener.client().create().expect("a consumer");
    member.subscribe(&[&listener.topic()]).expect("it subscribes");
    headgate_testkit::eventually("the member to join", PATIENCE, async || {
        let _event = member.poll(Duration::from_millis(20));
        let assigned = member.assignment().expect("an assignment");
        (assigned.count() > 0).then_some(())
    })
    .await;
    listener
        .post(OPERATOR, path, &wet)
        .await
        .refused(409, "group-running");
    assert_eq!(listener.audit().await.len(), 1);
}
