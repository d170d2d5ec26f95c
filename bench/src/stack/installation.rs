//! An installation of the product for one row: a database, topics and names of its
//! own, so that no row meets what another has left.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use chrono::{Duration, Utc};
use headgate_domain::partners::{Rates, Scopes, store};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Deserialize;
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;
use tokio::process::Command;

use super::process::{self, Process};
use super::servers::{self, Servers};

/// Connections of this program to the database.
const CONNECTIONS: u32 = 4;
/// How long campaigns stay open.
const OPEN: Duration = Duration::hours(6);
const DISCOUNT: u32 = 1_000;
const KEYS_PER_SCAN: u32 = 1_000;
const KAFKA_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(15);

/// What an operator presents: a random secret elsewhere.
pub const OPERATOR_TOKEN: &str = "hgo_bench_0000000000000000";

/// A service of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// headgate-api
    Api,
    /// headgate-relay
    Relay,
    /// headgate-consumers
    Consumers,
    /// headgate-operator
    Operator,
}

impl Service {
    const fn program(self) -> &'static str {
        match self {
            Self::Api => "headgate-api",
            Self::Relay => "headgate-relay",
            Self::Consumers => "headgate-consumers",
            Self::Operator => "headgate-operator",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Relay => "relay",
            Self::Consumers => "consumers",
            Self::Operator => "operator",
        }
    }

    /// Whether it has a listener beside the one for its health.
    const fn serves(self) -> bool {
        matches!(self, Self::Api | Self::Operator)
    }
}

/// A migrated database with a partner, topics and registered schemas.
#[derive(Debug)]
pub struct Installation {
    /// The database.
    pub pool: MySqlPool,
    /// The partner's key.
    pub api_key: String,
    /// What our programs are told, as a user would.
    pub variables: Vec<(String, String)>,
    /// Before the names of topics and groups.
    pub kafka_prefix: String,
    /// Before the keys in Redis.
    pub redis_prefix: String,
    database: String,
    servers: Servers,
    logs: PathBuf,
}

impl Installation {
    /// Makes one, named after the row and this process; `settings` replace defaults.
    pub async fn make(servers: &Servers, row: &str, settings: &[(String, String)]) -> anyhow::Result<Self> {
        let name = format!("{}_{}", row.replace('-', "_"), std::process::id());
        let database = format!("headgate_bench_{name}");
        let (kafka_prefix, redis_prefix) = (format!("bench.{name}."), format!("bench:{name}:"));
        let mut variables = vec![
            ("MYSQL_URL".to_owned(), servers.mysql_url_of(&database)),
            ("REDIS_URL".to_owned(), servers.redis_url.clone()),
            ("KAFKA_BOOTSTRAP".to_owned(), servers.kafka.clone()),
            ("SCHEMA_REGISTRY_URL".to_owned(), servers.registry_url.clone()),
            ("HEADGATE_KAFKA__PREFIX".to_owned(), kafka_prefix.clone()),
            ("HEADGATE_REDIS__PREFIX".to_owned(), redis_prefix.clone()),
        ];
        variables.extend_from_slice(settings);
        let logs = servers.data_folder().join("bench-logs").join(&name);
        std::fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
        command_line(&["migrate", "--create-database"], &variables).await?;
        command_line(&["topics", "apply"], &variables).await?;
        command_line(&["schemas", "register"], &variables).await?;
        let pool = servers::mysql_pool(&servers.mysql_url_of(&database), CONNECTIONS)?;
        let partner = store::create_partner(&pool, "bench").await?;
        let key = store::create_key(&pool, partner.partner_no, Scopes::all(), Rates::HIGHEST).await?;
        Ok(Self {
            pool,
            api_key: key.text.reveal().to_owned(),
            variables,
            kafka_prefix,
            redis_prefix,
            database,
            servers: servers.clone(),
            logs,
        })
    }

    /// Starts a service as it is shipped, on ports of its own choice; `settings`
    /// replace single defaults.
    pub async fn start(&self, service: Service, settings: &[(&str, &str)]) -> anyhow::Result<Process> {
        let mut command = Command::new(process::program(service.program())?);
        clear(&mut command);
        command
            .envs(self.variables.iter().cloned())
            .env("HEADGATE_HTTP__LISTEN", "127.0.0.1:0")
            .env("HEADGATE_HEALTH__LISTEN", "127.0.0.1:0")
            .envs(settings.iter().copied());
        if !service.serves() {
            command.env_remove("HEADGATE_HTTP__LISTEN");
        }
        if service == Service::Operator {
            command.env("HEADGATE_OPERATOR_TOKEN", OPERATOR_TOKEN);
        }
        let log = self.logs.join(format!("{}.log", service.name()));
        process::start(service.name(), command, &log).await
    }

