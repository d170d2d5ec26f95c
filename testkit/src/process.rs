//! Processes of the product: started as a user starts them, killed as a machine does.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::eventually;

/// Longest time from the start of a process until it is ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest time that a process takes to stop when asked to.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest wait for the death of a process that was, or kills itself, by SIGKILL.
const DEATH_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest wait for a health answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines of its log that a failure repeats.
const LOG_LINES_SHOWN: usize = 12;
/// Longest piece of such a line, in characters.
const LOG_LINE_CHARS: usize = 300;
/// Names the crash point in the process's environment.
const CRASH_POINT_VARIABLE: &str = "HEADGATE_CRASH_POINT";
/// Names the file that the dying process writes the point's name to.
const CRASH_REPORT_VARIABLE: &str = "HEADGATE_CRASH_REPORT";
/// Makes the process stop by SIGSTOP at its crash point, instead of dying.
const FREEZE_VARIABLE: &str = "HEADGATE_CRASH_FREEZE";
/// SIGKILL.
const SIGKILL: i32 = 9;
/// Variables of the test's own process that the product may see; nothing else leaks in.
const INHERITED: [&str; 6] = ["PATH", "HOME", "TMPDIR", "LANG", "RUST_LOG", "RUST_BACKTRACE"];

/// The line that a service writes to stdout when it listens.
#[derive(Clone, Debug, Deserialize)]
struct Listening {
    event: String,
    #[serde(default)]
    http: Option<String>,
    health: String,
}

/// How to start a service.
#[derive(Clone, Debug)]
pub struct Start {
    binary: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    crash_point: Option<String>,
}

impl Start {
    /// The program `binary` of this build, with these variables and no others but a
    /// few such as PATH.
    pub fn new(binary: &str, variables: Vec<(String, String)>) -> Self {
        Self {
            binary: binary.to_owned(),
            arguments: Vec::new(),
            variables,
            crash_point: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn variable(mut self, key: &str, value: impl Into<String>) -> Self {
        self.variables.push((key.to_owned(), value.into()));
        self
    }

    /// Lets the process die by SIGKILL when it first passes this point, or at its N-th
    /// passage with `name:N`.
    #[must_use]
    pub fn crash_at(mut self, point: &str) -> Self {
        self.crash_point = Some(point.to_owned());
        self
    }

    /// Lets the process stop by SIGSTOP instead, until it is [thawed](Service::thaw).
    #[must_use]
    pub fn freeze_at(self, point: &str) -> Self {
        self.crash_at(point).variable(FREEZE_VARIABLE, "1")
    }

    /// Starts it and waits until it is ready.
    pub async fn spawn(&self) -> Service {
        let mut service = self.launch().await;
        service.wait_ready().await;
        service
    }

    /// Starts it and waits until it listens, ready or not.
    pub async fn launch(&self) -> Service {
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}-", self.binary))
            .tempdir()
            .expect("a folder for the log can be made");
        let log = folder.path().join("log");
        let report = folder.path().join("crash-report");
        let stderr = std::fs::File::create(&log).expect("the log can be created");
        let mut command = Command::new(binary_path(&self.binary));
        command
            .args(&self.arguments)
            .env_clear()
            .envs(std::env::vars().filter(|(key, _)| INHERITED.contains(&key.as_str())))
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        if let Some(point) = &self.crash_point {
            command
                .env(CRASH_POINT_VARIABLE, point)
                .env(CRASH_REPORT_VARIABLE, &report);
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.binary));
        let pid = child.id().expect("a process that was just started has a number");
        let listening = listening(&self.binary, &mut child, &log).await;
        Service {
            name: self.binary.clone(),
            child,
            pid,
            listening,
            crash_point: self.crash_point.clone(),
            report,
            folder: Some(folder),
        }
    }
}

