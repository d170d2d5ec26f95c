//! The locks in Redis: who holds them, and ending one by force.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_outbox::audit;
use headgate_runtime::lock::{Cursor, HeldLock, LockKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{MySql, Transaction};
use utoipa::{IntoParams, ToSchema};

use crate::auth::{Acting, As, Viewer};
use crate::http::extract::{Path, Query, page_rows, stated};
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;
use crate::{Error, Thing};

/// A lock that is held.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LockView {
    /// Its key, e.g. `point:use:member:0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77`.
    pub key: String,
    /// `point-use`, `point-accumulate`, `point-cancel-usage` or `point-cancel-accumulation`.
    pub kind: String,
    /// The process that holds it, e.g. `api-17`; absent if Headgate did not take it.
    pub holder: Option<String>,
    /// Since when, by the holder's clock.
    pub since: Option<DateTime<Utc>>,
    /// For how long, in milliseconds, as far as clocks agree.
    pub age_ms: Option<u64>,
    /// What is left of its lease, in milliseconds. A holder that lives renews it at a third.
    pub remaining_ms: Option<u64>,
}

impl LockView {
    fn new(lock: &HeldLock, now: DateTime<Utc>) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            key: lock.key.to_string(),
            kind: lock.key.kind().as_str().to_owned(),
            holder: lock.holder.clone(),
            since: lock.since,
            age_ms: lock
                .since
                .map(|since| millis((now - since).to_std().unwrap_or_default())),
            remaining_ms: lock.remaining.map(millis),
        }
    }
}

/// Which locks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageOf {
    /// Most locks of a page, 1 to 500.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of locks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Locks {
    /// In no particular order. A lock that is held throughout is on some page, perhaps on two.
    pub items: Vec<LockView>,
    /// Cursor of the next page. A page that has one may be short, or empty: it ends where
    /// 100,000 keys of Redis were looked at.
    pub next_cursor: Option<String>,
}

/// Lists the locks that are held.
#[utoipa::path(
    get, path = "/v1/locks", tag = "locks", params(PageOf),
    responses((status = 200, body = Locks), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(page): Query<PageOf>,
) -> Result<Json<Locks>, Error> {
    let limit = usize::try_from(page_rows(page.limit)?).unwrap_or(usize::MAX);
    let from = page
        .cursor
        .map_or_else(|| Ok(Cursor::default()), |text| text.parse())
        .map_err(|error| wrong("cursor", &error))?;
    let page = servers.locks.page(from, limit).await?;
    let now = Utc::now();
    Ok(Json(Locks {
        items: page.locks.iter().map(|lock| LockView::new(lock, now)).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

/// Why a lock is ended.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Why {
    /// 1 to 256 characters; goes into the audit log.
    #[param(min_length = 1, max_length = 256)]
    reason: String,
}

/// Ends a lock by force, for a reason, and shows what it was. Its holder is not stopped: it
/// learns of it when it renews, and the version of the wallet's row refuses what it writes too
/// late.
#[utoipa::path(
    delete, path = "/v1/locks/{key}", tag = "locks",
    params(("key" = String, Path, description = "The lock's key"), Why),
    responses((status = 200, body = LockView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn release(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(key): Path<String>,
    Query(Why { reason }): Query<Why>,
) -> Result<Json<LockView>, Error> {
    let key: LockKey = key.parse().map_err(|error| wrong("key", &error))?;
    let reason = stated(&reason).map_err(|wrong| Error::InvalidParameter(vec![wrong]))?;
    let lock = servers.locks.find(key).await?.ok_or_else(|| not_held(key))?;
    let view = LockView::new(&lock, Utc::now());
    let mut transaction = servers.pool.begin().await?;
    // Before the act, which MySQL must not be too late for.
    if let Err(error) = record(&mut transaction, &acting.operator.name, &view, reason).await {
        transaction.rollback().await?;
        return Err(error);
    }
    let released = servers.locks.release(&lock).await;
    if matches!(released, Ok(false)) {
        transaction.rollback().await?;
        return Err(not_held(key));
    }
    // What Redis did not answer may have been done: that stays in the audit log, too.
    transaction.commit().await?;
    released?;
    tracing::info!(%key, holder = view.holder, operator = acting.operator.name, "lock released by force");
    Ok(Json(view))
}

async fn record(
    transaction: &mut Transaction<'_, MySql>,
    actor: &str,
    lock: &LockView,
    reason: &str,
) -> Result<(), Error> {
    let detail = json!({
        "reason": reason,
        "holder": lock.holder,
        "since": lock.since,
        "remaining_ms": lock.remaining_ms,
    });
    audit::record(transaction, actor, "lock.release", &lock.key, &detail).await?;
    Ok(())
}

fn wrong(parameter: &str, detail: &impl std::fmt::Display) -> Error {
    Error::InvalidParameter(vec![FieldError::new(parameter, detail.to_string())])
}

fn not_held(key: LockKey) -> Error {
    Error::NotFound {
        what: Thing::Lock,
        id: key.to_string(),
    }
}
