//! The turns of a replay's letters, and what became of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, MySqlConnection, QueryBuilder, Transaction};

use super::choices::{self, Placed};

use crate::letter::LetterState;
use crate::replay::Outcome;
use crate::replay::object::LetterNow;

/// A letter whose turn comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub place: u32,
    pub letter_id: DeadLetterId,
    /// Of its record.
    pub bytes: u64,
}

/// The next letters, in the order of their places, up to the last that is allowed.
pub(crate) async fn waiting(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    places_allowed: u32,
    letters_max: u32,
) -> Result<Vec<Waiting>, sqlx::Error> {
    let reached = reached(transaction, replay_no).await?;
    let letters_max = letters_max.min(places_allowed.saturating_sub(reached));
    let next = choices::slice(transaction, replay_no, reached, letters_max).await?;
    let mut sizes = HashMap::with_capacity(next.len());
    for letters in next.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::<MySql>::new(
            "SELECT l.letter_id,
                 CAST(COALESCE(OCTET_LENGTH(e.record_value), OCTET_LENGTH(l.record_value), 0)
                     + COALESCE(OCTET_LENGTH(l.record_key), 0)
                     + COALESCE(OCTET_LENGTH(e.record_headers), OCTET_LENGTH(l.record_headers)) AS UNSIGNED)
             FROM dead_letters l
             LEFT JOIN dead_letter_edits e ON e.letter_id = l.letter_id AND e.edit_no = l.edit_no
             WHERE l.letter_id IN (",
        );
        push_ids(&mut select, letters);
        let rows: Vec<(DeadLetterId, u64)> = select.build_query_as().fetch_all(&mut **transaction).await?;
        sizes.extend(rows);
    }
    let waiting = next.into_iter().map(|(place, letter_id)| Waiting {
        place,
        letter_id,
        bytes: sizes.get(&letter_id).copied().unwrap_or_default(),
    });
    Ok(waiting.collect())
}

/// The ids of placed letters as what follows `IN (`.
pub(super) fn push_ids(select: &mut QueryBuilder<MySql>, letters: &[Placed]) {
    let ids: Vec<DeadLetterId> = letters.iter().map(|(_, letter_id)| *letter_id).collect();
    let mut list = select.separated(", ");
    for letter_id in multirow::padded(&ids) {
        list.push_bind(letter_id);
    }
    select.push(")");
}

/// The last place whose turn has come; 0: none.
pub(crate) async fn reached(on: &mut MySqlConnection, replay_no: u32) -> Result<u32, sqlx::Error> {
    // Turns come in the order of places.
    let last = sqlx::query_scalar!(
        r#"SELECT MAX(place) AS "place: u32" FROM replay_letters WHERE replay_no = ?"#,
        replay_no
    )
    .fetch_one(on)
    .await?;
    Ok(last.unwrap_or_default())
}

/// How many letters are on their way.
pub(crate) async fn in_flight(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
) -> Result<u64, sqlx::Error> {
    let letters = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM replay_letters WHERE replay_no = ? AND outcome = 'sent'",
        replay_no
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(letters.unsigned_abs())
}

/// A letter whose turn has come.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub place: u32,
    pub letter_id: DeadLetterId,
    /// The attempt that is on its way.
    pub sent: Result<u32, Refused>,
}

/// Why a letter was not sent.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub class: &'static str,
    pub error: String,
}

/// Writes down that the turn of letters has come, all with one time.
pub(crate) async fn take_turns(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    turns: &[Turn],
) -> Result<(), sqlx::Error> {
    if turns.is_empty() {
        return Ok(());
    }
    let now = now(transaction).await?;
    for turns in turns.chunks(multirow::ROWS_MAX) {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO replay_letters (replay_no, place, letter_id, outcome, attempt, sent_at, settled_at,
                 error_class, error) ",
        );
        insert.push_values(turns, |mut values, turn| {
            let attempt = turn.sent.as_ref().ok();
            let refused = turn.sent.as_ref().err();
            let outcome = refused.map_or(Outcome::Sent, |_| Outcome::Refused);
            values
                .push_bind(replay_no)
                .push_bind(turn.place)
                .push_bind(turn.letter_id)
                .push_bind(outcome)
                .push_bind(attempt.copied())
                .push_bind(attempt.map(|_| now))
                .push_bind(refused.map(|_| now))
                .push_bind(refused.map(|refused| refused.class))
                .push_bind(refused.map(|refused| refused.error.clone()));
        });
        // As long as there are letters: not worth a place among the prepared statements.
        insert
            .build()
            .persistent(false)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

async fn now(transaction: &mut Transaction<'_, MySql>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT UTC_TIMESTAMP(6) AS "now!: DateTime<Utc>""#)
        .fetch_one(&mut **transaction)
        .await
}

/// A letter with its outcome.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub place: u32,
    pub outcome: Outcome,
    pub error_class: Option<String>,
    pub error: Option<String>,
}

