//! The audit log: every act of an operator, in the transaction of the act.

use sqlx::{MySql, Transaction};

/// Longest name of an actor that is kept, in characters.
pub const ACTOR_CHARS_MAX: usize = 128;

/// Writes a line of the audit log.
pub async fn record(
    transaction: &mut Transaction<'_, MySql>,
    actor: &str,
    action: &str,
    object: &str,
    detail: &serde_json::Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO audit_log (actor, action, object, detail) VALUES (?, ?, ?, ?)",
        actor,
        action,
        object,
        detail.to_string()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
