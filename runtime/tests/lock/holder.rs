//! A holder in a process of its own that is frozen past its lease.

use std::process::Stdio;
use std::time::Duration;

use headgate_runtime::lock::{Config, Guard, LockKey};
use headgate_testkit::{Environment, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{PATIENCE, Redis, held, key, locks, locks_at, once_held, settings};

/// What the child is told: address, prefix and key.
const VARIABLES: [&str; 3] = ["HEADGATE_TEST_URL", "HEADGATE_TEST_PREFIX", "HEADGATE_TEST_KEY"];
/// Begins its answers among what the test harness prints.
const ANSWER: &str = "holder: ";

fn short() -> Config {
    Config {
        lease: Duration::from_secs(3),
        ..settings()
    }
}

/// The child's side: takes the lock, then answers each line it is sent.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the child of the other test here"]
async fn child() {
    let [url, prefix, key] = VARIABLES.map(|name| std::env::var(name).expect("it is told"));
    let key: LockKey = key.parse().expect("a key");
    let mut guard = Some(held(locks_at(&url, &prefix, short()).try_acquire(&key).await));
    println!("{ANSWER}taken");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("stdin can be read") {
        match line.as_str() {
            "held" => println!("{ANSWER}{}", guard.as_ref().is_some_and(Guard::is_held)),
            "release" => {
                guard.take().expect("it is released once").release().await;
                println!("{ANSWER}released");
            }
            other => panic!("what is {other}?"),
        }
    }
}

struct Holder {
    process: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    async fn start(environment: &Environment, key: LockKey) -> Self {
        let told = [
            environment.redis_url().to_owned(),
            environment.redis_prefix(),
            key.to_string(),
        ];
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args(["holder::child", "--exact", "--ignored", "--nocapture"])
            .envs(VARIABLES.into_iter().zip(told))
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
        let answered = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.stdout.next_line().await.expect("it can be read") {
                // The harness leaves its own line unfinished.
                if let Some((_, answer)) = line.split_once(ANSWER) {
                    return answer.to_owned();
                }
            }
            panic!("the holder ended");
        });
        answered.await.expect("the holder answers")
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
