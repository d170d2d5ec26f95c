//! What the runner's tests share: claims as the api leaves them, records as the relay
//! writes them, and the service in the test's own process.

pub mod campaign;
pub mod tables;

use std::sync::LazyLock;
use std::time::Duration;

use chrono::Utc;
use headgate_consumers::config::{self, Config};
use headgate_consumers::{RunError, Service};
use headgate_groups::Group;
use headgate_outbox::partitions;
use headgate_outbox::write::EventWriter;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::CancellationToken;
use headgate_runtime::telemetry;
use headgate_schemas::codec::Encoder;
use headgate_schemas::headers as names_of_headers;
use headgate_schemas::ids::EventId;
use headgate_schemas::topics::{COUPONS, RETRY_PARTITIONS, TopicNames};
use headgate_testkit::servers::Servers;
use headgate_testkit::topic;
use headgate_testkit::{Environment, eventually};
use metrics_exporter_prometheus::PrometheusHandle;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinHandle;

/// The group under test.
pub const GROUP: &str = "coupon-issuance";
/// Longest wait for what has to happen.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// One test's installation, without a relay: the test writes the records itself.
pub struct Pipe {
    pub environment: Environment,
    pub names: TopicNames,
    pub registry: Registry,
    pub encoder: Encoder,
    pub writer: EventWriter,
    producer: FutureProducer,
}

impl Pipe {
    pub async fn new(test_name: &str) -> Self {
        Self::on(Servers::of_workspace(), test_name).await
    }

    pub async fn on(servers: Servers, test_name: &str) -> Self {
        let environment = Environment::on(servers, test_name).await;
        environment.migrate().await;
        partitions::ensure(environment.pool(), 2)
            .await
            .expect("day partitions are made");
        let names = TopicNames::with_prefix(environment.kafka_prefix());
        let config = config_of(&environment);
        let registry = Registry::new(&config.registry).expect("a client of the registry");
        registry
            .register_all(&names)
            .await
            .expect("schemas are registered");
        let bootstrap = environment.kafka_bootstrap();
        for group in Group::ALL {
            for of_group in group.topics() {
                topic::create(bootstrap, &names.public(of_group), of_group.partitions).await;
                let retry = names.retry(of_group, group.name());
                topic::create(bootstrap, &retry, RETRY_PARTITIONS).await;
            }
        }
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("partitioner", "murmur2_random")
            .set("acks", "all")
            .set("linger.ms", "5")
            .create()
            .expect("a producer");
        let encoder = registry.encoder(&names).await.expect("schema ids");
        let process = ProcessNumber::draw(environment.pool(), "test")
            .await
            .expect("a process number");
        let writer = EventWriter::new(
            registry.encoder(&names).await.expect("schema ids"),
            names.clone(),
            process,
        );
        Self {
            environment,
            names,
            registry,
            encoder,
            writer,
            producer,
        }
    }

    pub fn topic(&self) -> String {
        self.names.public(&COUPONS)
    }

    pub fn config(&self) -> Config {
        config_of(&self.environment)
    }

    /// Starts the service with its usual settings.
    pub async fn start(&self) -> Running {
        self.start_with(self.config()).await
    }

    pub async fn start_with(&self, config: Config) -> Running {
        let service = Service::build(config, metrics())
            .await
            .expect("the service is built");
        let health = format!("http://{}/health/ready", service.addresses().health);
        let stop = CancellationToken::new();
        let task = tokio::spawn(service.run_until(stop.clone()));
        Running { stop, task, health }
    }

