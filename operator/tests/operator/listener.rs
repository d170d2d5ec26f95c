//! A listener in an environment of its own.

use headgate_operator::auth::{Role, TokenConfig};
use headgate_operator::config::{Config, DEFAULTS};
use headgate_operator::http::problem::Problem;
use headgate_operator::{Service, topics};
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::CancellationToken;
use headgate_runtime::telemetry;
use headgate_testkit::Environment;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

pub const VIEWER: &str = "viewer-token-0123456789";
pub const OPERATOR: &str = "operator-token-0123456789";
pub const ADMIN: &str = "admin-token-0123456789";

/// A listener in an environment of its own; it stops when dropped.
pub struct Listener {
    pub environment: Environment,
    pub config: Config,
    pub url: String,
    pub health: String,
    http: reqwest::Client,
    stop: CancellationToken,
    _running: JoinHandle<()>,
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub media_type: String,
    pub text: String,
}

impl Answer {
    pub fn body<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    /// Requires success.
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.body()
    }

    /// Requires a problem with this status and code.
    pub fn refused(&self, status: u16, code: &str) -> Problem {
        assert_eq!(
            (self.status.as_u16(), self.media_type.as_str()),
            (status, "application/problem+json"),
            "{}",
            self.text
        );
        let problem: Problem = self.body();
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
        assert!(problem.kind.ends_with(code), "{}", problem.kind);
        assert_eq!(problem.trace_id.len(), 32, "{}", problem.trace_id);
        problem
    }
}

impl Listener {
    /// A migrated database, registered schemas, topics, and a listener.
    pub async fn start(test_name: &str) -> Self {
        Self::start_with(test_name, |_| {}).await
    }

    pub async fn start_with(test_name: &str, change: impl FnOnce(&mut Config)) -> Self {
        // Shown where a test fails.
        let _already = tracing_subscriber::fmt().with_test_writer().try_init();
        let environment = Environment::migrated(test_name).await;
        let mut config = config(&environment);
        change(&mut config);
        let names = config.kafka.names();
        Registry::new(&config.registry)
            .expect("a client")
            .register_all(&names)
            .await
            .expect("the registry takes the schemas");
        topics::admin::Topics::new(&config.kafka, 1)
            .expect("a client")
            .apply(topics::wanted(&names, 1))
            .await
            .expect("Kafka makes the topics");
        let metrics = telemetry::metrics_recorder()
            .expect("buckets")
            .build_recorder()
            .handle();
        let service = Service::build(config.clone(), metrics)
            .await
            .expect("the listener is built");
        let addresses = service.addresses();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running = tokio::spawn(async move { service.run_until(stopped).await.expect("it serves") });
        Self {
            environment,
            config,
            url: format!("http://{}", addresses.http),
            health: format!("http://{}", addresses.health),
            http: reqwest::Client::new(),
            stop,
            _running: running,
        }
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the listener answers");
        let header = response.headers().get("content-type");
        Answer {
            status: response.status(),
            media_type: header
                .map(|value| value.to_str().expect("ASCII").to_owned())
                .unwrap_or_default(),
            text: response.text().await.expect("a body"),
        }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).bearer_auth(token))
            .await
    }

    pub async fn post(&self, token: &str, path: &str, body: &impl Serialize) -> Answer {
        self.send(self.request(Method::POST, path).bearer_auth(token).json(body))
            .await
    }

    /// What the audit log says, oldest first: actor, action, object.
    pub async fn audit(&self) -> Vec<(String, String, String)> {
        sqlx::query_as("SELECT actor, action, object FROM audit_log ORDER BY audit_no")
            .fetch_all(self.environment.pool())
            .await
            .expect("the audit log can be read")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn config(environment: &Environment) -> Config {
    let mut config: Config =
        headgate_runtime::config::load(DEFAULTS, None).expect("the defaults are readable");
    config.http.listen = "127.0.0.1:0".parse().expect("an address");
    config.health.listen = config.http.listen;
    config.mysql.url = environment.mysql_url();
    environment.redis_url().clone_into(&mut config.redis.url);
    config.redis.prefix = environment.redis_prefix();
    environment
        .kafka_bootstrap()
        .clone_into(&mut config.kafka.bootstrap);
    config.kafka.prefix = environment.kafka_prefix();
    environment.registry_url().clone_into(&mut config.registry.url);
    config.tokens = [
        ("vera", Role::Viewer, VIEWER),
        ("olga", Role::Operator, OPERATOR),
        ("anna", Role::Admin, ADMIN),
    ]
    .map(|(name, role, token)| TokenConfig {
        name: name.to_owned(),
        role,
        sha256: None,
        token: Some(token.to_owned()),
    })
    .to_vec();
    config
}
