//! `GET /v1/dead-letters/groups`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_dead_letters::groups::{self, GroupCursor};
use headgate_dead_letters::{LetterFilter, LetterState, store};
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;
use utoipa::ToSchema;

use super::filter::letter_filter;
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::{Query, page_rows};
use crate::http::problem::Problem;

letter_filter! {
    /// Letters of which groups.
    GroupsFilter {
        /// `open` unless said otherwise.
        #[param(value_type = Option<String>)]
        #[schema(value_type = Option<String>)]
        state: Option<LetterState>,
        /// Only letters that wait behind another of their key, or only those that do not.
        parked: Option<bool>,
        /// Groups of a page, 1 to 500.
        limit: Option<u32>,
        /// `next_cursor` of the page before.
        #[param(value_type = Option<String>)]
        #[schema(value_type = Option<String>)]
        cursor: Option<GroupCursor>,
    }
}

/// A page of failure groups.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FailureGroups {
    /// Most letters first.
    pub items: Vec<FailureGroup>,
    /// How many groups there are in all.
    pub total: u64,
    /// How many letters match in all.
    pub letters: u64,
    /// Cursor of the next page.
    #[schema(value_type = Option<String>)]
    pub next_cursor: Option<GroupCursor>,
}

/// Letters of one consumer group that have one cause.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FailureGroup {
    /// Name of the consumer group.
    pub group: String,
    /// The cause: what lists and replays take as `fingerprint`.
    pub fingerprint: String,
    /// How many letters there are.
    pub letters: u64,
    /// Those of them that wait behind another letter of their key.
    pub parked: u64,
    /// How many distinct keys they hold up.
    pub keys: u64,
    /// `poison`, `rejected`, `exhausted` or `parked`.
    pub disposition: String,
    /// A stable word for the cause.
    pub error_class: String,
    /// The error of the newest letter.
    pub error: String,
    /// The newest letter.
    #[schema(value_type = Uuid)]
    pub example: DeadLetterId,
    /// The earliest first failure.
    pub first_failed_at: DateTime<Utc>,
    /// The latest failure.
    pub last_failed_at: DateTime<Utc>,
    /// Whether there are more of them lately.
    pub trend: Trend,
}

/// Letters by when they failed first.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trend {
    /// Within the last hour.
    pub last_hour: u64,
    /// In the hour before that.
    pub hour_before: u64,
    /// Within the last 24 hours.
    pub last_day: u64,
}

impl From<groups::FailureGroup> for FailureGroup {
    fn from(group: groups::FailureGroup) -> Self {
        Self {
            group: group.group,
            fingerprint: group.fingerprint.to_string(),
            letters: group.letters,
            parked: group.parked,
            keys: group.keys,
            disposition: group.disposition.as_str().to_owned(),
            error_class: group.error_class,
            error: group.error,
            example: group.example,
            first_failed_at: group.first_failed_at,
            last_failed_at: group.last_failed_at,
            trend: Trend {
                last_hour: group.trend.last_hour,
                hour_before: group.trend.hour_before,
                last_day: group.trend.last_day,
            },
        }
    }
}

/// Groups the open letters by consumer group and cause, most letters first.
#[utoipa::path(
    get, path = "/v1/dead-letters/groups", tag = "dead letters", params(GroupsFilter),
    responses((status = 200, body = FailureGroups), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn groups(
    _viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Query(filter): Query<GroupsFilter>,
) -> Result<Json<FailureGroups>, Error> {
    let (limit, cursor) = (page_rows(filter.limit)?, filter.cursor);
    let filter = LetterFilter {
        state: Some(filter.state.unwrap_or(LetterState::Open)),
        parked: filter.parked,
        ..filter.letters()
    };
    let page = store::groups(&pool, &filter, limit, cursor).await?;
    Ok(Json(FailureGroups {
        items: page.items.into_iter().map(FailureGroup::from).collect(),
        total: page.total,
        letters: page.letters,
        next_cursor: page.next_cursor,
    }))
}
