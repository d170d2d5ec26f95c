//! Debezium as its users run it: Kafka Connect in a process of its own, the connector
//! for MySQL, and the outbox event router. Everything it keeps lies in one folder.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, Url};
use serde::Deserialize;
use tokio::process::{Child, Command};

use super::installation;
use super::process;
use super::servers::Servers;

/// Where the stack's programs are.
const STACK_HOME: &str = "HEADGATE_STACK_HOME";
const CONNECTOR: &str = "outbox";
/// Of a JVM with Connect in it.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Ends a JVM that was asked to stop; it does so after its hooks.
const STOPPED_BY_SIGTERM: i32 = 143;
/// Replicas have numbers; those of the stack are small.
const SERVER_IDS: u32 = 1_000_000;

/// A worker with one connector, from start to end of a measurement.
#[derive(Debug)]
pub struct Connect {
    arguments: Vec<String>,
    folder: PathBuf,
    logs: PathBuf,
    starts: u32,
    address: SocketAddr,
    http: reqwest::Client,
    child: Option<Child>,
}

/// What the connector reads.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    /// The database with the outbox.
    pub database: &'s str,
    /// Unique among what Connect publishes.
    pub prefix: &'s str,
}

#[derive(Deserialize)]
struct Status {
    connector: State,
    tasks: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    state: String,
    #[serde(default)]
    trace: String,
}

/// Version of the connector. None: it is not installed here, or MySQL has no account
/// that may read its log.
pub fn version(servers: &Servers) -> Option<String> {
    #[derive(Deserialize)]
    struct Manifest {
        version: String,
    }
    servers.mysql_admin_url.as_ref()?;
    let manifest = fs::read_to_string(home().ok()?.join("debezium/manifest.json")).ok()?;
    Some(serde_json::from_str::<Manifest>(&manifest).ok()?.version)
}

/// The Java that the stack uses.
fn program() -> PathBuf {
    let own = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    own.filter(|program| program.exists())
        .unwrap_or_else(|| PathBuf::from("java"))
}

fn home() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os(STACK_HOME).with_context(|| format!("{STACK_HOME} is not set"))?;
    Ok(PathBuf::from(home))
}

impl Connect {
    /// Writes the settings of a worker and of its connector; its logs go to `logs`.
    pub fn prepare(servers: &Servers, source: Source<'_>, logs: &Path) -> anyhow::Result<Self> {
        let folder = logs.join("connect");
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let home = home()?;
        // Connect cannot say which port it was given: it is chosen for it.
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        fs::write(folder.join("log4j2.xml"), LOGGING)?;
        fs::write(
            folder.join("worker.properties"),
            worker(servers, &home, &folder, address),
        )?;
        fs::write(
            folder.join("connector.properties"),
            connector(servers, source, &folder)?,
        )?;
        Ok(Self {
            arguments: arguments(&home, &folder),
            folder,
            logs: logs.to_path_buf(),
            starts: 0,
            address,
            // A proxy that the environment names is not for the loopback interface.
            http: reqwest::Client::builder().no_proxy().build()?,
            child: None,
        })
    }

    /// Starts the worker and waits until the connector runs; returns its number.
    pub async fn start(&mut self) -> anyhow::Result<u32> {
        let mut command = Command::new(program());
        installation::clear(&mut command);
        command.args(&self.arguments).stdout(Stdio::null());
        self.starts += 1;
        let child = process::spawn("connect", &mut command, &self.log())?;
        let pid = child.id().context("a process has a number")?;
        self.child = Some(child);
        self.until_running().await?;
        Ok(pid)
    }

    /// Takes the connector's work from it; the worker stays, and stays warm.
    pub async fn hold(&mut self) -> anyhow::Result<()> {
        self.ask(Method::PUT, "stop").await?;
        self.until(|status| status.connector.state == "STOPPED" && status.tasks.is_empty())
            .await
    }

    /// Lets the connector go on.
    pub async fn resume(&self) -> anyhow::Result<()> {
        self.ask(Method::PUT, "resume").await?;
        Ok(())
    }

