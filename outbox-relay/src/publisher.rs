//! Rounds: read, check, send, wait, mark. A publisher belongs to one worker and can be
//! stepped by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use headgate_outbox::bucket::Bucket;
use headgate_outbox::claim::{self, PendingRow, ReadLimits};
use headgate_outbox::mark::{self, Fate, Marked, Marking, Outcome, Removal};
use headgate_outbox::{Error as OutboxError, blocked};
use headgate_runtime::mysql::KeptConnection;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::CancellationToken;
use sqlx::MySqlPool;

use crate::Error;
use crate::attempts::Attempts;
use crate::batch::{Batch, Plan};
use crate::checks::{Checks, Finding};
use crate::config::Config;
use crate::ownership::HeldBucket;
use crate::producer::{Delivery, InFlight, Producer};
use crate::record::record;
use crate::spans;

/// Most rows that are sent alone in one round.
const ALONE_PER_ROUND_MAX: usize = 16;
/// How long acknowledgements are still waited for when the process is to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Rows that were read.
    pub read: usize,
    /// Rows that were acknowledged and left the outbox.
    pub published: u64,
    /// Rows that were blocked.
    pub blocked: u64,
    /// Rows that stay for a later round.
    pub left: usize,
    /// Buckets whose lease was lost.
    pub lost: Vec<Bucket>,
    /// Kafka did not acknowledge in time, or the round had to be broken off.
    pub stalled: bool,
}

/// Publishes the rows of the buckets it is given.
pub struct Publisher {
    connection: KeptConnection,
    settings: Settings,
    producer: Producer,
    checks: Checks,
    attempts: Attempts,
    /// What was published, but perhaps not marked: to be marked first of all.
    unmarked: Option<Batch>,
    /// Buckets of which it is known that nothing is blocked, by the epoch of the lease.
    unblocked: HashMap<Bucket, u64>,
    /// Rows of a bucket in the next read: fewer than the settings say while rows are large.
    batch_rows: u32,
    stop: CancellationToken,
}

/// Bytes that a worker reads in one round, give or take one row of each bucket.
const READ_BYTES_MAX: usize = 16 * 1024 * 1024;

struct Settings {
    batch_rows: u32,
    marking: Marking,
    stall: Duration,
    database_timeout: Duration,
    source: String,
}

/// How the wait for acknowledgements ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// Every record has its delivery.
    Settled,
    /// Not every one: a lease ran out, Kafka is silent, or the process is to stop.
    BrokenOff,
}

impl Publisher {
    /// A publisher for one worker. `process` goes into the archive.
    pub fn new(
        config: &Config,
        pool: MySqlPool,
        registry: Registry,
        process: ProcessNumber,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let relay = &config.relay;
        Ok(Self {
            connection: KeptConnection::new(pool),
            producer: Producer::new(config.producer())?,
            checks: Checks::new(registry, config.kafka.names(), relay.record_bytes_max),
            attempts: Attempts::new(relay.max_attempts, relay.retry_after),
            unmarked: None,
            unblocked: HashMap::new(),
            batch_rows: relay.batch_rows,
            stop,
            settings: Settings {
                batch_rows: relay.batch_rows,
                marking: Marking {
                    archive: relay.archive.then_some(process),
                    max_attempts: relay.max_attempts,
                },
                stall: relay.stall,
                database_timeout: relay.database_timeout,
                source: relay.source.clone(),
            },
        })
    }

    /// One round over some buckets. It must not be dropped half-way while its result
    /// matters; after an error the next round makes up for what is missing.
    pub async fn step(&mut self, held: &[HeldBucket]) -> Result<Round, Error> {
        let mut round = Round::default();
        self.settle(held, &mut round).await?;
        let mut batch = Batch::new(self.read(held).await?);
        round.read = batch.rows.len();
        if batch.rows.is_empty() {
            self.attempts.keep_only(&buckets(held), |_| false);
            return Ok(round);
        }
        headgate_runtime::crash_point!("relay.after-read");
        self.plan(&mut batch).await;
        round.stalled = self.publish(&mut batch, held).await? == Waited::BrokenOff;
        batch.restore_order();
        headgate_runtime::crash_point!("relay.after-publish-before-mark");
        self.remember(&batch, held);
        round.left = batch.count(|fate| *fate == Fate::Left);
        self.mark(batch, held, Removal::Range, &mut round).await?;
        headgate_runtime::crash_point!("relay.after-mark");
        Ok(round)
    }

