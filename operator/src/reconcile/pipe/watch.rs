//! The pipe, watched: in each round what is new, a part of all the rest, and once more what
//! was found before. A difference stays until it is mended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::cursor::{Cursor, Plan};
use super::finding::{Finding, Identity};
use super::ground::Ground;
use super::records::Proof;
use super::tally::Tally;
use super::walk::{self, ROWS_AT_ONCE};
use crate::Error;
use crate::state::Servers;

/// Records that one walk reads and compares in a round.
const SAMPLES: u32 = 4;
/// Most differences that are kept. Beyond, the walk meets them again when others are mended.
const FINDINGS_MAX: usize = 10_000;
/// Most differences that one round looks at once more.
const RECHECKED_MAX: usize = 200;
/// So long, at most.
const RECHECK_TIME_MAX: Duration = Duration::from_secs(30);
/// Most steps of one walk in a round: one over an empty archive has one for each bucket of
/// each day.
const STEPS_MAX: u32 = 2_000;

/// What the watch knows of the pipe. Nothing of it is stored: a process that starts anew walks
/// over everything that is kept.
#[derive(Default)]
pub(in super::super) struct Watched {
    /// Over what was written lately.
    tail: Option<Walk>,
    /// What was written before it, since this process began to watch, has been looked at.
    followed_to: Option<DateTime<Utc>>,
    /// Over all that is kept.
    sweep: Option<Walk>,
    found: BTreeMap<Identity, Finding>,
    /// Where the last look at known findings ended.
    rechecked: Option<Identity>,
}

/// A walk under way.
#[derive(Clone, Copy)]
struct Walk {
    plan: Plan,
    cursor: Cursor,
    began: DateTime<Utc>,
}

impl Walk {
    fn begin(plan: Plan, began: DateTime<Utc>) -> Self {
        Self {
            cursor: plan.begin(),
            plan,
            began,
        }
    }
}

impl Watched {
    /// How many differences are known.
    pub(in super::super) fn known(&self) -> usize {
        self.found.len()
    }

    /// One round. Returns how many differences are known; `None`: no archive is kept, and
    /// nothing new can be said.
    pub(in super::super) async fn round(&mut self, servers: &Servers) -> Result<Option<usize>, Error> {
        let mut ground = match Ground::read(servers, None).await {
            Ok(ground) => ground,
            Err(Error::ArchiveOff) => {
                if self.sweep.is_some() {
                    tracing::warn!("the relay keeps no archive: the pipe is not reconciled");
                }
                // What was found stays found: no archive mends nothing.
                (self.tail, self.sweep, self.followed_to) = (None, None, None);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.follow(servers, &mut ground).await?;
        self.sweep(servers, &mut ground).await?;
        // Last, and not for long: what is known must not keep from seeing what is new.
        self.recheck(servers, &mut ground).await?;
        Ok(Some(self.found.len()))
    }

    /// Walks over what was written since the last such walk began, or could be seen only since.
    async fn follow(&mut self, servers: &Servers, ground: &mut Ground) -> Result<(), Error> {
        let settle = TimeDelta::from_std(servers.config.reconcile.settle).unwrap_or_default();
        let mut walk = self
            .tail
            .unwrap_or_else(|| Walk::begin(Plan::since(ground.as_of - settle), ground.as_of));
        self.followed_to.get_or_insert(walk.began);
        // Should the round be given up meanwhile, it has been said.
        self.say_behind(ground.as_of);
        let is_over = self.walk(servers, ground, &mut walk).await;
        if matches!(is_over, Ok(true)) {
            self.followed_to = Some(walk.began);
            walk = Walk::begin(Plan::since(walk.began - settle), ground.as_of);
        }
        self.tail = Some(walk);
        self.say_behind(ground.as_of);
        is_over.map(drop)
    }

    fn say_behind(&self, now: DateTime<Utc>) {
        let followed_to = self.followed_to.unwrap_or(now);
        let behind = (now - followed_to).to_std().unwrap_or_default();
        metrics::gauge!("headgate_reconcile_behind_seconds").set(behind.as_secs_f64());
    }

    /// Walks on over everything that is kept; begins again at the end.
    async fn sweep(&mut self, servers: &Servers, ground: &mut Ground) -> Result<(), Error> {
        let mut walk = self
            .sweep
            .unwrap_or_else(|| Walk::begin(Plan::all(ground.since), ground.as_of));
        let is_over = self.walk(servers, ground, &mut walk).await;
        if matches!(is_over, Ok(true)) {
            metrics::counter!("headgate_reconcile_sweeps_total").increment(1);
            walk = Walk::begin(Plan::all(ground.since), ground.as_of);
        }
        self.sweep = Some(walk);
        is_over.map(drop)
    }

    /// Half of a round's rows. True: the walk is at its end.
    async fn walk(&mut self, servers: &Servers, ground: &mut Ground, walk: &mut Walk) -> Result<bool, Error> {
        let rows_max = u64::from(servers.config.reconcile.rows_max) / 2;
        let mut proof = Proof::Samples(SAMPLES);
        let mut rows = 0;
        for _ in 0..STEPS_MAX {
            let (tally, next) =
                walk::step(servers, ground, &walk.plan, walk.cursor, ROWS_AT_ONCE, &mut proof).await?;
            rows += tally.looked_at;
            self.keep(tally);
            match next {
                None => return Ok(true),
                Some(next) => walk.cursor = next,
            }
            if rows >= rows_max {
                break;
            }
        }
        Ok(false)
    }

    fn keep(&mut self, tally: Tally) {
        metrics::counter!("headgate_reconcile_events_total").increment(tally.published);
        for finding in tally.findings {
            let identity = finding.identity();
            if self.found.len() >= FINDINGS_MAX || self.found.contains_key(&identity) {
                continue;
            }
            say(&finding);
            self.found.insert(identity, finding);
        }
    }

    /// Looks once more at what was found, and forgets what is mended.
    async fn recheck(&mut self, servers: &Servers, ground: &mut Ground) -> Result<(), Error> {
        let is_behind = |identity: &Identity| self.rechecked.as_ref().is_none_or(|last| identity > last);
        let turn: Vec<Identity> = self
            .found
            .keys()
            .filter(|identity| is_behind(identity))
            .take(RECHECKED_MAX)
            .cloned()
            .collect();
        let plan = Plan::all(ground.since);
        let until = Instant::now() + RECHECK_TIME_MAX;
        for identity in &turn {
            if Instant::now() > until {
                return Ok(());
            }
            let Some(finding) = self.found.get(identity) else {
                continue;
            };
            let (tally, _) = walk::step(servers, ground, &plan, finding.at, 1, &mut Proof::All).await?;
            if !tally.has(finding) {
                tracing::info!(
                    kind = identity.0.as_str(),
                    what = identity.1,
                    "a difference of the pipe is mended"
                );
                self.found.remove(identity);
            }
            self.rechecked = Some(identity.clone());
        }
        // At the end of the list it begins again.
        if turn.len() < RECHECKED_MAX {
            self.rechecked = None;
        }
        Ok(())
    }
}

/// Names it in the log.
fn say(finding: &Finding) {
    let example = &finding.example;
    let event_id = example.event_id.map(|event_id| event_id.to_string());
    tracing::error!(
        kind = finding.kind.as_str(),
        event_id,
        key = example.key,
        sequence = example.sequence,
        group = example.group,
        topic = example.topic,
        partition = example.partition,
        offset = example.offset,
        detail = example.detail,
        "the pipe does not add up"
    );
}
