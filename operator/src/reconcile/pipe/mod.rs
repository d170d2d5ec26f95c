//! Reconciliation of the pipe: what was committed is waiting or published; what was published
//! has reached each group, or is on its way. By sets of ids, never by totals: offsets count
//! duplicates, and a record may be consumed before it is archived (T26).

mod committed;
mod counts;
mod cursor;
mod finding;
mod ground;
mod published;
mod records;
mod tally;
mod walk;
mod watch;

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Days, NaiveDate, Utc};
use headgate_outbox::ledger;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use counts::{GroupCounts, TopicCounts};
pub use finding::{EXAMPLES_MAX, Example, PipeDifference};
pub(super) use watch::Watched;

use super::store;
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::Query;
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;
use cursor::{Cursor, Plan};
use finding::Finding;
use ground::Ground;
use records::Proof;
use tally::Tally;

/// Records that one request reads and compares, unless it asks for all.
const SAMPLES: u32 = 8;
/// Most waiting events that are counted.
const WAITING_MAX: u64 = 1_000_000;

/// What to look at.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PipePage {
    /// What was published on this day (of UTC) or later, and the claims that were admitted
    /// then. Without: since yesterday. Not before the oldest day that the archive keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<NaiveDate>,
    /// Read every record and compare it with the archive, instead of a few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deep: Option<bool>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A part of the pipe, reconciled. Counts of pages add up.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PipeReconciliation {
    /// When the looking began, by MySQL's clock.
    pub as_of: DateTime<Utc>,
    /// The first day that was looked at.
    pub since: NaiveDate,
    /// Published events that were looked at.
    pub looked_at: u64,
    /// The stages up to Kafka, by topic.
    pub topics: Vec<TopicCounts>,
    /// The stages behind it, by group and topic.
    pub groups: Vec<GroupCounts>,
    /// What must never be, by kind; empty when all is well.
    pub differences: Vec<PipeDifference>,
    /// Steps of about one size that all of it takes.
    pub steps: u64,
    /// Steps that are done.
    pub steps_done: u64,
    /// Where it ended, if there is more: ask again with it as `cursor`.
    pub next_cursor: Option<String>,
}

/// Follows the events from the outbox through Kafka to every group, and names each that is
/// missing. Looks at as much as it can in the time of a request. Refused where the relay keeps
/// no archive: then nothing is known of what was published.
#[utoipa::path(
    get, path = "/v1/reconciliation/pipe", tag = "lag", params(PipePage),
    responses((status = 200, body = PipeReconciliation), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn reconcile(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(page): Query<PipePage>,
) -> Result<Json<PipeReconciliation>, Error> {
    let until = Instant::now() + servers.config.http.request_timeout / 2;
    let yesterday = store::now(&servers.pool).await?.date_naive() - Days::new(1);
    let since = page.since.unwrap_or(yesterday);
    let mut ground = Ground::read(&servers, Some(since)).await?;
    let plan = Plan::since_day(ground.since);
    let mut proof = match page.deep {
        Some(true) => Proof::All,
        _ => Proof::Samples(SAMPLES),
    };
    let mut cursor = Some(page.begins(&plan, &ground)?);
    let mut sum = Sum::default();
    while let Some(at) = cursor {
        let (tally, next) =
            walk::step(&servers, &mut ground, &plan, at, walk::ROWS_AT_ONCE, &mut proof).await?;
        sum.add(tally);
        cursor = next;
        if Instant::now() > until {
            break;
        }
    }
    if cursor.is_none() {
        sum.wait(&servers, &ground).await?;
    }
    let (steps, steps_done) = plan.steps(cursor, ground.today());
    Ok(Json(PipeReconciliation {
        as_of: ground.as_of,
        since: ground.since,
        looked_at: sum.looked_at,
        topics: sum.topics.into_values().collect(),
        groups: sum.groups.into_values().collect(),
        differences: finding::by_kind(sum.findings),
        steps,
        steps_done,
        next_cursor: cursor.map(|cursor| cursor.to_string()),
    }))
}

impl PipePage {
    fn begins(&self, plan: &Plan, ground: &Ground) -> Result<Cursor, Error> {
        let Some(cursor) = &self.cursor else {
            return Ok(plan.begin());
        };
        let cursor = cursor.parse().ok();
        cursor
            .filter(|cursor| plan.passes(*cursor, ground.today(), ground.places.len()))
            .ok_or_else(|| {
                let detail = "is not the `next_cursor` of an answer";
                Error::InvalidParameter(vec![FieldError::new("cursor", detail)])
            })
    }
}

/// All steps of a request together.
#[derive(Default)]
struct Sum {
    looked_at: u64,
    topics: BTreeMap<String, TopicCounts>,
    groups: BTreeMap<(&'static str, String), GroupCounts>,
    findings: Vec<Finding>,
}

impl Sum {
    fn add(&mut self, tally: Tally) {
        self.looked_at += tally.published;
        for (topic, counts) in tally.topics {
            match self.topics.get_mut(&topic) {
                Some(sum) => sum.add(&counts),
                None => {
                    self.topics.insert(topic, counts);
                }
            }
        }
        for (group, counts) in tally.groups {
            match self.groups.get_mut(&group) {
                Some(sum) => sum.add(&counts),
                None => {
                    self.groups.insert(group, counts);
                }
            }
        }
        self.findings.extend(tally.findings);
    }

    /// Counts what waits.
    async fn wait(&mut self, servers: &Servers, ground: &Ground) -> Result<(), Error> {
        let mut connection = servers.pool.acquire().await?;
        let waiting = ledger::waiting(&mut connection, WAITING_MAX).await?;
        for topic in &ground.topics {
            let waiting = waiting.get(topic).copied().unwrap_or_default();
            let counts = self.topics.entry(topic.clone()).or_default();
            counts.topic.clone_from(topic);
            counts.waiting += waiting;
            counts.committed += waiting;
        }
        Ok(())
    }
}
