//! What is sent, how often, and to whom not.

use std::collections::BTreeSet;

use headgate_testkit::receiver::{Answers, Receiver};

use super::{Notified, until_received};
use crate::support::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_failed_is_sent_again_under_the_same_id() {
    let notified = Notified::new("notify_again").await;
    let receiver = Receiver::start().await;
    receiver.answer(Answers::With(500, None));
    let subscription = notified.webhook("hook", &receiver.url("/hooks?a=b")).await;
    notified.deliver(subscription, 1).await;
    let running = notified.pipe.start_with(notified.config()).await;
    until_received(&receiver, 3).await;
    receiver.answer(Answers::Well);
    notified
        .until("it to be delivered", "deliveries WHERE state = 'delivered'", 1)
        .await;
    running.stop().await;
    let requests = receiver.received();
    let ids: BTreeSet<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!(ids.len(), 1, "{requests:?}");
    assert_eq!(requests[0].path, "/hooks?a=b");
    assert_eq!(requests[0].header("ce-sequence"), "1");
    let forgotten = "deliveries WHERE body IS NULL AND last_error IS NULL AND lease IS NULL";
    assert_eq!(notified.count(forgotten).await, 1);
    assert_eq!(notified.count("subscriptions WHERE failures = 0").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_always_fails_is_dead_in_the_end() {
    let notified = Notified::new("notify_dead").await;
    let receiver = Receiver::start().await;
    receiver.answer(Answers::With(500, None));
    let subscription = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(subscription, 1).await;
    let mut config = notified.config();
    config.notifications.attempts_max = 3;
    let running = notified.pipe.start_with(config).await;
    notified
        .until("it to be given up", "deliveries WHERE state = 'dead'", 1)
        .await;
    running.stop().await;
    assert_eq!(receiver.count(), 3);
    assert!(notified.last_error().await.contains("500"));
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_private_addresses_are_refused_by_what_they_are() {
    let notified = Notified::new("notify_private").await;
    let receiver = Receiver::start().await;
    let mut urls = vec![
        receiver.url("/"),
        format!("http://[::ffff:127.0.0.1]:{}/", receiver.port()),
    ];
    // A bare root file system has no /etc/hosts, and so no name that leads here.
    if tokio::net::lookup_host(("localhost", receiver.port()))
        .await
        .is_ok()
    {
        urls.push(format!("http://localhost:{}/", receiver.port()));
    }
    for url in &urls {
        let subscription = notified.webhook(&url.replace('/', "."), url).await;
        notified.deliver(subscription, 1).await;
    }
    let mut config = notified.config();
    config.notifications.allow_private_addresses = false;
    config.notifications.attempts_max = 1;
    let running = notified.pipe.start_with(config).await;
    let refused = "deliveries WHERE state = 'dead' AND last_error LIKE '%private or local address%'";
    let all = i64::try_from(urls.len()).expect("few");
    notified.until("all to be refused", refused, all).await;
    running.stop().await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_nobody_is_redirected() {
    let notified = Notified::new("notify_redirect").await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    receiver.answer(Answers::Elsewhere(other.url("/")));
    let subscription = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(subscription, 1).await;
    let mut config = notified.config();
    config.notifications.attempts_max = 1;
    let running = notified.pipe.start_with(config).await;
    notified
        .until("it to be given up", "deliveries WHERE state = 'dead'", 1)
        .await;
    running.stop().await;
    assert_eq!((receiver.count(), other.count()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_hanging_endpoint_holds_nobody_up() {
    let notified = Notified::new("notify_hanging").await;
    let (hanging, well) = (Receiver::start().await, Receiver::start().await);
    hanging.answer(Answers::Never);
    let first = notified.webhook("hanging", &hanging.url("/")).await;
    notified.deliver(first, 20).await;
    let mut config = notified.config();
    // For as long as the test takes.
    config.notifications.timeout = PATIENCE * 2;
    config.notifications.lease = PATIENCE * 3;
    // Room for three, and two of them hang.
    config.notifications.in_flight_max = 3;
    config.notifications.in_flight_per_subscription_max = 2;
    let running = notified.pipe.start_with(config).await;
    until_received(&hanging, 2).await;
    let second = notified.webhook("well", &well.url("/")).await;
    notified.deliver(second, 20).await;
    notified
        .until(
            "the others to be delivered",
            "deliveries WHERE state = 'delivered'",
            20,
        )
        .await;
    assert_eq!((hanging.count(), well.count()), (2, 20));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_several_processes_send_each_delivery_once() {
    let notified = Notified::new("notify_shared").await;
    let receiver = Receiver::start().await;
    let subscription = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(subscription, 300).await;
    let first = notified.pipe.start_with(notified.config()).await;
    let second = notified.pipe.start_with(notified.config()).await;
    notified
        .until("all to be delivered", "deliveries WHERE state = 'delivered'", 300)
        .await;
    first.stop().await;
    second.stop().await;
    let requests = receiver.received();
    let ids: BTreeSet<&str> = requests
        .iter()
        .map(|request| request.header("webhook-id"))
        .collect();
    assert_eq!((requests.len(), ids.len()), (300, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_what_a_process_took_and_never_sent_is_sent_when_its_lease_is_over() {
    let notified = Notified::new("notify_lease").await;
    let receiver = Receiver::start().await;
    let subscription = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(subscription, 2).await;
    // One of them is in the hands of a process that is gone, the other in those of one that may live.
    notified
        .sql(
            "UPDATE deliveries SET lease = UNHEX(REPEAT('07', 16)), attempts = 1,
                 next_attempt_at = UTC_TIMESTAMP(6) + INTERVAL IF(sequence = 1, -1, 3600) SECOND",
        )
        .await;
    let running = notified.pipe.start_with(notified.config()).await;
    notified
        .until("one to be delivered", "deliveries WHERE state = 'delivered'", 1)
        .await;
    running.stop().await;
    let requests = receiver.received();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("ce-sequence"), "1");
}
