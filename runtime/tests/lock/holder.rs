//! A holder in a process of its own that is frozen past its lease.

use std::process::Stdio;
use std::time::Duration;

use headgate_runtime::lock::{Config, LockKey};
use headgate_testkit::process::binary_path;
use headgate_testkit::{Environment, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{PATIENCE, Redis, key, locks, once_held, settings};

/// The program of `examples/`, which the tests' build builds.
const HOLDER: &str = "examples/lock-holder";

fn short() -> Config {
    Config {
        lease: Duration::from_secs(3),
        ..settings()
    }
}

struct Holder {
    process: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    async fn start(environment: &Environment, key: LockKey) -> Self {
        let mut process = Command::new(binary_path(HOLDER))
            .args([environment.redis_url(), &environment.redis_prefix()])
            .args([key.to_string(), short().lease.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let stdin = process.stdin.take().expect("piped");
        let stdout = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut holder = Self {
            process,
            stdin,
            stdout,
        };
        assert_eq!(holder.answer().await, "taken");
        holder
    }

    async fn ask(&mut self, line: &str) -> String {
        let line = format!("{line}\n");
        self.stdin.write_all(line.as_bytes()).await.expect("it listens");
        self.answer().await
    }

    async fn answer(&mut self) -> String {
        let answered = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        let line = answered.expect("the holder answers").expect("it can be read");
        line.expect("the holder has not ended")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.process.id().expect("it runs");
        kill(Pid::from_raw(i32::try_from(pid).expect("it fits")), signal).expect("it can be signalled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_frozen_past_its_lease_loses_the_lock_and_knows() {
    let environment = Environment::new("lock_frozen").await;
    let (locks, redis, key) = (locks(&environment, short()), Redis::of(&environment), key());
    let mut holder = Holder::start(&environment, key).await;
    assert_eq!(holder.ask("held").await, "true");

    holder.signal(Signal::SIGSTOP);
    let next = eventually("the lease to end", PATIENCE, async || {
        once_held(locks.try_acquire(&key).await)
    })
    .await;
    let taken = redis.get(&key).await;
    holder.signal(Signal::SIGCONT);

    assert_eq!(holder.ask("held").await, "false");
    assert_eq!(holder.ask("release").await, "released");
    assert_eq!(redis.get(&key).await, taken, "the next one's lock is its own");
    assert!(next.is_held());
    next.release().await;
}
