//! The load client: lean HTTP/1.1 over kept-alive connections, in a process of its own
//! so that its CPU time is seen and its work is not ours.

mod answer;
pub mod client;
mod connection;
mod drive;
mod pace;
mod process;
mod tally;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use process::{Sample, run};

/// What the client is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Whom to ask.
    pub address: SocketAddr,
    /// The campaigns, asked in turn.
    pub campaigns: Vec<String>,
    /// Instead of claims: uses of one point, by so many users in turn.
    pub point_users: Option<u64>,
    /// The partner's key.
    pub api_key: String,
    /// Users are `<prefix><number>`, each asks once.
    pub user_prefix: String,
    /// Connections, kept open; a request at a time on each.
    pub connections: usize,
    /// Threads of the client.
    pub threads: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub measured: Duration,
    /// Tell the claim id of every n-th admitted claim as it is answered.
    pub sample_every: Option<u64>,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Pace {
    /// Each connection asks again as soon as it is answered: as much as the server
    /// takes. A slow answer delays the requests behind it, and hides what they would
    /// have waited (coordinated omission).
    Closed,
    /// So many requests a second whatever the answers do; the time of an answer counts
    /// from when its request was due.
    Open {
        /// Requests a second.
        per_second: u32,
    },
}

/// What came back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Answers within the measured time, by status and code.
    pub outcomes: BTreeMap<String, u64>,
    /// All answers, warm-up and last ones included.
    pub outcomes_of_all: BTreeMap<String, u64>,
    /// Measured seconds.
    pub seconds: f64,
    /// Of the answers within the measured time.
    pub latency: Latency,
    /// CPU seconds of the client within the measured time.
    pub cpu_seconds: f64,
    /// Its threads.
    pub threads: usize,
    /// When the last answer came, in microseconds since 1970.
    pub last_answer_unix_us: u64,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// The outcome of a request that got no answer.
pub const LOST: &str = "lost";
/// The outcome of a claim that is durable.
pub const ADMITTED: &str = "202";
/// The outcome of a claim for which no ticket is left.
pub const SOLD_OUT: &str = "409 coupon-sold-out";

impl Report {
    /// Answers a second with this outcome.
    pub fn rate(&self, outcome: &str) -> f64 {
        self.outcomes.get(outcome).copied().unwrap_or_default() as f64 / self.seconds
    }

    /// Every answer of this outcome, whenever it came.
    pub fn total(&self, outcome: &str) -> u64 {
        self.outcomes_of_all.get(outcome).copied().unwrap_or_default()
    }

    /// Answers of other outcomes than this, in words.
    pub fn others(&self, outcome: &str) -> Option<String> {
        let others: Vec<_> = self
            .outcomes_of_all
            .iter()
            .filter(|(other, _)| *other != outcome)
            .map(|(other, count)| format!("{count} x {other}"))
            .collect();
        (!others.is_empty()).then(|| others.join(", "))
    }

    /// Share of its threads that the client was busy.
    pub fn busy(&self) -> f64 {
        self.cpu_seconds / (self.seconds * self.threads as f64)
    }
}
