//! The command line, started as a user starts it.

mod editing;
mod help;
mod installation;
mod locking;
mod operating;

use std::process::{Output, Stdio};

use headgate_testkit::Environment;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::process::Command;

use crate::listener::Listener;

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Requires success, and reads stdout as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        self.code(0);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Requires this exit code.
    pub fn code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    /// Requires that stderr says this.
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "`{text}` is not in: {}", self.stderr);
        self
    }
}

/// Runs `headgate` with these variables and no others.
pub async fn headgate(variables: &[(String, String)], arguments: &[&str]) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_headgate"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("headgate is built");
    Ended {
        code: status.code().expect("it ended by itself"),
        stdout: String::from_utf8(stdout).expect("UTF-8"),
        stderr: String::from_utf8(stderr).expect("UTF-8"),
    }
}

/// Runs `headgate` against the servers of a test.
pub async fn on(environment: &Environment, arguments: &[&str]) -> Ended {
    headgate(&environment.env_vars(), arguments).await
}

impl Listener {
    /// Runs a command, its words separated by blanks, with a token of this listener.
    pub async fn run(&self, token: &str, command: &str) -> Ended {
        let mut variables = self.environment.env_vars();
        variables.push(("HEADGATE_OPERATOR_URL".to_owned(), self.url.clone()));
        variables.push(("HEADGATE_OPERATOR_TOKEN".to_owned(), token.to_owned()));
        headgate(&variables, &command.split_whitespace().collect::<Vec<_>>()).await
    }

    /// Runs a command that must succeed, and reads what it prints as JSON.
    pub async fn json(&self, token: &str, command: &str) -> Value {
        self.run(token, &format!("{command} --output json")).await.json()
    }

    /// Runs a command that must end with this exit code and say this on stderr.
    pub async fn fails(&self, token: &str, command: &str, code: i32, says: &str) {
        self.run(token, command).await.code(code).says(says);
    }
}
