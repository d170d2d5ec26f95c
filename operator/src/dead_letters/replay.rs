//! `POST /v1/dead-letters/{letter_id}/replay`. Many letters are a replay of their own:
//! [`crate::replays`].

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use headgate_dead_letters::replay;
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::state::Servers;

/// A replay that has begun.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Replay {
    /// The letter.
    #[schema(value_type = Uuid)]
    pub letter_id: DeadLetterId,
    /// Which attempt this is, from 1. 0: a parked letter that stands first, of which the group
    /// was only reminded.
    pub attempt: u32,
    /// If the group has not answered by then, the letter may be replayed anew.
    pub deadline: DateTime<Utc>,
}

impl From<replay::ReplayOutcome> for Replay {
    fn from(outcome: replay::ReplayOutcome) -> Self {
        Self {
            letter_id: outcome.letter_id,
            attempt: outcome.attempt,
            deadline: outcome.deadline,
        }
    }
}

/// Replays one letter: sends its record to its group, and nobody else, once more. What
/// became of it is in the letter's state and history. Once it is applied, what is parked
/// behind it follows in order. Refused while another letter of its key stands before it.
#[utoipa::path(
    post, path = "/v1/dead-letters/{letter_id}/replay", tag = "dead letters",
    params(("letter_id" = Uuid, Path, description = "The letter")),
    responses((status = 202, body = Replay), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn replay(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(letter_id): Path<DeadLetterId>,
) -> Result<(StatusCode, Json<Replay>), Error> {
    let writer = servers.writer().await?;
    let outcome = replay::replay(&servers.pool, writer, letter_id, &acting.operator.name).await?;
    servers.waker.wake();
    tracing::info!(%letter_id, attempt = outcome.attempt, operator = acting.operator.name, "dead letter replayed");
    Ok((StatusCode::ACCEPTED, Json(outcome.into())))
}
