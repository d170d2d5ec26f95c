//! `GET /v1/dead-letters/{letter_id}`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::store;
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::difference::Edit;
use super::record::{self, Bytes, Record};
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
    /// Its place among the letters of its key; absent if it is settled or has no key.
    pub queue: Option<Queue>,
    /// What could not be applied, as it came.
    pub record: Record,
    /// What goes to the group instead, by the newest edit; absent if there is none.
    pub effective: Option<Record>,
    /// Its edits, oldest first.
    pub edits: Vec<Edit>,
    /// What became of it, oldest first.
    pub history: Vec<HistoryLine>,
}

/// A letter's place among those of its key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// The first of them: this letter, or the one it waits for.
    #[schema(value_type = Uuid)]
    pub first: DeadLetterId,
    /// How many wait behind this one.
    pub behind: u64,
}

/// Shows a dead letter with its record, its edits and its history. To viewers the personal
/// parts of values are masked.
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
    let queue = letter.queued.map(|queued| Queue {
        first: queued.first,
        behind: queued.behind,
    });
    let masked = !viewer.operator.sees_payloads();
    let key = letter.key.as_deref();
    let came = Bytes {
        key,
        value: letter.value.as_deref(),
        headers: &letter.headers,
    };
    let record = record::read(&servers.registry, came, masked).await;
    let effective = match &letter.edited {
        None => None,
        Some(edited) => {
            let goes = Bytes {
                key,
                value: edited.value.as_deref(),
                headers: &edited.headers,
            };
            Some(record::read(&servers.registry, goes, masked).await)
        }
    };
    let edits = letter.edits.into_iter();
    Ok(Json(ShownLetter {
        letter: LetterView::of(letter.summary, &viewer.operator),
        queue,
        record,
        effective,
        edits: edits.map(|edit| Edit::of(edit, masked)).collect(),
        history: letter.history.into_iter().map(HistoryLine::from).collect(),
    }))
}
