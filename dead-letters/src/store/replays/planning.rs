//! What a plan asks: of the letters that match once, and then of what was chosen.

use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, QueryBuilder, Row, Transaction};

use crate::Error;
use crate::filter::LetterFilter;
use crate::fingerprint::Fingerprint;
use crate::replay::Cause;
use crate::replay::plan::PlannedKey;
use crate::store::list::push_conditions;

/// Chooses the letters that match, oldest first, up to `letters_max`; returns how many.
pub(crate) async fn choose(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    filter: &LetterFilter,
    letters_max: u32,
) -> Result<u64, sqlx::Error> {
    let mut insert = QueryBuilder::new(
        "INSERT INTO replay_letters (replay_no, place, letter_id, group_no, fingerprint, held_key) SELECT ",
    );
    insert.push_bind(replay_no);
    insert.push(
        ", ROW_NUMBER() OVER (ORDER BY m.letter_id), m.letter_id, m.group_no, m.fingerprint, m.held_key
         FROM (SELECT l.letter_id, l.group_no, l.fingerprint, l.held_key
               FROM dead_letters l WHERE TRUE",
    );
    push_conditions(&mut insert, filter);
    insert.push(" ORDER BY l.letter_id LIMIT ").push_bind(letters_max);
    insert.push(") m");
    Ok(insert.build().execute(&mut **transaction).await?.rows_affected())
}

/// How many distinct keys the chosen letters hold, and how many causes they have.
pub(crate) async fn count_keys_and_causes(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
) -> Result<(u64, u64), sqlx::Error> {
    let row = sqlx::query!(
        "SELECT COUNT(DISTINCT group_no, held_key) AS held_keys, COUNT(DISTINCT group_no, fingerprint) AS causes
         FROM replay_letters WHERE replay_no = ?",
        replay_no
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok((row.held_keys.unsigned_abs(), row.causes.unsigned_abs()))
}

/// The causes of the chosen letters, most letters first. The example is the newest letter:
/// ids are made in the order of time.
pub(crate) async fn causes(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    causes_max: u32,
) -> Result<Vec<Cause>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT f.letters, f.fingerprint, f.example, g.name, e.disposition, e.error_class, e.error
         FROM (SELECT group_no, fingerprint, COUNT(*) AS letters, MAX(letter_id) AS example
               FROM replay_letters WHERE replay_no = ? GROUP BY group_no, fingerprint
               ORDER BY letters DESC, fingerprint LIMIT ?) f
         JOIN dead_letters e ON e.letter_id = f.example
         JOIN consumer_groups g ON g.group_no = f.group_no
         ORDER BY f.letters DESC, f.fingerprint",
    )
    .bind(replay_no)
    .bind(causes_max)
    .fetch_all(&mut **transaction)
    .await?;
    rows.iter()
        .map(|row| {
            let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
            let letters: i64 = row.try_get("letters")?;
            let example: DeadLetterId = row.try_get("example")?;
            Ok(Cause {
                group: row.try_get("name")?,
                fingerprint: Fingerprint::from_stored(&fingerprint),
                letters: letters.unsigned_abs(),
                // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
                disposition: row.try_get_unchecked("disposition")?,
                error_class: row.try_get("error_class")?,
                error: row.try_get("error")?,
                example,
            })
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

/// How many parked letters wait behind the chosen ones, and how many that match do not.
///
/// The parked letters are few and are counted by their keys first; each chosen letter is then
/// looked up among these, and only those that are found are read. STRAIGHT_JOIN, because MySQL
/// would rather read every chosen letter.
pub(crate) async fn behind(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    filter: &LetterFilter,
) -> Result<Behind, sqlx::Error> {
    let parked = LetterFilter {
        parked: Some(true),
        ..filter.clone()
    };
    let mut select = QueryBuilder::new("SELECT COUNT(*) FROM dead_letters l WHERE TRUE");
    push_conditions(&mut select, &parked);
    let matching: i64 = select.build_query_scalar().fetch_one(&mut **transaction).await?;
    let mut select = QueryBuilder::new(
        "SELECT CAST(COALESCE(SUM(k.parked), 0) AS SIGNED), CAST(COALESCE(SUM(k.matching), 0) AS SIGNED)
         FROM replay_letters r
         STRAIGHT_JOIN (SELECT l.group_no, l.topic, l.partition_no, l.held_key, COUNT(*) AS parked,
                            SUM(TRUE",
    );
    push_conditions(&mut select, &parked);
    select.push(
        ") AS matching
                        FROM dead_letters l WHERE l.is_parked = 1 AND l.held_key IS NOT NULL
                        GROUP BY l.group_no, l.topic, l.partition_no, l.held_key) k
             ON k.group_no = r.group_no AND k.held_key = r.held_key
         STRAIGHT_JOIN dead_letters h
             ON h.letter_id = r.letter_id AND h.topic = k.topic AND h.partition_no = k.partition_no
         WHERE r.replay_no = ",
    );
    select.push_bind(replay_no);
    let (followers, of_chosen): (i64, i64) = select.build_query_as().fetch_one(&mut **transaction).await?;
    Ok(Behind {
        followers: followers.unsigned_abs(),
        // Two looks: in between some may have been parked.
        conflicts: matching.unsigned_abs().saturating_sub(of_chosen.unsigned_abs()),
    })
}

/// The keys of the chosen letters behind `place`, up to `keys_max`. STRAIGHT_JOIN, because MySQL
/// prefers to begin with the few groups, and FORCE INDEX, because it prefers an index in another
/// order: either way it sorts all the rest of the choice for a page.
pub(crate) async fn keys(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    place: u32,
    keys_max: u32,
) -> Result<Vec<PlannedKey>, Error> {
    Ok(sqlx::query_as!(
        PlannedKey,
        r#"SELECT r.place, g.name AS "group", l.record_key AS "key!"
           FROM replay_letters r FORCE INDEX (PRIMARY) STRAIGHT_JOIN dead_letters l ON l.letter_id = r.letter_id
           STRAIGHT_JOIN consumer_groups g ON g.group_no = r.group_no
           WHERE r.replay_no = ? AND r.place > ? AND l.record_key IS NOT NULL ORDER BY r.place LIMIT ?"#,
        replay_no,
        place,
        keys_max
    )
    .fetch_all(&mut **transaction)
    .await?)
}
