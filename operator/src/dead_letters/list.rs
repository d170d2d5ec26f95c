//! `GET /v1/dead-letters`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::{LetterFilter, LetterState, Order, Slice, store};
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;
use utoipa::ToSchema;

use super::LetterView;
use super::filter::letter_filter;
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::{Query, page_rows};
use crate::http::problem::Problem;

letter_filter! {
    /// Which letters.
    Filter {
        /// `open`, `replaying`, `resolved`, `discarded`, `archived` or `quarantined`; any but `archived`
        /// if left out.
        #[param(value_type = Option<String>)]
        #[schema(value_type = Option<String>)]
        state: Option<LetterState>,
        /// Only letters that wait behind another of their key, or only those that do not.
        parked: Option<bool>,
        /// Letters of a page, 1 to 500.
        limit: Option<u32>,
        /// `next_cursor` of the page before.
        #[param(value_type = Option<Uuid>)]
        #[schema(value_type = Option<Uuid>)]
        cursor: Option<DeadLetterId>,
    }
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
    let slice = Slice {
        limit: page_rows(filter.limit)?,
        cursor: filter.cursor,
        order: Order::NewestFirst,
    };
    let filter = LetterFilter {
        state: filter.state,
        parked: filter.parked,
        ..filter.letters()
    };
    let page = store::list(&pool, &filter, slice).await?;
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