    async fn read(&mut self, held: &[HeldBucket]) -> Result<Vec<PendingRow>, Error> {
        let buckets = buckets(held);
        let known = held
            .iter()
            .all(|held| self.unblocked.get(&held.bucket) == Some(&held.lease.epoch));
        let limits = ReadLimits {
            rows: self.batch_rows,
            bytes: READ_BYTES_MAX / buckets.len().max(1),
        };
        let limit = self.settings.database_timeout;
        let (with_blocked, next) = self
            .connection
            .within(limit, async |connection| {
                // Before the rows: who is not blocked now will only be blocked by this relay.
                let mut with_blocked = Vec::new();
                if !known {
                    with_blocked = blocked::buckets(&mut *connection).await?;
                }
                let may_be_blocked = buckets.iter().any(|bucket| with_blocked.contains(bucket));
                let next = claim::next_rows(connection, &buckets, limits, may_be_blocked).await?;
                Ok::<_, OutboxError>((with_blocked, next))
            })
            .await?;
        if !known {
            let unblocked = held.iter().filter(|held| !with_blocked.contains(&held.bucket));
            self.unblocked = unblocked.map(|held| (held.bucket, held.lease.epoch)).collect();
        }
        // What is cut off was sent by MySQL in vain.
        self.batch_rows = if next.cut {
            (self.batch_rows / 2).max(1)
        } else {
            self.batch_rows.saturating_mul(2).min(self.settings.batch_rows)
        };
        Ok(next.rows)
    }

    async fn plan(&mut self, batch: &mut Batch) {
        self.checks.look_up(&batch.rows, &self.producer).await;
        let now = Instant::now();
        let (checks, attempts) = (&self.checks, &mut self.attempts);
        let mut alone = 0;
        batch.plan(|row| {
            let suspect = attempts.is_suspect(row);
            if suspect && attempts.rests(row, now) {
                return (Plan::Keep, Fate::Left);
            }
            match checks.check(row) {
                None if !suspect => (Plan::Send, Fate::Left),
                None if alone < ALONE_PER_ROUND_MAX => {
                    alone += 1;
                    (Plan::SendAlone, Fate::Left)
                }
                None | Some(Finding::Unknown) => (Plan::Keep, Fate::Left),
                Some(Finding::Poison(error)) => (Plan::Keep, attempts.fail(row, error)),
            }
        });
    }

    async fn publish(&mut self, batch: &mut Batch, held: &[HeldBucket]) -> Result<Waited, Error> {
        let places = |batch: &Batch, plan| {
            let planned = batch.plans.iter().enumerate().filter(|(_, p)| **p == plan);
            planned.map(|(place, _)| place).collect::<Vec<_>>()
        };
        let mut waited = self.send(batch, &places(batch, Plan::Send), held).await?;
        for place in places(batch, Plan::SendAlone) {
            if waited == Waited::Settled {
                waited = self.send(batch, &[place], held).await?;
            }
        }
        Ok(waited)
    }

    /// Sends the rows at `places` and waits for their acknowledgements.
    async fn send(
        &mut self,
        batch: &mut Batch,
        places: &[usize],
        held: &[HeldBucket],
    ) -> Result<Waited, Error> {
        if places.is_empty() {
            return Ok(Waited::Settled);
        }
        let (started, now) = (Instant::now(), Utc::now());
        let in_flight = InFlight::new(batch.rows.len());
        let mut spans = Vec::new();
        for place in places {
            let row = &batch.rows[*place];
            // Damaged headers were found by the checks.
            if let Ok(record) = record(row, &self.settings.source) {
                spans.extend(spans::publishing(row, now));
                self.producer
                    .send(&row.topic, record, row.payload.as_deref(), &in_flight, *place);
            }
        }
        in_flight.sealed();
        let waited = self.wait(&in_flight, held).await;
        drop(spans);
        metrics::histogram!("headgate_relay_publish_seconds").record(started.elapsed().as_secs_f64());
        let all_acknowledged = self.collect(batch, places, &in_flight);
        if !all_acknowledged {
            // What a failed record leaves behind in the old producer must not be sent:
            // it would come before the record itself.
            self.producer.renew()?;
        }
        Ok(waited)
    }

    /// Turns deliveries into fates. True: all were acknowledged.
    fn collect(&mut self, batch: &mut Batch, places: &[usize], in_flight: &InFlight) -> bool {
        let mut all_acknowledged = true;
        let now = Utc::now();
        let in_outbox = metrics::histogram!("headgate_relay_outbox_seconds");
        for place in places {
            let row = &batch.rows[*place];
            let fate = match in_flight.delivery(*place) {
                Some(Delivery::Acknowledged { partition, offset }) => {
                    in_outbox.record(spans::seconds_in_outbox(row, now));
                    Fate::Published {
                        partition: *partition,
                        offset: *offset,
                    }
                }
                Some(Delivery::Refused(code)) if places.len() == 1 => {
                    self.attempts.fail(row, code.to_string())
                }
                Some(Delivery::Refused(_)) => {
                    self.attempts.suspect(row);
                    Fate::Left
                }
                Some(Delivery::Lost(_)) | None => Fate::Left,
            };
            all_acknowledged &= matches!(fate, Fate::Published { .. });
            batch.fates[*place] = fate;
        }
        all_acknowledged
    }

