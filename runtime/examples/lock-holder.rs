//! Holds a lock of Redis in a process of its own, which a test freezes past its lease.
//!
//! `lock-holder URL PREFIX KEY LEASE_MS` takes the lock and says `taken`; then it answers
//! each line on stdin: `held` by `true` or `false`, `release` by `released`.

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use headgate_runtime::breaker;
use headgate_runtime::lock::{Acquisition, Config, Guard, LockKey, Locks};
use headgate_runtime::redis;
use tokio::io::{AsyncBufReadExt, BufReader};

/// How long Redis may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, prefix, key, lease_ms] = arguments.as_slice() else {
        return Err("usage: lock-holder URL PREFIX KEY LEASE_MS".into());
    };
    let lease = Duration::from_millis(lease_ms.parse()?);
    let key: LockKey = key.parse()?;
    let Acquisition::Held(guard) = locks(url, prefix, lease)?.try_acquire(&key).await else {
        return Err("it is another's".into());
    };
    answer("taken")?;

    let mut guard = Some(guard);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.as_str() {
            "held" => answer(&guard.as_ref().is_some_and(Guard::is_held).to_string())?,
            "release" => {
                if let Some(guard) = guard.take() {
                    guard.release().await;
                }
                answer("released")?;
            }
            other => return Err(format!("what is {other}?").into()),
        }
    }
    Ok(())
}

fn locks(url: &str, prefix: &str, lease: Duration) -> Result<Locks, Box<dyn Error>> {
    let connection = redis::connection(&redis::Config {
        url: url.to_owned(),
        prefix: String::new(),
        connect_timeout: PATIENCE,
        response_timeout: PATIENCE,
    })?;
    let defaults = Config::default();
    let config = Config {
        lease,
        command_timeout: PATIENCE,
        breaker: breaker::Config {
            slow: PATIENCE,
            ..defaults.breaker
        },
        ..defaults
    };
    Ok(Locks::new(connection, config, prefix, "holder-1"))
}

fn answer(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