    /// Writes records as the relay does, in order per key, and waits for Kafka.
    pub async fn publish<'r>(&self, records: impl IntoIterator<Item = &'r Outgoing>) {
        let topic = self.topic();
        let mut deliveries = Vec::new();
        for record in records {
            let headers = record
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: Some(value),
                    })
                });
            let mut sent = FutureRecord::<[u8], [u8]>::to(&topic).headers(headers);
            sent.key = record.key.as_deref();
            sent.payload = record.value.as_deref();
            sent.partition = record.partition;
            deliveries.push(
                self.producer
                    .send_result(sent)
                    .unwrap_or_else(|(error, _)| panic!("a record cannot be queued: {error}")),
            );
        }
        for delivery in deliveries {
            delivery
                .await
                .expect("the producer lives")
                .unwrap_or_else(|(error, _)| panic!("a record cannot be written: {error}"));
        }
    }

    /// Copies what the outbox holds for a topic to Kafka and removes it: the relay's
    /// work, by hand.
    pub async fn relay(&self, topic: &str) -> usize {
        tables::relay(self.environment.pool(), self.environment.kafka_bootstrap(), topic).await
    }

    /// The sum of a metric over the series of this test's topics.
    pub fn metric(&self, name: &str) -> f64 {
        let topic = format!("topic=\"{}", self.topic());
        metrics()
            .render()
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(&topic))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a partition of the test waits for a dependency.
    pub async fn waiting(&self) {
        eventually("a partition to wait for a dependency", PATIENCE, async || {
            (self.metric("headgate_consumer_waiting") > 0.0).then_some(())
        })
        .await;
    }

    /// Waits until the group has committed everything of its topics.
    pub async fn caught_up(&self) {
        let (bootstrap, group) = (self.environment.kafka_bootstrap(), self.names.group(GROUP));
        for topic in [self.topic(), self.names.retry(&COUPONS, GROUP)] {
            eventually(&format!("{group} to have read {topic}"), PATIENCE, async || {
                (topic::behind(bootstrap, &group, &topic).await == 0).then_some(())
            })
            .await;
        }
    }
}

/// What all services of this process measure.
pub fn metrics() -> PrometheusHandle {
    static RECORDER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
        telemetry::metrics_recorder()
            .and_then(|recorder| Ok(recorder.install_recorder()?))
            .expect("the only recorder")
    });
    RECORDER.clone()
}

fn config_of(environment: &Environment) -> Config {
    let mut config = config::load(None).expect("the defaults are in order");
    config.health.listen = "127.0.0.1:0".parse().expect("an address");
    config.jobs.enabled = false;
    // What it does with records it does as the others do; what it does beside has tests of its own.
    config.groups.notifications = false;
    config.mysql.url = environment.mysql_url();
    environment.redis_url().clone_into(&mut config.redis.url);
    config.redis.prefix = environment.redis_prefix();
    environment
        .kafka_bootstrap()
        .clone_into(&mut config.kafka.bootstrap);
    config.kafka.prefix = environment.kafka_prefix();
    environment.registry_url().clone_into(&mut config.registry.url);
    config
}

/// A record that is about to be written.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// `None`: where the key belongs.
    pub partition: Option<i32>,
}

impl Outgoing {
    /// A record of ours: its key, value and `CloudEvents` headers.
    pub fn of_event(event_id: EventId, event_type: &str, key: &str, value: Vec<u8>) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        Self {
            key: Some(key.as_bytes().to_vec()),
            value: Some(value),
            headers: vec![
                header(names_of_headers::CE_SPECVERSION, "1.0"),
                header(names_of_headers::CE_ID, &event_id.to_string()),
                header(names_of_headers::CE_TYPE, event_type),
                header(names_of_headers::CE_SOURCE, "/headgate"),
                header(names_of_headers::CE_SUBJECT, key),
                header(names_of_headers::CE_TIME, &Utc::now().to_rfc3339()),
                header(names_of_headers::CE_SEQUENCE, "1"),
            ],
            partition: None,
        }
    }

    #[must_use]
    pub fn at_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// The service, running in the test's process.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    health: String,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended
            .expect("the service stops in time")
            .expect("it does not panic")
            .expect("it stops without error");
    }

    /// What readiness says of one check.
    pub async fn says(&self, check: &str) -> String {
        let answer = reqwest::get(&self.health)
            .await
            .expect("the health listener answers");
        let said: serde_json::Value = answer.json().await.expect("readiness is JSON");
        said[check].as_str().unwrap_or_default().to_owned()
    }

    pub async fn wait_joined(&self) {
        eventually("the group to take the process in", PATIENCE, async || {
            (self.says("group").await == "ok").then_some(())
        })
        .await;
    }
}
