//! A step of a replay: what is known of the letters that were sent is written down, the
//! replay is judged by it, and the next letters go. One transaction, which holds the replay's
//! row: two processes that step the same replay do so one after the other, and a pause that
//! has been answered lets nothing more through.

use std::collections::HashMap;

use headgate_outbox::audit;
use headgate_outbox::write::EventWriter;
use headgate_runtime::crash_point;
use headgate_schemas::ids::DeadLetterId;
use sqlx::{MySql, MySqlPool, Transaction};

use super::answers::RecentAnswers;
use super::object::{Outcome, PauseReason, Replay, ReplayState};
use super::send::{Sender, send};
use crate::Error;
use crate::store::replays::{self as store, Refused, Turn, Waiting};

/// Answers that one step writes down.
const SETTLED_MAX: u32 = 1_000;
/// Bytes of records that one step sends, but for the first letter.
const SENT_BYTES_MAX: u64 = 4 << 20;
/// Who pauses, in the audit log, where nobody did.
const ACTOR: &str = "replay";

/// How far a step may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Letters that this step may send.
    pub letters_max: u32,
    /// Letters that may be on their way at once.
    pub in_flight_max: u32,
}

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stepped {
    /// Letters that are on their way since.
    pub sent: u32,
    /// Outcomes that were written down.
    pub outcomes: Vec<Outcome>,
    /// The replay was paused, for this reason.
    pub paused: Option<PauseReason>,
}

