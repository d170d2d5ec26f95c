//! MySQL: pools, transactions, what an error means, and the one migration runner.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use sqlx::Connection as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
pub use sqlx::{MySql, MySqlConnection, MySqlPool, Transaction};

use crate::config::{milliseconds, require};
use crate::no_delay;

mod kept;

pub use kept::KeptConnection;

/// Section `mysql` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `mysql://user:password@host:port/database`
    pub url: String,
    /// Most connections of this process.
    pub connections_max: u32,
    /// Longest wait for a free connection.
    #[serde(rename = "acquire_timeout_ms", deserialize_with = "milliseconds")]
    pub acquire_timeout: Duration,
    /// Longest wait for a row lock, in whole seconds (`innodb_lock_wait_timeout`).
    pub lock_wait_timeout_s: u32,
    /// Longest run of one SELECT (`max_execution_time`).
    #[serde(rename = "select_timeout_ms", deserialize_with = "milliseconds")]
    pub select_timeout: Duration,
}

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let readable = MySqlConnectOptions::from_str(&self.url).is_ok();
        require(
            &mut faults,
            readable,
            "mysql.url must look like mysql://user:password@host:3306/database",
        );
        require(
            &mut faults,
            self.connections_max > 0,
            "mysql.connections_max must be at least 1",
        );
        require(
            &mut faults,
            !self.acquire_timeout.is_zero(),
            "mysql.acquire_timeout_ms must be at least 1",
        );
        require(
            &mut faults,
            self.lock_wait_timeout_s > 0,
            "mysql.lock_wait_timeout_s must be at least 1",
        );
        faults
    }
}

/// A pool that connects when first used: a database that is away at start costs
/// answers, not the process. Sessions run READ COMMITTED, in UTC, strict.
pub fn pool(config: &Config) -> Result<MySqlPool, sqlx::Error> {
    let options = MySqlConnectOptions::from_str(&config.url)?
        .timezone(Some("+00:00".to_owned()))
        .statement_cache_capacity(STATEMENT_CACHE_STATEMENTS);
    let limits = format!(
        "SET SESSION innodb_lock_wait_timeout = {}, SESSION max_execution_time = {}, SESSION wait_timeout = {}",
        config.lock_wait_timeout_s,
        config.select_timeout.as_millis(),
        SILENT_SESSION_MAX.as_secs()
    );
    Ok(MySqlPoolOptions::new()
        .max_connections(config.connections_max)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(IDLE_CONNECTION_MAX)
        // A ping before every use would be one more exchange in every transaction. Under
        // load a lost connection shows in the statement itself.
        .test_before_acquire(false)
        .before_acquire(|connection, used| {
            Box::pin(async move {
                if used.idle_for >= PING_AFTER_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            let limits = limits.clone();
            Box::pin(async move {
                no_delay::set_on_all_sockets();
                sqlx::raw_sql("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                    .execute(&mut *connection)
                    .await?;
                sqlx::raw_sql(sqlx::AssertSqlSafe(limits))
                    .execute(&mut *connection)
                    .await?;
                Ok(())
            })
        })
        .connect_lazy_with(options))
}

/// A session that says nothing for so long is ended by the server, which rolls its
/// transaction back: a process that is frozen or cut off gives its locks up, and others
/// take over.
const SILENT_SESSION_MAX: Duration = Duration::from_secs(20);
/// A connection that nobody uses is closed before the server ends it.
const IDLE_CONNECTION_MAX: Duration = Duration::from_secs(15);
/// A connection that rested for so long is asked whether it still lives.
const PING_AFTER_IDLE: Duration = Duration::from_millis(500);
/// Prepared statements kept per connection.
const STATEMENT_CACHE_STATEMENTS: usize = 256;

/// Runs `work` on a connection of the pool and gives up after `limit`, which counts the
/// wait for the connection. A connection on which time ran out is closed: its answer may
/// still come, or never will.
pub async fn within<T, E: From<sqlx::Error>>(
    pool: &MySqlPool,
    limit: Duration,
    work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, E>,
) -> Result<T, E> {
    let (done, _back_to_the_pool) = within_of(pool, None, limit, work).await?;
    Ok(done)
}

/// On `connection`, or else on one of the pool; returns it after success only.
async fn within_of<T, E: From<sqlx::Error>>(
    pool: &MySqlPool,
    connection: Option<PoolConnection<MySql>>,
    limit: Duration,
    work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, E>,
) -> Result<(T, PoolConnection<MySql>), E> {
    let ends_at = tokio::time::Instant::now() + limit;
    let mut connection = match connection {
        Some(connection) => connection,
        None => tokio::time::timeout_at(ends_at, pool.acquire())
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))?,
    };
    if let Ok(done) = tokio::time::timeout_at(ends_at, work(&mut connection)).await {
        return Ok((done?, connection));
    }
    drop(connection.detach());
    let elapsed = std::io::Error::new(std::io::ErrorKind::TimedOut, "MySQL did not answer in time");
    Err(sqlx::Error::Io(elapsed).into())
}

/// A transaction that sees one moment, whatever is committed meanwhile. It reads only: roll
/// it back.
pub async fn snapshot(connection: &mut MySqlConnection) -> Result<Transaction<'_, MySql>, sqlx::Error> {
    // Of the next transaction only.
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .execute(&mut *connection)
        .await?;
    connection
        .begin_with("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await
}

/// Applies what is missing of `schemas/migrations`. Safe to run from several
/// processes at once: the runner holds MySQL's `GET_LOCK` meanwhile.
pub async fn migrate(pool: &MySqlPool) -> Result<(), sqlx::migrate::MigrateError> {
    headgate_schemas::MIGRATIONS.run(pool).await
}

/// What a database error asks of whoever meets it. After any error the transaction
/// is over: roll it back explicitly and begin a new one, because MySQL has already
/// done so for some errors and not for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A unique key refused the row (1062). Read to learn which.
    Duplicate,
    /// Deadlock or lock wait (1213, 1205): run the whole transaction again.
    Contention,
    /// The server is away, refuses, or did not answer. The outcome of a commit is
    /// unknown.
    Unavailable,
    /// The data cannot be stored: too long, out of range, a CHECK or a foreign key.
    Data,
    /// A fault of the code or the schema.
    Internal,
}

