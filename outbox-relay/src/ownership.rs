//! Which buckets this process publishes. They are leased in MySQL and spread evenly over
//! the living relays: each relay holds a numbered seat, and its share follows from how
//! many seats are taken. Who has more than its share gives the surplus back; who has
//! less takes what is free.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_outbox::bucket::{BUCKETS, Bucket};
use headgate_runtime::lease::{self, Lease, Standing};
use headgate_runtime::mysql;
use parking_lot::Mutex;
use sqlx::MySqlPool;
use tokio::sync::{Notify, OwnedMutexGuard};

/// All leases of the outbox begin so.
const PREFIX: &str = "outbox-";
/// Seats begin so.
const SEAT_PREFIX: &str = "outbox-relay-";

/// A bucket that this process holds.
#[derive(Clone, Debug)]
pub struct HeldBucket {
    /// The bucket.
    pub bucket: Bucket,
    /// The lease on it.
    pub lease: Lease,
    valid_until: Arc<Mutex<Instant>>,
}

impl HeldBucket {
    /// Takes the lease on a bucket, if it is free.
    pub async fn take(
        pool: &MySqlPool,
        bucket: Bucket,
        holder: &str,
        duration: Duration,
    ) -> Result<Option<Self>, sqlx::Error> {
        let valid_until = Instant::now() + duration;
        let lease = lease::acquire(pool, &bucket.lease_name(), holder, duration).await?;
        Ok(lease.map(|lease| Self {
            bucket,
            lease,
            valid_until: Arc::new(Mutex::new(valid_until)),
        }))
    }

    /// Until when it is certainly held, by this process's clock: the lease is counted
    /// from before it was asked for.
    pub fn valid_until(&self) -> Instant {
        *self.valid_until.lock()
    }
}

/// How buckets are leased.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long a lease lasts.
    pub lease: Duration,
    /// How often it is renewed.
    pub renew_every: Duration,
    /// Longest wait for MySQL.
    pub database_timeout: Duration,
    /// Workers; buckets are spread evenly over them too.
    pub workers: u16,
}

struct Holding {
    held: HeldBucket,
    /// Locked while a round works on the bucket.
    in_use: Arc<tokio::sync::Mutex<()>>,
    /// To be given back as soon as no round works on it.
    leaving: bool,
}

/// The buckets of this process.
pub struct Ownership {
    pool: MySqlPool,
    holder: String,
    terms: Terms,
    holdings: Mutex<BTreeMap<Bucket, Holding>>,
    seat: Mutex<Option<Lease>>,
    /// Buckets that others may have first, until then.
    shunned: Mutex<BTreeMap<Bucket, Instant>>,
    /// A round ended on a bucket that is to be given back.
    given_back: Notify,
}

/// A held bucket, while a round works on it.
pub type InUse = (HeldBucket, OwnedMutexGuard<()>);

impl Ownership {
    /// Owns nothing yet. `holder` is this process's own name.
    pub fn new(pool: MySqlPool, holder: String, terms: Terms) -> Self {
        Self {
            pool,
            holder,
            terms,
            holdings: Mutex::default(),
            seat: Mutex::default(),
            shunned: Mutex::default(),
            given_back: Notify::new(),
        }
    }

    /// The buckets that a worker may work on now. They are not given back before the
    /// guards are dropped.
    pub fn of_worker(&self, worker: u16) -> Vec<InUse> {
        let now = Instant::now();
        let holdings = self.holdings.lock();
        let of_worker = holdings
            .values()
            .filter(|holding| holding.held.bucket.get() % self.terms.workers == worker)
            .filter(|holding| !holding.leaving && holding.held.valid_until() > now);
        of_worker
            .filter_map(|holding| {
                Some((
                    holding.held.clone(),
                    holding.in_use.clone().try_lock_owned().ok()?,
                ))
            })
            .collect()
    }

    /// How many buckets are held.
    pub fn count(&self) -> usize {
        self.holdings.lock().len()
    }

    /// A round ended.
    pub fn round_ended(&self) {
        if self.holdings.lock().values().any(|holding| holding.leaving) {
            self.given_back.notify_one();
        }
    }

    /// Waits until something can be given back.
    pub async fn something_to_give_back(&self) {
        self.given_back.notified().await;
    }

    /// A bucket's lease turned out to be lost.
    pub fn lost(&self, bucket: Bucket) {
        self.holdings.lock().remove(&bucket);
    }

