//! Letters out of sight.

use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, MySqlPool, Transaction};

/// Archives a locked letter.
pub(crate) async fn archive(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letters SET state = 'archived', archived_at = UTC_TIMESTAMP(6), replay_deadline = NULL
         WHERE letter_id = ?",
        letter_id.as_bytes().as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Opens a locked letter anew.
pub(crate) async fn restore(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE dead_letters SET state = 'open', archived_at = NULL, replays_failed = 0 WHERE letter_id = ?",
        letter_id.as_bytes().as_slice()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Letters that have been archived for more than so many days, the first archived first.
pub async fn archived_for(
    pool: &MySqlPool,
    days: u32,
    letters_max: u32,
) -> Result<Vec<DeadLetterId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT letter_id AS "letter_id: DeadLetterId" FROM dead_letters
           WHERE archived_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY ORDER BY archived_at LIMIT ?"#,
        days,
        letters_max
    )
    .fetch_all(pool)
    .await
}

/// Whether a letter has been archived for more than so many days.
pub(crate) async fn is_archived_for(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    days: u32,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT 1 FROM dead_letters WHERE letter_id = ? AND archived_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY",
        letter_id.as_bytes().as_slice(),
        days
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(found.is_some())
}
