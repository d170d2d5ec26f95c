//! Replay: an open letter goes to its group, and nobody else, through the group's
//! retry topic.

use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_outbox::inbox::{self, InboxState};
use headgate_outbox::write::EventWriter;
use headgate_schemas::ids::DeadLetterId;
use serde::Serialize;
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};

use crate::letter::{Disposition, LetterState};
use crate::retry::{self, Asks};
use crate::store::{self, LockedLetter};
use crate::{Error, audit, park};

/// How long a replay has before the letter may be replayed anew.
pub const REPLAY_DEADLINE: Duration = Duration::from_mins(5);

/// What a replay did.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayOutcome {
    /// The letter.
    pub letter_id: DeadLetterId,
    /// Which attempt this is, from 1. 0: a parked letter that stands first, of which the group
    /// was only reminded.
    pub attempt: u32,
    /// If the group has not answered by then, the letter may be replayed anew.
    pub deadline: DateTime<Utc>,
}

/// Sends an open letter (or one whose last replay is overdue) to its group again. The
/// letter's new state, the copy for the retry topic, the history line and the audit
/// line commit together. Wake the relay afterwards.
pub async fn replay(
    pool: &MySqlPool,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    actor: &str,
) -> Result<ReplayOutcome, Error> {
    let mut transaction = pool.begin().await?;
    match begin(&mut transaction, writer, letter_id, actor).await {
        Ok(outcome) => {
            transaction.commit().await?;
            Ok(outcome)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn begin(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    actor: &str,
) -> Result<ReplayOutcome, Error> {
    let letter = store::lock(transaction, letter_id)
        .await?
        .ok_or(Error::NotFound(letter_id))?;
    match letter.state {
        LetterState::Open => {}
        LetterState::Replaying if letter.is_overdue => {}
        state => return Err(Error::NotOpen { letter_id, state }),
    }
    if let Err(first) = park::is_first(transaction, &letter).await? {
        return Err(Error::Parked { letter_id, first });
    }
    if letter.disposition == Disposition::Parked {
        return nudge(transaction, writer, &letter, actor).await;
    }
    // The replay's compare-and-set needs the row that says `dead`.
    let known = inbox::existing(transaction, letter.group, &[letter.event_id]).await?;
    if known.get(&letter.event_id) != Some(&InboxState::Dead) {
        return Err(Error::TooOld(letter_id));
    }
    let attempt = letter.replay_attempt + 1;
    let deadline = store::set_replaying(transaction, letter_id, attempt, REPLAY_DEADLINE).await?;
    let record = retry::record(writer, &letter, Asks::Replay(attempt))?;
    EventWriter::write(transaction, &[record]).await?;
    store::insert_history(
        transaction,
        letter_id,
        "replayed",
        actor,
        &format!("attempt {attempt}"),
    )
    .await?;
    let detail = json!({"group": letter.group_name, "event_id": letter.event_id, "attempt": attempt});
    audit::record(
        transaction,
        actor,
        "dead-letter.replay",
        &letter_id.to_string(),
        &detail,
    )
    .await?;
    Ok(ReplayOutcome {
        letter_id,
        attempt,
        deadline,
    })
}

/// Asks the group once more to release what is parked under a key that nobody heads: the
/// first request may have been lost with its retry topic.
async fn nudge(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    letter: &LockedLetter,
    actor: &str,
) -> Result<ReplayOutcome, Error> {
    let release = retry::record(writer, letter, Asks::Release)?;
    EventWriter::write(transaction, &[release]).await?;
    let letter_id = letter.letter_id;
    store::insert_history(transaction, letter_id, "replayed", actor, "asked for its release").await?;
    let detail = json!({"group": letter.group_name, "event_id": letter.event_id, "release": true});
    audit::record(
        transaction,
        actor,
        "dead-letter.replay",
        &letter_id.to_string(),
        &detail,
    )
    .await?;
    Ok(ReplayOutcome {
        letter_id,
        attempt: letter.replay_attempt,
        deadline: Utc::now() + REPLAY_DEADLINE,
    })
}