    /// Registers a campaign that is open.
    pub async fn campaign(&self, api: &Process, quota: u32) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Registered {
            campaign_id: String,
        }
        let http = api.http.context("the api listens")?;
        let now = Utc::now();
        let answer = reqwest::Client::new()
            .post(format!("http://{http}/v1/campaigns"))
            .header("x-api-key", &self.api_key)
            .json(&serde_json::json!({
                "name": "bench",
                "quota": quota,
                "opens_at": (now - Duration::minutes(1)).to_rfc3339(),
                "closes_at": (now + OPEN).to_rfc3339(),
                "discount": {"type": "fixed", "amount": DISCOUNT},
            }))
            .send()
            .await
            .context("register a campaign")?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "register a campaign: {status} {text}");
        Ok(serde_json::from_str::<Registered>(&text)?.campaign_id)
    }

    /// Another partner's key.
    pub async fn key(&self, scopes: Scopes, rates: Rates) -> anyhow::Result<String> {
        let partner = store::create_partner(&self.pool, "bench").await?;
        let key = store::create_key(&self.pool, partner.partner_no, scopes, rates).await?;
        Ok(key.text.reveal().to_owned())
    }

    /// How often MySQL was asked for a key, by its own count; `None` where we may not see it.
    pub async fn key_lookups(&self) -> anyhow::Result<Option<u64>> {
        let Some(admin) = &self.servers.mysql_admin_url else {
            return Ok(None);
        };
        let pool = servers::mysql_pool(admin, 1)?;
        let counted: Option<u64> = sqlx::query_scalar(
            "SELECT CAST(SUM(count_star) AS UNSIGNED) FROM performance_schema.events_statements_summary_by_digest
             WHERE schema_name = ? AND digest_text LIKE '%SELECT%`key_hash` = ?%'
                 AND digest_text NOT LIKE 'PREPARE %'",
        )
        .bind(&self.database)
        .fetch_one(&pool)
        .await?;
        pool.close().await;
        Ok(counted)
    }

    /// Where its database is.
    pub fn mysql_url(&self) -> String {
        self.servers.mysql_url_of(&self.database)
    }

    /// Its database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Where its processes' logs go.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Claims that are durable.
    pub async fn claims(&self) -> anyhow::Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM claims")
            .fetch_one(&self.pool)
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Coupons that are issued, by the campaigns' own count.
    pub async fn issued(&self) -> anyhow::Result<u64> {
        let issued: i64 =
            sqlx::query_scalar("SELECT CAST(COALESCE(SUM(issued), 0) AS SIGNED) FROM campaign_stock")
                .fetch_one(&self.pool)
                .await?;
        Ok(issued.unsigned_abs())
    }

    /// Removes the database, the keys and the topics.
    pub async fn remove(self) -> anyhow::Result<()> {
        remove_database(&self.pool, &self.database).await?;
        self.pool.close().await;
        remove_keys(&self.servers, &self.redis_prefix).await?;
        let (servers, prefix) = (self.servers, self.kafka_prefix);
        let topics = tokio::task::spawn_blocking({
            let servers = servers.clone();
            move || topics(&servers, &prefix)
        })
        .await??;
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", &servers.kafka)
            .create()?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        admin.delete_topics(&names, &AdminOptions::new()).await?;
        Ok(())
    }
}

async fn remove_keys(servers: &Servers, prefix: &str) -> anyhow::Result<()> {
    let mut connection = servers::redis_connection(&servers.redis_url)?;
    let mut cursor = 0_u64;
    loop {
        let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(KEYS_PER_SCAN)
            .query_async(&mut connection)
            .await?;
        if !keys.is_empty() {
            let _removed: i64 = redis::cmd("UNLINK")
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

/// Removes databases of installations of this process that were not removed.
pub async fn remove_leftovers(servers: &Servers) -> anyhow::Result<()> {
    let pool = MySqlPoolOptions::new()
        .max_connections(1)
        .connect(&servers.mysql_url)
        .await?;
    let ours = format!("headgate\\_bench\\_%\\_{}", std::process::id());
    let left: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT CAST(schema_name AS BINARY) FROM information_schema.schemata WHERE schema_name LIKE ?",
    )
    .bind(ours)
    .fetch_all(&pool)
    .await?;
    for database in left {
        remove_database(&pool, &String::from_utf8(database)?).await?;
    }
    Ok(())
}

async fn remove_database(pool: &MySqlPool, database: &str) -> Result<(), sqlx::Error> {
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP DATABASE {database}")))
        .execute(pool)
        .await?;
    Ok(())
}

/// Topics whose names begin with `prefix`.
fn topics(servers: &Servers, prefix: &str) -> anyhow::Result<Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &servers.kafka)
        .create()?;
    let metadata = consumer.fetch_metadata(None, KAFKA_TIMEOUT)?;
    Ok(metadata
        .topics()
        .iter()
        .map(|topic| topic.name().to_owned())
        .filter(|name| name.starts_with(prefix))
        .collect())
}

/// Only what the product is told by us: settings of whoever measures must not leak in.
pub fn clear(command: &mut Command) {
    let kept = ["PATH", "HOME", "TMPDIR", "LANG", "RUST_LOG", "RUST_BACKTRACE"];
    command
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| kept.contains(&name.as_str())));
}

/// Runs `headgate` to its end.
async fn command_line(arguments: &[&str], variables: &[(String, String)]) -> anyhow::Result<()> {
    let mut command = Command::new(process::program("headgate")?);
    clear(&mut command);
    let output = command
        .args(arguments)
        .envs(variables.iter().cloned())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("run headgate")?;
    anyhow::ensure!(
        output.status.success(),
        "`headgate {}`: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
