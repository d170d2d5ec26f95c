//! Redis: a multiplexed connection that reconnects by itself, with a limit on every
//! wait, and the names of what is shared through it.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo, RedisError};
use serde::Deserialize;

use crate::config::{milliseconds, require};

/// Section `redis` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `redis://host:port/0`
    pub url: String,
    /// Put before every key and channel, so that installations can share a server.
    pub prefix: String,
    /// Longest wait for a connection.
    #[serde(rename = "connect_timeout_ms", deserialize_with = "milliseconds")]
    pub connect_timeout: Duration,
    /// Longest wait for an answer.
    #[serde(rename = "response_timeout_ms", deserialize_with = "milliseconds")]
    pub response_timeout: Duration,
}

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let readable = Client::open(self.url.as_str()).is_ok();
        require(
            &mut faults,
            readable,
            "redis.url must look like redis://host:6379/0",
        );
        require(
            &mut faults,
            !self.connect_timeout.is_zero(),
            "redis.connect_timeout_ms must be at least 1",
        );
        require(
            &mut faults,
            !self.response_timeout.is_zero(),
            "redis.response_timeout_ms must be at least 1",
        );
        faults
    }

    /// The channel on which a commit wakes the relays: a message says that some
    /// outbox has new rows.
    pub fn outbox_channel(&self) -> String {
        format!("{}outbox:written", self.prefix)
    }

    /// The channel on which claims that reached a terminal state are announced: a
    /// message is the 16-byte ids of such claims, one behind the other.
    pub fn claims_channel(&self) -> String {
        format!("{}claims:settled", self.prefix)
    }
}

/// Longest pause between two attempts to reconnect.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);

/// The client, for subscriptions. Commands are sent at once: waiting to fill a packet
/// would hold the tail of a long command back until the server acknowledges its head.
pub fn client(config: &Config) -> Result<Client, RedisError> {
    let at_once = TcpSettings::default().set_nodelay(true);
    Client::open(
        config
            .url
            .as_str()
            .into_connection_info()?
            .set_tcp_settings(at_once),
    )
}

/// A connection that is made when first used and remade when lost. Clones share it.
pub fn connection(config: &Config) -> Result<ConnectionManager, RedisError> {
    let settings = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(config.response_timeout))
        .set_max_delay(RECONNECT_DELAY_MAX);
    ConnectionManager::new_lazy_with_config(client(config)?, settings)
}
