//! `POST /v1/dead-letters/{letter_id}/archive` and `/restore`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::archive;
use headgate_schemas::ids::DeadLetterId;
use sqlx::MySqlPool;

use super::LetterView;
use super::discard::Reason;
use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::Problem;

/// Puts an open or quarantined letter out of sight and of replays, for a reason. It goes on
/// holding its key; a parked letter is refused. What is archived for too long is discarded,
/// and what its event promised is settled then.
#[utoipa::path(
    post, path = "/v1/dead-letters/{letter_id}/archive", tag = "dead letters", request_body = Reason,
    params(("letter_id" = Uuid, Path, description = "The letter")),
    responses((status = 200, body = LetterView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn archive(
    acting: As<Acting>,
    State(pool): State<MySqlPool>,
    Path(letter_id): Path<DeadLetterId>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<LetterView>, Error> {
    let letter = archive::archive(&pool, letter_id, &acting.operator.name, &reason).await?;
    tracing::info!(%letter_id, operator = acting.operator.name, "dead letter archived");
    Ok(Json(LetterView::of(letter, &acting.operator)))
}

/// Opens an archived or quarantined letter again, for a reason. Its failed replays are
/// counted anew.
#[utoipa::path(
    post, path = "/v1/dead-letters/{letter_id}/restore", tag = "dead letters", request_body = Reason,
    params(("letter_id" = Uuid, Path, description = "The letter")),
    responses((status = 200, body = LetterView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn restore(
    acting: As<Acting>,
    State(pool): State<MySqlPool>,
    Path(letter_id): Path<DeadLetterId>,
    Body(Reason { reason }): Body<Reason>,
) -> Result<Json<LetterView>, Error> {
    let letter = archive::restore(&pool, letter_id, &acting.operator.name, &reason).await?;
    tracing::info!(%letter_id, operator = acting.operator.name, "dead letter restored");
    Ok(Json(LetterView::of(letter, &acting.operator)))
}
