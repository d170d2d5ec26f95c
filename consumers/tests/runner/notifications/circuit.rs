//! Endpoints that are left alone.

use headgate_testkit::receiver::{Answers, Receiver};

use super::{Notified, until_received};
use crate::support::PATIENCE;

/// The circuit is open, and for long.
const RESTS: &str = "subscriptions WHERE rests_until > UTC_TIMESTAMP(6) + INTERVAL 50 MINUTE";
/// The rest is over.
const AWAKE: &str = "UPDATE subscriptions SET rests_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND";

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_endpoint_that_fails_in_a_row_is_left_alone_and_then_asked_once() {
    let notified = Notified::new("notify_circuit").await;
    let receiver = Receiver::start().await;
    receiver.answer(Answers::With(500, None));
    let subscription = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(subscription, 20).await;
    let mut config = notified.config();
    config.notifications.in_flight_per_subscription_max = 1;
    config.notifications.circuit_failures = 3;
    config.notifications.circuit_rest = std::time::Duration::from_hours(1);
    let running = notified.pipe.start_with(config.clone()).await;
    notified.until("the circuit to open", RESTS, 1).await;
    assert_eq!(receiver.count(), 3);

    // The probe fails: another rest.
    notified.sql(AWAKE).await;
    notified.until("the circuit to open again", RESTS, 1).await;
    assert_eq!(receiver.count(), 4);
    running.stop().await;

    // The probe hangs: meanwhile nothing else is sent, though there is room.
    receiver.answer(Answers::Never);
    notified.sql(AWAKE).await;
    config.notifications.in_flight_per_subscription_max = 4;
    // For as long as the test takes.
    config.notifications.timeout = PATIENCE * 2;
    config.notifications.lease = PATIENCE * 3;
    let running = notified.pipe.start_with(config.clone()).await;
    let other = notified.pipe.start_with(config.clone()).await;
    until_received(&receiver, 5).await;
    let well = Receiver::start().await;
    let second = notified.webhook("well", &well.url("/")).await;
    notified.deliver(second, 20).await;
    until_received(&well, 20).await;
    assert_eq!(receiver.count(), 5);
    running.stop().await;
    other.stop().await;

    // The probe succeeds: everything goes.
    receiver.answer(Answers::Well);
    notified.sql(AWAKE).await;
    notified
        .sql("UPDATE deliveries SET next_attempt_at = UTC_TIMESTAMP(6) WHERE state = 'pending'")
        .await;
    let running = notified.pipe.start_with(config).await;
    notified
        .until("all to be delivered", "deliveries WHERE state = 'delivered'", 40)
        .await;
    running.stop().await;
    let closed = "subscriptions WHERE rests_until IS NULL AND failures = 0 AND last_failure LIKE '%500%'";
    assert_eq!(notified.count(closed).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_endpoint_that_asks_to_be_left_alone_is() {
    let notified = Notified::new("notify_retry_after").await;
    let receiver = Receiver::start().await;
    receiver.answer(Answers::With(429, Some("3600".to_owned())));
    let subscription = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(subscription, 5).await;
    let mut config = notified.config();
    config.notifications.in_flight_per_subscription_max = 1;
    config.notifications.pause_longest = std::time::Duration::from_hours(6);
    let running = notified.pipe.start_with(config).await;
    notified.until("the endpoint to rest", RESTS, 1).await;
    running.stop().await;
    assert_eq!(receiver.count(), 1);
    let asked = "deliveries d JOIN subscriptions s USING (subscription_no) WHERE d.last_error LIKE '%429%'
        AND TIMESTAMPDIFF(SECOND, s.last_failure_at, d.next_attempt_at) = 3600";
    assert_eq!(notified.count(asked).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_endpoint_that_is_gone_is_sent_nothing_more() {
    let notified = Notified::new("notify_gone").await;
    let receiver = Receiver::start().await;
    receiver.answer(Answers::With(410, None));
    let subscription = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(subscription, 5).await;
    let mut config = notified.config();
    config.notifications.in_flight_per_subscription_max = 1;
    let running = notified.pipe.start_with(config.clone()).await;
    let disabled = "subscriptions WHERE NOT enabled AND is_gone";
    notified
        .until("the subscription to be disabled", disabled, 1)
        .await;
    running.stop().await;
    assert_eq!(receiver.count(), 1);
    assert_eq!(notified.count("deliveries WHERE state = 'dead'").await, 1);
    // The partner wants it again: the rest goes.
    receiver.answer(Answers::Well);
    notified.webhook("hook", &receiver.url("/")).await;
    let running = notified.pipe.start_with(config).await;
    notified
        .until(
            "the rest to be delivered",
            "deliveries WHERE state = 'delivered'",
            4,
        )
        .await;
    running.stop().await;
    assert_eq!(
        notified
            .count("subscriptions WHERE enabled AND NOT is_gone")
            .await,
        1
    );
}
