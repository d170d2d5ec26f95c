//! Users who keep asking until they have an answer that is the last word.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Interval, interval};
use uuid::Uuid;

use super::{Answer, Asked, Caller, Connection, Ledger};
use crate::eventually;
use crate::waiting::Waiting;

/// Longest time that one user goes on asking.
const PATIENCE: Duration = Duration::from_mins(2);

/// A load to be started.
#[derive(Clone, Debug)]
pub struct Load {
    /// Whom to ask.
    pub caller: Caller,
    /// For a coupon of which campaign.
    pub campaign: Uuid,
    /// Who asks.
    pub users: Vec<String>,
    /// How many ask at the same time.
    pub connections: usize,
    /// How many users come each second; as many as can be answered where it is not said.
    pub users_per_second: Option<u32>,
}

impl Load {
    /// Starts it.
    pub fn start(self) -> Running {
        let ledger = Ledger::default();
        let next = Arc::new(AtomicUsize::new(0));
        let arrivals = self
            .users_per_second
            .map(|rate| Arc::new(Mutex::new(interval(Duration::from_secs(1) / rate))));
        let users: Arc<[String]> = self.users.into();
        let askers = (0..self.connections).map(|number| {
            let asker = Asker {
                caller: self.caller.clone(),
                campaign: self.campaign,
                ledger: ledger.clone(),
                number,
                connection: None,
                arrivals: arrivals.clone(),
            };
            tokio::spawn(asker.work(next.clone(), users.clone()))
        });
        Running {
            askers: askers.collect(),
            ledger,
        }
    }

    /// Runs it to its end.
    pub async fn run(self) -> Ledger {
        self.start().finish().await
    }
}

/// A load that goes on.
#[derive(Debug)]
pub struct Running {
    askers: Vec<JoinHandle<()>>,
    ledger: Ledger,
}

impl Running {
    /// What was answered so far.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Waits until so many requests were answered with a promise.
    pub async fn wait_for_promises(&self, count: usize) {
        eventually(&format!("{count} promises"), PATIENCE, async || {
            (self.ledger.promises().len() >= count).then_some(())
        })
        .await;
    }

    /// Waits until every user has a final answer. Panics when one does not get it.
    pub async fn finish(self) -> Ledger {
        for asker in self.askers {
            asker.await.expect("every user gets a final answer");
        }
        self.ledger
    }
}

/// One connection's worth of users, one after the other.
struct Asker {
    caller: Caller,
    campaign: Uuid,
    ledger: Ledger,
    number: usize,
    connection: Option<Connection>,
    arrivals: Option<Arc<Mutex<Interval>>>,
}

impl Asker {
    async fn work(mut self, next: Arc<AtomicUsize>, users: Arc<[String]>) {
        while let Some(user) = users.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(arrivals) = &self.arrivals {
                arrivals.lock().await.tick().await;
            }
            let mut waiting = Waiting::new(PATIENCE);
            loop {
                let answer = self.ask(user).await;
                if answer.is_final() {
                    break;
                }
                waiting
                    .pause(&format!("a final answer to {user}, who last heard {answer:?}"))
                    .await;
            }
        }
    }

    async fn ask(&mut self, user: &str) -> Answer {
        let asked_at = Instant::now();
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.caller.target(self.number)).await,
        };
        let answer = match connection {
            Err(why) => Answer::Lost(why),
            Ok(mut connection) => {
                let answer = connection.claim(self.caller.api_key(), self.campaign, user).await;
                if !matches!(answer, Answer::Lost(_)) {
                    self.connection = Some(connection);
                }
                answer
            }
        };
        let answered_at = Instant::now();
        self.ledger.add(Asked {
            user: user.to_owned(),
            asked_at,
            answered_at,
            answer: answer.clone(),
        });
        answer
    }
}
