//! Leases and probes of deliveries, against a real MySQL.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use headgate_domain::notifications::store::{self, Failed, NewDelivery, Taken};
use headgate_domain::notifications::{EventTypes, NewSubscription, Payload, Sink, Url};
use headgate_runtime::mysql;
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::points::PointsUsed;
use headgate_schemas::ids::{EventId, PartnerId};
use headgate_schemas::names::SubscriptionId;
use headgate_testkit::Environment;
use sqlx::{MySql, MySqlPool, Transaction};

const LEASE: Duration = Duration::from_mins(1);

/// An endpoint with so many deliveries that are due.
struct Endpoint {
    /// As the product's: what is locked depends on how isolated a session is.
    pool: MySqlPool,
    _environment: Environment,
    subscription_no: u32,
}

fn start() -> DateTime<Utc> {
    "2026-11-21T00:00:00Z".parse().expect("a time")
}

fn seconds(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

impl Endpoint {
    async fn new(test: &str, deliveries: u64) -> Self {
        let environment = Environment::migrated(test).await;
        let config = mysql::Config {
            url: environment.mysql_url(),
            connections_max: 12,
            acquire_timeout: LEASE,
            lock_wait_timeout_s: 60,
            select_timeout: LEASE,
        };
        let pool = mysql::pool(&config).expect("a pool");
        sqlx::query("INSERT INTO partners (partner_no, partner_id, name) VALUES (1, ?, 'p')")
            .bind(PartnerId::generate())
            .execute(&pool)
            .await
            .expect("a partner");
        let wanted = NewSubscription {
            sink: Sink::Webhook(Url::new("https://shop.example/").expect("a URL")),
            event_types: EventTypes::new([PointsUsed::NAME]).expect("an event"),
            payload: Payload::Zero,
            enabled: true,
        };
        let name = SubscriptionId::new("hook").expect("a name");
        let mut transaction = pool.begin().await.expect("a transaction");
        let put = store::put(&mut transaction, 1, &name, &wanted, start())
            .await
            .expect("a subscription");
        let subscription_no = put.subscription.subscription_no;
        let deliveries: Vec<NewDelivery> = (0..deliveries)
            .map(|_| NewDelivery {
                subscription_no,
                event_id: EventId::generate(),
                event_type: PointsUsed::NAME.to_owned(),
                aggregate_id: "w-1".to_owned(),
                sequence: None,
                event_time: start(),
                body: None,
            })
            .collect();
        store::insert(&mut transaction, &deliveries, start())
            .await
            .expect("deliveries");
        transaction.commit().await.expect("a commit");
        Self {
            pool,
            _environment: environment,
            subscription_no,
        }
    }

    async fn begin(&self) -> Transaction<'_, MySql> {
        self.pool.begin().await.expect("a transaction")
    }

    async fn take(&self, now: DateTime<Utc>, most: u32) -> Vec<Taken> {
        let mut transaction = self.begin().await;
        let taken = store::take(&mut transaction, self.subscription_no, now, LEASE, most).await;
        transaction.commit().await.expect("a commit");
        taken.expect("deliveries")
    }

    async fn delivered(&self, taken: &Taken, now: DateTime<Utc>) -> bool {
        let mut transaction = self.begin().await;
        let is_ours = store::delivered(&mut transaction, taken, now)
            .await
            .expect("an answer");
        transaction.commit().await.expect("a commit");
        is_ours
    }

    /// Fails, and is left alone until then.
    async fn failed(&self, taken: &Taken, now: DateTime<Utc>, rests_until: DateTime<Utc>) -> bool {
        let mut transaction = self.begin().await;
        let failed = Failed {
            error: "no",
            again_at: Some(now),
            asked_until: None,
            is_gone: false,
            circuit_failures: 1,
            rests_until,
        };
        let is_ours = store::failed(&mut transaction, taken, &failed, now)
            .await
            .expect("an answer");
        transaction.commit().await.expect("a commit");
        is_ours
    }

    async fn states(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT CAST(state AS CHAR) FROM deliveries ORDER BY delivery_no")
            .fetch_all(&self.pool)
            .await
            .expect("states")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_whoever_lost_its_lease_says_nothing_of_the_delivery_any_more() {
    let endpoint = Endpoint::new("delivery_lease", 1).await;
    let first = endpoint.take(start(), 5).await;
    assert_eq!((first.len(), first[0].attempt), (1, 1));
    assert!(endpoint.take(seconds(59), 5).await.is_empty(), "it is leased");
    let second = endpoint.take(seconds(60), 5).await;
    assert_eq!(
        (second[0].attempt, second[0].delivery_id),
        (2, first[0].delivery_id)
    );
    assert!(!endpoint.failed(&first[0], seconds(61), seconds(99)).await);
    assert!(!endpoint.delivered(&first[0], seconds(61)).await);
    assert_eq!(endpoint.states().await, ["pending"]);
    assert!(endpoint.delivered(&second[0], seconds(62)).await);
    assert!(
        !endpoint.failed(&second[0], seconds(63), seconds(99)).await,
        "it is settled"
    );
    assert_eq!(endpoint.states().await, ["delivered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_one_of_many_has_the_probe() {
    let endpoint = Endpoint::new("delivery_probe", 20).await;
    let first = endpoint.take(start(), 1).await;
    assert!(endpoint.failed(&first[0], seconds(1), seconds(100)).await);
    assert!(endpoint.take(seconds(99), 5).await.is_empty(), "it rests");
    // Two look at the same time: the rows of the first are locked, and the second finds others.
    let (mut one, mut other) = (endpoint.begin().await, endpoint.begin().await);
    let (subscription_no, now) = (endpoint.subscription_no, seconds(100));
    let taken = store::take(&mut one, subscription_no, now, LEASE, 5)
        .await
        .expect("deliveries");
    assert_eq!(taken.len(), 1);
    let second = store::take(&mut other, subscription_no, now, LEASE, 5);
    let (second, ()) = tokio::join!(second, async { one.commit().await.expect("a commit") });
    assert!(second.expect("deliveries").is_empty());
    other.rollback().await.expect("a rollback");
    assert!(
        endpoint.take(seconds(101), 5).await.is_empty(),
        "somebody asks it"
    );
    assert!(endpoint.delivered(&taken[0], seconds(102)).await);
    assert_eq!(endpoint.take(seconds(103), 5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_many_processes_take_each_delivery_once() {
    let endpoint = Endpoint::new("delivery_shared", 200).await;
    let taking = (0..10).map(|_| async {
        let mut taken = Vec::new();
        loop {
            let more = endpoint.take(start(), 7).await;
            if more.is_empty() {
                return taken;
            }
            taken.extend(more.into_iter().map(|taken| taken.delivery_no));
        }
    });
    let mut taken: Vec<u64> = futures::future::join_all(taking).await.concat();
    // Whoever found only rows that others had locked has gone home early.
    taken.extend(
        endpoint
            .take(start(), 200)
            .await
            .iter()
            .map(|taken| taken.delivery_no),
    );
    taken.sort_unstable();
    let count = taken.len();
    taken.dedup();
    assert_eq!((taken.len(), count), (200, 200));
}
