//! Letters of one cause together.

use chrono::{DateTime, Utc};
use headgate_schemas::ids::DeadLetterId;
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlPool, QueryBuilder, Row};

use super::list::push_conditions;
use crate::Error;
use crate::filter::LetterFilter;
use crate::fingerprint::Fingerprint;
use crate::groups::{FailureGroup, GroupCursor, Groups, Trend};

/// Most groups of a page.
pub const PAGE_GROUPS_MAX: u32 = 500;

/// The letters that match, grouped by consumer group and cause: most letters first, and
/// among as many by fingerprint. `limit` is clamped to 1 to [`PAGE_GROUPS_MAX`].
pub async fn groups(
    pool: &MySqlPool,
    filter: &LetterFilter,
    limit: u32,
    after: Option<GroupCursor>,
) -> Result<Groups, Error> {
    let (letters, total) = totals(pool, filter).await?;
    let limit = limit.clamp(1, PAGE_GROUPS_MAX);
    let mut select = QueryBuilder::new(BEGIN);
    push_conditions(&mut select, filter);
    select.push(" GROUP BY l.group_no, l.fingerprint");
    if let Some(GroupCursor { letters, fingerprint }) = after {
        select.push(" HAVING letters < ").push_bind(letters);
        select.push(" OR letters = ").push_bind(letters);
        select
            .push(" AND l.fingerprint > ")
            .push_bind(fingerprint.as_slice().to_vec());
    }
    // One more than the page: it says whether there is another.
    select
        .push(" ORDER BY letters DESC, l.fingerprint LIMIT ")
        .push_bind(limit + 1)
        .push(END);
    let rows = select.build().fetch_all(pool).await?;
    let mut items = rows.iter().map(group).collect::<Result<Vec<_>, _>>()?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = items.len() <= page;
    items.truncate(page);
    let next_cursor = items.last().filter(|_| !is_last).map(|last| GroupCursor {
        letters: last.letters,
        fingerprint: last.fingerprint,
    });
    Ok(Groups {
        items,
        total,
        letters,
        next_cursor,
    })
}

/// How many letters match, and of how many groups they are.
async fn totals(pool: &MySqlPool, filter: &LetterFilter) -> Result<(u64, u64), Error> {
    let mut select = QueryBuilder::new(
        "SELECT COUNT(*), COUNT(DISTINCT l.group_no, l.fingerprint) FROM dead_letters l WHERE TRUE",
    );
    push_conditions(&mut select, filter);
    let (letters, groups): (i64, i64) = select.build_query_as().fetch_one(pool).await?;
    Ok((letters.unsigned_abs(), groups.unsigned_abs()))
}

/// The example is the newest letter: ids are made in the order of time.
const BEGIN: &str = "SELECT f.*, g.name AS group_name, e.disposition, e.error_class, e.error
    FROM (
        SELECT l.group_no, l.fingerprint, COUNT(*) AS letters, COUNT(l.is_parked) AS parked,
            COUNT(DISTINCT l.held_key) AS held_keys, MAX(l.letter_id) AS example,
            MIN(l.first_failed_at) AS first_failed_at, MAX(l.last_failed_at) AS last_failed_at,
            COUNT(IF(l.first_failed_at >= UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, 1, NULL)) AS last_hour,
            COUNT(IF(l.first_failed_at >= UTC_TIMESTAMP(6) - INTERVAL 2 HOUR
                AND l.first_failed_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, 1, NULL)) AS hour_before,
            COUNT(IF(l.first_failed_at >= UTC_TIMESTAMP(6) - INTERVAL 1 DAY, 1, NULL)) AS last_day
        FROM dead_letters l WHERE TRUE";

const END: &str = ") f
    JOIN dead_letters e ON e.letter_id = f.example
    JOIN consumer_groups g ON g.group_no = f.group_no
    ORDER BY f.letters DESC, f.fingerprint";

fn group(row: &MySqlRow) -> Result<FailureGroup, sqlx::Error> {
    let count = |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    let first_failed_at: DateTime<Utc> = row.try_get("first_failed_at")?;
    let example: DeadLetterId = row.try_get("example")?;
    Ok(FailureGroup {
        group: row.try_get("group_name")?,
        fingerprint: Fingerprint::from_stored(&fingerprint),
        letters: count("letters")?,
        parked: count("parked")?,
        keys: count("held_keys")?,
        // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
        disposition: row.try_get_unchecked("disposition")?,
        error_class: row.try_get("error_class")?,
        error: row.try_get("error")?,
        example,
        first_failed_at,
        last_failed_at: row.try_get("last_failed_at")?,
        trend: Trend {
            last_hour: count("last_hour")?,
            hour_before: count("hour_before")?,
            last_day: count("last_day")?,
        },
    })
}
