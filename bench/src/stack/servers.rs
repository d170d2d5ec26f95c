//! The servers: those that the environment names, or our own for the time of the run.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ::redis::aio::ConnectionManager;
use anyhow::Context;
use headgate_runtime::{mysql, redis};
use serde::Deserialize;
use sqlx::MySqlPool;

use crate::meter::Meter;

const MYSQL_URL: &str = "MYSQL_URL";
/// Servers of our own live here.
const OWN_FOLDER: &str = ".run-bench";
const STACK_PROGRAM: &str = "deploy/local/stack.py";
/// Folders of the stack that hold a process of this name.
const NAMES: [&str; 4] = ["mysql", "redis", "kafka", "registry"];

/// Whether nobody has given us servers.
pub fn are_missing() -> bool {
    env::var_os(MYSQL_URL).is_none()
}

/// Becomes a program that starts servers, runs this one with them, and stops them.
pub fn run_again_with_servers() -> anyhow::Result<()> {
    let program = env::current_exe().context("find this program")?;
    let failed = Command::new("python3")
        .args([
            STACK_PROGRAM,
            "with",
            "--dir",
            OWN_FOLDER,
            "--profile",
            "run",
            "--fresh",
            "--",
        ])
        .arg(program)
        .args(env::args_os().skip(1))
        .exec();
    Err(failed).with_context(|| format!("run {STACK_PROGRAM} (from the root of the repository)"))
}

/// Longest waits of this program and of the bare ones.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const SELECT_TIMEOUT: Duration = Duration::from_mins(1);
const LOCK_WAIT_TIMEOUT_S: u32 = 10;
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections as the product makes them, so that a comparison is one of programs, not
/// of socket options.
pub fn mysql_pool(url: &str, connections: u32) -> anyhow::Result<MySqlPool> {
    let config = mysql::Config {
        url: url.to_owned(),
        connections_max: connections,
        acquire_timeout: ACQUIRE_TIMEOUT,
        lock_wait_timeout_s: LOCK_WAIT_TIMEOUT_S,
        select_timeout: SELECT_TIMEOUT,
    };
    mysql::pool(&config).context("understand the address of MySQL")
}

/// See [`mysql_pool`].
pub fn redis_connection(url: &str) -> anyhow::Result<ConnectionManager> {
    let config = redis::Config {
        url: url.to_owned(),
        prefix: String::new(),
        connect_timeout: REDIS_TIMEOUT,
        response_timeout: REDIS_TIMEOUT,
    };
    redis::connection(&config).context("understand the address of Redis")
}

/// Addresses and processes of the servers.
#[derive(Clone, Debug)]
pub struct Servers {
    /// With an account that may make databases named `headgate...`.
    pub mysql_url: String,
    /// With an account that may also read MySQL's log, if we were told one.
    pub mysql_admin_url: Option<String>,
    /// Redis.
    pub redis_url: String,
    /// Kafka.
    pub kafka: String,
    /// The schema registry.
    pub registry_url: String,
    /// The stack's own folder.
    pub folder: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Identity {
    pid: u32,
}

impl Servers {
    /// As the environment says.
    pub fn of_environment() -> anyhow::Result<Self> {
        let variable = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
        Ok(Self {
            mysql_url: variable(MYSQL_URL)?,
            mysql_admin_url: env::var("MYSQL_ADMIN_URL").ok(),
            redis_url: variable("REDIS_URL")?,
            kafka: variable("KAFKA_BOOTSTRAP")?,
            registry_url: variable("SCHEMA_REGISTRY_URL")?,
            folder: env::var_os("HEADGATE_RUN_DIR").map(PathBuf::from),
        })
    }

    /// Where the servers keep their data, so that a probe meets the same disk.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(env::temp_dir)
    }

    /// Watches the servers whose processes are known.
    pub fn meter(&self) -> Meter {
        let mut meter = Meter::default();
        for name in NAMES {
            if let Some(pid) = self.pid(name) {
                meter.watch(name, pid);
            }
        }
        meter
    }

    fn pid(&self, name: &str) -> Option<u32> {
        let file = self.folder.as_ref()?.join(name).join("pid.json");
        let identity: Identity = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
        Some(identity.pid)
    }

    /// The URL of another database on the same MySQL, with the same parameters.
    pub fn mysql_url_of(&self, database: &str) -> String {
        let (url, parameters) = self.mysql_url.split_once('?').unwrap_or((&self.mysql_url, ""));
        let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
        if parameters.is_empty() {
            format!("{server}/{database}")
        } else {
            format!("{server}/{database}?{parameters}")
        }
    }
}
