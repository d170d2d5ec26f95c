//! Removing what a test made on shared servers: best effort and bounded, because the
//! test may have broken a server on purpose.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, Producer};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use crate::environment::options;
use crate::servers::Servers;

/// Longest time that one server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keys that one SCAN looks at.
const SCAN_KEYS: usize = 1_000;

/// Removes everything under `name`. What fails is said on stderr.
pub(crate) fn remove(servers: &Servers, name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let (mysql, redis, kafka) = tokio::join!(
            tokio::time::timeout(PATIENCE, drop_database(servers, name)),
            tokio::time::timeout(PATIENCE, delete_keys(servers, name)),
            tokio::time::timeout(PATIENCE, delete_topics(servers, name)),
        );
        for (server, outcome) in [
            (
                "MySQL",
                mysql.map(|outcome| outcome.map_err(|error| error.to_string())),
            ),
            (
                "Redis",
                redis.map(|outcome| outcome.map_err(|error| error.to_string())),
            ),
            (
                "Kafka",
                kafka.map(|outcome| outcome.map_err(|error| error.to_string())),
            ),
        ] {
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("{server}: what {name} held is not removed: {error}"),
                Err(_) => eprintln!("{server}: what {name} held is not removed: no answer"),
            }
        }
    });
}

async fn drop_database(servers: &Servers, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = MySqlConnection::connect_with(&options(servers)).await?;
    let drop = format!("DROP DATABASE IF EXISTS headgate_{name}");
    sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await?;
    connection.close().await
}

async fn delete_keys(servers: &Servers, name: &str) -> redis::RedisResult<()> {
    let client = redis::Client::open(servers.redis_url.as_str())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut cursor = 0_u64;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{name}:*"))
            .arg("COUNT")
            .arg(SCAN_KEYS)
            .query_async(&mut connection)
            .await?;
        if !keys.is_empty() {
            let _deleted: u64 = redis::cmd("UNLINK")
                .arg(keys)
                .query_async(&mut connection)
                .await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

async fn delete_topics(servers: &Servers, name: &str) -> rdkafka::error::KafkaResult<()> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &servers.kafka_bootstrap)
        .set("log_level", "0");
    let bootstrap = config.clone();
    let topics = tokio::task::spawn_blocking(move || topics_of(&bootstrap))
        .await
        .unwrap_or_else(|_| Ok(Vec::new()))?;
    let prefix = format!("{name}.");
    let own: Vec<_> = topics
        .iter()
        .filter(|topic| topic.starts_with(&prefix))
        .map(String::as_str)
        .collect();
    if !own.is_empty() {
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        admin
            .delete_topics(&own, &AdminOptions::new().request_timeout(Some(PATIENCE)))
            .await?;
    }
    Ok(())
}

fn topics_of(config: &ClientConfig) -> rdkafka::error::KafkaResult<Vec<String>> {
    let producer: BaseProducer = config.create()?;
    let metadata = producer.client().fetch_metadata(None, PATIENCE)?;
    Ok(metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned())
        .collect())
}
