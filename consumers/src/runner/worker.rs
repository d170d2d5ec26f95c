//! The worker of one partition: takes what waits, reads it, has it settled, and notes
//! how far it came. It ends when its partition is revoked, after the transaction in hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_dead_letters::park::HeldKey;
use headgate_groups::decode::{Content, Decoder};
use headgate_outbox::wake::Waker;
use headgate_runtime::error_text;
use headgate_runtime::shutdown::{CancellationToken, stopped_within};
use headgate_schemas::ids::EventId;
use tracing::Instrument;

use super::batch::{Batches, Done};
use super::failure::{Cause, Failure, Kind};
use super::item::{Item, Source};
use super::lag;
use super::outdated::OutdatedBalances;
use super::patience::{Patience, Pauses, Stopped};
use super::progress::Progress;
use super::queue::{Limits, Queue};
use super::record::{Carries, Record};
use super::settled::Settled;

/// Limits of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Of one batch.
    pub batch: Limits,
    /// Least time between the beginnings of two batches that are not full.
    pub batch_every: Duration,
    /// The same on a retry topic.
    pub retry_every: Duration,
    /// How often an event is tried alone before it is set aside.
    pub attempts_max: u32,
    /// Failed replays after which a letter is quarantined.
    pub replays_max: u32,
    /// Longest transaction.
    pub transaction_timeout: Duration,
    /// Pauses while something around the data is broken.
    pub pauses: Pauses,
}

/// What every worker of a group shares.
#[derive(Clone)]
pub(crate) struct Tools {
    pub decoder: Decoder,
    pub batches: Batches,
    pub waker: Waker,
    pub settled: Settled,
    pub outdated: OutdatedBalances,
    pub settings: Settings,
}

pub(crate) struct Worker {
    pub tools: Tools,
    pub source: Source,
    pub queue: Arc<Queue>,
    pub progress: Arc<Progress>,
    pub stop: CancellationToken,
}

