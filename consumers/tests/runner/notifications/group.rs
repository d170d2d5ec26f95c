//! What the group writes down.

use headgate_domain::notifications::{Payload, Sink, Url};
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::{ClaimAdmitted, CouponUsed};
use headgate_schemas::ids::{ClaimId, EventId};
use headgate_testkit::eventually;
use headgate_testkit::topic;

use super::Notified;
use crate::support::{Outgoing, PATIENCE};

/// Events of a partner that nobody else acts on.
fn used(notified: &Notified, partner_id: headgate_schemas::ids::PartnerId) -> Outgoing {
    let event = CouponUsed {
        coupon_id: ClaimId::generate(),
        campaign_id: headgate_schemas::ids::CampaignId::generate(),
        partner_id,
        user_id: "u-1".to_owned(),
        order_reference: "order-7".to_owned(),
        used_at: chrono::Utc::now().into(),
    };
    let value = notified.pipe.encoder.encode(&event).expect("it fits its schema");
    let key = event.coupon_id.to_string();
    Outgoing::of_event(EventId::generate(), CouponUsed::NAME, &key, value)
}

impl Notified {
    async fn caught_up(&self) {
        let environment = &self.pipe.environment;
        let (bootstrap, topic) = (environment.kafka_bootstrap(), self.pipe.topic());
        let group = self.pipe.names.group("notifications");
        eventually("the group to have read its topic", PATIENCE, async || {
            (topic::behind(bootstrap, &group, &topic).await == 0).then_some(())
        })
        .await;
    }

    /// Says of all subscriptions that they are about used coupons.
    async fn about_used_coupons(&self) {
        let types = format!("UPDATE subscriptions SET event_types = '{}'", CouponUsed::NAME);
        self.sql(&types).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_each_subscription_that_wants_an_event_gets_one_delivery_whatever_comes_again() {
    let notified = Notified::new("notify_once").await;
    let mut config = notified.config();
    config.notifications.enabled = false;
    let url = Url::new("https://shop.example/a").expect("a URL");
    for (name, payload) in [
        ("full", Payload::Full),
        ("zero", Payload::Zero),
        ("off", Payload::Full),
    ] {
        notified
            .subscribe(name, Sink::Webhook(url.clone()), payload)
            .await;
    }
    notified.about_used_coupons().await;
    notified.webhook("others", "https://shop.example/a").await;
    notified
        .sql("UPDATE subscriptions SET enabled = FALSE WHERE subscription_id = 'off'")
        .await;
    let stranger = headgate_schemas::ids::PartnerId::generate();
    let record = used(&notified, notified.partner_id);
    let running = notified.pipe.start_with(config.clone()).await;
    notified
        .pipe
        .publish([&record, &record, &used(&notified, stranger)])
        .await;
    notified.until("the deliveries", "deliveries", 2).await;
    notified.caught_up().await;
    running.stop().await;
    // Even where the inbox has forgotten that it was there.
    notified.sql("DELETE FROM inbox").await;
    let running = notified.pipe.start_with(config).await;
    notified.pipe.publish([&record]).await;
    notified
        .until("it to be read again", "inbox WHERE state = 'applied'", 1)
        .await;
    running.stop().await;
    assert_eq!(notified.count("deliveries").await, 2);
    let full = "deliveries d JOIN subscriptions s USING (subscription_no) WHERE s.subscription_id = 'full'
        AND d.sequence = 1 AND JSON_VALUE(CONVERT(d.body USING utf8mb4), '$.order_reference') = 'order-7'
        AND JSON_VALUE(CONVERT(d.body USING utf8mb4), '$.used_at') LIKE '20%Z'";
    assert_eq!(notified.count(full).await, 1);
    let zero = "deliveries d JOIN subscriptions s USING (subscription_no) WHERE s.subscription_id = 'zero'
        AND d.body IS NULL";
    assert_eq!(notified.count(zero).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_record_that_cannot_be_read_has_one_letter_and_holds_no_notification() {
    let notified = Notified::new("notify_poison").await;
    let mut config = notified.config();
    config.notifications.enabled = false;
    notified.webhook("hook", "https://shop.example/a").await;
    notified.about_used_coupons().await;
    let good = used(&notified, notified.partner_id);
    let poison = |event_type: &str| Outgoing {
        value: Some(b"no avro".to_vec()),
        ..Outgoing::of_event(EventId::generate(), event_type, "k-1", Vec::new())
    };
    let running = notified.pipe.start_with(config).await;
    notified
        .pipe
        .publish([&poison(ClaimAdmitted::NAME), &poison(CouponUsed::NAME), &good])
        .await;
    notified.until("the letters", "dead_letters", 2).await;
    notified.until("the delivery", "deliveries", 1).await;
    notified.caught_up().await;
    running.stop().await;
    let of_group = "dead_letters l JOIN consumer_groups g USING (group_no) WHERE g.name = 'notifications'";
    assert_eq!(notified.count(of_group).await, 0);
}
