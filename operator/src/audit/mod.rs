//! The audit log: every act of an operator, written in the act's own transaction by
//! [`headgate_outbox::audit::record`].

pub mod verify;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_outbox::audit::{self, Wanted};
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;
use utoipa::{IntoParams, ToSchema};

use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::{Query, page_rows};
use crate::http::problem::Problem;

/// Which lines of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only acts of this operator.
    actor: Option<String>,
    /// Only this kind of act, e.g. `dead-letter.replay`.
    action: Option<String>,
    /// Only acts on this object.
    object: Option<String>,
    /// Lines of a page, 1 to 500.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<u64>,
}

/// One act.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Its number in the chain: from 1, without gaps.
    pub audit_no: u64,
    /// When, by MySQL's clock.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// More about it.
    pub detail: Option<serde_json::Value>,
    /// SHA-256 of this line and of the hash of the line before, as 64 hexadecimal digits.
    pub hash: String,
}

impl From<audit::Line> for Line {
    fn from(line: audit::Line) -> Self {
        Self {
            audit_no: line.audit_no,
            at: line.at,
            actor: line.actor,
            action: line.action,
            object: line.object,
            // What we write is JSON; what somebody else put there is shown as it is.
            detail: line
                .detail
                .map(|detail| serde_json::from_str(&detail).unwrap_or(serde_json::Value::String(detail))),
            hash: line.hash.to_string(),
        }
    }
}

/// A page of the audit log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Lines {
    /// Newest first.
    pub items: Vec<Line>,
    /// Cursor of the next page.
    pub next_cursor: Option<u64>,
}

/// Lists the audit log, newest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(Filter),
    responses((status = 200, body = Lines), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list(
    _viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Query(filter): Query<Filter>,
) -> Result<Json<Lines>, Error> {
    let limit = page_rows(filter.limit)?;
    let wanted = Wanted {
        actor: filter.actor.as_deref(),
        action: filter.action.as_deref(),
        object: filter.object.as_deref(),
        before: filter.cursor,
    };
    let lines = audit::list(&pool, &wanted, limit).await?;
    let full = u32::try_from(lines.len()).is_ok_and(|rows| rows == limit);
    let next_cursor = lines.last().filter(|_| full).map(|line| line.audit_no);
    Ok(Json(Lines {
        items: lines.into_iter().map(Line::from).collect(),
        next_cursor,
    }))
}