/// Reads stdout until the service says where it listens.
async fn listening(name: &str, child: &mut Child, log: &Path) -> Listening {
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut lines = BufReader::new(stdout).lines();
    let said = tokio::time::timeout(READY_TIMEOUT, async {
        while let Some(line) = lines.next_line().await.expect("stdout can be read") {
            if let Ok(listening) = serde_json::from_str::<Listening>(&line)
                && listening.event == "listening"
            {
                return Some(listening);
            }
        }
        None
    })
    .await;
    let listening = said.ok().flatten().unwrap_or_else(|| {
        panic!(
            "{name} did not say where it listens; its log ends:\n{}",
            tail(log)
        )
    });
    // Whatever else it may print must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    listening
}

/// A running process of the product. It is killed when this is dropped.
pub struct Service {
    name: String,
    child: Child,
    pid: u32,
    listening: Listening,
    crash_point: Option<String>,
    report: PathBuf,
    folder: Option<tempfile::TempDir>,
}

impl Service {
    /// Starts the program `binary` of this build and waits until it is ready.
    pub async fn spawn(binary: &str, variables: Vec<(String, String)>) -> Self {
        Start::new(binary, variables).spawn().await
    }

    /// Base of its public HTTP, e.g. `http://127.0.0.1:1234`.
    pub fn http(&self) -> String {
        let address = self.listening.http.as_ref();
        format!(
            "http://{}",
            address.unwrap_or_else(|| panic!("{} has no public listener", self.name))
        )
    }

    /// Base of its health listener.
    pub fn health(&self) -> String {
        format!("http://{}", self.listening.health)
    }

    /// Its process number.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its log goes.
    pub fn log_file(&self) -> PathBuf {
        self.report.with_file_name("log")
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// What `/metrics` shows now.
    pub async fn metrics(&self) -> String {
        let shown = self.try_metrics().await;
        shown.unwrap_or_else(|error| panic!("{} shows no metrics: {error}", self.name))
    }

    async fn try_metrics(&self) -> reqwest::Result<String> {
        reqwest::get(format!("{}/metrics", self.health()))
            .await?
            .text()
            .await
    }

    /// The value of one metric, summed over its series that carry all of `labels`
    /// (written `key="value"`); `None` where there is no such series.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        metric(&self.metrics().await, name, labels)
    }

    /// The same of a process that may die meanwhile, which has no such series then.
    pub async fn metric_if_alive(&self, name: &str, labels: &[&str]) -> Option<f64> {
        metric(&self.try_metrics().await.ok()?, name, labels)
    }

