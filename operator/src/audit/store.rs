//! Reading `audit_log`. It is written by [`headgate_dead_letters::audit::record`].

use chrono::{DateTime, Utc};
use sqlx::MySqlPool;

use super::{Filter, Line};

/// The newest `limit` lines that match, below the cursor.
pub(super) async fn list(pool: &MySqlPool, filter: &Filter, limit: u32) -> Result<Vec<Line>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT audit_no, at AS "at: DateTime<Utc>", actor, action, object,
               CAST(detail AS CHAR) AS detail
           FROM audit_log
           WHERE audit_no < COALESCE(?, ~0) AND actor = COALESCE(?, actor) AND action = COALESCE(?, action)
               AND object = COALESCE(?, object)
           ORDER BY audit_no DESC LIMIT ?"#,
        filter.cursor,
        filter.actor,
        filter.action,
        filter.object,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Line {
            audit_no: row.audit_no,
            at: row.at,
            actor: row.actor,
            action: row.action,
            object: row.object,
            // The column is of type JSON: it always parses.
            detail: row.detail.and_then(|detail| serde_json::from_str(&detail).ok()),
        })
        .collect())
}
