//! `POST /v1/dead-letters/{letter_id}/rehearse` and `POST /v1/replays/{replay_id}/rehearse`.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use headgate_dead_letters::replay::Outcome;
use headgate_dead_letters::store::replays as store;
use headgate_runtime::error_text;
use headgate_schemas::ids::{DeadLetterId, ReplayId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rehearsal::{self, Rehearsed};
use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;

/// Letters of one request unless it says otherwise.
const LETTERS_USUAL: u32 = 20;
/// Most letters of one request.
const LETTERS_MAX: u32 = 500;

/// Rehearses a letter: does what its replay would do, with the very function of its group, and
/// rolls it back. Nothing is changed, sent or published; what is parked behind the letter is
/// rehearsed with it. Its partition, and what its event locks, stand still meanwhile, as in a
/// replay; after 3 s it is given up.
#[utoipa::path(
    post, path = "/v1/dead-letters/{letter_id}/rehearse", tag = "dead letters",
    params(("letter_id" = Uuid, Path, description = "The letter")),
    responses((status = 200, body = Rehearsed), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn letter(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(letter_id): Path<DeadLetterId>,
) -> Result<Json<Rehearsed>, Error> {
    let rehearsed = rehearsal::rehearse(&servers, letter_id, &acting.operator.name).await?;
    Ok(Json(rehearsed))
}

/// Which letters of a replay are rehearsed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearsalAsked {
    /// Most letters, 1 to 500; 20 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letters_max: Option<u32>,
    /// `next_cursor` of the rehearsal before, to go on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u32>,
}

/// What the next letters of a replay would do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Rehearsal {
    /// One for each letter, in the order in which they go; each for itself, as if it were the
    /// only one that is sent.
    pub items: Vec<Rehearsed>,
    /// Where it ended, if there is more: ask again with it as `cursor`.
    pub next_cursor: Option<u32>,
}

/// Rehearses letters of a replay that were not sent yet, letter by letter, as many as the time
/// of a request allows.
#[utoipa::path(
    post, path = "/v1/replays/{replay_id}/rehearse", tag = "replays", request_body = RehearsalAsked,
    params(("replay_id" = Uuid, Path, description = "The replay")),
    responses((status = 200, body = Rehearsal), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn replay(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Path(replay_id): Path<ReplayId>,
    Body(asked): Body<RehearsalAsked>,
) -> Result<Json<Rehearsal>, Error> {
    let until = Instant::now() + servers.config.http.request_timeout / 2;
    let limit = asked.letters_max.unwrap_or(LETTERS_USUAL);
    if !(1..=LETTERS_MAX).contains(&limit) {
        let detail = format!("must lie between 1 and {LETTERS_MAX}");
        return Err(Error::InvalidBody(vec![FieldError::new("letters_max", detail)]));
    }
    let replay = store::show(&servers.pool, replay_id).await?;
    let waiting = Some(Outcome::Waiting);
    let page = store::letters(&servers.pool, &replay, waiting, limit, asked.cursor).await?;
    let mut rehearsal = Rehearsal {
        items: Vec::with_capacity(page.items.len()),
        next_cursor: page.next_cursor,
    };
    let mut last = None;
    for letter in page.items {
        // Better half of the work with an answer than all of it without one.
        if last.is_some() && Instant::now() > until {
            rehearsal.next_cursor = last;
            break;
        }
        let letter_id = letter.outcome.letter_id;
        match rehearsal::rehearse(&servers, letter_id, &acting.operator.name).await {
            Ok(rehearsed) => rehearsal.items.push(rehearsed),
            // What was found out before is worth an answer.
            Err(error) if last.is_some() => {
                tracing::warn!(%letter_id, error = error_text(&error), "a rehearsal was cut short");
                rehearsal.next_cursor = last;
                break;
            }
            Err(error) => return Err(error),
        }
        last = Some(letter.place);
    }
    Ok(Json(rehearsal))
}
