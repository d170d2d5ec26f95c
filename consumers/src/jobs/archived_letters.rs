//! Discards letters that were archived for too long, as an operator would: what the event
//! promised is settled in the same transaction, because no promise is dropped silently.

use headgate_dead_letters::{Error as LetterError, discard, store};
use headgate_groups::{Context, DeadEvent, Group, TerminalAction};
use headgate_schemas::ids::DeadLetterId;

use super::{Error, Parts, Round};

/// Letters of one round.
const LETTERS_MAX: u32 = 100;
/// Who does it, in the audit log and in the letter's history.
const ACTOR: &str = "retention";
/// Why.
const REASON: &str = "it was archived for longer than archived letters are kept";

pub(super) async fn discard(parts: &Parts) -> Result<Round, Error> {
    let days = parts.retention.archived_letters_days;
    let letters = store::archived_for(&parts.pool, days, LETTERS_MAX).await?;
    let context = Context::new(parts.writer.clone(), parts.clock.now());
    let mut failed = None;
    for letter_id in &letters {
        match discard_one(parts, &context, *letter_id).await {
            Ok(action) => tell(parts, *letter_id, action).await,
            // An operator was faster.
            Err(Error::Letters(LetterError::NotArchived { .. } | LetterError::NotOpen { .. })) => {}
            // What is wrong with one letter must not hold up the others.
            Err(error) => failed = Some(error),
        }
    }
    let is_full = u32::try_from(letters.len()).is_ok_and(|letters| letters == LETTERS_MAX);
    let left = if is_full { Round::More } else { Round::Done };
    failed.map_or(Ok(left), Err)
}

async fn discard_one(
    parts: &Parts,
    context: &Context,
    letter_id: DeadLetterId,
) -> Result<TerminalAction, Error> {
    let days = parts.retention.archived_letters_days;
    let mut discarding =
        discard::begin_expired(&parts.pool, &parts.writer, letter_id, days, ACTOR, REASON).await?;
    let (letter, transaction) = discarding.parts();
    let event = DeadEvent::new(
        letter.summary.event_type.as_deref(),
        letter.key.as_deref(),
        &letter.headers,
    );
    let group = letter.summary.group.as_str();
    match Group::discard_for(group, transaction, context, &event, ACTOR, REASON).await {
        Ok(action) => {
            discarding.commit().await?;
            Ok(action)
        }
        Err(error) => {
            discarding.roll_back().await?;
            Err(error.into())
        }
    }
}

/// Tells those who wait: the relay, the next asker, whoever waits for the claim.
async fn tell(parts: &Parts, letter_id: DeadLetterId, action: TerminalAction) {
    parts.waker.wake();
    metrics::counter!("headgate_archived_letters_discarded_total").increment(1);
    tracing::info!(%letter_id, "a letter that was archived for long is discarded");
    if let TerminalAction::Released(claim) = action {
        if let Err(error) = parts.admission.give_back(&parts.pool, &claim).await {
            tracing::warn!(claim_id = %claim.claim_id, %error, "a free ticket waits for the audit of tickets");
        }
        parts.settled.announce(vec![claim.claim_id]);
    }
}
