//! Settings of the command line: where the servers are.

use std::path::PathBuf;

use headgate_runtime::config::{self, Validate, require};
use headgate_runtime::{kafka, mysql, registry};
use serde::Deserialize;

/// The commented defaults.
const DEFAULTS: &str = include_str!("config.default.toml");

/// Settings of the command line.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub mysql: mysql::Config,
    pub kafka: kafka::Config,
    pub registry: registry::Config,
    pub topics: Topics,
}

/// Section `topics`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topics {
    /// Copies of each partition; -1: the brokers' default.
    pub replication: i32,
}

impl Validate for Config {
    fn faults(&self) -> Vec<String> {
        let mut faults = self.mysql.faults();
        faults.extend(self.kafka.faults());
        faults.extend(self.registry.faults());
        require(
            &mut faults,
            self.topics.replication == -1 || self.topics.replication > 0,
            "topics.replication must be at least 1, or -1 for the brokers' default",
        );
        faults
    }
}

/// Reads the settings: defaults, then `file`, then the environment.
pub fn load(file: Option<&PathBuf>) -> Result<Config, config::Error> {
    config::load(DEFAULTS, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        let config: Config = toml_defaults();
        assert_eq!(config.faults(), Vec::<String>::new());
    }

    fn toml_defaults() -> Config {
        config::load(DEFAULTS, None).expect("the defaults are readable")
    }
}
