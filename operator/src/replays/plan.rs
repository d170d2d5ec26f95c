//! `POST /v1/replays`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use headgate_dead_letters::replay::plan::{self, Draft, PlannedKey};
use headgate_dead_letters::replay::{Progress, Replay};
use headgate_groups::Group;
use serde::{Deserialize, Serialize};
use sqlx::MySqlConnection;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::ReplayView;
use super::pace::PaceAsked;
use super::view::masked_filter;
use crate::Error;
use crate::auth::{Acting, As};
use crate::dead_letters::filter::letter_filter;
use crate::http::extract::Body;
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;

/// Most pages of keys that were read and whose groups were not asked yet.
const PAGES_AHEAD: usize = 4;

letter_filter! {
    /// Which open letters. At least one of the fields. What is parked is not chosen: it goes
    /// with the letter before it.
    ReplayFilter {}
}

/// A replay to be planned.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanAsked {
    /// Which letters.
    pub filter: ReplayFilter,
    /// How fast they go; what is left out is as configured.
    #[serde(default)]
    pub pace: PaceAsked,
}

impl ReplayFilter {
    /// Whether it asks for every letter there is, which nobody may do by leaving something out.
    pub(crate) const fn says_nothing(&self) -> bool {
        self.group.is_none()
            && self.disposition.is_none()
            && self.error_class.is_none()
            && self.event_type.is_none()
            && self.key.is_none()
            && self.fingerprint.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.text.is_none()
            && self.schema_id.is_none()
    }
}

/// Plans a replay: chooses the open letters that match, once and for all, and says what their
/// replay will meet. Nothing is sent before it is started.
#[utoipa::path(
    post, path = "/v1/replays", tag = "replays", request_body = PlanAsked,
    responses((status = 201, body = ReplayView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn plan(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Body(asked): Body<PlanAsked>,
) -> Result<(StatusCode, Json<ReplayView>), Error> {
    if asked.filter.says_nothing() {
        let detail = "name at least one of group, disposition, error_class, event_type, key, fingerprint, since, \
                      until, text, schema_id";
        return Err(Error::InvalidBody(vec![FieldError::new("filter", detail)]));
    }
    let limits = &servers.config.replay;
    let filter = serde_json::to_value(&asked.filter).map_err(headgate_dead_letters::Error::from)?;
    let draft = Draft {
        audited: masked_filter(filter.clone()),
        asked: filter,
        filter: asked.filter.letters(),
        pace: asked.pace.or_usual(limits)?,
        letters_max: limits.letters_max,
        actor: &acting.operator.name,
    };
    let replay = make(&servers, draft).await?;
    let progress = Progress::planned(&replay.plan);
    tracing::info!(
        replay_id = %replay.replay_id,
        letters = replay.plan.letters,
        operator = acting.operator.name,
        "replay planned"
    );
    let view = ReplayView::of(replay, &progress, &acting.operator);
    Ok((StatusCode::CREATED, Json(view)))
}

/// While the letters are read on one connection, the groups are asked on another.
async fn make(servers: &Servers, draft: Draft<'_>) -> Result<Replay, Error> {
    let (mut one, mut beside) = (servers.pool.acquire().await?, servers.pool.acquire().await?);
    let (keys, pages) = mpsc::channel(PAGES_AHEAD);
    let choose = async { Ok(plan::choose(&mut one, &draft, keys).await?) };
    let (choice, superseded) = tokio::try_join!(choose, count_superseded(&mut beside, pages))?;
    drop((one, beside));
    Ok(plan::keep(&servers.pool, &draft, choice, superseded).await?)
}

/// Asks the groups which letters' keys need nothing any more.
async fn count_superseded(
    connection: &mut MySqlConnection,
    mut pages: mpsc::Receiver<Vec<PlannedKey>>,
) -> Result<u64, Error> {
    let mut superseded = 0;
    while let Some(keys) = pages.recv().await {
        superseded += superseded_among(connection, &keys).await?;
    }
    Ok(superseded)
}

async fn superseded_among(connection: &mut MySqlConnection, keys: &[PlannedKey]) -> Result<u64, Error> {
    let mut by_group: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for PlannedKey { group, key } in keys {
        by_group.entry(group).or_default().push(key);
    }
    let mut superseded = 0;
    for (name, keys) in by_group {
        // Of a group that is no more, nobody knows.
        let Some(group) = Group::named(name) else {
            continue;
        };
        let found = group.superseded(connection, &keys).await?;
        superseded += keys.iter().filter(|key| found.contains(*key)).count() as u64;
    }
    Ok(superseded)
}
