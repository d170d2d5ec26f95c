//! Edit: an operator corrects what a letter sends to its group. The letter's own record stays
//! as it came; the edit is a record beside it, and the newest one goes. Editing sends nothing.

use headgate_outbox::{audit, inbox};
use headgate_schemas::ids::DeadLetterId;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::{MySql, MySqlPool, Transaction};

use crate::Error;
use crate::attempt::Origin;
use crate::bury::hex;
use crate::difference::Difference;
use crate::discard::stated;
use crate::envelope::Envelope;
use crate::letter::LetterState;
use crate::store::edits::{self, EditRow};
use crate::store::{self, LockedLetter};

/// Most edits of one letter.
pub const EDITS_MAX: u32 = 50;

/// A value that has been checked and encoded, and what is said of it.
#[derive(Clone, Copy, Debug)]
pub struct NewEdit<'e> {
    /// The edit that it was made from; 0: the record as it came. Any other by now: refused.
    pub after: u32,
    /// Full name of the event that the value is.
    pub event_type: &'e str,
    /// The record's value, in the wire format.
    pub value: &'e [u8],
    /// Why; 1 to [`REASON_CHARS_MAX`](crate::discard::REASON_CHARS_MAX) characters.
    pub reason: &'e str,
    /// What changed, for those who may see it.
    pub difference: &'e Difference,
    /// The same for the audit log, which everyone reads.
    pub audited: &'e Difference,
}

/// What an edit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditOutcome {
    /// The edit's number, from 1.
    pub edit_no: u32,
    /// Headers that had to be set or replaced.
    pub headers: Vec<&'static str>,
}

/// Edits a letter that is open (or whose last replay is overdue) or quarantined; a parked one,
/// too. With it commit its lines of history and audit. An overdue replay is given up: were it
/// to arrive after all, it would bring what the operator has just corrected.
pub async fn edit(
    pool: &MySqlPool,
    letter_id: DeadLetterId,
    actor: &str,
    edit: NewEdit<'_>,
) -> Result<EditOutcome, Error> {
    let edit = NewEdit {
        reason: stated(edit.reason)?,
        ..edit
    };
    let origin = store::origin(pool, letter_id)
        .await?
        .ok_or(Error::NotFound(letter_id))?;
    let mut transaction = pool.begin().await?;
    match change(&mut transaction, &origin, letter_id, actor, edit).await {
        Ok(outcome) => {
            transaction.commit().await?;
            Ok(outcome)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn change(
    transaction: &mut Transaction<'_, MySql>,
    origin: &Origin,
    letter_id: DeadLetterId,
    actor: &str,
    edit: NewEdit<'_>,
) -> Result<EditOutcome, Error> {
    inbox::lock_partition(transaction, origin.group, &origin.topic, origin.partition).await?;
    let letter = store::lock(transaction, letter_id)
        .await?
        .ok_or(Error::NotFound(letter_id))?;
    allowed(&letter, edit.after)?;
    let envelope = Envelope {
        event_id: letter.event_id,
        event_type: edit.event_type,
        key: letter.key.as_deref(),
        time: letter.record_time,
    };
    let (headers, set) = envelope.mend(&letter.headers);
    if letter.value.as_deref() == Some(edit.value) && set.is_empty() {
        return Err(Error::Unchanged(letter_id));
    }
    let row = EditRow {
        edit_no: edit.after + 1,
        event_type: edit.event_type,
        state: after_edit(letter.state),
        value: edit.value,
        headers: &headers,
        difference: edit.difference,
        actor,
        reason: edit.reason,
    };
    edits::insert(transaction, letter_id, row).await?;
    let (edit_no, reason) = (row.edit_no, edit.reason);
    let mut line = format!("edit {edit_no}, because {reason}: {}", edit.difference.paths());
    if !set.is_empty() {
        line.push_str(" headers ");
        line.push_str(&set.join(", "));
    }
    store::insert_history(transaction, letter_id, "edited", actor, &line).await?;
    let detail = json!({
        "group": letter.group_name,
        "event_id": letter.event_id,
        "edit_no": edit_no,
        "reason": reason,
        "event_type": edit.event_type,
        "before_sha256": letter.value.as_deref().map(sha256),
        "after_sha256": sha256(edit.value),
        "headers": set,
        "difference": edit.audited,
    });
    audit::record(
        transaction,
        actor,
        "dead-letter.edit",
        &letter_id.to_string(),
        &detail,
    )
    .await?;
    Ok(EditOutcome {
        edit_no,
        headers: set,
    })
}

fn allowed(letter: &LockedLetter, after: u32) -> Result<(), Error> {
    let (letter_id, state) = (letter.letter_id, letter.state);
    match state {
        LetterState::Open | LetterState::Quarantined => {}
        LetterState::Replaying if letter.is_overdue => {}
        state => return Err(Error::NotOpen { letter_id, state }),
    }
    if letter.edit_no != after {
        let edit_no = letter.edit_no;
        return Err(Error::Edited { letter_id, edit_no });
    }
    if after >= EDITS_MAX {
        return Err(Error::EditsSpent(letter_id));
    }
    Ok(())
}

/// An overdue replay is given up: its attempt is current no more.
const fn after_edit(state: LetterState) -> LetterState {
    match state {
        LetterState::Replaying => LetterState::Open,
        state => state,
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