/// Those of the letters on their way whose attempt is over, up to `letters_max`.
pub(crate) async fn answered(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    letters_max: u32,
) -> Result<Vec<Settled>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT r.place, r.attempt AS "attempt!", l.state AS "state: LetterState", l.replay_attempt,
               l.state = 'replaying' AND l.replay_deadline <= UTC_TIMESTAMP(6) AS "is_overdue: bool",
               l.last_failed_at > r.sent_at AS "has_failed: bool",
               l.error_class, l.error
           FROM replay_letters r JOIN dead_letters l USING (letter_id)
           WHERE r.replay_no = ? AND r.outcome = 'sent'
               AND (l.state <> 'replaying' OR l.replay_attempt <> r.attempt
                    OR l.replay_deadline <= UTC_TIMESTAMP(6))
           ORDER BY r.place LIMIT ?"#,
        replay_no,
        letters_max
    )
    .fetch_all(&mut **transaction)
    .await?;
    let settled = rows.into_iter().filter_map(|row| {
        let now = LetterNow {
            state: row.state,
            attempt: row.replay_attempt,
            is_overdue: row.is_overdue.unwrap_or_default(),
            has_failed: row.has_failed.unwrap_or_default(),
        };
        let outcome = Outcome::of_sent(row.attempt, now)?;
        let (class, error) = match outcome {
            Outcome::Resolved => (None, None),
            Outcome::Unanswered if row.replay_attempt != row.attempt => (
                Some("replayed-again".to_owned()),
                Some("it was replayed anew before its outcome was seen".to_owned()),
            ),
            Outcome::Unanswered => (
                Some("unanswered".to_owned()),
                Some("the group did not answer in time".to_owned()),
            ),
            Outcome::Refused => (
                Some("dead-letter-not-open".to_owned()),
                Some(format!("an operator settled it: it is {}", row.state)),
            ),
            _ => (Some(row.error_class), Some(row.error)),
        };
        Some(Settled {
            place: row.place,
            outcome,
            error_class: class,
            error,
        })
    });
    Ok(settled.collect())
}

/// Writes outcomes down, all with one time.
pub(crate) async fn settle(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    letters: &[Settled],
) -> Result<(), sqlx::Error> {
    if letters.is_empty() {
        return Ok(());
    }
    let now = now(transaction).await?;
    let (resolved, others): (Vec<&Settled>, Vec<&Settled>) = letters
        .iter()
        .partition(|letter| letter.outcome == Outcome::Resolved);
    let places: Vec<u32> = resolved.iter().map(|letter| letter.place).collect();
    for places in places.chunks(multirow::ROWS_MAX) {
        let mut update = QueryBuilder::new("UPDATE replay_letters SET outcome = 'resolved', settled_at = ");
        update.push_bind(now).push(" WHERE replay_no = ");
        update.push_bind(replay_no).push(" AND place IN (");
        let mut list = update.separated(", ");
        for place in multirow::padded(places) {
            list.push_bind(place);
        }
        update.push(")");
        update.build().execute(&mut **transaction).await?;
    }
    for letter in others {
        sqlx::query!(
            "UPDATE replay_letters SET outcome = ?, settled_at = ?, error_class = ?, error = ?
             WHERE replay_no = ? AND place = ?",
            letter.outcome,
            now,
            letter.error_class,
            letter.error,
            replay_no,
            letter.place
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(())
}
