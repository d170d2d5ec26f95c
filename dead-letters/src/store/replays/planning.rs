//! What a plan asks: the letters that match, and what they will meet. All of it is read in one
//! snapshot.

use std::collections::HashMap;

use headgate_outbox::multirow;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, MySqlConnection, QueryBuilder, Row};

use crate::filter::LetterFilter;
use crate::fingerprint::Fingerprint;
use crate::letter::Disposition;
use crate::store::list::push_conditions;

/// Longest key that groups are asked for, in bytes. Keys of ours are shorter.
const KEY_BYTES_MAX: u32 = 1_024;

/// A letter that matches.
#[derive(Clone, Debug)]
pub(crate) struct Matching {
    pub letter_id: DeadLetterId,
    pub group_no: u16,
    pub fingerprint: Fingerprint,
    /// The hash of its key.
    pub held_key: Option<Vec<u8>>,
    /// The first [`KEY_BYTES_MAX`] bytes of its key.
    pub key: Option<Vec<u8>>,
}

/// The next letters behind `after` that match, oldest first; `filter` asks for open ones. FORCE
/// INDEX, because MySQL prefers the order of ids, which leads past every letter that is settled.
pub(crate) async fn matching(
    snapshot: &mut MySqlConnection,
    filter: &LetterFilter,
    after: DeadLetterId,
    letters_max: u32,
) -> Result<Vec<Matching>, sqlx::Error> {
    let mut select =
        QueryBuilder::new("SELECT l.letter_id, l.group_no, l.fingerprint, l.held_key, LEFT(l.record_key, ");
    select
        .push_bind(KEY_BYTES_MAX)
        .push(") AS record_key FROM dead_letters l FORCE INDEX (dead_letters_pending) WHERE l.letter_id > ")
        .push_bind(after);
    push_conditions(&mut select, filter);
    select.push(" ORDER BY l.letter_id LIMIT ").push_bind(letters_max);
    let rows = select.build().fetch_all(snapshot).await?;
    rows.iter()
        .map(|row| {
            let fingerprint: &[u8] = row.try_get("fingerprint")?;
            Ok(Matching {
                letter_id: row.try_get("letter_id")?,
                group_no: row.try_get("group_no")?,
                fingerprint: Fingerprint::from_stored(fingerprint),
                held_key: row.try_get("held_key")?,
                key: row.try_get("record_key")?,
            })
        })
        .collect()
}

/// The names of the groups by their numbers.
pub(crate) async fn group_names(snapshot: &mut MySqlConnection) -> Result<HashMap<u16, String>, sqlx::Error> {
    let rows = sqlx::query!("SELECT group_no, name FROM consumer_groups")
        .fetch_all(snapshot)
        .await?;
    Ok(rows.into_iter().map(|row| (row.group_no, row.name)).collect())
}

/// What a letter says of its cause.
#[derive(Clone, Debug)]
pub(crate) struct Example {
    pub disposition: Disposition,
    pub error_class: String,
    pub error: String,
}

/// What letters say of their causes.
pub(crate) async fn examples(
    snapshot: &mut MySqlConnection,
    letters: &[DeadLetterId],
) -> Result<HashMap<DeadLetterId, Example>, sqlx::Error> {
    if letters.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT letter_id, disposition, error_class, error FROM dead_letters WHERE letter_id IN (",
    );
    let mut list = select.separated(", ");
    for letter_id in multirow::padded(letters) {
        list.push_bind(letter_id);
    }
    select.push(")");
    let rows = select.build().fetch_all(snapshot).await?;
    rows.iter()
        .map(|row| {
            let example = Example {
                // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
                disposition: row.try_get_unchecked("disposition")?,
                error_class: row.try_get("error_class")?,
                error: row.try_get("error")?,
            };
            Ok((row.try_get("letter_id")?, example))
        })
        .collect()
}

/// What is parked, as a plan sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behind {
    /// Parked letters behind the chosen ones.
    pub followers: u64,
    /// Parked letters that match, and wait behind a letter that was not chosen.
    pub conflicts: u64,
}

/// How many parked letters wait behind the letters that match `chosen`, and how many that match
/// `filter` do not.
///
/// The parked letters are few and are counted by their keys first; then what stands first in
/// the queue of each key is looked up. STRAIGHT_JOIN, because MySQL would rather read every
/// letter that matches.
pub(crate) async fn behind(
    snapshot: &mut MySqlConnection,
    filter: &LetterFilter,
    chosen: &LetterFilter,
) -> Result<Behind, sqlx::Error> {
    let mut select = QueryBuilder::new("SELECT COUNT(*) FROM dead_letters l WHERE TRUE");
    push_conditions(&mut select, filter);
    let matching: i64 = select.build_query_scalar().fetch_one(&mut *snapshot).await?;
    let mut select = QueryBuilder::new(
        "SELECT CAST(COALESCE(SUM(k.parked), 0) AS SIGNED), CAST(COALESCE(SUM(k.matching), 0) AS SIGNED)
         FROM (SELECT l.group_no, l.topic, l.partition_no, l.held_key, COUNT(*) AS parked, SUM(TRUE",
    );
    push_conditions(&mut select, filter);
    select.push(
        ") AS matching
               FROM dead_letters l WHERE l.is_parked = 1 AND l.held_key IS NOT NULL
               GROUP BY l.group_no, l.topic, l.partition_no, l.held_key) k
         STRAIGHT_JOIN dead_letters l FORCE INDEX (dead_letters_queue)
             ON l.group_no = k.group_no AND l.topic = k.topic AND l.partition_no = k.partition_no
             AND l.held_key = k.held_key
         WHERE TRUE",
    );
    push_conditions(&mut select, chosen);
    let (followers, of_chosen): (i64, i64) = select.build_query_as().fetch_one(&mut *snapshot).await?;
    Ok(Behind {
        followers: followers.unsigned_abs(),
        conflicts: matching.unsigned_abs().saturating_sub(of_chosen.unsigned_abs()),
    })
}
