//! E-mail.

use headgate_consumers::config::TlsMode;
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::ClaimAdmitted;
use headgate_testkit::mailbox::Mailbox;
use headgate_testkit::receiver::Receiver;

use super::Notified;

#[tokio::test(flavor = "multi_thread")]
async fn p7_an_email_says_what_happened() {
    let notified = Notified::new("notify_mail").await;
    let mailbox = Mailbox::start().await;
    let subscription = notified.email("mail", "kim@shop.example").await;
    notified.deliver(subscription, 1).await;
    let mut config = notified.config();
    config.notifications.smtp.host = "127.0.0.1".to_owned();
    config.notifications.smtp.port = mailbox.port();
    config.notifications.smtp.tls = TlsMode::None;
    config.notifications.smtp.from = "Headgate <headgate@mail.example>".to_owned();
    let running = notified.pipe.start_with(config).await;
    notified
        .until("it to be delivered", "deliveries WHERE state = 'delivered'", 1)
        .await;
    running.stop().await;
    let mails = mailbox.mails();
    assert_eq!(mails.len(), 1, "{mails:?}");
    let mail = &mails[0];
    assert_eq!(mail.from, "headgate@mail.example");
    assert_eq!(mail.to, ["kim@shop.example"]);
    assert_eq!(mail.header("Subject"), "Claim admitted");
    assert_eq!(mail.header("To"), "kim@shop.example");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    let id: String = sqlx::query_scalar("SELECT BIN_TO_UUID(delivery_id) FROM deliveries")
        .fetch_one(notified.pipe.environment.pool())
        .await
        .expect("a delivery");
    assert_eq!(mail.header("Message-ID"), format!("<{id}@mail.example>"));
    assert!(mail.data.contains(ClaimAdmitted::NAME), "{}", mail.data);
    assert!(mail.data.contains("user_id: u-1"), "{}", mail.data);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_without_a_mail_server_emails_wait_and_webhooks_do_not() {
    let notified = Notified::new("notify_no_mail").await;
    let receiver = Receiver::start().await;
    let mail = notified.email("mail", "kim@shop.example").await;
    notified.deliver(mail, 1).await;
    let hook = notified.webhook("hook", &receiver.url("/")).await;
    notified.deliver(hook, 1).await;
    let running = notified.pipe.start_with(notified.config()).await;
    notified
        .until(
            "the other to be delivered",
            "deliveries WHERE state = 'delivered'",
            1,
        )
        .await;
    running.stop().await;
    let waits = "deliveries WHERE state = 'pending' AND attempts = 0";
    assert_eq!(notified.count(waits).await, 1);
}
