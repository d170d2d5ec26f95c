//! Servers of a test's own, to be stopped, killed, frozen and set back: the same ones
//! as `make up` starts, in a folder of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::servers::{Servers, variables, workspace_root};

/// Longest time that one command of the stack may take.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(4);
/// Begins the folder's name; the number of the test's process follows.
const FOLDER_PREFIX: &str = "headgate-stack-";

/// A server of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// MySQL.
    MySql,
    /// Redis.
    Redis,
    /// Kafka, one node.
    Kafka,
    /// The schema registry.
    Registry,
}

impl Server {
    const fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
            Self::Registry => "registry",
        }
    }
}

/// Private servers. Dropping it stops them and removes their data.
#[derive(Debug)]
pub struct PrivateStack {
    folder: tempfile::TempDir,
    servers: Servers,
}

impl PrivateStack {
    /// Starts these servers; for the others the workspace's are used.
    pub async fn up(own: &[Server]) -> Self {
        Self::up_as(own, "test").await
    }

    /// Starts a MySQL that counts its statements in its performance schema.
    pub async fn up_counting() -> Self {
        Self::up_as(&[Server::MySql], "counted").await
    }

    async fn up_as(own: &[Server], profile: &str) -> Self {
        sweep(&std::env::temp_dir());
        let folder = tempfile::Builder::new()
            .prefix(&format!("{FOLDER_PREFIX}{}-", std::process::id()))
            .tempdir()
            .expect("a folder for the servers can be made");
        let names = own
            .iter()
            .map(|server| server.name())
            .collect::<Vec<_>>()
            .join(",");
        // Made before the servers run, so that a failing start is cleared away, too.
        let mut stack = Self {
            folder,
            servers: Servers::default(),
        };
        stack
            .command(&["up", "--only", &names, "--profile", profile])
            .await;
        let text =
            std::fs::read_to_string(stack.folder.path().join("env")).expect("the stack left its addresses");
        let addresses = variables(&text);
        stack.servers = if own.len() == ALL.len() {
            Servers::from_variables(&addresses).expect("all four servers were started")
        } else {
            Servers::of_workspace().with(&addresses)
        };
        stack
    }

    /// Starts all four.
    pub async fn up_all() -> Self {
        Self::up(&ALL).await
    }

    /// Their addresses.
    pub const fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Stops a server cleanly.
    pub async fn stop(&self, server: Server) {
        self.command(&["stop", server.name()]).await;
    }

    /// Starts a stopped or killed server and waits until it answers, at its old address.
    pub async fn start(&self, server: Server) {
        self.command(&["start", server.name()]).await;
    }

    /// Kills a server (SIGKILL).
    pub async fn kill(&self, server: Server) {
        self.command(&["kill", server.name()]).await;
    }

    /// Freezes a server (SIGSTOP): it holds its connections and answers nothing.
    pub async fn pause(&self, server: Server) {
        self.command(&["pause", server.name()]).await;
    }

    /// Lets a frozen server go on.
    pub async fn resume(&self, server: Server) {
        self.command(&["resume", server.name()]).await;
    }

    /// Keeps a copy of Redis' data.
    pub async fn save_redis(&self, name: &str) {
        self.command(&["redis-snapshot", "save", "--name", name]).await;
    }

    /// Restarts Redis with an older copy of its data.
    pub async fn restore_redis(&self, name: &str) {
        self.command(&["redis-snapshot", "restore", "--name", name]).await;
    }

    async fn command(&self, arguments: &[&str]) {
        let run = Command::new("python3")
            .args(line(arguments, self.folder.path()))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(COMMAND_TIMEOUT, run)
            .await
            .unwrap_or_else(|_| panic!("stack {arguments:?} does not end"))
            .expect("python3 can be started");
        assert!(
            output.status.success(),
            "stack {arguments:?} ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for PrivateStack {
    fn drop(&mut self) {
        wipe(self.folder.path());
    }
}

const ALL: [Server; 4] = [Server::MySql, Server::Redis, Server::Kafka, Server::Registry];

/// The command line of the stack's tool, without the interpreter.
fn line(arguments: &[&str], folder: &Path) -> Vec<String> {
    let tool = workspace_root().join("deploy/local/stack.py");
    let mut line = vec![tool.display().to_string(), arguments[0].to_owned()];
    line.extend(["--dir".to_owned(), folder.display().to_string()]);
    line.extend(arguments[1..].iter().map(|&argument| argument.to_owned()));
    line
}

fn wipe(folder: &Path) {
    let down = BlockingCommand::new("python3")
        .args(line(&["down", "--wipe"], folder))
        .stdin(Stdio::null())
        .output();
    match down {
        Ok(output) if output.status.success() => {}
        Ok(output) => eprintln!(
            "servers in {} stay: {}",
            folder.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => eprintln!("servers in {} stay: {error}", folder.display()),
    }
}

/// Stops servers whose test was killed before it could.
fn sweep(temporary: &Path) {
    let orphans = std::fs::read_dir(temporary)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let (pid, _) = name.to_str()?.strip_prefix(FOLDER_PREFIX)?.split_once('-')?;
            let alive = Path::new("/proc").join(pid).exists();
            (!alive).then(|| entry.path())
        });
    orphans.collect::<Vec<PathBuf>>().iter().for_each(|folder| {
        wipe(folder);
        // What the tool did not make, it does not remove.
        let _gone = std::fs::remove_dir_all(folder);
    });
}

impl Servers {
    /// These servers, with the given addresses in place of theirs.
    fn with(mut self, addresses: &BTreeMap<String, String>) -> Self {
        self.others.extend(addresses.clone());
        Self::from_variables(&self.others).expect("the workspace's servers are complete")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ping(url: &str) -> redis::RedisResult<String> {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async(&mut connection).await
    }

    async fn get(url: &str) -> Option<String> {
        let client = redis::Client::open(url).expect("an address");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers");
        redis::cmd("GET")
            .arg("key")
            .query_async(&mut connection)
            .await
            .expect("Redis answers")
    }

    async fn set(url: &str, value: &str) {
        let client = redis::Client::open(url).expect("an address");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers");
        let _ok: String = redis::cmd("SET")
            .arg("key")
            .arg(value)
            .query_async(&mut connection)
            .await
            .expect("Redis answers");
    }

    #[tokio::test]
    async fn fault_a_private_redis_can_be_killed_and_set_back() {
        let stack = PrivateStack::up(&[Server::Redis]).await;
        let url = stack.servers().redis_url.clone();
        assert_ne!(url, Servers::of_workspace().redis_url);
        set(&url, "before").await;
        stack.save_redis("early").await;
        set(&url, "after").await;
        stack.kill(Server::Redis).await;
        assert!(ping(&url).await.is_err());
        stack.start(Server::Redis).await;
        assert_eq!(get(&url).await.as_deref(), Some("after"));
        stack.restore_redis("early").await;
        assert_eq!(get(&url).await.as_deref(), Some("before"));
        drop(stack);
        assert!(ping(&url).await.is_err());
    }
}
