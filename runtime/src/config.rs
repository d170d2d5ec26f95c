//! Configuration: a commented default embedded in each binary, then a file, then
//! the environment. Everything wrong with it is reported at once, at start.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Prefix of the environment variables: `HEADGATE_MYSQL__CONNECTIONS_MAX=32` sets
/// `connections_max` in section `mysql`.
pub const ENVIRONMENT_PREFIX: &str = "HEADGATE";

/// Variables that the local stack writes, and what they set.
const WELL_KNOWN: &[(&str, &str)] = &[
    ("MYSQL_URL", "mysql.url"),
    ("REDIS_URL", "redis.url"),
    ("KAFKA_BOOTSTRAP", "kafka.bootstrap"),
    ("SCHEMA_REGISTRY_URL", "registry.url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
];

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not readable as configuration.
    #[error("the configuration cannot be read")]
    Unreadable(#[from] ::config::ConfigError),
    /// Readable, but wrong.
    #[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
    Invalid(Vec<String>),
}

/// Says what is wrong with values that each were readable.
pub trait Validate {
    /// One sentence for each fault; empty when all is well.
    fn faults(&self) -> Vec<String>;
}

/// Reads the configuration of a service.
pub fn load<C: DeserializeOwned + Validate>(defaults: &str, file: Option<&PathBuf>) -> Result<C, Error> {
    let mut builder = ::config::Config::builder()
        .add_source(::config::File::from_str(defaults, ::config::FileFormat::Toml));
    if let Some(file) = file {
        builder = builder.add_source(::config::File::from(file.as_path()).format(::config::FileFormat::Toml));
    }
    for (variable, key) in WELL_KNOWN {
        if let Ok(value) = std::env::var(variable) {
            builder = builder.set_override(*key, value)?;
        }
    }
    let environment = ::config::Environment::with_prefix(ENVIRONMENT_PREFIX)
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true);
    let config: C = builder.add_source(environment).build()?.try_deserialize()?;
    let faults = config.faults();
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(Error::Invalid(faults))
    }
}

/// Reads a number of milliseconds: name such fields `..._ms`.
pub fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// Adds a fault when `holds` is false.
pub fn require(faults: &mut Vec<String>, holds: bool, fault: &str) {
    if !holds {
        faults.push(fault.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        limits: Limits,
    }

    #[derive(Debug, Deserialize)]
    struct Limits {
        rows_max: u32,
        #[serde(rename = "wait_ms", deserialize_with = "milliseconds")]
        wait: Duration,
    }

    impl Validate for Sample {
        fn faults(&self) -> Vec<String> {
            let mut faults = Vec::new();
            require(
                &mut faults,
                self.limits.rows_max > 0,
                "limits.rows_max must be at least 1",
            );
            require(
                &mut faults,
                !self.limits.wait.is_zero(),
                "limits.wait_ms must be at least 1",
            );
            faults
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let error = load::<Sample>("[limits]\nrows_max = 0\nwait_ms = 0", None).expect_err("two faults");
        let text = error.to_string();
        assert!(text.contains("rows_max") && text.contains("wait_ms"), "{text}");
    }

    #[test]
    fn defaults_are_read() {
        let sample = load::<Sample>("[limits]\nrows_max = 5\nwait_ms = 7", None).expect("good");
        assert_eq!(
            (sample.limits.rows_max, sample.limits.wait),
            (5, Duration::from_millis(7))
        );
    }
}
