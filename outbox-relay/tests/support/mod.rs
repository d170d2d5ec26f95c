//! A relay stepped by hand, on the real servers, in an environment of the test's own.
#![expect(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use chrono::Utc;
use headgate_outbox::bucket::Bucket;
use headgate_outbox::id::IdSource;
use headgate_outbox::write::{EventWriter, OutboxRow, Predecessor};
use headgate_relay::config::{self, Config};
use headgate_relay::ownership::HeldBucket;
use headgate_relay::publisher::{Publisher, Round};
use headgate_runtime::mysql;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::CancellationToken;
use headgate_schemas::event::coupons::CouponUsed;
use headgate_schemas::ids::{CampaignId, ClaimId, EventId, PartnerId};
use headgate_schemas::topics::{CATALOGUE, COUPONS, TopicNames};
use headgate_testkit::Environment;
use headgate_testkit::servers::Servers;
use headgate_testkit::topic::{self, Record};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use sqlx::MySqlPool;

/// Longest wait for something to become true.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Longer than any test.
pub const FOR_LONG: Duration = Duration::from_hours(1);

/// A migrated database, topics and schemas, and rows to write into them.
pub struct World {
    pub environment: Environment,
    pub pool: MySqlPool,
    pub registry: Registry,
    pub config: Config,
    pub writer: EventWriter,
    pub ids: IdSource,
}

impl World {
    pub async fn new(test: &str) -> Self {
        Self::on(Servers::of_workspace(), test).await
    }

    pub async fn on(servers: Servers, test: &str) -> Self {
        let environment = Environment::on(servers, test).await;
        environment.migrate().await;
        let config = config(&environment);
        let pool = mysql::pool(&config.mysql).expect("the address is readable");
        let names = names(&environment);
        for of_catalogue in CATALOGUE {
            topic::create(
                environment.kafka_bootstrap(),
                &names.public(of_catalogue),
                of_catalogue.partitions,
            )
            .await;
        }
        let registry = Registry::new(&config.registry).expect("the address is readable");
        registry.register_all(&names).await.expect("the registry answers");
        let encoder = registry.encoder(&names).await.expect("the registry answers");
        let process = ProcessNumber::from(9);
        Self {
            pool,
            registry,
            config,
            writer: EventWriter::new(encoder, names, process),
            ids: IdSource::new(process),
            environment,
        }
    }

    /// The topic of coupons.
    pub fn topic(&self) -> String {
        self.writer.names().public(&COUPONS)
    }

    /// An event of our own about `aggregate`, which need not look like an id.
    pub fn event(&self, aggregate: &str, sequence: u64) -> OutboxRow {
        let mut row = self
            .writer
            .row(&event(), Predecessor::default(), Utc::now(), None)
            .expect("the event fits its schema");
        row.bucket = Bucket::of(aggregate);
        aggregate.clone_into(&mut row.aggregate_id);
        row.sequence = sequence;
        row
    }

    /// Commits rows, in one transaction.
    pub async fn write(&self, rows: &[OutboxRow]) {
        let mut transaction = self.pool.begin().await.expect("MySQL answers");
        EventWriter::write(&mut transaction, rows)
            .await
            .expect("the rows are new");
        transaction.commit().await.expect("the commit is answered");
    }

    /// A publisher that is stepped by hand.
    pub fn publisher(&self) -> Publisher {
        self.publisher_with(&self.config, 1)
    }

    pub fn publisher_with(&self, config: &Config, process: u64) -> Publisher {
        let process = ProcessNumber::from(process);
        let stop = CancellationToken::new();
        Publisher::new(config, self.pool.clone(), self.registry.clone(), process, stop)
            .expect("the settings are good")
    }

    /// Holds a bucket for long.
    pub async fn hold(&self, bucket: Bucket) -> HeldBucket {
        self.hold_as(bucket, "test", FOR_LONG).await
    }

    pub async fn hold_as(&self, bucket: Bucket, holder: &str, duration: Duration) -> HeldBucket {
        HeldBucket::take(&self.pool, bucket, holder, duration)
            .await
            .expect("MySQL answers")
            .expect("the bucket is free")
    }

    /// Steps until nothing is left to do at once.
    pub async fn drain(&self, publisher: &mut Publisher, held: &[HeldBucket]) -> Vec<Round> {
        let mut rounds = Vec::new();
        loop {
            let round = publisher.step(held).await.expect("the servers answer");
            let done = round.read == 0;
            rounds.push(round);
            if done {
                return rounds;
            }
        }
    }

    /// Every record of the topic of coupons.
    pub async fn records(&self) -> Vec<Record> {
        topic::read(self.environment.kafka_bootstrap(), &self.topic()).await
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &'static str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}")))
            .fetch_one(&self.pool)
            .await
            .expect("MySQL answers")
    }
}

/// Sequences of an aggregate's records, in the order of Kafka.
pub fn sequences(records: &[Record], aggregate: &str) -> Vec<u64> {
    let of_aggregate = records
        .iter()
        .filter(|record| record.key_text() == Some(aggregate));
    of_aggregate
        .map(|record| {
            record
                .header("ce_sequence")
                .and_then(|text| text.parse().ok())
                .expect("a sequence")
        })
        .collect()
}

/// Without repeated occurrences.
pub fn first_occurrences(sequences: &[u64]) -> Vec<u64> {
    let mut seen = std::collections::HashSet::new();
    sequences
        .iter()
        .copied()
        .filter(|sequence| seen.insert(*sequence))
        .collect()
}

fn event() -> CouponUsed {
    CouponUsed {
        coupon_id: ClaimId::generate(),
        campaign_id: CampaignId::generate(),
        partner_id: PartnerId::generate(),
        user_id: "u-1".to_owned(),
        order_reference: "order-7".to_owned(),
        used_at: Utc::now().into(),
    }
}

/// A record that is copied as it is.
pub fn event_id() -> EventId {
    EventId::generate()
}

fn names(environment: &Environment) -> TopicNames {
    TopicNames::with_prefix(environment.kafka_prefix())
}

fn config(environment: &Environment) -> Config {
    let mut config = config::load(None).expect("the defaults are good");
    config.health.listen = ([127, 0, 0, 1], 0).into();
    config.mysql.url = environment.mysql_url();
    environment.redis_url().clone_into(&mut config.redis.url);
    config.redis.prefix = environment.redis_prefix();
    environment
        .kafka_bootstrap()
        .clone_into(&mut config.kafka.bootstrap);
    config.kafka.prefix = environment.kafka_prefix();
    environment.registry_url().clone_into(&mut config.registry.url);
    // Steps follow each other at once.
    config.relay.retry_after = Duration::ZERO;
    config
}

/// Makes a topic of one partition with settings of its own.
pub async fn create_with(world: &World, topic: &str, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        world.config.kafka.client().create().expect("an admin client");
    let wanted = settings.iter().fold(
        NewTopic::new(topic, 1, TopicReplication::Fixed(1)),
        |topic, (key, value)| topic.set(key, value),
    );
    let made = admin
        .create_topics([&wanted], &AdminOptions::new())
        .await
        .expect("Kafka answers");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}
