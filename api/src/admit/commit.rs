//! Group commit: claims that arrive together share one transaction, because a durable
//! commit costs the disk one flush, not one flush a claim.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use headgate_domain::claims::Reservation;
use headgate_domain::claims::admit::{self, Gate};
use headgate_outbox::multirow::size_within;
use headgate_runtime::mysql::{Fault, KeptConnection, fault};
use headgate_runtime::shutdown::CancellationToken;
use headgate_schemas::ids::CampaignId;
use sqlx::Connection;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, mpsc};

use super::campaign::CampaignQueue;
use super::settle::Settle;
use super::{Reserved, Shared, turn_away};

/// Answers of Redis that may wait for a writer.
const WAITING_GROUPS: usize = 64;
/// How often a transaction is tried again after a deadlock or a lock wait.
const CONTENTION_ATTEMPTS: u32 = 5;

/// Where reservations wait for their transaction.
#[derive(Clone)]
pub(super) struct CommitQueue {
    waiting: mpsc::Sender<Vec<Reserved>>,
}

/// How a transaction ended.
pub(super) enum Committed {
    /// These are claims now. The others did not pass their gate.
    Done { refused: Vec<(usize, Gate)> },
    /// A claim id, user or ticket is taken. Nothing was written.
    Duplicate,
    /// Nobody knows whether it took effect.
    Unknown,
    /// Nothing was written, and trying again does not help.
    Failed,
}

impl CommitQueue {
    /// Starts the writers.
    pub fn start(
        shared: &Arc<Shared>,
        campaigns: &moka::sync::Cache<CampaignId, Arc<CampaignQueue>>,
    ) -> Self {
        let (waiting, groups) = mpsc::channel(WAITING_GROUPS);
        let queue = Arc::new(Mutex::new(Gathering {
            groups,
            behind: Vec::new(),
            batch_rows_max: usize::from(shared.limits.batch_rows_max),
        }));
        let turns = Arc::new(Semaphore::new(usize::from(shared.limits.executing)));
        for _ in 0..shared.limits.writers {
            let writer = Writer {
                shared: shared.clone(),
                connection: KeptConnection::new(shared.pool.clone()),
                settle: Settle {
                    shared: shared.clone(),
                    campaigns: campaigns.clone(),
                },
            };
            shared.tasks.spawn(writer.run(queue.clone(), turns.clone()));
        }
        Self { waiting }
    }

    /// Waits for a place for what Redis answered together. An error: the writers have
    /// ended.
    pub async fn push(&self, group: Vec<Reserved>) -> Result<(), Vec<Reserved>> {
        self.waiting.send(group).await.map_err(|refused| refused.0)
    }
}

/// Makes batches of what waits.
struct Gathering {
    groups: mpsc::Receiver<Vec<Reserved>>,
    /// Taken from the queue and left to the next batch.
    behind: Vec<Reserved>,
    batch_rows_max: usize,
}

impl Gathering {
    /// Waits for claims and takes those that wait, as many as one statement is made for.
    /// None: the queue has ended.
    async fn batch(&mut self, stop: &CancellationToken) -> Option<Vec<Reserved>> {
        while self.behind.is_empty() {
            tokio::select! {
                group = self.groups.recv() => self.behind = group?,
                // Campaign queues hold senders: stopping closes the door behind what is
                // already inside.
                () = stop.cancelled(), if !self.groups.is_closed() => self.groups.close(),
            }
        }
        while self.behind.len() < self.batch_rows_max
            && let Ok(group) = self.groups.try_recv()
        {
            self.behind.extend(group);
        }
        let rows = size_within(self.behind.len().min(self.batch_rows_max));
        let behind = self.behind.split_off(rows);
        Some(std::mem::replace(&mut self.behind, behind))
    }
}

struct Writer {
    shared: Arc<Shared>,
    connection: KeptConnection,
    settle: Settle,
}

impl Writer {
    /// `turns` says who may execute. A turn is given back before the commit: while one
    /// writer waits for the disk the next executes, and whoever arrives meanwhile shares
    /// a transaction.
    async fn run(mut self, queue: Arc<Mutex<Gathering>>, turns: Arc<Semaphore>) {
        while let Ok(turn) = turns.acquire().await {
            let Some(batch) = queue.lock().await.batch(&self.shared.stop).await else {
                return;
            };
            metrics::histogram!("headgate_claim_batch_rows")
                .record(f64::from(u32::try_from(batch.len()).unwrap_or(u32::MAX)));
            self.write(batch, &turns, turn).await;
        }
    }

