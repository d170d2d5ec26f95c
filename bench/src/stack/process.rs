//! Processes that a measurement starts: ours and the bare ones. Each says on stdout
//! where it listens, a plain loop also how fast it was; none outlives this program.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Longest time until a process listens.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest time until it is ready, and how often it is asked.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
const READY_EVERY: Duration = Duration::from_millis(20);
/// Longest time for a clean stop; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that runs and is ready.
#[derive(Debug)]
pub struct Process {
    /// Its name in the table.
    pub name: String,
    /// Where it serves.
    pub http: Option<SocketAddr>,
    /// Where it says how it is.
    pub health: Option<SocketAddr>,
    /// Its number.
    pub pid: u32,
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
}

#[derive(Deserialize)]
struct Listening {
    event: String,
    http: Option<SocketAddr>,
    health: Option<SocketAddr>,
}

/// A program of this build.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::current_exe()?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let program = folder.join(name);
    anyhow::ensure!(
        program.exists(),
        "{} is not built: `cargo build --release --workspace --bins`",
        program.display()
    );
    Ok(program)
}

/// Starts a command in a group of its own, with its log in `log`.
pub fn spawn(name: &str, command: &mut Command, log: &Path) -> anyhow::Result<Child> {
    let stderr = File::create(log).with_context(|| format!("create {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stderr(stderr)
        // Ctrl-C reaches us; we stop the others in their order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {name}"))
}

/// Asks a process to stop and waits; kills it if it does not listen.
pub async fn end(name: &str, child: &mut Child) -> anyhow::Result<ExitStatus> {
    let pid = child.id().with_context(|| format!("{name} has ended"))?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)
        .with_context(|| format!("ask {name} to stop"))?;
    let Ok(ended) = tokio::time::timeout(STOP_TIMEOUT, child.wait()).await else {
        child.kill().await?;
        anyhow::bail!("{name} did not stop in time and was killed")
    };
    Ok(ended?)
}

/// Starts a command, waits until it listens and, if it has a health listener, until
/// it is ready. Its log goes to `log`.
pub async fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Process> {
    let mut child = spawn(name, command.stdout(Stdio::piped()), log)?;
    let pid = child.id().context("a process has a number")?;
    let stdout = child.stdout.take().context("stdout is piped")?;
    let mut lines = BufReader::new(stdout).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await? {
            match serde_json::from_str::<Listening>(&line) {
                Ok(listening) if listening.event == "listening" => return Ok(listening),
                _ => {}
            }
        }
        anyhow::bail!("it ended before it listened")
    };
    let listening = tokio::time::timeout(START_TIMEOUT, listening)
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("it did not listen in time")))
        .with_context(|| format!("{name}: see {}", log.display()))?;
    let process = Process {
        name: name.to_owned(),
        http: listening.http,
        health: listening.health,
        pid,
        child,
        told: lines,
    };
    process
        .ready()
        .await
        .with_context(|| format!("{name}: see {}", log.display()))?;
    Ok(process)
}

impl Process {
    async fn ready(&self) -> anyhow::Result<()> {
        let Some(health) = self.health else { return Ok(()) };
        let url = format!("http://{health}/health/ready");
        let asking = async {
            loop {
                match reqwest::get(&url).await {
                    Ok(answer) if answer.status().is_success() => return,
                    _ => tokio::time::sleep(READY_EVERY).await,
                }
            }
        };
        tokio::time::timeout(READY_TIMEOUT, asking)
            .await
            .context("it was not ready in time")
    }

    /// Its metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let health = self.health.context("it has no health listener")?;
        let answer = reqwest::get(format!("http://{health}/metrics")).await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// What it says next on stdout.
    pub async fn says<T: DeserializeOwned>(&mut self, limit: Duration) -> anyhow::Result<T> {
        let line = tokio::time::timeout(limit, self.told.next_line())
            .await
            .with_context(|| format!("{} said nothing in time", self.name))??
            .with_context(|| format!("{} ended too early", self.name))?;
        serde_json::from_str(&line).with_context(|| format!("understand {}: {line}", self.name))
    }

    /// Asks it to stop and waits; kills it if it does not listen.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let status = end(&self.name, &mut self.child).await?;
        anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
        Ok(())
    }
}
