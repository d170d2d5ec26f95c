//! The queue of a key: the letters that hold it, in the order in which they were buried.
//! All of it is read under the lock of the partition, except where it says otherwise.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::{MySql, MySqlConnection, QueryBuilder, Row, Transaction};

use crate::Error;
use crate::letter::{Content, Disposition, LetterState, Queued};
use crate::park::{AsRead, HeldKey, Home, Parked};
use crate::store::edits;

/// Whether any letter of the partition holds a key.
pub(crate) async fn holds_any(
    transaction: &mut Transaction<'_, MySql>,
    home: Home<'_>,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT 1 FROM dead_letters
         WHERE group_no = ? AND topic = ? AND partition_no = ? AND held_key IS NOT NULL LIMIT 1",
        home.group,
        home.topic,
        home.partition
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(found.is_some())
}

/// Below MySQL's `eq_range_index_dive_limit`. Above it the server guesses by statistics, in
/// which the settled letters, which hold nothing, look like one key, and reads them all.
const KEYS_AT_ONCE: usize = 128;

/// Those of `keys` that letters hold, and how many are parked under each.
pub(crate) async fn lengths(
    connection: &mut MySqlConnection,
    home: Home<'_>,
    keys: &[HeldKey],
) -> Result<HashMap<HeldKey, u64>, sqlx::Error> {
    let mut lengths = HashMap::new();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let mut select = QueryBuilder::new("SELECT held_key, COUNT(is_parked) AS letters FROM dead_letters");
        push_home(&mut select, home);
        select.push(" AND held_key IN (");
        let mut list = select.separated(", ");
        for key in multirow::padded(keys) {
            list.push_bind(key.as_slice().to_vec());
        }
        select.push(") GROUP BY held_key");
        for row in select.build().fetch_all(&mut *connection).await? {
            let letters: i64 = row.try_get("letters")?;
            let key: Vec<u8> = row.try_get("held_key")?;
            lengths.extend(HeldKey::from_bytes(&key).map(|key| (key, letters.unsigned_abs())));
        }
    }
    Ok(lengths)
}

/// How many letters of the partition wait behind another.
pub(crate) async fn parked(
    transaction: &mut Transaction<'_, MySql>,
    home: Home<'_>,
) -> Result<u64, sqlx::Error> {
    let parked = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM dead_letters
         WHERE group_no = ? AND topic = ? AND partition_no = ? AND is_parked = 1",
        home.group,
        home.topic,
        home.partition
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(parked.unsigned_abs())
}

/// A place in the queue of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub letter_id: DeadLetterId,
    pub edit_no: u32,
    pub disposition: Disposition,
    pub state: LetterState,
}

impl Place {
    /// Whether it waits for what stands before it, and for nothing else.
    pub(crate) fn is_parked(self) -> bool {
        self.disposition == Disposition::Parked && self.state == LetterState::Open
    }

    /// Whether it is the letter that was read, and not edited since.
    pub(crate) fn is(self, read: AsRead) -> bool {
        self.letter_id == read.letter_id && self.edit_no == read.edit_no
    }
}

/// The first `places` of a key's queue, locked where `transaction` ends.
pub(crate) async fn lock_first(
    transaction: &mut Transaction<'_, MySql>,
    home: Home<'_>,
    key: HeldKey,
    places: usize,
) -> Result<Vec<Place>, sqlx::Error> {
    sqlx::query_as!(
        Place,
        r#"SELECT letter_id AS "letter_id: DeadLetterId", edit_no, disposition AS "disposition: Disposition",
               state AS "state: LetterState"
           FROM dead_letters
           WHERE group_no = ? AND topic = ? AND partition_no = ? AND held_key = ?
           ORDER BY letter_no LIMIT ? FOR UPDATE"#,
        home.group,
        home.topic,
        home.partition,
        key.as_slice(),
        places as u64
    )
    .fetch_all(&mut **transaction)
    .await
}

/// How many letters, from the first of a key's queue, may go together: those that are parked,
/// up to `letters_max` and, but for the first, `bytes_max`. It may have changed when the
/// partition is locked.
pub(crate) async fn releasable(
    connection: &mut MySqlConnection,
    home: Home<'_>,
    key: HeldKey,
    letters_max: usize,
    bytes_max: usize,
) -> Result<usize, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT disposition AS "disposition: Disposition", state AS "state: LetterState",
               COALESCE(OCTET_LENGTH(e.record_value), OCTET_LENGTH(l.record_value), 0)
                   + COALESCE(OCTET_LENGTH(e.record_headers), OCTET_LENGTH(l.record_headers)) AS "bytes!: i64"
           FROM dead_letters l LEFT JOIN dead_letter_edits e USING (letter_id, edit_no)
           WHERE group_no = ? AND topic = ? AND partition_no = ? AND held_key = ?
           ORDER BY letter_no LIMIT ?"#,
        home.group,
        home.topic,
        home.partition,
        key.as_slice(),
        letters_max as u64
    )
    .fetch_all(connection)
    .await?;
    let mut bytes = 0;
    let parked = rows
        .iter()
        .take_while(|row| row.disposition == Disposition::Parked && row.state == LetterState::Open);
    let fitting = parked.take_while(|row| {
        let fits = bytes == 0 || bytes < bytes_max;
        bytes += usize::try_from(row.bytes).unwrap_or(usize::MAX);
        fits
    });
    Ok(fitting.count())
}

