//! `POST /v1/dead-letters/{letter_id}/replay` and `POST /v1/dead-letters/replay`.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use headgate_dead_letters::{LetterFilter, LetterState, Order, Slice, replay, store};
use headgate_schemas::ids::DeadLetterId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filter::letter_filter;
use crate::Error;
use crate::auth::{Acting, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::{FieldError, Problem};
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

letter_filter! {
    /// Which open letters to replay. At least one of the fields but `letters_max` and `cursor`.
    /// What is parked is not among them: it goes with the letter before it.
    ReplayFilter {
        /// Most letters to replay; the listener's own limit if left out.
        letters_max: Option<u32>,
        /// `next_cursor` of the replay before, to go on behind it.
        #[param(value_type = Option<Uuid>)]
        #[schema(value_type = Option<Uuid>)]
        cursor: Option<DeadLetterId>,
    }
}

/// What a replay by filter did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Replays {
    /// Open letters that match, wherever the cursor is.
    pub matched: u64,
    /// Letters that are on their way.
    pub replayed: Vec<Replay>,
    /// Letters that were not replayed, and why.
    pub refused: Vec<Refused>,
    /// The last letter that was looked at, if there are more: ask again with it as
    /// `cursor`. (Without it, letters that failed again would be replayed again.)
    #[schema(value_type = Option<Uuid>)]
    pub next_cursor: Option<DeadLetterId>,
}

/// A letter that was not replayed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// The letter.
    #[schema(value_type = Uuid)]
    pub letter_id: DeadLetterId,
    /// The problem's code.
    pub code: String,
    /// The problem in words.
    pub detail: String,
}

/// Replays the open letters that match, oldest first, up to a limit; what is parked behind
/// one follows it by itself. Each is a transaction of its own: what was done stays done if a later one fails.
#[utoipa::path(
    post, path = "/v1/dead-letters/replay", tag = "dead letters", request_body = ReplayFilter,
    responses((status = 200, body = Replays), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn replay_matching(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Body(filter): Body<ReplayFilter>,
) -> Result<Json<Replays>, Error> {
    let until = Instant::now() + servers.config.http.request_timeout / 2;
    let limit = limit(&filter, servers.config.replay.letters_max)?;
    let writer = servers.writer().await?;
    let slice = Slice {
        limit,
        cursor: filter.cursor,
        order: Order::OldestFirst,
    };
    let page = store::list(&servers.pool, &filter.replayable(), slice).await?;
    let mut replays = Replays {
        matched: page.total,
        replayed: Vec::new(),
        refused: Vec::new(),
        next_cursor: page.next_cursor,
    };
    let mut last = None;
    for letter in &page.items {
        // Better half of the work with an answer than all of it without one.
        if Instant::now() > until {
            replays.next_cursor = last;
            break;
        }
        match replay::replay(&servers.pool, writer, letter.letter_id, &acting.operator.name).await {
            Ok(outcome) => replays.replayed.push(outcome.into()),
            Err(error) => {
                let error = Error::from(error);
                if error.is_unavailable() {
                    replays.next_cursor = Some(last.ok_or(error)?);
                    break;
                }
                replays.refused.push(Refused {
                    letter_id: letter.letter_id,
                    code: error.code().as_str().to_owned(),
                    detail: error.to_string(),
                });
            }
        }
        last = Some(letter.letter_id);
    }
    servers.waker.wake();
    tracing::info!(
        matched = replays.matched,
        replayed = replays.replayed.len(),
        refused = replays.refused.len(),
        operator = acting.operator.name,
        "dead letters replayed by filter"
    );
    Ok(Json(replays))
}

fn limit(filter: &ReplayFilter, letters_max: u32) -> Result<u32, Error> {
    if filter.says_nothing() {
        let detail = "name at least one of group, disposition, error_class, event_type, key, fingerprint, since, \
                      until, text, schema_id";
        return Err(Error::InvalidBody(vec![FieldError::new("body", detail)]));
    }
    let limit = filter.letters_max.unwrap_or(letters_max);
    if (1..=letters_max).contains(&limit) {
        Ok(limit)
    } else {
        let detail = format!("must lie between 1 and {letters_max}");
        Err(Error::InvalidBody(vec![FieldError::new("letters_max", detail)]))
    }
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

    /// What it asks for, of what can be replayed.
    fn replayable(self) -> LetterFilter {
        LetterFilter {
            state: Some(LetterState::Open),
            // What waits behind another goes with it.
            parked: Some(false),
            ..self.letters()
        }
    }
}