    /// Whether it says that it is ready.
    pub async fn ready(&self) -> bool {
        let answer = reqwest::Client::new()
            .get(format!("{}/health/ready", self.health()))
            .timeout(HEALTH_TIMEOUT)
            .send()
            .await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until it says that it is ready. Panics when it ends instead.
    pub async fn wait_ready(&mut self) {
        eventually(&format!("{} to be ready", self.name), READY_TIMEOUT, async || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!(
                    "{} ended with {status} during its start; its log ends:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            self.ready().await.then_some(())
        })
        .await;
    }

    /// Kills it by SIGKILL and waits for its death.
    pub async fn kill9(&mut self) {
        self.child
            .start_kill()
            .unwrap_or_else(|error| panic!("{} cannot be killed: {error}", self.name));
        let status = self.death().await;
        assert_eq!(
            status.signal(),
            Some(SIGKILL),
            "{} ended by itself before it was killed: {status}\n{}",
            self.name,
            self.log_tail()
        );
    }

    /// Freezes it (SIGSTOP), as a machine that stalls.
    pub fn pause(&self) {
        self.send(nix::sys::signal::Signal::SIGSTOP);
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&self) {
        self.send(nix::sys::signal::Signal::SIGCONT);
    }

    /// Asks it to stop (SIGTERM) and requires that it does, in time and without error.
    pub async fn stop(&mut self) {
        self.send(nix::sys::signal::Signal::SIGTERM);
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        let status = ended
            .unwrap_or_else(|_| panic!("{} does not stop; its log ends:\n{}", self.name, self.log_tail()))
            .expect("the end of a child can be awaited");
        assert!(
            status.success(),
            "{} stopped with {status}; its log ends:\n{}",
            self.name,
            self.log_tail()
        );
    }

    /// Waits until it died at its crash point: by signal 9, with the point's name in
    /// its report. Panics when it lives on or died elsewhere.
    pub async fn assert_died_at_crash_point(&mut self) {
        let point = self.crash_point.clone().expect("a crash point was set");
        let name = point.split(':').next().unwrap_or_default().to_owned();
        let status = self.death().await;
        let reported = std::fs::read_to_string(&self.report).unwrap_or_default();
        assert!(
            status.signal() == Some(SIGKILL) && reported == name,
            "{} had to die by signal 9 at {point}, but ended with {status}, reporting `{reported}`; its log ends:\n{}",
            self.name,
            self.log_tail()
        );
    }

    /// Waits until it has come to the point at which it stops by SIGSTOP.
    pub async fn wait_frozen(&self) {
        eventually("the process to freeze", DEATH_TIMEOUT, async || {
            self.report.exists().then_some(())
        })
        .await;
    }

    /// Lets it go on after it froze.
    pub fn thaw(&self) {
        self.send(nix::sys::signal::Signal::SIGCONT);
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The memory it holds, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        const KIBIBYTE: u64 = 1024;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let kibibytes = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        });
        kibibytes.unwrap_or_default() * KIBIBYTE
    }

    async fn death(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(DEATH_TIMEOUT, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("{} lives on; its log ends:\n{}", self.name, self.log_tail()))
            .expect("the end of a child can be awaited")
    }

    fn send(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid).expect("a process number fits"));
        nix::sys::signal::kill(pid, signal)
            .unwrap_or_else(|error| panic!("{signal} cannot be sent to {}: {error}", self.name));
    }

    fn log_tail(&self) -> String {
        tail(&self.log_file())
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("pid", &self.pid)
            .field("listening", &self.listening)
            .finish_non_exhaustive()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The child itself is killed by its own drop. A failing test keeps the log.
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let folder = folder.keep();
            eprintln!(
                "log of {} (process {}) in {}, its end:\n{}",
                self.name,
                self.pid,
                folder.display(),
                tail(&folder.join("log"))
            );
        }
    }
}

/// Runs a program of this build to its end and returns what it wrote to stdout.
/// Panics unless it succeeds.
pub async fn run(binary: &str, variables: &[(String, String)], arguments: &[&str]) -> String {
    let (status, stdout, stderr) = run_any(binary, variables, arguments).await;
    assert!(
        status.success(),
        "{binary} {arguments:?} ended with {status}:\n{stdout}{stderr}"
    );
    stdout
}

/// Runs a program of this build to its end: how it ended, stdout, stderr.
pub async fn run_any(
    binary: &str,
    variables: &[(String, String)],
    arguments: &[&str],
) -> (ExitStatus, String, String) {
    let output = Command::new(binary_path(binary))
        .args(arguments)
        .env_clear()
        .envs(std::env::vars().filter(|(key, _)| INHERITED.contains(&key.as_str())))
        .envs(variables.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(READY_TIMEOUT, output)
        .await
        .unwrap_or_else(|_| panic!("{binary} {arguments:?} does not end"))
        .unwrap_or_else(|error| panic!("{binary} cannot be started: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

/// A program of the build that this test belongs to.
pub fn binary_path(binary: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    // <target>/<profile>/deps/<test>
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("a test lies in its build's folder");
    let path = profile.join(binary);
    assert!(
        path.exists(),
        "{} is not built: `make test-build` builds what the tests start",
        path.display()
    );
    path
}

/// Reads one metric from Prometheus' text form.
fn metric(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, with) = series.split_once('{').unwrap_or((series, ""));
        let matches = found == name && labels.iter().all(|label| with.contains(label));
        matches.then(|| value.parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or_default() + value))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].iter();
    let cut: Vec<String> = last
        .map(|line| line.chars().take(LOG_LINE_CHARS).collect())
        .collect();
    cut.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_series() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\"} 4\na{x=\"2\"} 5\nab 7\nb 6\n";
        assert_eq!(metric(text, "a", &["x=\"1\""]), Some(7.0));
        assert_eq!(metric(text, "a", &[]), Some(12.0));
        assert_eq!(metric(text, "b", &[]), Some(6.0));
        assert_eq!(metric(text, "c", &[]), None);
    }
}
