//! `GET /v1/replays`, one of them, and its letters.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::replay::{Outcome, ReplayState};
use headgate_dead_letters::store::replays as store;
use headgate_schemas::ids::ReplayId;
use serde::{Deserialize, Serialize};
use sqlx::MySqlPool;
use utoipa::{IntoParams, ToSchema};

use super::{ReplayLetterView, ReplayView};
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::{Path, Query, page_rows};
use crate::http::problem::Problem;

/// Which replays.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReplaysFilter {
    /// `planned`, `running`, `paused`, `completed` or `cancelled`.
    #[param(value_type = Option<String>)]
    pub state: Option<ReplayState>,
    /// Replays of a page, 1 to 500.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<Uuid>)]
    pub cursor: Option<ReplayId>,
}

/// A page of replays.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Replays {
    /// The newest first.
    pub items: Vec<ReplayView>,
    /// Cursor of the next page.
    #[schema(value_type = Option<Uuid>)]
    pub next_cursor: Option<ReplayId>,
}

/// Lists replays, the newest first.
#[utoipa::path(
    get, path = "/v1/replays", tag = "replays", params(ReplaysFilter),
    responses((status = 200, body = Replays), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list(
    viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Query(filter): Query<ReplaysFilter>,
) -> Result<Json<Replays>, Error> {
    let page = store::list(&pool, filter.state, page_rows(filter.limit)?, filter.cursor).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for replay in page.items {
        let progress = store::progress(&pool, &replay).await?;
        items.push(ReplayView::of(replay, &progress, &viewer.operator));
    }
    Ok(Json(Replays {
        items,
        next_cursor: page.next_cursor,
    }))
}

/// Shows a replay: what was planned, and how far it has got.
#[utoipa::path(
    get, path = "/v1/replays/{replay_id}", tag = "replays",
    params(("replay_id" = Uuid, Path, description = "The replay")),
    responses((status = 200, body = ReplayView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn show(
    viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Path(replay_id): Path<ReplayId>,
) -> Result<Json<ReplayView>, Error> {
    let replay = store::show(&pool, replay_id).await?;
    let progress = store::progress(&pool, &replay).await?;
    Ok(Json(ReplayView::of(replay, &progress, &viewer.operator)))
}

/// Which letters of a replay.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OutcomeFilter {
    /// `waiting`, `sent`, `resolved`, `failed`, `quarantined`, `unanswered` or `refused`.
    #[param(value_type = Option<String>)]
    pub outcome: Option<Outcome>,
    /// Letters of a page, 1 to 500.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<u32>,
}

/// A page of the letters of a replay.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplayLetters {
    /// In the order in which they go.
    pub items: Vec<ReplayLetterView>,
    /// Cursor of the next page.
    pub next_cursor: Option<u32>,
}

/// Lists the letters of a replay, each with its outcome.
#[utoipa::path(
    get, path = "/v1/replays/{replay_id}/letters", tag = "replays",
    params(("replay_id" = Uuid, Path, description = "The replay"), OutcomeFilter),
    responses((status = 200, body = ReplayLetters), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn letters(
    viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Path(replay_id): Path<ReplayId>,
    Query(filter): Query<OutcomeFilter>,
) -> Result<Json<ReplayLetters>, Error> {
    let limit = page_rows(filter.limit)?;
    let replay = store::show(&pool, replay_id).await?;
    let page = store::letters(&pool, &replay, filter.outcome, limit, filter.cursor).await?;
    Ok(Json(ReplayLetters {
        items: page
            .items
            .into_iter()
            .map(|letter| ReplayLetterView::of(letter, &viewer.operator))
            .collect(),
        next_cursor: page.next_cursor,
    }))
}