    /// Lets others have these buckets: this process cannot publish them at present.
    pub fn shun(&self, buckets: impl IntoIterator<Item = Bucket>) {
        let until = Instant::now() + self.terms.lease * 2;
        let (mut holdings, mut shunned) = (self.holdings.lock(), self.shunned.lock());
        for bucket in buckets {
            if let Some(holding) = holdings.get_mut(&bucket) {
                holding.leaving = true;
                shunned.insert(bucket, until);
            }
        }
    }

    /// Renews what is held, gives back what is too much, takes what is missing. True:
    /// something was taken.
    pub async fn share_out(&self) -> Result<bool, sqlx::Error> {
        let asked_at = Instant::now();
        let terms = self.terms;
        let standings = mysql::within(&self.pool, terms.database_timeout, async |connection| {
            lease::renew_all(&mut *connection, &self.holder, terms.lease).await?;
            lease::survey(&mut *connection, PREFIX).await
        })
        .await?;
        self.settle_terms(&standings, asked_at + terms.lease);
        let seats = self.take_seat(&standings).await?;
        let share = seats.map_or(0, |(mine, all)| share(mine, all));
        self.mark_surplus(share);
        self.give_back().await?;
        self.take_missing(&standings, share, seats.is_some_and(|(_, all)| all > 1))
            .await
    }

    /// Whatever MySQL still calls ours is ours until `valid_until`; the rest is lost.
    fn settle_terms(&self, standings: &[Standing], valid_until: Instant) {
        let is_ours = |lease: &Lease| {
            standings
                .iter()
                .any(|standing| standing.lease == *lease && standing.holder.as_ref() == Some(&self.holder))
        };
        self.holdings.lock().retain(|bucket, holding| {
            let ours = is_ours(&holding.held.lease);
            if ours {
                *holding.held.valid_until.lock() = valid_until;
            } else {
                tracing::warn!(
                    bucket = bucket.get(),
                    "a bucket was lost to another relay, or its lease ran out"
                );
            }
            ours
        });
        let mut seat = self.seat.lock();
        *seat = seat.take().filter(|lease| is_ours(lease));
    }

    /// The place of our seat among those that are taken, and how many are taken. `None`:
    /// there are more relays than buckets, and this one stands by.
    async fn take_seat(&self, standings: &[Standing]) -> Result<Option<(usize, usize)>, sqlx::Error> {
        let mut taken: Vec<_> = standings
            .iter()
            .filter(|standing| standing.lease.name.starts_with(SEAT_PREFIX) && standing.holder.is_some())
            .map(|standing| standing.lease.name.clone())
            .collect();
        let mine = self.seat.lock().as_ref().map(|seat| seat.name.clone());
        let mine = match mine {
            Some(mine) => mine,
            None => match self.find_seat(&taken).await? {
                Some(seat) => {
                    taken.push(seat.name.clone());
                    taken.sort_unstable();
                    let name = seat.name.clone();
                    *self.seat.lock() = Some(seat);
                    name
                }
                None => return Ok(None),
            },
        };
        Ok(taken
            .iter()
            .position(|name| *name == mine)
            .map(|place| (place, taken.len())))
    }

    async fn find_seat(&self, taken: &[String]) -> Result<Option<Lease>, sqlx::Error> {
        let mut seats = (0..BUCKETS).map(|number| format!("{SEAT_PREFIX}{number:02}"));
        match seats.find(|seat| !taken.contains(seat)) {
            Some(seat) => self.acquire(&seat).await,
            None => Ok(None),
        }
    }

    async fn acquire(&self, name: &str) -> Result<Option<Lease>, sqlx::Error> {
        mysql::within(&self.pool, self.terms.database_timeout, async |connection| {
            lease::acquire_on(connection, name, &self.holder, self.terms.lease).await
        })
        .await
    }

    /// Chooses what to give back, from the workers that have most.
    fn mark_surplus(&self, share: usize) {
        let mut holdings = self.holdings.lock();
        loop {
            let staying: Vec<_> = holdings
                .iter()
                .filter(|(_, h)| !h.leaving)
                .map(|(b, _)| *b)
                .collect();
            if staying.len() <= share {
                return;
            }
            let of_worker = |worker| {
                staying
                    .iter()
                    .filter(|bucket| self.worker_of(**bucket) == worker)
                    .count()
            };
            let surplus = staying
                .iter()
                .max_by_key(|bucket| (of_worker(self.worker_of(**bucket)), **bucket));
            if let Some(holding) = surplus.and_then(|bucket| holdings.get_mut(bucket)) {
                holding.leaving = true;
            }
        }
    }

