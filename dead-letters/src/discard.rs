//! Discard: an operator, or the retention of archived letters, gives a letter up, and what
//! the event promised is settled in the same transaction.

use headgate_outbox::audit;
use headgate_outbox::inbox::{self, InboxState};
use headgate_outbox::write::EventWriter;
use headgate_schemas::ids::DeadLetterId;
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};

use crate::attempt::Origin;
use crate::letter::{Letter, LetterState};
use crate::retry::{self, Asks};
use crate::store::queue;
use crate::{Error, store};

/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 256;

/// A discard that is not committed yet. Run the group's terminal action in its
/// transaction, then [`commit`](Discarding::commit); dropped, nothing has happened.
///
/// ```text
/// let mut discarding = headgate_dead_letters::discard::begin(&pool, &writer, letter_id, actor, reason).await?;
/// let (letter, transaction) = discarding.parts();
/// let event = DeadEvent::new(letter.summary.event_type.as_deref(), letter.key.as_deref(), &letter.headers);
/// let action = group.discard(transaction, &context, &event, actor, reason).await?;
/// discarding.commit().await?;
/// ```
#[derive(Debug)]
#[must_use = "a discard that is not committed has not happened"]
pub struct Discarding {
    letter: Letter,
    transaction: Transaction<'static, MySql>,
    actor: String,
    reason: String,
}

/// Begins to discard a letter that is neither settled nor on its way (one whose last replay
/// is overdue is not): closes it, with its history, and marks its event in the inbox. What is
/// parked behind it is released; wake the relay afterwards.
pub async fn begin(
    pool: &MySqlPool,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    actor: &str,
    reason: &str,
) -> Result<Discarding, Error> {
    let act = Act {
        actor,
        reason: stated(reason)?,
        archived_days: None,
    };
    act.begin(pool, writer, letter_id).await
}

/// As [`begin`], of a letter that has been archived for more than `archived_days`: one that
/// is not is left alone.
pub async fn begin_expired(
    pool: &MySqlPool,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    archived_days: u32,
    actor: &str,
    reason: &str,
) -> Result<Discarding, Error> {
    let act = Act {
        actor,
        reason: stated(reason)?,
        archived_days: Some(archived_days),
    };
    act.begin(pool, writer, letter_id).await
}

/// A reason as it is kept.
pub(crate) fn stated(reason: &str) -> Result<&str, Error> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        return Err(Error::Reason);
    }
    Ok(reason)
}

/// Who discards, why, and on what condition.
#[derive(Clone, Copy, Debug)]
struct Act<'a> {
    actor: &'a str,
    reason: &'a str,
    /// Only a letter that has been archived for more than so many days.
    archived_days: Option<u32>,
}

impl Act<'_> {
    async fn begin(
        self,
        pool: &MySqlPool,
        writer: &EventWriter,
        letter_id: DeadLetterId,
    ) -> Result<Discarding, Error> {
        let origin = store::origin(pool, letter_id)
            .await?
            .ok_or(Error::NotFound(letter_id))?;
        let mut transaction = pool.begin().await?;
        match self.close(&mut transaction, writer, letter_id, &origin).await {
            Ok(letter) => Ok(Discarding {
                letter,
                transaction,
                actor: self.actor.to_owned(),
                reason: self.reason.to_owned(),
            }),
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }

    async fn close(
        self,
        transaction: &mut Transaction<'_, MySql>,
        writer: &EventWriter,
        letter_id: DeadLetterId,
        origin: &Origin,
    ) -> Result<Letter, Error> {
        let Self {
            actor,
            reason,
            archived_days,
        } = self;
        inbox::lock_partition(transaction, origin.group, &origin.topic, origin.partition).await?;
        let locked = store::lock(transaction, letter_id)
            .await?
            .ok_or(Error::NotFound(letter_id))?;
        match locked.state {
            LetterState::Open | LetterState::Quarantined | LetterState::Archived => {}
            LetterState::Replaying if locked.is_overdue => {}
            state => return Err(Error::NotOpen { letter_id, state }),
        }
        if let Some(days) = archived_days
            && !store::is_archived_for(transaction, letter_id, days).await?
        {
            let state = locked.state;
            return Err(Error::NotArchived { letter_id, state });
        }
        // False only where the inbox has forgotten the event, which it does not of itself while
        // the letter is open.
        inbox::compare_and_set(
            transaction,
            locked.group,
            locked.event_id,
            store::inbox_state(locked.state, locked.disposition),
            InboxState::Discarded,
        )
        .await?;
        // What is parked behind it goes to its group, which may look as soon as this commits.
        let queued = queue::queued(transaction, letter_id).await?;
        if queued.is_some_and(|queued| queued.first == letter_id && queued.behind > 0) {
            match retry::record(writer, &locked, Asks::Release) {
                Ok(release) => EventWriter::write(transaction, &[release]).await?,
                // No retry topic, and so no group that could release anything.
                Err(Error::UnknownTopic(_)) => {}
                Err(error) => return Err(error),
            }
        }
        store::close(transaction, letter_id, LetterState::Discarded).await?;
        store::insert_history(transaction, letter_id, "discarded", actor, reason).await?;
        store::read(transaction, letter_id)
            .await?
            .ok_or(Error::NotFound(letter_id))
    }
}

impl Discarding {
    /// The letter, and the transaction for the group's terminal action.
    pub fn parts(&mut self) -> (&Letter, &mut Transaction<'static, MySql>) {
        (&self.letter, &mut self.transaction)
    }

    /// Makes it so, with its line of the audit log: written only now, because the terminal action
    /// locks rows, and nothing is locked behind the head of that log.
    pub async fn commit(mut self) -> Result<Letter, Error> {
        let letter = &self.letter.summary;
        let detail = json!({"group": letter.group, "event_id": letter.event_id, "reason": self.reason});
        let object = letter.letter_id.to_string();
        let recorded = audit::record(
            &mut self.transaction,
            &self.actor,
            "dead-letter.discard",
            &object,
            &detail,
        )
        .await;
        if let Err(error) = recorded {
            self.roll_back().await?;
            return Err(error.into());
        }
        self.transaction.commit().await?;
        Ok(self.letter)
    }

    /// Lets it be, because the terminal action failed.
    pub async fn roll_back(self) -> Result<(), Error> {
        Ok(self.transaction.rollback().await?)
    }
}