    /// Stops the worker; what it has read so far it remembers.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let status = process::end("connect", &mut child).await?;
        anyhow::ensure!(
            status.success() || status.code() == Some(STOPPED_BY_SIGTERM),
            "connect ended with {status}: see {}",
            self.log().display()
        );
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.logs.join(format!("connect-{}.log", self.starts))
    }

    async fn until_running(&mut self) -> anyhow::Result<()> {
        self.until(|status| {
            let mut states = std::iter::once(&status.connector).chain(&status.tasks);
            !status.tasks.is_empty() && states.all(|state| state.state == "RUNNING")
        })
        .await
    }

    async fn until(&mut self, reached: impl Fn(&Status) -> bool) -> anyhow::Result<()> {
        let log = self.log();
        let looking = async {
            loop {
                // Nobody listens yet, or the connector is not known yet.
                if let Ok(answer) = self.ask(Method::GET, "status").await {
                    let status: Status = answer.json().await?;
                    if let Some(failed) = status.tasks.iter().find(|task| task.state == "FAILED") {
                        anyhow::bail!("the connector failed: {}", failed.trace);
                    }
                    if reached(&status) {
                        return Ok(());
                    }
                } else if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                    anyhow::bail!("it ended with {status}");
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(START_TIMEOUT, looking)
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("it did not follow in time")))
            .with_context(|| format!("connect: see {}", log.display()))
    }

    async fn ask(&self, method: Method, what: &str) -> reqwest::Result<reqwest::Response> {
        let url = format!("http://{}/connectors/{CONNECTOR}/{what}", self.address);
        self.http.request(method, url).send().await?.error_for_status()
    }
}

impl Drop for Connect {
    /// Removes what it has kept, apart from its logs: a password is in it, too.
    fn drop(&mut self) {
        // Killed, if it was not stopped.
        self.child = None;
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("{} is left: {error}", self.folder.display());
        }
    }
}

/// Warnings, but not one for every event that its own statistics have no room for.
const LOGGING: &str = r#"<Configuration status="ERROR">
  <Appenders>
    <Console name="console" target="SYSTEM_ERR"><PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="io.debezium.metrics.stats" level="ERROR"/>
    <Root level="WARN"><AppenderRef ref="console"/></Root>
  </Loggers>
</Configuration>
"#;

/// As Kafka's own script starts Connect, with the heap it gives.
fn arguments(home: &Path, folder: &Path) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        "-Xms256M".to_owned(),
        "-Xmx2G".to_owned(),
        "-XX:+UseG1GC".to_owned(),
        "-Djava.awt.headless=true".to_owned(),
        "-Djava.net.preferIPv4Stack=true".to_owned(),
        format!("-Dlog4j2.configurationFile={}", file("log4j2.xml")),
        "-cp".to_owned(),
        format!("{}/*", home.join("kafka/libs").display()),
        "org.apache.kafka.connect.cli.ConnectStandalone".to_owned(),
        file("worker.properties"),
        file("connector.properties"),
    ]
}

/// The producer is as durable as ours and compresses as ours does.
fn worker(servers: &Servers, home: &Path, folder: &Path, address: SocketAddr) -> String {
    format!(
        "bootstrap.servers={kafka}
listeners=http://{address}
plugin.path={plugins}
plugin.discovery=service_load
key.converter=org.apache.kafka.connect.converters.ByteArrayConverter
value.converter=org.apache.kafka.connect.converters.ByteArrayConverter
offset.storage.file.filename={offsets}
producer.acks=all
producer.enable.idempotence=true
producer.compression.type=lz4
",
        kafka = servers.kafka,
        plugins = home.join("debezium/connectors").display(),
        offsets = folder.join("offsets").display(),
    )
}

/// The connector's defaults, apart from a shorter poll; the router takes our columns.
fn connector(servers: &Servers, source: Source<'_>, folder: &Path) -> anyhow::Result<String> {
    let url = servers
        .mysql_admin_url
        .as_ref()
        .context("no account that may read MySQL's log")?;
    let url = Url::parse(url).context("understand the address of MySQL")?;
    Ok(format!(
        "name={CONNECTOR}
connector.class=io.debezium.connector.mysql.MySqlConnector
tasks.max=1
database.hostname={host}
database.port={port}
database.user={user}
database.password={password}
database.server.id={server_id}
topic.prefix={prefix}connect
database.include.list={database}
table.include.list={database}.outbox
include.schema.changes=false
snapshot.mode=no_data
snapshot.locking.mode=none
poll.interval.ms=10
schema.history.internal=io.debezium.storage.file.history.FileSchemaHistory
schema.history.internal.file.filename={history}
schema.history.internal.store.only.captured.tables.ddl=true
schema.history.internal.store.only.captured.databases.ddl=true
transforms=outbox
transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
transforms.outbox.table.field.event.id=event_id
transforms.outbox.table.field.event.key=aggregate_id
transforms.outbox.table.field.event.payload=payload
transforms.outbox.table.fields.additional.placement=event_type:header:ce_type
transforms.outbox.route.by.field=topic
transforms.outbox.route.topic.replacement=${{routedByValue}}
",
        host = url.host_str().unwrap_or("127.0.0.1"),
        port = url.port().unwrap_or(3306),
        user = url.username(),
        password = url.password().unwrap_or_default(),
        server_id = SERVER_IDS + std::process::id(),
        prefix = source.prefix,
        database = source.database,
        history = folder.join("history").display(),
    ))
}
