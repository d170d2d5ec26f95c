//! All SQL on `dead_letter_edits`. Its rows never change.

use chrono::{DateTime, Utc};
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, MySqlConnection, Transaction};

use crate::Error;
use crate::difference::Difference;
use crate::edit::EDITS_MAX;
use crate::letter::{Content, Edit, LetterState};

/// An edit that is about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EditRow<'e> {
    pub edit_no: u32,
    pub event_type: &'e str,
    /// Of the letter from now on; not `replaying`.
    pub state: LetterState,
    pub value: &'e [u8],
    pub headers: &'e RawHeaders,
    pub difference: &'e Difference,
    pub actor: &'e str,
    pub reason: &'e str,
}

/// What goes to a letter's group: its newest edit if there is one, else the record as it
/// came. The one place that decides it. `edit_no` is the letter's.
pub(crate) async fn effective(
    connection: &mut MySqlConnection,
    letter_id: DeadLetterId,
    edit_no: u32,
    as_it_came: Content,
) -> Result<Content, Error> {
    if edit_no == 0 {
        return Ok(as_it_came);
    }
    let row = sqlx::query!(
        "SELECT record_value, record_headers FROM dead_letter_edits WHERE letter_id = ? AND edit_no = ?",
        letter_id.as_bytes().as_slice(),
        edit_no
    )
    .fetch_one(connection)
    .await?;
    Ok(Content {
        value: Some(row.record_value),
        headers: RawHeaders::from_bytes(&row.record_headers)?,
    })
}

/// Writes an edit of a locked letter, which counts from now on.
pub(crate) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    letter_id: DeadLetterId,
    edit: EditRow<'_>,
) -> Result<(), Error> {
    let id = letter_id.as_bytes().as_slice();
    // Strings and numbers under known names: it always is JSON.
    let difference = serde_json::to_string(edit.difference).unwrap_or_default();
    sqlx::query!(
        "INSERT INTO dead_letter_edits (letter_id, edit_no, record_value, record_headers, difference, actor, reason)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        id,
        edit.edit_no,
        edit.value,
        edit.headers.to_bytes(),
        difference,
        edit.actor,
        edit.reason
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "UPDATE dead_letters SET edit_no = ?, event_type = ?, state = ?, replay_deadline = NULL
         WHERE letter_id = ?",
        edit.edit_no,
        edit.event_type,
        edit.state,
        id
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The edits of a letter, oldest first, without their bytes.
pub(crate) async fn list(
    connection: &mut MySqlConnection,
    letter_id: DeadLetterId,
) -> Result<Vec<Edit>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT edit_no, CAST(difference AS CHAR) AS difference, actor, reason,
               edited_at AS "edited_at: DateTime<Utc>"
           FROM dead_letter_edits WHERE letter_id = ? ORDER BY edit_no LIMIT ?"#,
        letter_id.as_bytes().as_slice(),
        EDITS_MAX
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Edit {
            edit_no: row.edit_no,
            actor: row.actor,
            reason: row.reason,
            edited_at: row.edited_at,
            // What was written above.
            difference: row
                .difference
                .and_then(|difference| serde_json::from_str(&difference).ok())
                .unwrap_or_default(),
        })
        .collect())
}
