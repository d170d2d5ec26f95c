//! `GET /v1/dead-letters/export`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::{LetterFilter, LetterState, Order, Slice, store};
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::LetterView;
use super::filter::letter_filter;
use super::record::{self, Bytes, Record};
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::{Query, page_rows};
use crate::http::problem::Problem;
use crate::state::Servers;

letter_filter! {
    /// Which letters.
    ExportFilter {
        /// `open`, `replaying`, `resolved`, `discarded`, `archived` or `quarantined`; any but `archived`
        /// if left out.
        #[param(value_type = Option<String>)]
        #[schema(value_type = Option<String>)]
        state: Option<LetterState>,
        /// Letters of a page, 1 to 500. A page of large records ends earlier.
        limit: Option<u32>,
        /// `next_cursor` of the page before.
        #[param(value_type = Option<Uuid>)]
        #[schema(value_type = Option<Uuid>)]
        cursor: Option<DeadLetterId>,
    }
}

/// A letter with its record.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportedLetter {
    /// The letter.
    #[serde(flatten)]
    pub letter: LetterView,
    /// What could not be applied, as it came.
    pub record: Record,
}

/// A page of letters with their records.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Export {
    /// Oldest first.
    pub items: Vec<ExportedLetter>,
    /// How many match in all.
    pub total: u64,
    /// Cursor of the next page.
    #[schema(value_type = Option<Uuid>)]
    pub next_cursor: Option<DeadLetterId>,
}

/// Lists dead letters with their records, oldest first. To viewers the personal parts of
/// records are masked.
#[utoipa::path(
    get, path = "/v1/dead-letters/export", tag = "dead letters", params(ExportFilter),
    responses((status = 200, body = Export), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn export(
    viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(filter): Query<ExportFilter>,
) -> Result<Json<Export>, Error> {
    let slice = Slice {
        limit: page_rows(filter.limit)?,
        cursor: filter.cursor,
        order: Order::OldestFirst,
    };
    let filter = LetterFilter {
        state: filter.state,
        ..filter.letters()
    };
    let page = store::export(&servers.pool, &filter, slice).await?;
    let masked = !viewer.operator.sees_payloads();
    let mut items = Vec::with_capacity(page.items.len());
    for exported in page.items {
        let bytes = Bytes {
            key: exported.key.as_deref(),
            value: exported.value.as_deref(),
            headers: &exported.headers,
        };
        items.push(ExportedLetter {
            record: record::read(&servers.registry, bytes, masked).await,
            letter: LetterView::of(exported.letter, &viewer.operator),
        });
    }
    Ok(Json(Export {
        items,
        total: page.total,
        next_cursor: page.next_cursor,
    }))
}
