//! `POST /v1/replays/{replay_id}/start`, `pause`, `resume` and `cancel`.

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::replay::act::{self, Act};
use headgate_dead_letters::store::replays as store;
use headgate_schemas::ids::ReplayId;

use super::ReplayView;
use super::pace::PaceAsked;
use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::Problem;
use crate::state::Servers;

/// Starts a planned replay; at another pace than planned, if the body says so.
#[utoipa::path(
    post, path = "/v1/replays/{replay_id}/start", tag = "replays", request_body = PaceAsked,
    params(("replay_id" = Uuid, Path, description = "The replay")),
    responses((status = 200, body = ReplayView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn start(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(replay_id): Path<ReplayId>,
    Body(pace): Body<PaceAsked>,
) -> Result<Json<ReplayView>, Error> {
    run(&acting, &servers, replay_id, pace, Act::Start).await
}

/// Pauses a running replay. When this answers, nothing more is sent; what was sent is on its
/// way.
#[utoipa::path(
    post, path = "/v1/replays/{replay_id}/pause", tag = "replays",
    params(("replay_id" = Uuid, Path, description = "The replay")),
    responses((status = 200, body = ReplayView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn pause(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(replay_id): Path<ReplayId>,
) -> Result<Json<ReplayView>, Error> {
    done(&acting, &servers, replay_id, Act::Pause).await
}

/// Resumes a paused replay; at another pace, if the body says so. Failures so far are
/// forgiven. Paused after its canary, it sends the rest; if the body names `canary_letters`, so
/// many more first, and then it pauses again.
#[utoipa::path(
    post, path = "/v1/replays/{replay_id}/resume", tag = "replays", request_body = PaceAsked,
    params(("replay_id" = Uuid, Path, description = "The replay")),
    responses((status = 200, body = ReplayView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn resume(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(replay_id): Path<ReplayId>,
    Body(pace): Body<PaceAsked>,
) -> Result<Json<ReplayView>, Error> {
    let canary = pace.canary_letters;
    run(&acting, &servers, replay_id, pace, |pace| Act::Resume {
        pace,
        canary,
    })
    .await
}

/// Cancels a replay. When this answers, nothing more is sent; what was not sent stays open.
#[utoipa::path(
    post, path = "/v1/replays/{replay_id}/cancel", tag = "replays",
    params(("replay_id" = Uuid, Path, description = "The replay")),
    responses((status = 200, body = ReplayView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn cancel(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(replay_id): Path<ReplayId>,
) -> Result<Json<ReplayView>, Error> {
    done(&acting, &servers, replay_id, Act::Cancel).await
}

async fn run(
    acting: &As<Acting>,
    servers: &Servers,
    replay_id: ReplayId,
    asked: PaceAsked,
    run: impl Fn(Option<headgate_dead_letters::replay::Pace>) -> Act,
) -> Result<Json<ReplayView>, Error> {
    let pace = if asked.is_empty() {
        None
    } else {
        let planned = store::show(&servers.pool, replay_id).await?.pace;
        Some(asked.or(planned, &servers.config.replay)?)
    };
    let view = done(acting, servers, replay_id, run(pace)).await?;
    servers.replays.notify_one();
    Ok(view)
}

async fn done(
    acting: &As<Acting>,
    servers: &Servers,
    replay_id: ReplayId,
    act: Act,
) -> Result<Json<ReplayView>, Error> {
    let replay = act::act(&servers.pool, replay_id, act, &acting.operator.name).await?;
    let progress = store::progress(&servers.pool, &replay).await?;
    tracing::info!(%replay_id, state = %replay.state, operator = acting.operator.name, ?act, "replay changed");
    Ok(Json(ReplayView::of(replay, &progress, &acting.operator)))
}