impl Fault {
    /// Whether the cause lies outside the data: the same transaction may succeed later.
    pub const fn is_systemic(self) -> bool {
        matches!(self, Self::Contention | Self::Unavailable)
    }
}

/// Classifies by the server's error number, never by text.
/// <https://dev.mysql.com/doc/mysql-errors/9.0/en/server-error-reference.html>
pub fn fault(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Database(error) => {
            let number = error
                .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
                .map(sqlx::mysql::MySqlDatabaseError::number);
            match number {
                Some(1062) => Fault::Duplicate,
                Some(1205 | 1213 | 3572) => Fault::Contention,
                // Connections exhausted, shutting down, killed, read-only, offline,
                // interrupted, timed out, disk or lock table full, prepared statement
                // of an earlier session, server starting.
                Some(
                    1021
                    | 1040
                    | 1053
                    | 1077
                    | 1105
                    | 1114
                    | 1129
                    | 1152..=1161
                    | 1180..=1184
                    | 1203
                    | 1206
                    | 1226
                    | 1243
                    | 1290
                    | 1317
                    | 1461
                    | 1836
                    | 1927
                    | 3024
                    | 3032
                    | 3100
                    | 3168
                    | 3169
                    | 4031,
                ) => Fault::Unavailable,
                Some(
                    1048 | 1216 | 1217 | 1263..=1265 | 1292 | 1366 | 1406 | 1451 | 1452 | 1690 | 3819 | 4025,
                ) => Fault::Data,
                _ => Fault::Internal,
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        // A reply that was cut off half-way reads as a protocol error.
        | sqlx::Error::Protocol(_) => Fault::Unavailable,
        _ => Fault::Internal,
    }
}