/// Takes a step. Wake the relay if letters were sent.
pub async fn step(
    pool: &MySqlPool,
    writer: &EventWriter,
    replay_no: u32,
    limits: Limits,
) -> Result<Stepped, Error> {
    let mut transaction = pool.begin().await?;
    match take(&mut transaction, writer, replay_no, limits).await {
        Ok(stepped) => {
            crash_point!("replay.step-before-commit");
            transaction.commit().await?;
            Ok(stepped)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn take(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    replay_no: u32,
    limits: Limits,
) -> Result<Stepped, Error> {
    let mut stepped = Stepped::default();
    let Some(replay) = store::lock_live(transaction, replay_no).await? else {
        return Ok(stepped);
    };
    let settled = store::answered(transaction, replay_no, SETTLED_MAX).await?;
    stepped
        .outcomes
        .extend(settled.iter().map(|letter| letter.outcome));
    store::settle(transaction, replay_no, &settled).await?;
    let mut answers = replay.recent_answers.clone();
    answers.add(&stepped.outcomes);
    if answers != replay.recent_answers {
        store::set_recent_answers(transaction, replay_no, &answers).await?;
    }
    let mut paused = None;
    if replay.state == ReplayState::Running {
        paused = judge(transaction, &replay, &answers).await?;
        if paused.is_none() {
            send_next(transaction, writer, &replay, limits, &mut stepped).await?;
        }
    }
    if let Some(paused) = conclude(transaction, &replay, paused).await? {
        stepped.paused = Some(paused.reason);
        record(transaction, &replay, &paused).await?;
    }
    Ok(stepped)
}

/// A pause, and what is said of it.
struct Paused {
    reason: PauseReason,
    detail: String,
}

/// Pauses a replay of which too much failed.
async fn judge(
    transaction: &mut Transaction<'_, MySql>,
    replay: &Replay,
    answers: &RecentAnswers,
) -> Result<Option<Paused>, Error> {
    if !answers.are_too_bad(replay.pace.failures_percent_max) {
        return Ok(None);
    }
    let (failed, of) = answers.failed_of();
    let detail = format!("{failed} of the last {of} letters failed");
    Ok(Some(
        pause(transaction, replay, PauseReason::Failures, detail).await?,
    ))
}

async fn pause(
    transaction: &mut Transaction<'_, MySql>,
    replay: &Replay,
    reason: PauseReason,
    detail: String,
) -> Result<Paused, Error> {
    store::pause(transaction, replay.replay_no, reason, &detail).await?;
    Ok(Paused { reason, detail })
}

/// Writes the step's line of the audit log, the last thing that it does.
async fn record(
    transaction: &mut Transaction<'_, MySql>,
    replay: &Replay,
    paused: &Paused,
) -> Result<(), Error> {
    let said = serde_json::json!({"reason": paused.reason, "detail": paused.detail});
    let object = replay.replay_id.to_string();
    audit::record(transaction, ACTOR, "replay.pause", &object, &said).await?;
    Ok(())
}

/// Sends the next letters, as many as the limits, the canary and what is on its way allow.
async fn send_next(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    replay: &Replay,
    limits: Limits,
    stepped: &mut Stepped,
) -> Result<(), Error> {
    let in_flight = store::in_flight(transaction, replay.replay_no).await?;
    let room = u64::from(limits.in_flight_max).saturating_sub(in_flight);
    let letters = u32::try_from(room).map_or(limits.letters_max, |room| limits.letters_max.min(room));
    let next = store::waiting(transaction, replay.replay_no, replay.places_allowed, letters).await?;
    let next = fitting(&next);
    if next.is_empty() {
        return Ok(());
    }
    let ids: Vec<DeadLetterId> = next.iter().map(|letter| letter.letter_id).collect();
    let locked = crate::store::lock_all(transaction, &ids).await?;
    let sender = Sender {
        actor: replay.run_by.as_deref().unwrap_or(ACTOR),
        replay: Some(replay.replay_id),
    };
    let by_id: Vec<DeadLetterId> = locked.iter().map(|letter| letter.letter_id).collect();
    let sent = send(transaction, writer, locked, &sender).await?;
    let mut outcomes: HashMap<DeadLetterId, _> = by_id.into_iter().zip(sent.outcomes).collect();
    let mut turns = Vec::with_capacity(next.len());
    for letter in next {
        let sent = match outcomes.remove(&letter.letter_id) {
            Some(Ok((_, attempt))) => Ok(attempt),
            Some(Err(error)) => Err(refusal(error)?),
            None => Err(refusal(Error::NotFound(letter.letter_id))?),
        };
        match sent {
            Ok(_) => stepped.sent += 1,
            Err(_) => stepped.outcomes.push(Outcome::Refused),
        }
        turns.push(Turn {
            place: letter.place,
            letter_id: letter.letter_id,
            sent,
        });
    }
    Ok(store::take_turns(transaction, replay.replay_no, &turns).await?)
}

/// The first of `letters` whose records may be in memory together.
fn fitting(letters: &[Waiting]) -> &[Waiting] {
    let mut bytes = 0;
    let fit = letters.iter().take_while(|letter| {
        let fits = bytes == 0 || bytes + letter.bytes <= SENT_BYTES_MAX;
        bytes += letter.bytes;
        fits
    });
    &letters[..fit.count()]
}

/// What is written down of a letter that cannot be sent. What is no fault of the letter is
/// handed on.
fn refusal(error: Error) -> Result<Refused, Error> {
    let class = match &error {
        Error::NotFound(_) => "dead-letter-not-found",
        Error::NotOpen { .. } => "dead-letter-not-open",
        Error::Parked { .. } => "dead-letter-parked",
        Error::TooOld(_) => "dead-letter-too-old",
        Error::UnknownTopic(_) => "dead-letter-topic-unknown",
        _ => return Err(error),
    };
    Ok(Refused {
        class,
        error: error.to_string(),
    })
}

/// Ends what is through: the replay, its canary, or the work on it. Returns the pause of this step.
async fn conclude(
    transaction: &mut Transaction<'_, MySql>,
    replay: &Replay,
    paused: Option<Paused>,
) -> Result<Option<Paused>, Error> {
    let replay_no = replay.replay_no;
    if store::in_flight(transaction, replay_no).await? > 0 {
        return Ok(paused);
    }
    if replay.state != ReplayState::Running || paused.is_some() {
        store::rest(transaction, replay_no).await?;
        return Ok(paused);
    }
    let allowed = replay.places_allowed;
    if store::reached(transaction, replay_no).await? < allowed {
        return Ok(None);
    }
    let mut paused = None;
    if u64::from(allowed) < replay.plan.letters {
        let detail = format!("the first {allowed} letters have their outcome");
        paused = Some(pause(transaction, replay, PauseReason::Canary, detail).await?);
    } else {
        store::end(transaction, replay_no, ReplayState::Completed).await?;
    }
    store::rest(transaction, replay_no).await?;
    Ok(paused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_what_fits_and_always_the_first() {
        let waiting = |bytes| Waiting {
            place: 1,
            letter_id: DeadLetterId::generate(),
            bytes,
        };
        let fit =
            |sizes: &[u64]| fitting(&sizes.iter().map(|bytes| waiting(*bytes)).collect::<Vec<_>>()).len();
        assert_eq!(fit(&[]), 0);
        assert_eq!(fit(&[2 * SENT_BYTES_MAX, 1]), 1);
        assert_eq!(fit(&[SENT_BYTES_MAX - 1, 1, 1]), 2);
    }
}
