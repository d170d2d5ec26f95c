//! `GET /v1/dead-letters/{letter_id}`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::store;
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::record::{self, Record};
use super::{HistoryLine, LetterView};
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::state::Servers;

/// A letter with its record and its history.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ShownLetter {
    /// The letter.
    #[serde(flatten)]
    pub letter: LetterView,
    /// What could not be applied.
    pub record: Record,
    /// What became of it, oldest first.
    pub history: Vec<HistoryLine>,
}

/// Shows a dead letter with its record and history. To viewers the record's personal
/// parts are masked.
#[utoipa::path(
    get, path = "/v1/dead-letters/{letter_id}", tag = "dead letters",
    params(("letter_id" = Uuid, Path, description = "The letter")),
    responses((status = 200, body = ShownLetter), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn show(
    viewer: As<Viewer>,
    State(servers): State<Servers>,
    Path(letter_id): Path<DeadLetterId>,
) -> Result<Json<ShownLetter>, Error> {
    let letter = store::show(&servers.pool, letter_id).await?;
    let masked = !viewer.operator.sees_payloads();
    let record = record::read(&servers.registry, &letter, masked).await;
    Ok(Json(ShownLetter {
        letter: LetterView::of(letter.summary, &viewer.operator),
        record,
        history: letter.history.into_iter().map(HistoryLine::from).collect(),
    }))
}
