//! `GET /v1/dead-letters`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::store::{self, Order};
use headgate_dead_letters::{Disposition, LetterFilter, LetterState};
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;
use utoipa::{IntoParams, ToSchema};

use super::LetterView;
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::{Query, page_rows};
use crate::http::problem::Problem;

/// Which letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Name of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `open`, `replaying`, `resolved`, `discarded`, `archived` or `quarantined`.
    #[param(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LetterState>,
    /// `poison`, `rejected`, `exhausted` or `parked`.
    #[param(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// Class of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
    /// Event type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The record's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only letters that wait behind another of their key, or only those that do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<bool>,
    /// Letters of a page, 1 to 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<Uuid>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<DeadLetterId>,
}

/// A page of letters.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Letters {
    /// Newest first.
    pub items: Vec<LetterView>,
    /// How many match in all.
    pub total: u64,
    /// Cursor of the next page.
    #[schema(value_type = Option<Uuid>)]
    pub next_cursor: Option<DeadLetterId>,
}

/// Lists dead letters, newest first, without their values.
#[utoipa::path(
    get, path = "/v1/dead-letters", tag = "dead letters", params(Filter),
    responses((status = 200, body = Letters), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list(
    viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Query(filter): Query<Filter>,
) -> Result<Json<Letters>, Error> {
    let limit = page_rows(filter.limit)?;
    let page = store::list(
        &pool,
        &LetterFilter {
            group: filter.group,
            state: filter.state,
            disposition: filter.disposition,
            error_class: filter.error_class,
            event_type: filter.event_type,
            key: filter.key.map(String::into_bytes),
            parked: filter.parked,
            limit,
            cursor: filter.cursor,
            order: Order::NewestFirst,
        },
    )
    .await?;
    Ok(Json(Letters {
        items: page
            .items
            .into_iter()
            .map(|letter| LetterView::of(letter, &viewer.operator))
            .collect(),
        total: page.total,
        next_cursor: page.next_cursor,
    }))
}
