//! An installation of one's own: schema, topics, schemas and a partner, on servers that
//! are shared or private.

use headgate_testkit::Environment;
use headgate_testkit::process::{Service, Start, run, run_any};
use headgate_testkit::servers::Servers;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Partner, Pipeline};

/// Every scope that a partner's key can have.
const SCOPES: &str =
    "campaigns:write claims:write coupons:write points:write points:earn subscriptions:write";
/// Any free port.
const ANY_PORT: &str = "127.0.0.1:0";

/// A migrated database, topics and registered schemas, with no process running.
#[derive(Debug)]
pub struct Installation {
    environment: Environment,
    variables: Vec<(String, String)>,
    api_key: String,
}

impl Installation {
    /// On the servers that tests share.
    pub async fn new(test: &str) -> Self {
        Self::on(Servers::of_workspace(), test).await
    }

    /// On servers of the test's own.
    pub async fn on(servers: Servers, test: &str) -> Self {
        let environment = Environment::on(servers, test).await;
        let mut variables = environment.env_vars();
        for (key, value) in [
            ("HEADGATE_HEALTH__LISTEN", ANY_PORT),
            ("HEADGATE_OPERATOR_TOKEN", OPERATOR_TOKEN),
            ("RUST_LOG", "info"),
        ] {
            variables.push((key.to_owned(), value.to_owned()));
        }
        let mut installation = Self {
            environment,
            variables,
            api_key: String::new(),
        };
        for command in [&["migrate"][..], &["topics", "apply"], &["schemas", "register"]] {
            run("headgate", &installation.variables, command).await;
        }
        installation.api_key = installation.add_partner("partner").await;
        installation
    }

    /// Adds a setting for every process that is started from now on.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.variables.push((key.to_owned(), value.into()));
        self
    }

    /// Registers a partner and returns a key that may do everything.
    pub async fn add_partner(&self, name: &str) -> String {
        self.add_partner_with(name, SCOPES).await
    }

    /// Registers a partner with a key of these scopes.
    pub async fn add_partner_with(&self, name: &str, scopes: &str) -> String {
        let key = format!("hgk_{}", hex::encode(rand::random::<[u8; 32]>()));
        let hash: [u8; 32] = Sha256::digest(&key).into();
        let partner = sqlx::query("INSERT INTO partners (partner_id, name) VALUES (?, ?)")
            .bind(Uuid::now_v7())
            .bind(name)
            .execute(self.environment.pool())
            .await
            .expect("a partner can be registered");
        sqlx::query(
            "INSERT INTO api_keys (key_id, partner_no, key_hash, scopes, rate_key, rate_user, rate_address)
             VALUES (?, ?, ?, ?, 1000000, 1000000, 1000000)",
        )
        .bind(Uuid::now_v7())
        .bind(partner.last_insert_id())
        .bind(hash.as_slice())
        .bind(scopes)
        .execute(self.environment.pool())
        .await
        .expect("a key can be registered");
        key
    }

    /// Where it lies.
    pub const fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Events that the relay has not published yet.
    pub async fn waiting_events(&self) -> Option<i64> {
        sqlx::query_scalar("SELECT COUNT(*) FROM outbox")
            .fetch_one(self.environment.pool())
            .await
            .ok()
    }

    /// The key of its first partner.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// What its processes get as settings.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// How to start an api.
    pub fn api(&self) -> Start {
        self.service("headgate-api")
            .variable("HEADGATE_HTTP__LISTEN", ANY_PORT)
    }

    /// How to start a relay.
    pub fn relay(&self) -> Start {
        self.service("headgate-relay")
    }

    /// How to start the consumers.
    pub fn consumers(&self) -> Start {
        self.service("headgate-consumers")
    }

    /// How to start the operator listener.
    pub fn operator(&self) -> Start {
        self.service("headgate-operator")
            .variable("HEADGATE_HTTP__LISTEN", ANY_PORT)
    }

    fn service(&self, binary: &str) -> Start {
        Start::new(binary, self.variables.clone())
    }

    /// Its first partner, calling this api.
    pub fn partner(&self, api: &Service) -> Partner {
        Partner::new(api.http(), &self.api_key)
    }

    /// Starts a relay, the consumers and so many api processes.
    pub async fn start(&self, apis: usize) -> Pipeline {
        Pipeline::start(self, apis).await
    }

    /// Runs `headgate` against an operator listener, however it ends: its exit code, what it
    /// says as JSON, and stderr.
    pub async fn headgate_any(&self, operator: &Service, command: &[&str]) -> (i32, Value, String) {
        let mut variables = self.variables.clone();
        variables.push(("HEADGATE_OPERATOR_URL".to_owned(), operator.http()));
        let arguments: Vec<&str> = ["--output", "json"].iter().chain(command).copied().collect();
        let (status, stdout, stderr) = run_any("headgate", &variables, &arguments).await;
        let said = serde_json::from_str(&stdout).unwrap_or_default();
        (status.code().expect("it ended by itself"), said, stderr)
    }

    /// Runs `headgate` against an operator listener; what it writes to stdout.
    pub async fn headgate(&self, operator: &Service, arguments: &[&str]) -> String {
        let mut variables = self.variables.clone();
        variables.push(("HEADGATE_OPERATOR_URL".to_owned(), operator.http()));
        run("headgate", &variables, arguments).await
    }
}

/// The operator token of every test installation.
const OPERATOR_TOKEN: &str = "test-operator-token-0123456789abcdef";
