//! The servers' own words on versions and on what they make durable.

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use sqlx::Row as _;
use sqlx::mysql::MySqlPoolOptions;

use super::servers::Servers;

/// A setting as a server reports it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Whose.
    pub server: &'static str,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

const MYSQL: [&str; 9] = [
    "version",
    "innodb_flush_log_at_trx_commit",
    "sync_binlog",
    "innodb_flush_method",
    "innodb_doublewrite",
    "log_bin",
    "innodb_buffer_pool_size",
    "innodb_redo_log_capacity",
    "performance_schema",
];
const REDIS: [&str; 3] = ["appendonly", "appendfsync", "maxmemory-policy"];
const KAFKA: [&str; 3] = [
    "min.insync.replicas",
    "default.replication.factor",
    "log.flush.interval.messages",
];

/// Asks every server.
pub async fn read(servers: &Servers) -> anyhow::Result<Vec<Setting>> {
    let mut settings = mysql(servers).await.context("ask MySQL for its settings")?;
    settings.extend(redis(servers).await.context("ask Redis for its settings")?);
    settings.extend(kafka(servers).await.context("ask Kafka for its settings")?);
    Ok(settings)
}

async fn mysql(servers: &Servers) -> anyhow::Result<Vec<Setting>> {
    let pool = MySqlPoolOptions::new()
        .max_connections(1)
        .connect(&servers.mysql_url)
        .await?;
    let names = MYSQL.map(|name| format!("'{name}'")).join(", ");
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"
    )))
    .fetch_all(&pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Setting {
                server: "mysql",
                name: row.try_get(0)?,
                value: row.try_get(1)?,
            })
        })
        .collect()
}

async fn redis(servers: &Servers) -> anyhow::Result<Vec<Setting>> {
    let client = redis::Client::open(servers.redis_url.as_str())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut settings = Vec::new();
    for name in REDIS {
        let (name, value): (String, String) = redis::cmd("CONFIG")
            .arg("GET")
            .arg(name)
            .query_async(&mut connection)
            .await?;
        settings.push(Setting {
            server: "redis",
            name,
            value,
        });
    }
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    settings.push(Setting {
        server: "redis",
        name: "version".to_owned(),
        value: version.unwrap_or("unknown").to_owned(),
    });
    Ok(settings)
}

/// The only broker of a local stack.
const BROKER: i32 = 1;

async fn kafka(servers: &Servers) -> anyhow::Result<Vec<Setting>> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &servers.kafka)
        .create()?;
    let answers = admin
        .describe_configs([&ResourceSpecifier::Broker(BROKER)], &AdminOptions::new())
        .await?;
    let mut settings = Vec::new();
    for broker in answers {
        let broker = broker.map_err(|code| anyhow::anyhow!("Kafka answers {code}"))?;
        for entry in broker.entries {
            if KAFKA.contains(&entry.name.as_str()) {
                settings.push(Setting {
                    server: "kafka",
                    name: entry.name,
                    value: entry.value.unwrap_or_default(),
                });
            }
        }
    }
    Ok(settings)
}
