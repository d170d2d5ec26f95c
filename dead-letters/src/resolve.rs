//! How letters are resolved: their events become applied in the inbox, the letters are closed,
//! and their histories say why. In the transaction that makes the change itself, before it.

use headgate_outbox::inbox::{self, GroupNo, InboxState};
use headgate_schemas::ids::{DeadLetterId, EventId};
use sqlx::{MySql, Transaction};

use crate::Error;
use crate::store::{self, queue};

/// Who resolves letters, and which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver<'r> {
    pub group: GroupNo,
    /// Who is named in the history.
    pub actor: &'r str,
    /// What happened, in the history.
    pub action: &'static str,
    /// What the inbox must say of the events until now.
    pub from: InboxState,
}

/// A letter that is to be resolved, locked by the transaction.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub letter_id: DeadLetterId,
    pub event_id: EventId,
    /// How it came about, in the history.
    pub detail: String,
}

/// Resolves letters. False: the inbox does not hold all their events as it must, and nothing
/// may be applied.
pub(crate) async fn resolve(
    transaction: &mut Transaction<'_, MySql>,
    resolver: Resolver<'_>,
    letters: Vec<Resolved>,
) -> Result<bool, Error> {
    let Resolver {
        group,
        actor,
        action,
        from,
    } = resolver;
    let events: Vec<EventId> = letters.iter().map(|letter| letter.event_id).collect();
    let moved = inbox::move_all(transaction, group, &events, from, InboxState::Applied).await?;
    if moved != events.len() {
        return Ok(false);
    }
    let letter_ids: Vec<DeadLetterId> = letters.iter().map(|letter| letter.letter_id).collect();
    queue::resolve_all(transaction, &letter_ids).await?;
    let lines: Vec<(DeadLetterId, String)> = letters
        .into_iter()
        .map(|letter| (letter.letter_id, letter.detail))
        .collect();
    store::insert_lines(transaction, &lines, action, actor).await?;
    Ok(true)
}
