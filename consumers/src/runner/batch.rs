//! One attempt at one batch: a MySQL transaction that locks the partition, records the
//! events in the inbox, applies them, and buries what is rejected or must wait.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use headgate_dead_letters::bury::{self, Burier};
use headgate_dead_letters::park::Bounds;
use headgate_dead_letters::{Disposition, NewLetter};
use headgate_groups::decode::Content;
use headgate_groups::{AfterCommit, Context, Event, Group, Intent};
use headgate_outbox::inbox::{self, GroupNo, InboxState};
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::crash_point;
use headgate_runtime::mysql::{Fault, fault};
use headgate_schemas::ids::EventId;
use sqlx::{MySql, MySqlPool, Transaction};

use super::failure::{Cause, Failure, Kind};
use super::item::{Item, Source, Verdict};
use super::sort::{Sorted, overtaken, waiting};

/// What attempts need.
#[derive(Clone)]
pub(crate) struct Batches {
    pub pool: MySqlPool,
    pub group: Group,
    pub group_no: GroupNo,
    pub context: Context,
    pub clock: DatabaseClock,
    /// How much may be parked.
    pub bounds: Bounds,
}

/// What a committed attempt did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub applied: usize,
    pub duplicates: usize,
    pub dead: usize,
    pub parked: usize,
    pub after_commit: AfterCommit,
    /// Applied events that changed nothing.
    pub superseded: usize,
    /// When what the applied events tell of began.
    pub began_at: Vec<DateTime<Utc>>,
}

/// Where the rows of the inbox come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inbox {
    /// As a rule every event is new: insert, and see.
    Trust,
    /// Some are not: read first.
    Read,
}

impl Batches {
    /// Settles `items` in one transaction: each is applied, known already, or buried.
    pub(crate) async fn settle(&self, source: &Source, items: &[Item]) -> Result<Done, Failure> {
        match self.run(source, items, Inbox::Trust).await {
            // Also where there is no room: what was applied before needs none.
            Err(failure) if is_duplicate(&failure) || failure.kind == Kind::Full => {
                self.run(source, items, Inbox::Read).await
            }
            other => other,
        }
    }

    async fn run(&self, source: &Source, items: &[Item], inbox: Inbox) -> Result<Done, Failure> {
        crash_point!("consumer.before-batch");
        let mut transaction = self.pool.begin().await?;
        match self.fill(&mut transaction, source, items, inbox).await {
            Ok(done) => {
                crash_point!("consumer.after-handler-before-commit");
                transaction.commit().await?;
                crash_point!("consumer.after-commit-before-offset");
                Ok(done)
            }
            Err(failure) => {
                roll_back(transaction).await;
                Err(failure)
            }
        }
    }

    async fn fill(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        source: &Source,
        items: &[Item],
        inbox: Inbox,
    ) -> Result<Done, Failure> {
        self.lock(transaction, source, items).await?;
        let fresh = self.fresh(transaction, items, inbox).await?;
        let Sorted {
            events,
            poison,
            parked,
            known,
        } = self.sort(transaction, source, &fresh).await?;
        for (items, state) in [
            (&events, InboxState::Applied),
            (&poison, InboxState::Dead),
            (&parked, InboxState::Parked),
        ] {
            inbox::record(transaction, self.group_no, &ids(items), state).await?;
        }
        for (event_id, state) in known {
            inbox::record(transaction, self.group_no, &[event_id], state).await?;
        }

        let context = self.context.at(self.clock.now());
        let to_apply: Vec<&Event> = events.iter().filter_map(|item| item.event()).collect();
        let applied = self.group.apply(transaction, &context, &to_apply).await?;
        let (mut dead, mut began_at) = (Vec::new(), Vec::with_capacity(events.len()));
        for (item, intent) in events.iter().zip(applied.intents) {
            match intent {
                Intent::Done => began_at.extend(item.event().and_then(Event::began_at)),
                Intent::Reject { class, reason } => dead.push((*item, rejected(&context, class, reason))),
                Intent::RetryAfter(_) => return Err(Cause::NotYet.into()),
            }
        }
        let rejected: Vec<EventId> = dead.iter().map(|(item, _)| item.event_id).collect();
        if overtaken(&fresh, &rejected) {
            return Err(Cause::Overtaken.into());
        }
        inbox::move_all(
            transaction,
            self.group_no,
            &rejected,
            InboxState::Applied,
            InboxState::Dead,
        )
        .await?;
        dead.extend(
            poison
                .iter()
                .filter_map(|item| Some((*item, unreadable(&context, item)?))),
        );
        let dead_count = dead.len();
        dead.extend(parked.iter().map(|item| (*item, waiting(&context, item))));
        self.bury(transaction, &context, source, dead).await?;
        Ok(Done {
            applied: events.len() - rejected.len(),
            duplicates: items.len() - fresh.len(),
            dead: dead_count,
            parked: parked.len(),
            after_commit: applied.after_commit,
            superseded: applied.superseded,
            began_at,
        })
    }

