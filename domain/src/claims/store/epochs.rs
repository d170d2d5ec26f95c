//! Which epoch a campaign is in, who hands out its tickets, and which are free: what
//! rebuilding the state in Redis and admitting without it need.

use std::time::Duration;

use sqlx::{MySql, MySqlConnection, MySqlPool, Transaction};

use super::super::admit::Gate;

/// The highest ticket that is held (0 for none).
pub(in crate::claims) async fn highest_ticket(
    connection: &mut MySqlConnection,
    campaign_no: u32,
) -> Result<u32, sqlx::Error> {
    let highest = sqlx::query_scalar!(
        r#"SELECT MAX(ticket) AS "highest: u32" FROM claims WHERE campaign_no = ?"#,
        campaign_no
    )
    .fetch_one(connection)
    .await?;
    Ok(highest.unwrap_or_default())
}

/// Up to `limit` tickets that nobody holds between 1 and the highest that is held.
pub(in crate::claims) async fn holes(
    connection: &mut MySqlConnection,
    campaign_no: u32,
    limit: u32,
) -> Result<Vec<u32>, sqlx::Error> {
    // Gaps in front of a held ticket; each may be wider than one.
    let gaps = sqlx::query!(
        r#"SELECT ticket AS "ticket: u32", previous AS "previous: u32" FROM (
               SELECT ticket, LAG(ticket, 1, 0) OVER (ORDER BY ticket) AS previous
               FROM claims WHERE campaign_no = ?) held
           WHERE ticket > previous + 1 ORDER BY ticket LIMIT ?"#,
        campaign_no,
        limit
    )
    .fetch_all(connection)
    .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(gaps
        .into_iter()
        .flat_map(|gap| gap.previous + 1..gap.ticket)
        .take(limit)
        .collect())
}

/// Who hands out a campaign's tickets. What anybody else says of them is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// The admission epoch.
    pub epoch: u32,
    /// Redis, or MySQL.
    pub by_redis: bool,
}

/// Who hands out a campaign's tickets now.
pub async fn current(connection: &mut MySqlConnection, campaign_no: u32) -> Result<Current, sqlx::Error> {
    sqlx::query_as!(
        Current,
        r#"SELECT admission_epoch AS epoch, admission_source = 'redis' AS "by_redis: bool"
           FROM campaigns WHERE campaign_no = ?"#,
        campaign_no
    )
    .fetch_one(connection)
    .await
}

/// An epoch that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its number.
    pub epoch: u32,
    /// How long no ticket of it may be handed out yet.
    pub rests: Duration,
}

/// How an epoch begins.
#[derive(Clone, Copy, Debug)]
pub struct Beginning {
    /// The epoch that Redis knows. It is ahead after MySQL was restored from a backup.
    pub in_redis: u32,
    /// How long it rests after an epoch of Redis that had opened. After one that had not,
    /// or one of MySQL, it opens when that would have: nobody was told "sold out" in it for
    /// longer than it was true.
    pub rest: Duration,
    /// How long MySQL hands out the tickets at least, once it does.
    pub mysql_holds: Duration,
}

/// Raises the campaign's admission epoch above itself and above the one in Redis, with
/// Redis as the source. `None`: MySQL hands out the tickets for a while yet. Without that,
/// a process that cannot reach Redis and one that can would take them from each other all
/// the time.
pub async fn begin_redis_epoch(
    pool: &MySqlPool,
    campaign_no: u32,
    beginning: Beginning,
) -> Result<Option<Begun>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // Assignments are made from left to right: the first one sees the epoch before. SYSDATE
    // is the time at which the row is locked, NOW that at which the statement began to wait.
    let begun = sqlx::query!(
        "UPDATE campaigns SET
             admission_opens_at = CASE
                 WHEN admission_epoch = 0 AND ? = 0 THEN NULL
                 WHEN admission_source = 'redis' AND COALESCE(admission_opens_at <= SYSDATE(6), TRUE)
                     THEN '9999-12-31'
                 ELSE admission_opens_at END,
             admission_epoch = GREATEST(admission_epoch, ?) + 1, admission_source = 'redis'
         WHERE campaign_no = ? AND (admission_source = 'redis'
             OR COALESCE(admission_opens_at + INTERVAL ? MICROSECOND <= SYSDATE(6), TRUE))",
        beginning.in_redis,
        beginning.in_redis,
        campaign_no,
        micros(beginning.mysql_holds)
    )
    .execute(&mut *transaction)
    .await?;
    if begun.rows_affected() == 0 {
        transaction.rollback().await?;
        return Ok(None);
    }
    let epoch = current(&mut transaction, campaign_no).await?.epoch;
    transaction.commit().await?;
    let mut connection = pool.acquire().await?;
    time_opening(&mut connection, campaign_no, beginning.rest).await?;
    let opens_in = sqlx::query_scalar!(
        r#"SELECT COALESCE(TIMESTAMPDIFF(MICROSECOND, SYSDATE(6), admission_opens_at), 0) AS "opens_in: i64"
           FROM campaigns WHERE campaign_no = ?"#,
        campaign_no
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(Some(Begun {
        epoch,
        rests: still(opens_in, beginning.rest),
    }))
}

