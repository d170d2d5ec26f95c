//! The letters of a replay as they are listed: those that have had their turn, and those that wait.

use std::collections::HashMap;

use headgate_schemas::ids::DeadLetterId;
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Row};

use super::choices::{self, Placed};
use super::letters::{push_ids, reached};
use crate::Error;
use crate::fingerprint::Fingerprint;
use crate::replay::{LetterOutcome, Outcome, Replay, ReplayLetter};

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
