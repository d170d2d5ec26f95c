//! Notifications: what the group writes down, and what the sender makes of it, against an endpoint
//! and a mail server that are there.

mod circuit;
mod group;
mod mail;
mod sending;
mod tidying;

use std::time::Duration;

use chrono::Utc;
use headgate_consumers::Config;
use headgate_domain::notifications::store::{self, NewDelivery};
use headgate_domain::notifications::{Address, EventTypes, NewSubscription, Payload, Sink, Url};
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::ClaimAdmitted;
use headgate_schemas::ids::{EventId, PartnerId};
use headgate_schemas::names::SubscriptionId;
use headgate_testkit::eventually;
use headgate_testkit::receiver::Receiver;

use crate::support::{PATIENCE, Pipe, tables};

const SOON: Duration = Duration::from_millis(20);

/// A partner with subscriptions.
struct Notified {
    pipe: Pipe,
    partner_no: u32,
    partner_id: PartnerId,
}

impl Notified {
    async fn new(test: &str) -> Self {
        let pipe = Pipe::new(test).await;
        let partner_id = PartnerId::generate();
        let partner_no = sqlx::query("INSERT INTO partners (partner_id, name) VALUES (?, 'shop')")
            .bind(partner_id)
            .execute(pipe.environment.pool())
            .await
            .expect("a partner")
            .last_insert_id();
        Self {
            pipe,
            partner_id,
            partner_no: u32::try_from(partner_no).expect("a small number"),
        }
    }

    /// Settings under which nothing takes long, nothing is given up or left alone before the test
    /// says so, and its own endpoint is allowed.
    fn config(&self) -> Config {
        let mut config = self.pipe.config();
        config.groups.notifications = true;
        config.notifications.poll_every = SOON;
        config.notifications.pause_first = SOON;
        config.notifications.pause_longest = SOON;
        config.notifications.attempts_max = 1_000_000;
        config.notifications.circuit_failures = 1_000_000;
        config.notifications.allow_private_addresses = true;
        config
    }

    /// Makes a subscription to claims; its number.
    async fn subscribe(&self, name: &str, sink: Sink, payload: Payload) -> u32 {
        let wanted = NewSubscription {
            sink,
            event_types: EventTypes::new([ClaimAdmitted::NAME]).expect("an event"),
            payload,
            enabled: true,
        };
        let name = SubscriptionId::new(name).expect("a name");
        let pool = self.pipe.environment.pool();
        let mut transaction = pool.begin().await.expect("a transaction");
        let put = store::put(&mut transaction, self.partner_no, &name, &wanted, Utc::now())
            .await
            .expect("a subscription");
        transaction.commit().await.expect("a commit");
        put.subscription.subscription_no
    }

    async fn webhook(&self, name: &str, url: &str) -> u32 {
        let url = Url::new(url).expect("a URL");
        self.subscribe(name, Sink::Webhook(url), Payload::Full).await
    }

    async fn email(&self, name: &str, address: &str) -> u32 {
        let address = Address::new(address).expect("an address");
        self.subscribe(name, Sink::Email(address), Payload::Full).await
    }

    /// Writes so many deliveries, as the group does.
    async fn deliver(&self, subscription_no: u32, deliveries: u64) {
        let deliveries: Vec<NewDelivery> = (1..=deliveries)
            .map(|sequence| NewDelivery {
                subscription_no,
                event_id: EventId::generate(),
                event_type: ClaimAdmitted::NAME.to_owned(),
                aggregate_id: "a-1".to_owned(),
                sequence: Some(sequence),
                event_time: Utc::now(),
                body: Some(br#"{"user_id":"u-1"}"#.to_vec()),
            })
            .collect();
        let pool = self.pipe.environment.pool();
        let mut transaction = pool.begin().await.expect("a transaction");
        store::insert(&mut transaction, &deliveries, Utc::now())
            .await
            .expect("deliveries");
        transaction.commit().await.expect("a commit");
    }

    async fn count(&self, from: &str) -> i64 {
        tables::count(self.pipe.environment.pool(), from).await
    }

    async fn until(&self, what: &str, from: &str, rows: i64) {
        eventually(what, PATIENCE, async || {
            (self.count(from).await == rows).then_some(())
        })
        .await;
    }

    async fn sql(&self, statement: &str) {
        sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(self.pipe.environment.pool())
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The last error of any delivery.
    async fn last_error(&self) -> String {
        let error: Option<String> =
            sqlx::query_scalar("SELECT last_error FROM deliveries WHERE last_error IS NOT NULL LIMIT 1")
                .fetch_optional(self.pipe.environment.pool())
                .await
                .expect("MySQL answers");
        error.unwrap_or_default()
    }
}

/// Until an endpoint was sent so much.
async fn until_received(receiver: &Receiver, count: usize) {
    eventually("requests to arrive", PATIENCE, async || {
        (receiver.count() >= count).then_some(())
    })
    .await;
}
