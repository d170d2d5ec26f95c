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
               FROM dead_letters l JOIN consumer_groups g USING (group_no) WHERE TRUE",
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

/// Whether a chosen letter holds the key of the parked letter `l`, of whatever partition: a
/// letter's partition follows from its key.
const KEY_IS_CHOSEN: &str = "EXISTS (SELECT 1 FROM dead_letters h JOIN replay_letters r
        ON r.replay_no = ? AND r.letter_id = h.letter_id
    WHERE h.group_no = l.group_no AND h.topic = l.topic AND h.partition_no = l.partition_no
        AND h.held_key = l.held_key)";

/// How many parked letters wait behind the chosen ones.
pub(crate) async fn followers(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
) -> Result<u64, sqlx::Error> {
    let mut select = QueryBuilder::new("SELECT COUNT(*) FROM dead_letters l WHERE l.is_parked = 1 AND ");
    push_key_is_chosen(&mut select, replay_no);
    let letters: i64 = select.build_query_scalar().fetch_one(&mut **transaction).await?;
    Ok(letters.unsigned_abs())
}

/// How many parked letters match, and wait behind a letter that was not chosen.
pub(crate) async fn conflicts(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    filter: &LetterFilter,
) -> Result<u64, sqlx::Error> {
    let parked = LetterFilter {
        parked: Some(true),
        ..filter.clone()
    };
    let mut select = QueryBuilder::new(
        "SELECT COUNT(*) FROM dead_letters l JOIN consumer_groups g USING (group_no) WHERE TRUE",
    );
    push_conditions(&mut select, &parked);
    select.push(" AND NOT ");
    push_key_is_chosen(&mut select, replay_no);
    let letters: i64 = select.build_query_scalar().fetch_one(&mut **transaction).await?;
    Ok(letters.unsigned_abs())
}

fn push_key_is_chosen(select: &mut QueryBuilder<MySql>, replay_no: u32) {
    let (before, behind) = KEY_IS_CHOSEN.split_once('?').unwrap_or((KEY_IS_CHOSEN, ""));
    select.push(before).push_bind(replay_no).push(behind);
}

/// The keys of the chosen letters behind `place`, up to `keys_max`.
pub(crate) async fn keys(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    place: u32,
    keys_max: u32,
) -> Result<Vec<PlannedKey>, Error> {
    Ok(sqlx::query_as!(
        PlannedKey,
        r#"SELECT r.place, g.name AS "group", l.record_key AS "key!"
           FROM replay_letters r JOIN dead_letters l USING (letter_id)
           JOIN consumer_groups g ON g.group_no = r.group_no
           WHERE r.replay_no = ? AND r.place > ? AND l.record_key IS NOT NULL ORDER BY r.place LIMIT ?"#,
        replay_no,
        place,
        keys_max
    )
    .fetch_all(&mut **transaction)
    .await?)
}