    /// Writes a batch until every claim in it has its answer.
    async fn write<'t>(&mut self, mut batch: Vec<Reserved>, turns: &'t Semaphore, turn: SemaphorePermit<'t>) {
        let mut rounds = 0;
        let mut turn = Some(turn);
        while !batch.is_empty() {
            headgate_runtime::crash_point!("api.after-redis-before-commit");
            rounds += 1;
            match self.commit(&batch, turns, &mut turn).await {
                Committed::Done { refused } => return self.done(batch, refused).await,
                Committed::Duplicate if rounds <= CONTENTION_ATTEMPTS => {
                    batch = self.settle.sort_out(batch).await;
                }
                Committed::Unknown => return self.settle.find_out(batch).await,
                Committed::Duplicate | Committed::Failed => {
                    // Nothing was written, but a later attempt of the same client may
                    // use the reservation: the sweeper settles it.
                    return turn_away(batch.into_iter().map(|claim| claim.asked));
                }
            }
        }
    }

    /// One transaction for the batch, tried again while it meets deadlocks. `turn` is taken
    /// anew for an attempt that follows one which gave it back.
    async fn commit<'t>(
        &mut self,
        batch: &[Reserved],
        turns: &'t Semaphore,
        turn: &mut Option<SemaphorePermit<'t>>,
    ) -> Committed {
        let mut reservations: Vec<&Reservation> = batch.iter().map(|claim| &claim.reservation).collect();
        // One order for all writers: two batches never wait for each other in a circle.
        reservations.sort_unstable_by_key(|reservation| (reservation.campaign_no, reservation.ticket));
        let shared = self.shared.clone();
        for _ in 0..CONTENTION_ATTEMPTS {
            if turn.is_none() {
                *turn = turns.acquire().await.ok();
            }
            let started = Instant::now();
            let limit = self.shared.limits.commit_timeout;
            let attempt = self.connection.within(limit, async |connection| {
                transact(&shared, connection, &reservations, turn).await
            });
            let attempt = attempt.await;
            metrics::histogram!("headgate_claim_commit_seconds").record(started.elapsed().as_secs_f64());
            match attempt {
                Ok(refused) => {
                    return Committed::Done {
                        refused: positions(batch, &refused),
                    };
                }
                Err(error) => match error.database().map(fault) {
                    Some(Fault::Contention) => {
                        metrics::counter!("headgate_mysql_deadlocks_total").increment(1);
                    }
                    Some(Fault::Duplicate) => return Committed::Duplicate,
                    Some(Fault::Unavailable) => return Committed::Unknown,
                    Some(Fault::Data | Fault::Internal) | None => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "claims could not be written"
                        );
                        return Committed::Failed;
                    }
                },
            }
        }
        Committed::Failed
    }

    async fn done(&self, batch: Vec<Reserved>, refused: Vec<(usize, Gate)>) {
        headgate_runtime::crash_point!("api.after-commit-before-answer");
        self.shared.waker.wake();
        let refused: HashMap<usize, Gate> = refused.into_iter().collect();
        let (mut claims, mut turned_away) = (Vec::with_capacity(batch.len()), Vec::new());
        for (index, claim) in batch.into_iter().enumerate() {
            match refused.get(&index) {
                None => claims.push(claim),
                Some(gate) => turned_away.push((claim, *gate)),
            }
        }
        self.shared.confirmer.committed(&claims);
        for claim in claims {
            let answer = claim.admitted();
            claim.asked.answer(answer);
        }
        for (claim, gate) in turned_away {
            self.settle.turn_away(claim, gate).await;
        }
    }
}

/// Returns the reservations that did not pass their gate.
async fn transact(
    shared: &Shared,
    connection: &mut sqlx::MySqlConnection,
    reservations: &[&Reservation],
    turn: &mut Option<SemaphorePermit<'_>>,
) -> Result<Vec<(headgate_schemas::ids::ClaimId, Gate)>, headgate_domain::Error> {
    let mut transaction = connection.begin().await?;
    let written = write(shared, &mut transaction, reservations).await;
    match written {
        Ok(refused) => {
            headgate_runtime::crash_point!("api.before-commit");
            drop(turn.take());
            transaction.commit().await?;
            Ok(refused)
        }
        Err(error) => {
            // Explicit: some errors have ended the transaction on the server, some not.
            if let Err(rollback) = transaction.rollback().await {
                tracing::debug!(error = %rollback, "the rollback failed; the connection is lost");
            }
            Err(error)
        }
    }
}

async fn write(
    shared: &Shared,
    transaction: &mut sqlx::Transaction<'_, sqlx::MySql>,
    reservations: &[&Reservation],
) -> Result<Vec<(headgate_schemas::ids::ClaimId, Gate)>, headgate_domain::Error> {
    let gates = admit::lock_gates(transaction, reservations).await?;
    let closed = Gate {
        quota: 0,
        passable: false,
        epoch: 0,
        by_redis: false,
    };
    let gate = |reservation: &Reservation| gates.get(&reservation.campaign_no).copied().unwrap_or(closed);
    let (pass, refused): (Vec<&Reservation>, Vec<&Reservation>) = reservations
        .iter()
        .partition(|reservation| gate(reservation).lets_in(reservation));
    if !pass.is_empty() {
        admit::insert(transaction, &shared.writer, &pass, &gates, shared.clock.now()).await?;
    }
    Ok(refused
        .into_iter()
        .map(|reservation| (reservation.claim_id, gate(reservation)))
        .collect())
}

fn positions(batch: &[Reserved], refused: &[(headgate_schemas::ids::ClaimId, Gate)]) -> Vec<(usize, Gate)> {
    if refused.is_empty() {
        return Vec::new();
    }
    let refused: HashMap<_, _> = refused.iter().copied().collect();
    let gate = |claim: &Reserved| refused.get(&claim.reservation.claim_id).copied();
    batch
        .iter()
        .enumerate()
        .filter_map(|(index, claim)| gate(claim).map(|gate| (index, gate)))
        .collect()
}
