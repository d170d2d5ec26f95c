//! What operators do to a replay. Each act is a transaction with its line of the audit log;
//! an act that its state does not allow changes nothing.

use headgate_outbox::audit;
use headgate_schemas::ids::ReplayId;
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};

use super::object::{Pace, PauseReason, Replay, ReplayState};
use crate::Error;
use crate::store::replays as store;

/// An act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Begins to send; at another pace than planned, if one is given.
    Start(Option<Pace>),
    /// Stands still; what was sent is on its way.
    Pause,
    /// Goes on; failures so far are forgiven, and a canary that is through lets the rest go.
    Resume {
        /// At another pace, if one is given.
        pace: Option<Pace>,
        /// As many more letters go first; 0: none. Left out: a canary under way goes on.
        canary: Option<u32>,
    },
    /// Ends; what was not sent stays open.
    Cancel,
}

impl Act {
    const fn done(self) -> &'static str {
        match self {
            Self::Start(_) => "started",
            Self::Pause => "paused",
            Self::Resume { .. } => "resumed",
            Self::Cancel => "cancelled",
        }
    }

    const fn audited(self) -> &'static str {
        match self {
            Self::Start(_) => "replay.start",
            Self::Pause => "replay.pause",
            Self::Resume { .. } => "replay.resume",
            Self::Cancel => "replay.cancel",
        }
    }

    const fn is_allowed(self, state: ReplayState) -> bool {
        match self {
            Self::Start(_) => matches!(state, ReplayState::Planned),
            Self::Pause => matches!(state, ReplayState::Running),
            Self::Resume { .. } => matches!(state, ReplayState::Paused),
            Self::Cancel => matches!(
                state,
                ReplayState::Planned | ReplayState::Running | ReplayState::Paused
            ),
        }
    }
}

/// Does it. When this returns, a paused or cancelled replay sends nothing any more.
pub async fn act(pool: &MySqlPool, replay_id: ReplayId, act: Act, actor: &str) -> Result<Replay, Error> {
    let mut transaction = pool.begin().await?;
    match change(&mut transaction, replay_id, act, actor).await {
        Ok(replay) => {
            transaction.commit().await?;
            Ok(replay)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn change(
    transaction: &mut Transaction<'_, MySql>,
    replay_id: ReplayId,
    act: Act,
    actor: &str,
) -> Result<Replay, Error> {
    let not_found = || Error::ReplayNotFound(replay_id);
    let replay = store::lock(transaction, replay_id).await?.ok_or_else(not_found)?;
    let state = replay.state;
    if !act.is_allowed(state) {
        return Err(Error::ReplayState {
            replay_id,
            state,
            act: act.done(),
        });
    }
    match act {
        Act::Start(pace) => {
            let canary = pace.unwrap_or(replay.pace).canary_letters;
            run(transaction, &replay, pace, Some(canary), actor).await?;
        }
        Act::Resume { pace, canary } => run(transaction, &replay, pace, canary, actor).await?,
        Act::Pause => store::pause(transaction, replay.replay_no, PauseReason::Operator, actor).await?,
        Act::Cancel => store::end(transaction, replay.replay_no, ReplayState::Cancelled).await?,
    }
    let replay = store::read(transaction, replay_id).await?.ok_or_else(not_found)?;
    let pace = replay.pace;
    let detail = json!({
        "rate_per_second": pace.rate_per_second,
        "canary_letters": pace.canary_letters,
        "failures_percent_max": pace.failures_percent_max,
    });
    audit::record(transaction, actor, act.audited(), &replay_id.to_string(), &detail).await?;
    Ok(replay)
}

async fn run(
    transaction: &mut Transaction<'_, MySql>,
    replay: &Replay,
    pace: Option<Pace>,
    canary: Option<u32>,
    actor: &str,
) -> Result<(), Error> {
    let letters = u32::try_from(replay.plan.letters).unwrap_or(u32::MAX);
    let places_allowed = match (canary, replay.pause_reason) {
        (Some(0), _) => letters,
        (Some(canary), _) => {
            let reached = store::reached(transaction, replay.replay_no).await?;
            reached.saturating_add(canary).min(letters)
        }
        // Paused while its canary was under way: it has to get through first.
        (None, Some(PauseReason::Operator | PauseReason::Failures)) => replay.places_allowed,
        (None, _) => letters,
    };
    let pace = pace.unwrap_or(replay.pace);
    Ok(store::run(transaction, replay.replay_no, pace, places_allowed, actor).await?)
}