/// The first `letters` letters of a key's queue with their records.
pub(crate) async fn first(
    connection: &mut MySqlConnection,
    home: Home<'_>,
    key: HeldKey,
    letters: usize,
) -> Result<Vec<Parked>, Error> {
    let rows = sqlx::query!(
        r#"SELECT letter_id AS "letter_id: DeadLetterId", edit_no, event_id AS "event_id: EventId", kafka_offset,
               kafka_timestamp AS "record_time: DateTime<Utc>", record_key, record_value, record_headers, error_class
           FROM dead_letters
           WHERE group_no = ? AND topic = ? AND partition_no = ? AND held_key = ?
           ORDER BY letter_no LIMIT ?"#,
        home.group,
        home.topic,
        home.partition,
        key.as_slice(),
        letters as u64
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut first = Vec::with_capacity(rows.len());
    for row in rows {
        let as_it_came = Content {
            value: row.record_value,
            headers: RawHeaders::from_bytes(&row.record_headers)?,
        };
        let read = AsRead {
            letter_id: row.letter_id,
            edit_no: row.edit_no,
        };
        let Content { value, headers } =
            edits::effective(connection, read.letter_id, read.edit_no, as_it_came).await?;
        first.push(Parked {
            read,
            event_id: row.event_id,
            offset: row.kafka_offset,
            record_time: row.record_time,
            key: row.record_key,
            value,
            headers,
            error_class: row.error_class,
        });
    }
    Ok(first)
}

/// Where a letter stands in the queue of its key.
pub(crate) async fn queued(
    connection: &mut MySqlConnection,
    letter_id: DeadLetterId,
) -> Result<Option<Queued>, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT
               (SELECT f.letter_id FROM dead_letters f
                WHERE f.group_no = l.group_no AND f.topic = l.topic AND f.partition_no = l.partition_no
                    AND f.held_key = l.held_key
                ORDER BY f.letter_no LIMIT 1) AS "first: DeadLetterId",
               (SELECT COUNT(*) FROM dead_letters b
                WHERE b.group_no = l.group_no AND b.topic = l.topic AND b.partition_no = l.partition_no
                    AND b.held_key = l.held_key AND b.letter_no > l.letter_no) AS behind
           FROM dead_letters l WHERE l.letter_id = ? AND l.held_key IS NOT NULL"#,
        letter_id.as_bytes().as_slice()
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.and_then(|row| {
        Some(Queued {
            first: row.first?,
            behind: row.behind.unwrap_or_default().unsigned_abs(),
        })
    }))
}

/// Those of `letters` that are not the first of their key's queue, and what is.
pub(crate) async fn before(
    transaction: &mut Transaction<'_, MySql>,
    letters: &[DeadLetterId],
) -> Result<HashMap<DeadLetterId, DeadLetterId>, sqlx::Error> {
    let mut before = HashMap::new();
    for letters in letters.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::new(
            "SELECT l.letter_id,
                 (SELECT f.letter_id FROM dead_letters f
                  WHERE f.group_no = l.group_no AND f.topic = l.topic AND f.partition_no = l.partition_no
                      AND f.held_key = l.held_key
                  ORDER BY f.letter_no LIMIT 1) AS first
             FROM dead_letters l WHERE l.held_key IS NOT NULL AND l.letter_id IN (",
        );
        let mut list = select.separated(", ");
        for letter_id in multirow::padded(letters) {
            list.push_bind(letter_id);
        }
        select.push(")");
        for row in select.build().fetch_all(&mut **transaction).await? {
            let letter: DeadLetterId = row.try_get("letter_id")?;
            let first: Option<DeadLetterId> = row.try_get("first")?;
            before.extend(
                first
                    .filter(|first| *first != letter)
                    .map(|first| (letter, first)),
            );
        }
    }
    Ok(before)
}

/// Closes letters as resolved.
pub(crate) async fn resolve_all(
    transaction: &mut Transaction<'_, MySql>,
    letters: &[DeadLetterId],
) -> Result<(), sqlx::Error> {
    for letters in letters.chunks(multirow::ROWS_MAX) {
        let mut update = QueryBuilder::new(
            "UPDATE dead_letters SET state = 'resolved', replay_deadline = NULL, archived_at = NULL,
                 closed_at = UTC_TIMESTAMP(6)
             WHERE letter_id IN (",
        );
        let mut list = update.separated(", ");
        for letter_id in multirow::padded(letters) {
            list.push_bind(letter_id);
        }
        update.push(")");
        update.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

fn push_home(query: &mut QueryBuilder<MySql>, home: Home<'_>) {
    query.push(" WHERE group_no = ").push_bind(home.group);
    query.push(" AND topic = ").push_bind(home.topic.to_owned());
    query.push(" AND partition_no = ").push_bind(home.partition);
}

/// Distinct keys, in one order.
pub(crate) fn distinct(keys: impl Iterator<Item = HeldKey>) -> Vec<HeldKey> {
    let distinct: HashSet<HeldKey> = keys.collect();
    let mut distinct: Vec<HeldKey> = distinct.into_iter().collect();
    distinct.sort_unstable();
    distinct
}
