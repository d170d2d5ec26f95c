//! What waits to be published, what could not be, and trying that again.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_outbox::blocked::{self, BlockedRow, Position};
use headgate_outbox::claim::{self, Oldest};
use headgate_schemas::ids::EventId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::{Acting, As, Viewer};
use crate::http::extract::{Body, Query, page_rows};
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;
use crate::{Error, Thing};

/// Rows beyond which pending rows are not counted one by one.
const PENDING_COUNTED_MAX: u64 = 1_000_000;

/// How the outbox stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OutboxStatus {
    /// Rows that wait for the relay; counting ends at 1,000,000.
    pub pending: u64,
    /// Age of the oldest of them; absent if there is none.
    pub oldest_pending_seconds: Option<f64>,
    /// Rows whose attempts are exhausted.
    pub failed: u64,
    /// Rows that wait behind a failed one of their aggregate.
    pub waiting: u64,
}

/// Shows how many events wait to be published, and how many are blocked.
#[utoipa::path(
    get, path = "/v1/outbox", tag = "outbox",
    responses((status = 200, body = OutboxStatus), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn status(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
) -> Result<Json<OutboxStatus>, Error> {
    let now = servers.now().await?;
    let pending = claim::count(&servers.pool, PENDING_COUNTED_MAX).await?;
    let buckets = claim::buckets_with_rows(&servers.pool).await?;
    let oldest = buckets.iter().map(|bucket: &Oldest| bucket.age(now)).max();
    let (failed, waiting) = blocked::count(&servers.pool).await?;
    Ok(Json(OutboxStatus {
        pending,
        oldest_pending_seconds: oldest.as_ref().map(Duration::as_secs_f64),
        failed,
        waiting,
    }))
}

/// Which blocked rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageOf {
    /// Rows of a page, 1 to 500.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A row that cannot be published.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Blocked {
    /// The event.
    #[schema(value_type = Uuid)]
    pub event_id: EventId,
    /// `campaign`, `claim`, or `record` for copies of records.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
    /// Its type.
    pub event_type: String,
    /// The aggregate's own number of it.
    pub sequence: u64,
    /// Where it was to go.
    pub topic: String,
    /// `failed`, or `waiting` behind one that failed.
    pub status: String,
    /// How often it was tried.
    pub attempts: u16,
    /// How often it was allowed to be tried.
    pub max_attempts: u16,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was put aside.
    pub blocked_at: DateTime<Utc>,
}

impl From<BlockedRow> for Blocked {
    fn from(row: BlockedRow) -> Self {
        Self {
            event_id: row.event_id,
            aggregate_type: row.aggregate_type,
            aggregate_id: row.aggregate_id,
            event_type: row.event_type,
            sequence: row.sequence,
            topic: row.topic,
            status: row.status.as_str().to_owned(),
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            last_error: row.last_error,
            created_at: row.created_at,
            blocked_at: row.blocked_at,
        }
    }
}

/// A page of blocked rows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockedRows {
    /// In their order of publishing, bucket by bucket.
    pub items: Vec<Blocked>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

/// Lists the rows that cannot be published.
#[utoipa::path(
    get, path = "/v1/outbox/blocked", tag = "outbox", params(PageOf),
    responses((status = 200, body = BlockedRows), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list_blocked(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(page): Query<PageOf>,
) -> Result<Json<BlockedRows>, Error> {
    let limit = page_rows(page.limit)?;
    let after = page.cursor.as_deref().map_or(Ok(Position::default()), position)?;
    let rows = blocked::list(&servers.pool, after, limit).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|rows| rows == limit);
    let next_cursor = rows
        .last()
        .filter(|_| full)
        .map(|row| format!("{}-{}", row.bucket.get(), row.id));
    Ok(Json(BlockedRows {
        items: rows.into_iter().map(Blocked::from).collect(),
        next_cursor,
    }))
}

fn position(cursor: &str) -> Result<Position, Error> {
    let parse = || {
        let (bucket, id) = cursor.split_once('-')?;
        Some(Position {
            bucket: bucket.parse().ok()?,
            id: id.parse().ok()?,
        })
    };
    parse()
        .ok_or_else(|| Error::InvalidParameter(vec![FieldError::new("cursor", "is none that was given out")]))
}

/// Which aggregate to try again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateToRetry {
    /// `campaign`, `claim`, or `record`.
    pub aggregate_type: String,
    /// Which one.
    pub aggregate_id: String,
}

/// What a retry did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// Rows that the relay will try again, in their old order.
    pub rows: u64,
}

/// Gives the blocked rows of an aggregate back to the relay, in their old order.
#[utoipa::path(
    post, path = "/v1/outbox/retry", tag = "outbox", request_body = AggregateToRetry,
    responses((status = 200, body = Retried), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn retry(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Body(aggregate): Body<AggregateToRetry>,
) -> Result<Json<Retried>, Error> {
    let AggregateToRetry {
        aggregate_type,
        aggregate_id,
    } = aggregate;
    let rows = blocked::retry(
        &servers.pool,
        &aggregate_type,
        &aggregate_id,
        &acting.operator.name,
    )
    .await?;
    if rows == 0 {
        return Err(Error::NotFound {
            what: Thing::Blocked,
            id: format!("{aggregate_type}/{aggregate_id}"),
        });
    }
    servers.waker.wake();
    tracing::info!(
        aggregate_type,
        aggregate_id,
        rows,
        operator = acting.operator.name,
        "outbox rows retried"
    );
    Ok(Json(Retried { rows }))
}
