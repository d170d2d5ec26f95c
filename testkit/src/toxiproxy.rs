//! Toxiproxy between the product and a server: latency, resets, answers that get lost.
//! <https://github.com/Shopify/toxiproxy#http-api>

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::eventually;
use crate::servers::Servers;

/// Longest time until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running Toxiproxy. Dropping it cuts all its connections.
#[derive(Debug)]
pub struct Toxiproxy {
    api: String,
    http: reqwest::Client,
    _process: Child,
}

/// One address that leads to a server through Toxiproxy.
#[derive(Debug)]
pub struct Proxy<'t> {
    toxiproxy: &'t Toxiproxy,
    name: String,
    address: SocketAddr,
}

/// Which way of a connection is harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the product sends.
    Requests,
    /// What the server answers.
    Answers,
}

impl Stream {
    const fn name(self) -> &'static str {
        match self {
            Self::Requests => "upstream",
            Self::Answers => "downstream",
        }
    }
}

/// What is done to connections.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    /// Everything arrives later.
    Latency(Duration),
    /// Nothing arrives any more; after this time the connection is closed.
    Swallow(Duration),
    /// The connection is reset after this time.
    Reset(Duration),
    /// The connection is closed after this many bytes.
    CutAfterBytes(u64),
}

impl Harm {
    fn toxic(self) -> (&'static str, Value) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Latency(time) => ("latency", json!({"latency": millis(time), "jitter": 0})),
            Self::Swallow(time) => ("timeout", json!({"timeout": millis(time)})),
            Self::Reset(time) => ("reset_peer", json!({"timeout": millis(time)})),
            Self::CutAfterBytes(bytes) => ("limit_data", json!({"bytes": bytes})),
        }
    }
}

impl Toxiproxy {
    /// Starts it.
    pub async fn start(servers: &Servers) -> Self {
        let port = free_port();
        let process = Command::new(servers.tool("HEADGATE_TOXIPROXY"))
            .args(["-host", "127.0.0.1", "-port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("toxiproxy can be started");
        let toxiproxy = Self {
            api: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::new(),
            _process: process,
        };
        eventually("toxiproxy to answer", START_TIMEOUT, async || {
            let version = toxiproxy
                .http
                .get(format!("{}/version", toxiproxy.api))
                .send()
                .await;
            version.ok().filter(|answer| answer.status().is_success())
        })
        .await;
        toxiproxy
    }

    /// Opens an address that leads to `upstream` (`host:port`).
    pub async fn proxy(&self, name: &str, upstream: &str) -> Proxy<'_> {
        let wanted = json!({"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": true});
        let made = self
            .send(self.http.post(format!("{}/proxies", self.api)).json(&wanted))
            .await;
        let address = made["listen"].as_str().and_then(|listen| listen.parse().ok());
        Proxy {
            toxiproxy: self,
            name: name.to_owned(),
            address: address.unwrap_or_else(|| panic!("toxiproxy does not say where it listens: {made}")),
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Value {
        let answer = request.send().await.expect("toxiproxy answers");
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "toxiproxy refuses: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl Proxy<'_> {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Harms all connections, present and to come, until [`Self::heal`].
    pub async fn harm(&self, stream: Stream, harm: Harm) {
        let (kind, attributes) = harm.toxic();
        let toxic = json!({"name": kind, "type": kind, "stream": stream.name(), "attributes": attributes});
        let path = format!("{}/proxies/{}/toxics", self.toxiproxy.api, self.name);
        self.toxiproxy
            .send(self.toxiproxy.http.post(path).json(&toxic))
            .await;
    }

    /// Takes every harm away.
    pub async fn heal(&self) {
        let path = format!("{}/proxies/{}/toxics", self.toxiproxy.api, self.name);
        let toxics = self.toxiproxy.send(self.toxiproxy.http.get(&path)).await;
        for toxic in toxics.as_array().into_iter().flatten() {
            let name = toxic["name"].as_str().expect("a toxic has a name");
            self.toxiproxy
                .send(self.toxiproxy.http.delete(format!("{path}/{name}")))
                .await;
        }
    }

    /// Refuses connections and cuts those that are open.
    pub async fn cut(&self) {
        self.enable(false).await;
    }

    /// Accepts connections again.
    pub async fn restore(&self) {
        self.enable(true).await;
    }

    async fn enable(&self, enabled: bool) {
        let path = format!("{}/proxies/{}", self.toxiproxy.api, self.name);
        // Its address is sent along: without it, it would listen somewhere else.
        let wanted = json!({"enabled": enabled, "listen": self.address.to_string()});
        self.toxiproxy
            .send(self.toxiproxy.http.post(path).json(&wanted))
            .await;
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_lost_after_it_took_effect() {
        let servers = Servers::of_workspace();
        let toxiproxy = Toxiproxy::start(&servers).await;
        let upstream = servers
            .redis_url
            .trim_start_matches("redis://")
            .trim_end_matches('/')
            .to_owned();
        let proxy = toxiproxy.proxy("redis", &upstream).await;
        let key = format!("toxiproxy-{:x}", rand::random::<u64>());

        let through = redis::Client::open(format!("redis://{}/", proxy.address())).expect("an address");
        let mut harmed = through
            .get_multiplexed_async_connection()
            .await
            .expect("the proxy leads to Redis");
        proxy
            .harm(Stream::Answers, Harm::Swallow(Duration::from_millis(50)))
            .await;
        let answer: redis::RedisResult<i64> = redis::cmd("INCR").arg(&key).query_async(&mut harmed).await;
        assert!(answer.is_err(), "{answer:?}");

        let direct = redis::Client::open(servers.redis_url.as_str()).expect("an address");
        let mut direct = direct
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers");
        let value: i64 = redis::cmd("GETDEL")
            .arg(&key)
            .query_async(&mut direct)
            .await
            .expect("Redis answers");
        assert_eq!(value, 1);

        proxy.heal().await;
        proxy.cut().await;
        assert!(through.get_multiplexed_async_connection().await.is_err());
        proxy.restore().await;
        assert!(through.get_multiplexed_async_connection().await.is_ok());
    }
}