    /// Sets one event aside that failed every time it was tried.
    pub(crate) async fn exhaust(
        &self,
        source: &Source,
        item: &Item,
        verdict: Verdict,
    ) -> Result<Done, Failure> {
        let mut transaction = self.pool.begin().await?;
        match self.fill_exhausted(&mut transaction, source, item, verdict).await {
            Ok(done) => {
                transaction.commit().await?;
                Ok(done)
            }
            Err(failure) => {
                roll_back(transaction).await;
                Err(failure)
            }
        }
    }

    async fn fill_exhausted(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        source: &Source,
        item: &Item,
        verdict: Verdict,
    ) -> Result<Done, Failure> {
        self.lock(transaction, source, std::slice::from_ref(item)).await?;
        let known = inbox::existing(transaction, self.group_no, &[item.event_id]).await?;
        if !known.is_empty() {
            return Ok(Done {
                duplicates: 1,
                ..Done::default()
            });
        }
        let context = self.context.at(self.clock.now());
        // Another worker may have set an earlier event of its key aside meanwhile.
        let sorted = self.sort(transaction, source, &[item]).await?;
        if let [(event_id, state)] = sorted.known[..] {
            inbox::record(transaction, self.group_no, &[event_id], state).await?;
            return Ok(Done {
                duplicates: 1,
                ..Done::default()
            });
        }
        let (state, verdict, done) = if sorted.parked.is_empty() {
            let dead = Done {
                dead: 1,
                ..Done::default()
            };
            (InboxState::Dead, verdict, dead)
        } else {
            let parked = Done {
                parked: 1,
                ..Done::default()
            };
            (InboxState::Parked, waiting(&context, item), parked)
        };
        inbox::record(transaction, self.group_no, &[item.event_id], state).await?;
        self.bury(transaction, &context, source, vec![(item, verdict)])
            .await?;
        Ok(done)
    }

    /// Locks the partitions that the items belong to, in one order everywhere.
    async fn lock(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        source: &Source,
        items: &[Item],
    ) -> Result<(), Failure> {
        let mut homes: Vec<i32> = items.iter().map(|item| item.home).collect();
        homes.sort_unstable();
        homes.dedup();
        for home in homes {
            inbox::lock_partition(transaction, self.group_no, &source.public, home).await?;
        }
        Ok(())
    }

    /// The items whose events the group has not met, each event once.
    async fn fresh<'i>(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        items: &'i [Item],
        inbox: Inbox,
    ) -> Result<Vec<&'i Item>, Failure> {
        let mut met: HashSet<EventId> = HashSet::with_capacity(items.len());
        if inbox == Inbox::Read {
            let ids: Vec<EventId> = items.iter().map(|item| item.event_id).collect();
            met.extend(
                inbox::existing(transaction, self.group_no, &ids)
                    .await?
                    .into_keys(),
            );
        }
        Ok(items.iter().filter(|item| met.insert(item.event_id)).collect())
    }

    async fn bury(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        context: &Context,
        source: &Source,
        dead: Vec<(&Item, Verdict)>,
    ) -> Result<(), Failure> {
        if dead.is_empty() {
            return Ok(());
        }
        let classes: Vec<(&Item, &'static str)> = dead
            .iter()
            .map(|(item, verdict)| (*item, verdict.class))
            .collect();
        let letters: Vec<NewLetter> = dead
            .into_iter()
            .map(|(item, verdict)| item.letter(source, verdict, context.now))
            .collect();
        let burier = Burier {
            group: self.group_no,
            name: self.group.name(),
        };
        let with_new_letters = bury::bury(transaction, &context.writer, burier, letters).await?;
        for (item, class) in classes {
            // What had its letter before was said in public then.
            if with_new_letters.contains(&item.event_id) {
                self.group
                    .on_dead(transaction, context, &item.dead_event(), class)
                    .await?;
            }
        }
        crash_point!("consumer.inside-dead-letter");
        Ok(())
    }
}

pub(crate) fn ids(items: &[&Item]) -> Vec<EventId> {
    items.iter().map(|item| item.event_id).collect()
}

/// After any error, and explicitly: the server has rolled back for some errors and not
/// for others.
pub(crate) async fn roll_back(transaction: Transaction<'_, MySql>) {
    if let Err(error) = transaction.rollback().await {
        // The connection is lost, and with it the transaction.
        tracing::debug!(%error, "a transaction was not rolled back by hand");
    }
}

fn is_duplicate(failure: &Failure) -> bool {
    let error = match &failure.cause {
        Cause::Database(error) => Some(error),
        Cause::Group(error) => error.database(),
        _ => None,
    };
    error.is_some_and(|error| fault(error) == Fault::Duplicate)
}

pub(crate) fn rejected(context: &Context, class: &'static str, error: String) -> Verdict {
    Verdict {
        disposition: Disposition::Rejected,
        class,
        error,
        attempts: 1,
        first_failed_at: context.now,
    }
}

pub(crate) fn unreadable(context: &Context, item: &Item) -> Option<Verdict> {
    let Content::Poison { class, error } = &item.content else {
        return None;
    };
    Some(Verdict {
        disposition: Disposition::Poison,
        class,
        error: error.clone(),
        attempts: 1,
        first_failed_at: context.now,
    })
}
