//! Locks in an environment of a test's own, and Redis seen past them.

use std::time::Duration;

use headgate_runtime::breaker;
use headgate_runtime::lock::{Acquisition, Config, Guard, LockKey, Locks};
use headgate_runtime::redis;
use headgate_testkit::Environment;
use uuid::Uuid;

/// Longest wait for what has to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Settings under which only what a test does goes wrong, however busy the machine is.
pub fn settings() -> Config {
    Config {
        wait: PATIENCE,
        retry_every: Duration::from_millis(5),
        command_timeout: Duration::from_secs(5),
        breaker: breaker::Config {
            failures_max: 1_000,
            slow: Duration::from_secs(5),
            ..Config::default().breaker
        },
        ..Config::default()
    }
}

/// A process's locks, over a connection of its own.
pub fn locks(environment: &Environment, config: Config) -> Locks {
    locks_at(environment.redis_url(), &environment.redis_prefix(), config)
}

/// The same by address.
pub fn locks_at(url: &str, prefix: &str, config: Config) -> Locks {
    Locks::new(connection(url), config, prefix, "test-1")
}

pub fn connection(url: &str) -> ::redis::aio::ConnectionManager {
    let config = redis::Config {
        url: url.to_owned(),
        prefix: String::new(),
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
    };
    redis::connection(&config).expect("an address")
}

pub fn key() -> LockKey {
    LockKey::point_use(Uuid::now_v7())
}

/// Requires that it is held.
pub fn held<H>(acquisition: Acquisition<H>) -> H {
    match acquisition {
        Acquisition::Held(held) => held,
        Acquisition::Bypassed => panic!("bypassed instead of held"),
        Acquisition::Busy => panic!("busy instead of held"),
    }
}

pub fn is_busy<H>(acquisition: &Acquisition<H>) -> bool {
    matches!(acquisition, Acquisition::Busy)
}

pub fn is_bypassed<H>(acquisition: &Acquisition<H>) -> bool {
    matches!(acquisition, Acquisition::Bypassed)
}

/// For probes: the guard, once it is held.
pub fn once_held(acquisition: Acquisition) -> Option<Guard> {
    match acquisition {
        Acquisition::Held(guard) => Some(guard),
        Acquisition::Bypassed | Acquisition::Busy => None,
    }
}

/// Redis as it is.
pub struct Redis {
    connection: ::redis::aio::ConnectionManager,
    prefix: String,
}

impl Redis {
    pub fn of(environment: &Environment) -> Self {
        Self {
            connection: connection(environment.redis_url()),
            prefix: environment.redis_prefix(),
        }
    }

    fn name(&self, key: &LockKey) -> String {
        format!("{}{key}", self.prefix)
    }

    pub async fn get(&self, key: &LockKey) -> Option<String> {
        ::redis::cmd("GET")
            .arg(self.name(key))
            .query_async(&mut self.connection.clone())
            .await
            .expect("Redis answers")
    }

    /// What is left of the lease.
    pub async fn remaining(&self, key: &LockKey) -> Duration {
        let millis: i64 = ::redis::cmd("PTTL")
            .arg(self.name(key))
            .query_async(&mut self.connection.clone())
            .await
            .expect("Redis answers");
        Duration::from_millis(u64::try_from(millis).expect("it has a lease"))
    }

    /// Puts another holder's value in its place, with this lease.
    pub async fn hand_over(&self, key: &LockKey, value: &str, lease: Duration) {
        let _ok: String = ::redis::cmd("SET")
            .arg(self.name(key))
            .arg(value)
            .arg("PX")
            .arg(u64::try_from(lease.as_millis()).expect("it fits"))
            .query_async(&mut self.connection.clone())
            .await
            .expect("Redis answers");
    }
}
