//! What is asked of Redis, each with a limit on the wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::ConnectionManager;
use redis::{RedisError, Script};

use super::key::LockKey;

/// Redis was not asked with success. What was asked may have taken effect.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("redis did not answer within {0:?}")]
    Timeout(Duration),
    #[error("redis does not do what it was asked")]
    Redis(#[from] RedisError),
}

/// What became of a command, and how long that took.
pub(super) struct Answer {
    pub result: Result<bool, CommandError>,
    pub took: Duration,
}

pub(super) struct Commands {
    connection: ConnectionManager,
    prefix: Arc<str>,
    timeout: Duration,
    renew: Script,
    release: Script,
}

/// Compares the token and deletes; also for operators.
pub(super) fn release_script() -> Script {
    Script::new(include_str!("scripts/release.lua"))
}

/// The key's name in Redis.
pub(super) fn name(prefix: &str, key: &LockKey) -> String {
    format!("{prefix}{key}")
}

impl Commands {
    pub fn new(connection: ConnectionManager, prefix: &str, timeout: Duration) -> Self {
        Self {
            connection,
            prefix: prefix.into(),
            timeout,
            renew: Script::new(include_str!("scripts/renew.lua")),
            release: release_script(),
        }
    }

    /// True: it was free, and has this value now.
    pub async fn acquire(&self, key: &LockKey, value: &str, lease: Duration) -> Answer {
        let mut command = redis::cmd("SET");
        command
            .arg(name(&self.prefix, key))
            .arg(value)
            .arg("NX")
            .arg("PX")
            .arg(millis(lease));
        let mut connection = self.connection.clone();
        self.limited(async {
            let set: Option<String> = command.query_async(&mut connection).await?;
            Ok(set.is_some())
        })
        .await
    }

    /// False: it is not this holder's any more.
    pub async fn renew(&self, key: &LockKey, value: &str, lease: Duration) -> Answer {
        let mut call = self.renew.key(name(&self.prefix, key));
        call.arg(value).arg(millis(lease));
        let mut connection = self.connection.clone();
        self.limited(async { call.invoke_async(&mut connection).await })
            .await
    }

    /// False: it was not this holder's any more.
    pub async fn release(&self, key: &LockKey, value: &str) -> Answer {
        let mut call = self.release.key(name(&self.prefix, key));
        call.arg(value);
        let mut connection = self.connection.clone();
        self.limited(async { call.invoke_async(&mut connection).await })
            .await
    }

    async fn limited(&self, asked: impl Future<Output = Result<bool, RedisError>>) -> Answer {
        let begin = Instant::now();
        let result = match tokio::time::timeout(self.timeout, asked).await {
            Ok(answered) => answered.map_err(CommandError::from),
            Err(_) => Err(CommandError::Timeout(self.timeout)),
        };
        Answer {
            result,
            took: begin.elapsed(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