    async fn wait(&self, in_flight: &Arc<InFlight>, held: &[HeldBucket]) -> Waited {
        let mut give_up_at = Instant::now() + self.settings.stall;
        let mut stopping = false;
        loop {
            let valid_until = held.iter().map(HeldBucket::valid_until).min();
            let deadline = valid_until.map_or(give_up_at, |until| until.min(give_up_at));
            tokio::select! {
                biased;
                () = in_flight.settled() => return Waited::Settled,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    give_up_at = give_up_at.min(Instant::now() + STOP_GRACE);
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    let now = Instant::now();
                    // The lease may have been renewed meanwhile.
                    let lapsed = held.iter().any(|held| held.valid_until() <= now);
                    if lapsed || now >= give_up_at {
                        tracing::warn!(lapsed, "Kafka did not acknowledge in time");
                        return Waited::BrokenOff;
                    }
                }
            }
        }
    }

    /// Forgets attempts of rows that leave the outbox.
    fn remember(&mut self, batch: &Batch, held: &[HeldBucket]) {
        if self.attempts.is_empty() {
            return;
        }
        let left: std::collections::HashSet<_> = batch
            .rows
            .iter()
            .zip(&batch.fates)
            .filter(|(_, fate)| **fate == Fate::Left)
            .map(|(row, _)| (row.bucket, row.id))
            .collect();
        self.attempts
            .keep_only(&buckets(held), |place| left.contains(place));
    }

    /// Marks what an earlier round published, by ids.
    async fn settle(&mut self, held: &[HeldBucket], round: &mut Round) -> Result<(), Error> {
        match self.unmarked.take() {
            Some(batch) => self.mark(batch, held, Removal::Ids, round).await,
            None => Ok(()),
        }
    }

    /// Marks a batch. After an error it is kept, to be marked again by ids: nothing else
    /// is read before.
    async fn mark(
        &mut self,
        batch: Batch,
        held: &[HeldBucket],
        removal: Removal,
        round: &mut Round,
    ) -> Result<(), Error> {
        let outcomes = self.outcomes(&batch, held, removal);
        if outcomes.is_empty() {
            return Ok(());
        }
        let (limit, marking) = (self.settings.database_timeout, self.settings.marking);
        let marked = self
            .connection
            .within(limit, async |connection| {
                mark::mark(connection, &outcomes, marking).await
            })
            .await;
        match marked {
            Ok(marked) => {
                self.account(marked, round);
                Ok(())
            }
            Err(error) => {
                self.unmarked = Some(batch);
                // It may have blocked rows all the same.
                self.unblocked.clear();
                Err(error.into())
            }
        }
    }

    /// What became of each bucket of which anything is to be marked. Buckets that are
    /// held no longer are left to their next holder.
    fn outcomes<'b>(&self, batch: &'b Batch, held: &'b [HeldBucket], removal: Removal) -> Vec<Outcome<'b>> {
        let full = usize::try_from(self.settings.batch_rows).unwrap_or(usize::MAX);
        let outcome = |(bucket, range): (Bucket, std::ops::Range<usize>)| {
            let lease = &held.iter().find(|held| held.bucket == bucket)?.lease;
            let fates = &batch.fates[range.clone()];
            let all_published = fates.iter().all(|fate| matches!(fate, Fate::Published { .. }));
            // A batch that is not full reaches up to where writers are at work.
            let removal = if all_published && fates.len() >= full {
                removal
            } else {
                Removal::Ids
            };
            let rows = &batch.rows[range];
            let anything = fates.iter().any(|fate| *fate != Fate::Left);
            anything.then_some(Outcome {
                lease,
                bucket,
                rows,
                fates,
                removal,
            })
        };
        batch.by_bucket().filter_map(outcome).collect()
    }

    fn account(&mut self, marked: Marked, round: &mut Round) {
        metrics::counter!("headgate_relay_published_total").increment(marked.published);
        if marked.blocked > 0 {
            metrics::counter!("headgate_relay_blocked_total").increment(marked.blocked);
            tracing::warn!(
                rows = marked.blocked,
                "rows were set aside: an operator has to look at them"
            );
            self.unblocked.clear();
        }
        if marked.range_refused {
            metrics::counter!("headgate_relay_ranges_refused_total").increment(1);
        }
        round.published += marked.published;
        round.blocked += marked.blocked;
        round.lost.extend(marked.lost);
    }
}

fn buckets(held: &[HeldBucket]) -> Vec<Bucket> {
    held.iter().map(|held| held.bucket).collect()
}
