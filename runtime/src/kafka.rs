//! Kafka: client settings shared by the relay, the consumers and the operator.

use rdkafka::ClientConfig;
use serde::Deserialize;

use crate::config::require;

/// Section `kafka` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `host:port[,host:port...]`
    pub bootstrap: String,
    /// Put before every topic and group name, so that installations can share a cluster.
    pub prefix: String,
    /// Settings of librdkafka as they are, e.g. `security.protocol`, `sasl.mechanisms`.
    #[serde(default)]
    pub client: std::collections::BTreeMap<String, String>,
}

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let listed = self
            .bootstrap
            .split(',')
            .all(|address| address.rsplit_once(':').is_some());
        require(
            &mut faults,
            listed,
            "kafka.bootstrap must look like host:9092[,host:9092]",
        );
        faults
    }

    /// Names of topics and groups under this installation's prefix.
    pub fn names(&self) -> headgate_schemas::topics::TopicNames {
        headgate_schemas::topics::TopicNames::with_prefix(self.prefix.clone())
    }

    /// Settings that every client starts from.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "headgate");
        // Loopback and containers alike: a broker that came back is met at once.
        client
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        for (key, value) in &self.client {
            client.set(key, value);
        }
        client
    }
}
