//! An environment for one test: a database, a prefix in Redis and a prefix in Kafka
//! that nobody else uses, on servers that many tests share.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use crate::servers::{Servers, workspace_root};

/// Most connections that a test itself opens to its database.
const CONNECTIONS_MAX: u32 = 10;
/// Longest wait for such a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest piece of a test's name that goes into names on the servers, in bytes.
const SHORT_NAME_BYTES_MAX: usize = 24;
/// Set to keep what a test made, to look at it afterwards.
const KEEP_VARIABLE: &str = "HEADGATE_TEST_KEEP";

/// One test's own corner of the servers. Dropping it removes what it held, best effort.
#[derive(Debug)]
pub struct Environment {
    servers: Servers,
    name: String,
    pool: MySqlPool,
}

impl Environment {
    /// An empty database and unused prefixes on the workspace's servers.
    pub async fn new(test_name: &str) -> Self {
        Self::on(Servers::of_workspace(), test_name).await
    }

    /// The same on servers of one's own.
    pub async fn on(servers: Servers, test_name: &str) -> Self {
        let name = format!("t_{}_{:08x}", short(test_name), rand::random::<u32>());
        let options = options(&servers);
        let mut connection = MySqlConnection::connect_with(&options)
            .await
            .unwrap_or_else(|error| panic!("MySQL at {} cannot be reached: {error}", servers.mysql_url));
        let create = format!("CREATE DATABASE headgate_{name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        sqlx::query(AssertSqlSafe(create))
            .execute(&mut connection)
            .await
            .expect("a database of the test's own can be created");
        connection.close().await.expect("the connection closes");
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.database(&format!("headgate_{name}")));
        Self { servers, name, pool }
    }

    /// The same with the schema in place.
    pub async fn migrated(test_name: &str) -> Self {
        let environment = Self::new(test_name).await;
        environment.migrate().await;
        environment
    }

    /// Runs the files of `schemas/migrations`, as `headgate migrate` would.
    pub async fn migrate(&self) {
        let folder = workspace_root().join("schemas/migrations");
        let migrator = sqlx::migrate::Migrator::new(folder)
            .await
            .expect("the migrations can be read");
        migrator.run(&self.pool).await.expect("the migrations run");
    }

    /// A name that no other test has: letters, digits and underscores, with a letter first.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The servers it lies on.
    pub const fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Connections to the test's own database.
    pub const fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    /// Address of the test's own database.
    pub fn mysql_url(&self) -> String {
        let (server, _) = self
            .servers
            .mysql_url
            .rsplit_once('/')
            .expect("MYSQL_URL names a database");
        format!("{server}/headgate_{}", self.name)
    }

    /// `redis://host:port`
    pub fn redis_url(&self) -> &str {
        &self.servers.redis_url
    }

    /// Put before every key and channel.
    pub fn redis_prefix(&self) -> String {
        format!("{}:", self.name)
    }

    /// `host:port`
    pub fn kafka_bootstrap(&self) -> &str {
        &self.servers.kafka_bootstrap
    }

    /// Put before every topic and group.
    pub fn kafka_prefix(&self) -> String {
        format!("{}.", self.name)
    }

    /// Base of the Confluent API.
    pub fn registry_url(&self) -> &str {
        &self.servers.registry_url
    }

    /// What a process of the product needs in order to work here.
    pub fn env_vars(&self) -> Vec<(String, String)> {
        [
            ("MYSQL_URL", self.mysql_url()),
            ("REDIS_URL", self.servers.redis_url.clone()),
            ("KAFKA_BOOTSTRAP", self.servers.kafka_bootstrap.clone()),
            ("SCHEMA_REGISTRY_URL", self.servers.registry_url.clone()),
            ("HEADGATE_REDIS__PREFIX", self.redis_prefix()),
            ("HEADGATE_KAFKA__PREFIX", self.kafka_prefix()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if std::env::var_os(KEEP_VARIABLE).is_some() {
            eprintln!("kept: database headgate_{0}, prefixes {0}: and {0}.", self.name);
            return;
        }
        let (servers, name) = (self.servers.clone(), self.name.clone());
        // A thread of its own, because the test's runtime may be the one that is being
        // left. What cannot be removed (a server that the test broke) stays.
        let removal = std::thread::spawn(move || crate::removal::remove(&servers, &name));
        if removal.join().is_err() {
            eprintln!("what {} held was not removed", self.name);
        }
    }
}

/// How to connect to the server of `servers`.
pub(crate) fn options(servers: &Servers) -> MySqlConnectOptions {
    servers
        .mysql_url
        .parse()
        .unwrap_or_else(|error| panic!("MYSQL_URL `{}` cannot be read: {error}", servers.mysql_url))
}

/// The last part of a test's path, cut to what names may hold.
fn short(test_name: &str) -> String {
    let last = test_name.rsplit("::").next().unwrap_or(test_name);
    let mut short: String = last
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    short.truncate(SHORT_NAME_BYTES_MAX);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(short("module::g01_Exactly-quota"), "g01_exactlyquota");
        assert_eq!(short(&"long".repeat(20)).len(), SHORT_NAME_BYTES_MAX);
    }

    #[tokio::test]
    async fn two_tests_of_one_name_do_not_meet() {
        let (one, other) = (
            Environment::migrated("same").await,
            Environment::migrated("same").await,
        );
        assert_ne!(one.mysql_url(), other.mysql_url());
        assert_ne!(one.redis_prefix(), other.redis_prefix());
        assert_ne!(one.kafka_prefix(), other.kafka_prefix());
        sqlx::query("INSERT INTO processes (service) VALUES ('test')")
            .execute(one.pool())
            .await
            .expect("the schema is there");
        let seen: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM processes")
            .fetch_one(other.pool())
            .await
            .expect("the schema is there");
        assert_eq!(seen, 0);
    }

    #[tokio::test]
    async fn nothing_is_left_behind() {
        let environment = Environment::new("left_behind").await;
        let (servers, name) = (environment.servers().clone(), environment.name().to_owned());
        drop(environment);
        let mut connection = MySqlConnection::connect_with(&options(&servers))
            .await
            .expect("MySQL answers");
        let left: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?")
                .bind(format!("headgate_{name}"))
                .fetch_one(&mut connection)
                .await
                .expect("MySQL answers");
        assert_eq!(left, 0);
    }
}
