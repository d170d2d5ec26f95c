//! The letters of a replay, and what became of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_schemas::ids::DeadLetterId;
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Row, Transaction};

use super::choices::{self, Placed};

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
fn push_ids(select: &mut QueryBuilder<MySql>, letters: &[Placed]) {
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
    let after = cursor.unwrap_or_default();
    let mut connection = pool.acquire().await?;
    // Read once: whose turn comes meanwhile is still said to wait.
    let reached = reached(&mut connection, replay.replay_no).await?;
    // One more than the page: it says whether there is another.
    let mut items = if outcome == Some(Outcome::Waiting) {
        Vec::new()
    } else {
        let span = Span {
            after,
            last: reached,
            letters_max: limit + 1,
        };
        had_turn(&mut connection, replay.replay_no, outcome, span).await?
    };
    let rest = (limit + 1).saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
    if matches!(outcome, None | Some(Outcome::Waiting)) && rest > 0 {
        let next = choices::slice(&mut connection, replay.replay_no, after.max(reached), rest).await?;
        items.extend(still_waiting(&mut connection, &next).await?);
    }
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = items.len() <= page;
    items.truncate(page);
    let next_cursor = items.last().filter(|_| !is_last).map(|last| last.place);
    Ok(OutcomePage { items, next_cursor })
}

/// Places behind `after`, up to `last`, and so many of them.
struct Span {
    after: u32,
    last: u32,
    letters_max: u32,
}

/// Letters whose turn has come.
async fn had_turn(
    on: &mut MySqlConnection,
    replay_no: u32,
    outcome: Option<Outcome>,
    span: Span,
) -> Result<Vec<ReplayLetter>, sqlx::Error> {
    let mut select = QueryBuilder::new(
        "SELECT r.place, r.letter_id, g.name, l.fingerprint, l.event_id, l.record_key, r.outcome, r.attempt, r.sent_at,
             r.settled_at, r.error_class, r.error
         FROM replay_letters r FORCE INDEX (",
    );
    // Without it, and without the order of the tables, MySQL sorts all the letters for a page.
    select.push(outcome.map_or("PRIMARY", |_| "replay_letters_outcome"));
    select.push(
        ") STRAIGHT_JOIN dead_letters l ON l.letter_id = r.letter_id
         STRAIGHT_JOIN consumer_groups g ON g.group_no = l.group_no WHERE r.replay_no = ",
    );
    select.push_bind(replay_no);
    if let Some(outcome) = outcome {
        select.push(" AND r.outcome = ").push_bind(outcome);
    }
    select.push(" AND r.place > ").push_bind(span.after);
    select.push(" AND r.place <= ").push_bind(span.last);
    select
        .push(" ORDER BY r.place LIMIT ")
        .push_bind(span.letters_max);
    let rows = select.build().fetch_all(on).await?;
    rows.iter()
        .map(|row| {
            let outcome = LetterOutcome {
                letter_id: row.try_get("letter_id")?,
                // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
                outcome: row.try_get_unchecked("outcome")?,
                attempt: row.try_get("attempt")?,
                sent_at: row.try_get("sent_at")?,
                settled_at: row.try_get("settled_at")?,
                error_class: row.try_get("error_class")?,
                error: row.try_get("error")?,
            };
            letter(row, row.try_get("place")?, outcome)
        })
        .collect()
}

/// Letters of the choice whose turn has not come.
async fn still_waiting(
    on: &mut MySqlConnection,
    letters: &[Placed],
) -> Result<Vec<ReplayLetter>, sqlx::Error> {
    if letters.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT l.letter_id, g.name, l.fingerprint, l.event_id, l.record_key
         FROM dead_letters l JOIN consumer_groups g USING (group_no) WHERE l.letter_id IN (",
    );
    push_ids(&mut select, letters);
    let rows = select.build().fetch_all(on).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        found.insert(row.try_get::<DeadLetterId, _>("letter_id")?, row);
    }
    letters
        .iter()
        .filter_map(|(place, letter_id)| {
            let row = found.get(letter_id)?;
            Some(letter(row, *place, LetterOutcome::waiting(*letter_id)))
        })
        .collect()
}

fn letter(row: &MySqlRow, place: u32, outcome: LetterOutcome) -> Result<ReplayLetter, sqlx::Error> {
    let key: Option<Vec<u8>> = row.try_get("record_key")?;
    let fingerprint: &[u8] = row.try_get("fingerprint")?;
    Ok(ReplayLetter {
        place,
        outcome,
        group: row.try_get("name")?,
        event_id: row.try_get("event_id")?,
        key: key.map(|key| String::from_utf8_lossy(&key).into_owned()),
        fingerprint: Fingerprint::from_stored(fingerprint),
    })
}
