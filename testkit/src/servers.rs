//! Addresses of the servers that a test runs against: from the process's environment,
//! else from the file that `make up` or `make test` leaves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where `make test` and `make up` write the addresses, in this order of preference,
/// below the workspace root.
const ENVIRONMENT_FILES: [&str; 2] = [".run-test/env", ".run/env"];

/// Addresses of the four servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// `mysql://user:password@host:port/database` of a user that may create databases
    /// named `headgate...`.
    pub mysql_url: String,
    /// `redis://host:port`
    pub redis_url: String,
    /// `host:port`
    pub kafka_bootstrap: String,
    /// Base of the Confluent API.
    pub registry_url: String,
    /// Everything else that was found, e.g. the paths of tools.
    pub others: BTreeMap<String, String>,
}

impl Servers {
    /// The servers of `make test` or `make up`. Panics where there are none: a missing
    /// server is a failure, not a reason to skip a test.
    pub fn of_workspace() -> Self {
        if let Some(servers) = Self::from_variables(&std::env::vars().collect()) {
            return servers;
        }
        let found = ENVIRONMENT_FILES
            .iter()
            .map(|file| workspace_root().join(file))
            .find_map(|file| Self::from_file(&file));
        found.expect(
            "no servers: neither MYSQL_URL, REDIS_URL, KAFKA_BOOTSTRAP and SCHEMA_REGISTRY_URL in the environment, \
             nor all of them in .run-test/env or .run/env: start the servers with `make up`",
        )
    }

    /// The servers that a file of lines `export KEY=value` names; `None` unless it
    /// names all four.
    pub fn from_file(file: &Path) -> Option<Self> {
        Self::from_variables(&variables(&std::fs::read_to_string(file).ok()?))
    }

    pub(crate) fn from_variables(variables: &BTreeMap<String, String>) -> Option<Self> {
        let get = |key: &str| variables.get(key).filter(|value| !value.is_empty()).cloned();
        Some(Self {
            mysql_url: get("MYSQL_URL")?,
            redis_url: get("REDIS_URL")?,
            kafka_bootstrap: get("KAFKA_BOOTSTRAP")?,
            registry_url: get("SCHEMA_REGISTRY_URL")?,
            others: variables.clone(),
        })
    }

    /// A tool's path, such as `HEADGATE_TOXIPROXY`. Panics where it is not installed.
    pub fn tool(&self, variable: &str) -> PathBuf {
        let path = std::env::var(variable)
            .ok()
            .or_else(|| self.others.get(variable).cloned())
            .unwrap_or_else(|| panic!("{variable} is not set: run `make setup`, which installs the tools"));
        PathBuf::from(path)
    }
}

/// The lines `export KEY=value` of a file, with shell quoting taken off.
pub fn variables(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), unquoted(value)))
        .collect()
}

/// As Python's `shlex.quote` writes: as it is, or within single quotes.
fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('\'')
        .and_then(|value| value.strip_suffix('\''));
    inner.map_or_else(|| value.to_owned(), |inner| inner.replace("'\"'\"'", "'"))
}

/// The folder of the workspace.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_are_read_as_a_shell_does() {
        let read = variables("export A=plain\n# no\nexport B='two words'\nexport C='it'\"'\"'s'\n");
        let values: Vec<_> = ["A", "B", "C"].map(|key| read[key].as_str()).to_vec();
        assert_eq!(values, ["plain", "two words", "it's"]);
    }

    #[test]
    fn all_four_servers_have_to_be_named() {
        let mut named = variables(
            "export MYSQL_URL=m\nexport REDIS_URL=r\nexport KAFKA_BOOTSTRAP=k\nexport SCHEMA_REGISTRY_URL=s",
        );
        assert!(Servers::from_variables(&named).is_some());
        named.insert("REDIS_URL".to_owned(), String::new());
        assert_eq!(Servers::from_variables(&named), None);
    }
}
