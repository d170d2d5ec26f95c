//! Archive and restore: an operator puts a letter out of sight and of replays, and takes it,
//! or one that is quarantined, back among the open ones. It goes on holding its key all the
//! while, so that only the first letter of a key can be archived.

use headgate_outbox::{audit, inbox};
use headgate_schemas::ids::DeadLetterId;
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};

use crate::attempt::Origin;
use crate::discard::stated;
use crate::letter::{Disposition, LetterState, LetterSummary};
use crate::store::LockedLetter;
use crate::{Error, park, store};

/// What is done with a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Archive,
    Restore,
}

/// Archives a letter that is open (or whose last replay is overdue) or quarantined, for a
/// reason. Its retention begins.
pub async fn archive(
    pool: &MySqlPool,
    letter_id: DeadLetterId,
    actor: &str,
    reason: &str,
) -> Result<LetterSummary, Error> {
    act(pool, Act::Archive, letter_id, actor, reason).await
}

/// Opens a letter that is archived or quarantined, for a reason. Its failed replays are
/// counted anew.
pub async fn restore(
    pool: &MySqlPool,
    letter_id: DeadLetterId,
    actor: &str,
    reason: &str,
) -> Result<LetterSummary, Error> {
    act(pool, Act::Restore, letter_id, actor, reason).await
}

async fn act(
    pool: &MySqlPool,
    act: Act,
    letter_id: DeadLetterId,
    actor: &str,
    reason: &str,
) -> Result<LetterSummary, Error> {
    let reason = stated(reason)?;
    let origin = store::origin(pool, letter_id)
        .await?
        .ok_or(Error::NotFound(letter_id))?;
    let mut transaction = pool.begin().await?;
    match act
        .change(&mut transaction, &origin, letter_id, actor, reason)
        .await
    {
        Ok(letter) => {
            transaction.commit().await?;
            Ok(letter)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

impl Act {
    async fn change(
        self,
        transaction: &mut Transaction<'_, MySql>,
        origin: &Origin,
        letter_id: DeadLetterId,
        actor: &str,
        reason: &str,
    ) -> Result<LetterSummary, Error> {
        inbox::lock_partition(transaction, origin.group, &origin.topic, origin.partition).await?;
        let letter = store::lock(transaction, letter_id)
            .await?
            .ok_or(Error::NotFound(letter_id))?;
        self.allowed(transaction, &letter).await?;
        let (line, action) = match self {
            Self::Archive => {
                store::archive(transaction, letter_id).await?;
                ("archived", "dead-letter.archive")
            }
            Self::Restore => {
                store::restore(transaction, letter_id).await?;
                ("restored", "dead-letter.restore")
            }
        };
        store::insert_history(transaction, letter_id, line, actor, reason).await?;
        let after = store::read(transaction, letter_id).await?;
        let detail = json!({"group": letter.group_name, "event_id": letter.event_id, "reason": reason});
        audit::record(transaction, actor, action, &letter_id.to_string(), &detail).await?;
        Ok(after.ok_or(Error::NotFound(letter_id))?.summary)
    }

    async fn allowed(
        self,
        transaction: &mut Transaction<'_, MySql>,
        letter: &LockedLetter,
    ) -> Result<(), Error> {
        let (letter_id, state) = (letter.letter_id, letter.state);
        match (self, state) {
            (Self::Archive, LetterState::Open | LetterState::Quarantined)
            | (Self::Restore, LetterState::Archived | LetterState::Quarantined) => {}
            (Self::Archive, LetterState::Replaying) if letter.is_overdue => {}
            (Self::Archive, _) => return Err(Error::NotOpen { letter_id, state }),
            (Self::Restore, _) => return Err(Error::NotArchived { letter_id, state }),
        }
        match park::is_first(transaction, letter).await? {
            Err(first) => Err(Error::Parked { letter_id, first }),
            // Its turn has come: it is about to be released.
            Ok(()) if letter.disposition == Disposition::Parked => Err(Error::Parked {
                letter_id,
                first: letter_id,
            }),
            Ok(()) => Ok(()),
        }
    }
}
