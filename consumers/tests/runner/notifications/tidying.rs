//! What is not kept for ever.

use super::{Notified, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn p7_old_deliveries_are_given_up_and_removed() {
    let notified = Notified::new("notify_old").await;
    let kept = notified.webhook("kept", "https://shop.example/a").await;
    let ended = notified.webhook("ended", "https://shop.example/a").await;
    notified.deliver(kept, 6).await;
    notified.deliver(ended, 3).await;
    notified
        .sql("DELETE FROM subscriptions WHERE subscription_id = 'ended'")
        .await;
    for (sequence, state, days) in [
        (1, "delivered", 8),
        (2, "delivered", 6),
        (3, "dead", 31),
        (4, "dead", 29),
        (5, "pending", 4),
        (6, "pending", 2),
    ] {
        let age = format!(
            "UPDATE deliveries SET state = '{state}', waits_since = UTC_TIMESTAMP(6) - INTERVAL {days} DAY,
                 settled_at = IF('{state}' = 'pending', NULL, UTC_TIMESTAMP(6))
             WHERE subscription_no = {kept} AND sequence = {sequence}"
        );
        notified.sql(&age).await;
    }
    let mut config = notified.config();
    config.notifications.enabled = false;
    config.jobs.enabled = true;
    config.jobs.retain_every = SOON;
    let running = notified.pipe.start_with(config).await;
    notified
        .until("the old ones to be removed", "deliveries", 4)
        .await;
    notified
        .until(
            "one to be given up",
            "deliveries WHERE sequence = 5 AND state = 'dead'",
            1,
        )
        .await;
    running.stop().await;
    let left = "deliveries WHERE sequence IN (2, 4, 5, 6)";
    assert_eq!(notified.count(left).await, 4);
    assert_eq!(notified.count("deliveries WHERE state = 'pending'").await, 1);
}
