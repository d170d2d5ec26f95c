//! Lines of history.

use headgate_outbox::multirow;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, QueryBuilder, Transaction};

use super::{LetterRow, bounded};

/// Longest detail of a line, in characters.
const DETAIL_CHARS_MAX: usize = 2_048;

/// Writes the first line of history of new letters.
pub(crate) async fn insert_failures(
    transaction: &mut Transaction<'_, MySql>,
    actor: &str,
    letters: &[LetterRow],
) -> Result<(), sqlx::Error> {
    for rows in multirow::pieces(letters) {
        let mut insert =
            QueryBuilder::new("INSERT INTO dead_letter_history (letter_id, action, actor, detail) ");
        insert.push_values(rows, |mut values, row| {
            let detail = format!("{}: {}", row.letter.error_class, row.letter.error);
            values
                .push_bind(row.letter_id)
                .push_bind("failed")
                .push_bind(actor)
                .push_bind(bounded(&detail, DETAIL_CHARS_MAX));
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// Writes a line of history.
pub(crate) async fn insert_history(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    action: &str,
    actor: &str,
    detail: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO dead_letter_history (letter_id, action, actor, detail) VALUES (?, ?, ?, ?)",
        letter_id.as_bytes().as_slice(),
        action,
        actor,
        bounded(detail, DETAIL_CHARS_MAX)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Writes a line of history for each of several letters.
pub(crate) async fn insert_lines(
    transaction: &mut Transaction<'_, MySql>,
    lines: &[(DeadLetterId, String)],
    action: &str,
    actor: &str,
) -> Result<(), sqlx::Error> {
    for lines in multirow::pieces(lines) {
        let mut insert =
            QueryBuilder::new("INSERT INTO dead_letter_history (letter_id, action, actor, detail) ");
        insert.push_values(lines, |mut values, (letter_id, detail)| {
            values
                .push_bind(*letter_id)
                .push_bind(action)
                .push_bind(actor)
                .push_bind(bounded(detail, DETAIL_CHARS_MAX));
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}