/// Lets the rest of an epoch begin, once everybody can see the epoch: its beginning is
/// committed with an opening that never comes. Also mends one that is too far away, because
/// the clock was set back.
pub(in crate::claims) async fn time_opening(
    connection: &mut MySqlConnection,
    campaign_no: u32,
    rest: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE campaigns SET admission_opens_at = SYSDATE(6) + INTERVAL ? MICROSECOND
         WHERE campaign_no = ? AND admission_opens_at > SYSDATE(6) + INTERVAL ? MICROSECOND",
        micros(rest),
        campaign_no,
        micros(rest)
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What is left of a wait, in microseconds; nothing when it is over. Never more than `longest`:
/// the clock may have been set back, or somebody else begun the next epoch.
fn still(micros: i64, longest: Duration) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default()).min(longest)
}

/// Admission through MySQL, as the campaign's row says, locked FOR UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::claims) struct FallbackGate {
    pub gate: Gate,
    pub sequence: u32,
    /// How long no ticket of this epoch may be handed out yet.
    pub rests: Duration,
}

/// Locks the campaign for one batch of admissions through MySQL.
pub(in crate::claims) async fn lock_fallback(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
) -> Result<FallbackGate, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT quota, state IN ('scheduled', 'open') AS "passable: bool", admission_epoch,
               admission_source = 'redis' AS "by_redis: bool", fallback_sequence,
               COALESCE(TIMESTAMPDIFF(MICROSECOND, SYSDATE(6), admission_opens_at), 0) AS "rests: i64"
           FROM campaigns WHERE campaign_no = ? FOR UPDATE"#,
        campaign_no
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(FallbackGate {
        gate: Gate {
            quota: row.quota,
            passable: row.passable,
            epoch: row.admission_epoch,
            by_redis: row.by_redis,
        },
        sequence: row.fallback_sequence,
        // As it stands there: more than a rest says that it has to be timed yet, or anew.
        rests: still(row.rests, Duration::MAX),
    })
}

/// Begins an epoch of MySQL after one of Redis. It rests, see [`time_opening`], unless there
/// was none before it, or that one had not opened yet.
pub(in crate::claims) async fn begin_fallback(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE campaigns SET
             admission_opens_at = CASE
                 WHEN admission_epoch = 0 THEN NULL
                 WHEN COALESCE(admission_opens_at <= SYSDATE(6), TRUE) THEN '9999-12-31'
                 ELSE admission_opens_at END,
             admission_epoch = admission_epoch + 1, admission_source = 'mysql', fallback_sequence = 0
         WHERE campaign_no = ?",
        campaign_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Keeps where admission through MySQL has come to.
pub(in crate::claims) async fn keep_fallback(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
    sequence: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE campaigns SET fallback_sequence = ? WHERE campaign_no = ?",
        sequence,
        campaign_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t11_no_rest_lasts_longer_than_one() {
        let rest = Duration::from_millis(1_100);
        for (opens_in, left) in [
            (i64::MIN, 0),
            (-1, 0),
            (0, 0),
            (1, 1),
            (1_100_000, 1_100_000),
            (1_100_001, 1_100_000),
            (i64::MAX, 1_100_000),
        ] {
            assert_eq!(still(opens_in, rest), Duration::from_micros(left), "{opens_in}");
        }
    }
}
