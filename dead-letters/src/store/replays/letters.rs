//! The letters of a replay, and what became of them.

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_schemas::ids::DeadLetterId;
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlPool, QueryBuilder, Row, Transaction};

use crate::Error;
use crate::fingerprint::Fingerprint;
use crate::letter::LetterState;
use crate::replay::object::LetterNow;
use crate::replay::{LetterOutcome, Outcome, Replay, ReplayLetter};

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
    letters_max: u64,
) -> Result<Vec<Waiting>, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"SELECT r.place, r.letter_id AS "letter_id: DeadLetterId",
               CAST(COALESCE(OCTET_LENGTH(e.record_value), OCTET_LENGTH(l.record_value), 0)
                   + COALESCE(OCTET_LENGTH(l.record_key), 0)
                   + COALESCE(OCTET_LENGTH(e.record_headers), OCTET_LENGTH(l.record_headers)) AS UNSIGNED)
                   AS "bytes!: u64"
           FROM replay_letters r JOIN dead_letters l USING (letter_id)
           LEFT JOIN dead_letter_edits e ON e.letter_id = l.letter_id AND e.edit_no = l.edit_no
           WHERE r.replay_no = ? AND r.outcome = 'waiting' AND r.place <= ? ORDER BY r.place LIMIT ?"#,
        replay_no,
        places_allowed,
        letters_max
    )
    .fetch_all(&mut **transaction)
    .await
}

/// The last place that was sent or refused.
pub(crate) async fn reached(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
) -> Result<u32, sqlx::Error> {
    let waiting = sqlx::query_scalar!(
        r#"SELECT MIN(place) AS "place: u32" FROM replay_letters WHERE replay_no = ? AND outcome = 'waiting'"#,
        replay_no
    )
    .fetch_one(&mut **transaction)
    .await?;
    // Places are sent in their order.
    Ok(waiting.map_or(u32::MAX, |place| place - 1))
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

/// Writes down that letters, each by its place and attempt, are on their way.
pub(crate) async fn set_sent(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    letters: &[(u32, u32)],
) -> Result<(), sqlx::Error> {
    if letters.is_empty() {
        return Ok(());
    }
    let mut update = QueryBuilder::new(
        "UPDATE replay_letters SET outcome = 'sent', sent_at = UTC_TIMESTAMP(6), attempt = CASE place",
    );
    for (place, attempt) in letters {
        update
            .push(" WHEN ")
            .push_bind(place)
            .push(" THEN ")
            .push_bind(attempt);
    }
    update.push(" END WHERE replay_no = ").push_bind(replay_no);
    update.push(" AND place IN (");
    let mut list = update.separated(", ");
    for (place, _) in letters {
        list.push_bind(place);
    }
    update.push(")");
    // The list differs from call to call: not worth a place among the prepared statements.
    update
        .build()
        .persistent(false)
        .execute(&mut **transaction)
        .await?;
    Ok(())
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
    let now = sqlx::query_scalar!(r#"SELECT UTC_TIMESTAMP(6) AS "now!: DateTime<Utc>""#)
        .fetch_one(&mut **transaction)
        .await?;
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

/// A page of the letters of a replay.
#[derive(Clone, Debug)]
pub struct OutcomePage {
    /// In the order of their places.
    pub items: Vec<ReplayLetter>,
    /// Cursor of the next page; `None` on the last.
    pub next_cursor: Option<u32>,
}

/// The letters of a replay behind `cursor`, those of one outcome if one is named. `limit` is
/// clamped to 1 to [`PAGE_LETTERS_MAX`](crate::store::PAGE_LETTERS_MAX).
pub async fn letters(
    pool: &MySqlPool,
    replay: &Replay,
    outcome: Option<Outcome>,
    limit: u32,
    cursor: Option<u32>,
) -> Result<OutcomePage, Error> {
    let limit = limit.clamp(1, crate::store::PAGE_LETTERS_MAX);
    let mut select = QueryBuilder::new(
        "SELECT r.place, r.letter_id, g.name, r.fingerprint, l.event_id, l.record_key, r.outcome, r.attempt, r.sent_at,
             r.settled_at, r.error_class, r.error
         FROM replay_letters r FORCE INDEX (",
    );
    // The order of the page, see `planning::keys`.
    select.push(outcome.map_or("PRIMARY", |_| "replay_letters_outcome"));
    select.push(
        ") STRAIGHT_JOIN dead_letters l ON l.letter_id = r.letter_id
         STRAIGHT_JOIN consumer_groups g ON g.group_no = r.group_no WHERE r.replay_no = ",
    );
    select.push_bind(replay.replay_no);
    if let Some(outcome) = outcome {
        select.push(" AND r.outcome = ").push_bind(outcome);
    }
    if let Some(cursor) = cursor {
        select.push(" AND r.place > ").push_bind(cursor);
    }
    select.push(" ORDER BY r.place LIMIT ").push_bind(limit + 1);
    let rows = select.build().fetch_all(pool).await?;
    let mut items = rows.iter().map(letter).collect::<Result<Vec<_>, _>>()?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = items.len() <= page;
    items.truncate(page);
    let next_cursor = items.last().filter(|_| !is_last).map(|last| last.place);
    Ok(OutcomePage { items, next_cursor })
}

fn letter(row: &MySqlRow) -> Result<ReplayLetter, sqlx::Error> {
    let key: Option<Vec<u8>> = row.try_get("record_key")?;
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    Ok(ReplayLetter {
        place: row.try_get("place")?,
        group: row.try_get("name")?,
        event_id: row.try_get("event_id")?,
        key: key.map(|key| String::from_utf8_lossy(&key).into_owned()),
        fingerprint: Fingerprint::from_stored(&fingerprint),
        outcome: LetterOutcome {
            letter_id: row.try_get("letter_id")?,
            // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
            outcome: row.try_get_unchecked("outcome")?,
            attempt: row.try_get("attempt")?,
            sent_at: row.try_get("sent_at")?,
            settled_at: row.try_get("settled_at")?,
            error_class: row.try_get("error_class")?,
            error: row.try_get("error")?,
        },
    })
}