impl Worker {
    /// Works until stopped. Under load the records that come while a batch is paced share
    /// the next transaction; a record that comes to an idle worker does not wait.
    pub(crate) async fn run(self) {
        let Settings {
            batch,
            batch_every,
            retry_every,
            ..
        } = self.tools.settings;
        let every = if self.source.is_retry() {
            retry_every
        } else {
            batch_every
        };
        loop {
            let records = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                records = self.queue.take(batch) => records,
            };
            let begun = Instant::now();
            let is_full = records.len() >= batch.records_max;
            let span = tracing::info_span!(
                "consume batch",
                group = self.group_name(),
                topic = %self.source.topic,
                partition = self.source.partition,
                records = records.len(),
            );
            if self.handle(records).instrument(span).await == Err(Stopped) {
                return;
            }
            if !is_full {
                stopped_within(&self.stop, every.saturating_sub(begun.elapsed())).await;
            }
        }
    }

    pub(crate) fn group_name(&self) -> &'static str {
        self.tools.decoder.group.name()
    }

    async fn handle(&self, records: Vec<Record>) -> Result<(), Stopped> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(());
        };
        let end = last.offset + 1;
        self.progress.take(first.time_ms);
        if self.source.is_retry() {
            self.handle_retries(records).await?;
        } else {
            let items = self.read(records).await?;
            self.persist(&items).await?;
        }
        self.progress.settle(end);
        self.progress.put_down();
        Ok(())
    }

    /// A retry topic carries replay attempts, requests to release, and events that are fed to
    /// this group again, which are like any other. What is of one kind, and comes together, is
    /// settled together.
    async fn handle_retries(&self, records: Vec<Record>) -> Result<(), Stopped> {
        let mut records = records.into_iter().peekable();
        while let Some(first) = records.next() {
            let carries = first.carries();
            let mut next = first.offset + 1;
            let mut run = vec![first];
            while let Some(record) = records.next_if(|record| record.carries() == carries) {
                next = record.offset + 1;
                run.push(record);
            }
            match carries {
                Carries::Event => {
                    let items = self.read(run).await?;
                    self.persist(&items).await?;
                }
                Carries::Letter => self.replay(run).await?,
                Carries::Release(letter_id) => {
                    let key = run[0].key.as_deref().map(HeldKey::of);
                    self.release(letter_id, key).await?;
                }
                Carries::Unreadable(letter_id) => self.report(Some(letter_id), "unreadable"),
            }
            self.progress.settle(next);
        }
        Ok(())
    }

    /// Those records that concern the group, read.
    async fn read(&self, records: Vec<Record>) -> Result<Vec<Item>, Stopped> {
        let mut items = Vec::with_capacity(records.len());
        let before = records.len();
        for record in records {
            let event_id = record.event_id(&self.source.topic, self.source.partition);
            let content = self.content(event_id, &record).await?;
            items.extend(content.map(|content| Item {
                event_id,
                letter: None,
                home: self.source.home(record.key.as_deref()),
                record,
                content,
            }));
        }
        count(self.group_name(), "skipped", before - items.len());
        Ok(items)
    }

    /// What a record says; the registry is waited for. `None`: it does not concern the group.
    pub(crate) async fn content(
        &self,
        event_id: EventId,
        record: &Record,
    ) -> Result<Option<Content>, Stopped> {
        let decoder = &self.tools.decoder;
        self.until_possible(|| async {
            let content = decoder.content(event_id, record.readable()).await;
            content.map_err(|error| Cause::from(error).into())
        })
        .await
    }

    /// What follows from a commit, outside of it.
    pub(crate) fn after_commit(&self, items: &[Item], done: Done) {
        let group = self.group_name();
        count(group, "applied", done.applied);
        count(group, "duplicate", done.duplicates);
        count(group, "dead", done.dead);
        count(group, "parked", done.parked);
        if done.applied + done.dead + done.parked > 0 {
            self.tools.waker.wake();
        }
        if done.superseded > 0 {
            metrics::counter!("headgate_coupon_duplicate_total").increment(done.superseded as u64);
        }
        self.tools.settled.announce(done.after_commit.settled);
        self.tools.outdated.outdate(done.after_commit.heard);
        let now = self.tools.batches.clock.now();
        let latency = metrics::histogram!("headgate_end_to_end_seconds", "group" => group);
        for began_at in done.began_at {
            latency.record((now - began_at).to_std().unwrap_or_default().as_secs_f64());
        }
        if let Some(last) = items.last() {
            self.progress.settle(last.record.offset + 1);
        }
    }
}

fn count(group: &'static str, outcome: &'static str, events: usize) {
    if events > 0 {
        metrics::counter!("headgate_consumer_events_total", "group" => group, "outcome" => outcome)
            .increment(events as u64);
    }
}

/// The wait for a dependency: reported once when it begins and once when it is over.
pub(crate) struct Wait<'w> {
    worker: &'w Worker,
    patience: Option<Patience>,
}

impl<'w> Wait<'w> {
    pub(crate) const fn new(worker: &'w Worker) -> Self {
        Self {
            worker,
            patience: None,
        }
    }

    /// Waits, because of `failure`.
    pub(crate) async fn out(&mut self, failure: &Failure) -> Result<(), Stopped> {
        let worker = self.worker;
        let group = worker.group_name();
        metrics::counter!("headgate_consumer_retries_total", "group" => group).increment(1);
        if failure.kind == Kind::Full {
            lag::parking_full(worker.group_name(), &worker.source, true);
        }
        if self.patience.is_none() {
            worker.progress.set_waiting(true);
            tracing::warn!(
                group, topic = %worker.source.topic, partition = worker.source.partition,
                error = error_text(&failure.cause), "the partition waits for a dependency"
            );
        }
        let pauses = worker.tools.settings.pauses;
        let patience = self.patience.get_or_insert_with(|| Patience::new(pauses));
        patience.wait(&worker.stop).await
    }

    /// It worked.
    pub(crate) fn over(&mut self) {
        let worker = self.worker;
        if self.patience.take().is_some() {
            lag::parking_full(worker.group_name(), &worker.source, false);
            worker.progress.set_waiting(false);
            tracing::info!(
                group = worker.group_name(), topic = %worker.source.topic, partition = worker.source.partition,
                "the partition goes on"
            );
        }
    }
}
