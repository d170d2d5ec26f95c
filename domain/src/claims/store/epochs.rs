//! Which epoch a campaign is in, who hands out its tickets, and which are free: what
//! rebuilding the state in Redis and admitting without it need.

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

/// The campaign's admission epoch after raising it above itself and above `in_redis`, with
/// Redis as the source. Redis is ahead after MySQL was restored from a backup.
pub async fn begin_redis_epoch(
    pool: &MySqlPool,
    campaign_no: u32,
    in_redis: u32,
) -> Result<u32, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!(
        "UPDATE campaigns SET admission_epoch = GREATEST(admission_epoch, ?) + 1, admission_source = 'redis' WHERE campaign_no = ?",
        in_redis,
        campaign_no
    )
    .execute(&mut *transaction)
    .await?;
    let epoch = sqlx::query_scalar!(
        "SELECT admission_epoch FROM campaigns WHERE campaign_no = ?",
        campaign_no
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(epoch)
}

/// Admission through MySQL, as the campaign's row says, locked FOR UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::claims) struct FallbackGate {
    pub gate: Gate,
    pub by_redis: bool,
    pub sequence: u32,
}

/// Locks the campaign for one batch of admissions through MySQL.
pub(in crate::claims) async fn lock_fallback(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
) -> Result<FallbackGate, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT quota, state IN ('scheduled', 'open') AS "passable: bool", admission_epoch,
               admission_source = 'redis' AS "by_redis: bool", fallback_sequence
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
        },
        by_redis: row.by_redis,
        sequence: row.fallback_sequence,
    })
}

/// Keeps where admission through MySQL has come to.
pub(in crate::claims) async fn keep_fallback(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
    epoch: u32,
    sequence: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE campaigns SET admission_epoch = ?, admission_source = 'mysql', fallback_sequence = ? WHERE campaign_no = ?",
        epoch,
        sequence,
        campaign_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