    const fn worker_of(&self, bucket: Bucket) -> u16 {
        bucket.get() % self.terms.workers
    }

    /// Gives back what is to be given back and on which no round works.
    pub async fn give_back(&self) -> Result<(), sqlx::Error> {
        let free: Vec<_> = {
            let mut holdings = self.holdings.lock();
            let free: Vec<_> = holdings
                .iter()
                .filter(|(_, holding)| holding.leaving && holding.in_use.try_lock().is_ok())
                .map(|(bucket, _)| *bucket)
                .collect();
            free.iter().filter_map(|bucket| holdings.remove(bucket)).collect()
        };
        for holding in free {
            self.release(&holding.held.lease).await?;
        }
        Ok(())
    }

    async fn release(&self, lease: &Lease) -> Result<(), sqlx::Error> {
        mysql::within(&self.pool, self.terms.database_timeout, async |connection| {
            lease::release(connection, lease).await
        })
        .await
    }

    async fn take_missing(
        &self,
        standings: &[Standing],
        share: usize,
        others_live: bool,
    ) -> Result<bool, sqlx::Error> {
        let mut taken = false;
        let mut free = self.free(standings, others_live);
        while self.count() < share {
            let counts = self.per_worker();
            let next = free
                .iter()
                .min_by_key(|bucket| (counts[usize::from(self.worker_of(**bucket))], **bucket));
            let Some(bucket) = next.copied() else { break };
            free.retain(|other| *other != bucket);
            let valid_until = Instant::now() + self.terms.lease;
            if let Some(lease) = self.acquire(&bucket.lease_name()).await? {
                let held = HeldBucket {
                    bucket,
                    lease,
                    valid_until: Arc::new(Mutex::new(valid_until)),
                };
                let holding = Holding {
                    held,
                    in_use: Arc::default(),
                    leaving: false,
                };
                self.holdings.lock().insert(bucket, holding);
                taken = true;
            }
        }
        Ok(taken)
    }

    fn per_worker(&self) -> Vec<usize> {
        let mut counts = vec![0; usize::from(self.terms.workers)];
        for bucket in self.holdings.lock().keys() {
            counts[usize::from(self.worker_of(*bucket))] += 1;
        }
        counts
    }

    /// Buckets that nobody holds, and that are not left to others for the moment.
    fn free(&self, standings: &[Standing], others_live: bool) -> Vec<Bucket> {
        let now = Instant::now();
        let mut shunned = self.shunned.lock();
        shunned.retain(|_, until| *until > now && others_live);
        let holdings = self.holdings.lock();
        let is_held = |bucket: &Bucket| {
            let name = bucket.lease_name();
            let standing = standings.iter().find(|standing| standing.lease.name == name);
            standing.is_some_and(|standing| {
                standing
                    .holder
                    .as_ref()
                    .is_some_and(|holder| *holder != self.holder)
            })
        };
        Bucket::all()
            .filter(|bucket| {
                !holdings.contains_key(bucket) && !shunned.contains_key(bucket) && !is_held(bucket)
            })
            .collect()
    }

    /// Gives everything back, at the end.
    pub async fn leave(&self) -> Result<(), sqlx::Error> {
        for holding in self.holdings.lock().values_mut() {
            holding.leaving = true;
        }
        self.give_back().await?;
        let seat = self.seat.lock().take();
        match seat {
            Some(seat) => self.release(&seat).await,
            None => Ok(()),
        }
    }
}

/// How many buckets belong to the relay in place `mine` of `all`.
fn share(mine: usize, all: usize) -> usize {
    let buckets = usize::from(BUCKETS);
    buckets / all + usize::from(mine < buckets % all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_fair_and_leave_nothing_out() {
        for all in 1..=usize::from(BUCKETS) {
            let shares: Vec<_> = (0..all).map(|mine| share(mine, all)).collect();
            assert_eq!(shares.iter().sum::<usize>(), usize::from(BUCKETS));
            assert!(
                shares
                    .iter()
                    .all(|share| *share <= usize::from(BUCKETS).div_ceil(all))
            );
        }
    }
}
