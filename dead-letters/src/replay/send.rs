//! Sending letters: their new state, the copies for the retry topic and their history commit
//! together.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use headgate_outbox::audit;
use headgate_outbox::inbox::{self, GroupNo, InboxState};
use headgate_outbox::write::{EventWriter, OutboxRow};
use headgate_schemas::ids::{DeadLetterId, EventId, ReplayId};
use serde::Serialize;
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};

use crate::Error;
use crate::letter::{Disposition, LetterState};
use crate::retry::{self, Asks};
use crate::store::{self, LockedLetter};

/// How long a replay has before the letter may be replayed anew.
pub const REPLAY_DEADLINE: Duration = Duration::from_mins(5);

/// What a replay did.
#[derive(Clone, Debug, Serialize)]
pub struct ReplayOutcome {
    /// The letter.
    pub letter_id: DeadLetterId,
    /// Which attempt this is, from 1. 0: a parked letter that stands first, of which the group
    /// was only reminded.
    pub attempt: u32,
    /// If the group has not answered by then, the letter may be replayed anew.
    pub deadline: DateTime<Utc>,
}

/// Sends an open letter (or one whose last replay is overdue) to its group again. With it
/// commits a line of the audit log. Wake the relay afterwards.
pub async fn replay(
    pool: &MySqlPool,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    actor: &str,
) -> Result<ReplayOutcome, Error> {
    let mut transaction = pool.begin().await?;
    match send_one(&mut transaction, writer, letter_id, actor).await {
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

async fn send_one(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    actor: &str,
) -> Result<ReplayOutcome, Error> {
    let (outcome, detail) = begin_audited(transaction, writer, letter_id, actor).await?;
    let object = letter_id.to_string();
    audit::record(transaction, actor, "dead-letter.replay", &object, &detail).await?;
    Ok(outcome)
}

/// What [`replay`] does, but for the line of the audit log: for a rehearsal, whose caller does more
/// in the transaction and rolls it back.
pub async fn begin(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    actor: &str,
) -> Result<ReplayOutcome, Error> {
    let (outcome, _) = begin_audited(transaction, writer, letter_id, actor).await?;
    Ok(outcome)
}

/// With what the audit log is to say.
async fn begin_audited(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    letter_id: DeadLetterId,
    actor: &str,
) -> Result<(ReplayOutcome, serde_json::Value), Error> {
    let letter = store::lock(transaction, letter_id)
        .await?
        .ok_or(Error::NotFound(letter_id))?;
    if is_reminder(&letter) {
        return remind(transaction, writer, &letter, actor).await;
    }
    let sent = send(transaction, writer, vec![letter], &Sender { actor, replay: None }).await?;
    let outcome = sent
        .outcomes
        .into_iter()
        .next()
        .unwrap_or(Err(Error::NotFound(letter_id)));
    let (letter, attempt) = outcome?;
    let detail = json!({"group": letter.group_name, "event_id": letter.event_id, "attempt": attempt});
    let outcome = ReplayOutcome {
        letter_id,
        attempt,
        deadline: sent.deadline,
    };
    Ok((outcome, detail))
}

/// Who sends letters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'s> {
    pub actor: &'s str,
    /// The replay they go with, if they do.
    pub replay: Option<ReplayId>,
}

/// Letters that were to be sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// Those that are on their way, with the number of the attempt, and why the others are
    /// not; in their order.
    pub outcomes: Vec<Result<(LockedLetter, u32), Error>>,
    /// Until when the groups have to answer.
    pub deadline: DateTime<Utc>,
}

/// Sends those of `letters`, which are locked, that may go.
pub(super) async fn send(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    letters: Vec<LockedLetter>,
    sender: &Sender<'_>,
) -> Result<Sent, Error> {
    let known = Known::of(transaction, &letters).await?;
    let mut rows: Vec<OutboxRow> = Vec::with_capacity(letters.len());
    let mut outcomes = Vec::with_capacity(letters.len());
    for letter in letters {
        let attempt = letter.replay_attempt + 1;
        let row = known
            .permits(&letter)
            .and_then(|()| retry::record(writer, &letter, Asks::Replay(attempt)));
        outcomes.push(row.map(|row| {
            rows.push(row);
            (letter, attempt)
        }));
    }
    let going = || outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
    let ids: Vec<DeadLetterId> = going().map(|(letter, _)| letter.letter_id).collect();
    let deadline = store::set_replaying(transaction, &ids, REPLAY_DEADLINE).await?;
    EventWriter::write(transaction, &rows).await?;
    let lines: Vec<(DeadLetterId, String)> = going()
        .map(|(letter, attempt)| (letter.letter_id, sender.line(*attempt)))
        .collect();
    store::insert_lines(transaction, &lines, "replayed", sender.actor).await?;
    Ok(Sent { outcomes, deadline })
}

impl Sender<'_> {
    /// What a letter's history says of it.
    fn line(&self, attempt: u32) -> String {
        match self.replay {
            Some(replay_id) => format!("attempt {attempt}, replay {replay_id}"),
            None => format!("attempt {attempt}"),
        }
    }
}

/// What is known beside the letters themselves.
#[derive(Debug, Default)]
struct Known {
    /// What stands before a letter in the queue of its key.
    before: HashMap<DeadLetterId, DeadLetterId>,
    /// What the inbox says of the letters' events.
    inbox: HashMap<(GroupNo, EventId), InboxState>,
}

impl Known {
    async fn of(transaction: &mut Transaction<'_, MySql>, letters: &[LockedLetter]) -> Result<Self, Error> {
        let ids: Vec<DeadLetterId> = letters.iter().map(|letter| letter.letter_id).collect();
        let before = store::queue::before(transaction, &ids).await?;
        let mut by_group: HashMap<GroupNo, Vec<EventId>> = HashMap::new();
        for letter in letters {
            by_group.entry(letter.group).or_default().push(letter.event_id);
        }
        let mut inbox = HashMap::with_capacity(letters.len());
        for (group, events) in by_group {
            let states = inbox::existing(transaction, group, &events).await?;
            inbox.extend(states.into_iter().map(|(event, state)| ((group, event), state)));
        }
        Ok(Self { before, inbox })
    }

    /// Whether a letter may be sent.
    fn permits(&self, letter: &LockedLetter) -> Result<(), Error> {
        let letter_id = letter.letter_id;
        may_go(letter)?;
        if let Some(first) = self.before.get(&letter_id) {
            return Err(Error::Parked {
                letter_id,
                first: *first,
            });
        }
        // Stands first, but is to be released, not replayed.
        if letter.disposition == Disposition::Parked {
            return Err(Error::Parked {
                letter_id,
                first: letter_id,
            });
        }
        // The replay's compare-and-set needs the row that says `dead`.
        match self.inbox.get(&(letter.group, letter.event_id)) {
            Some(InboxState::Dead) => Ok(()),
            _ => Err(Error::TooOld(letter_id)),
        }
    }
}

/// Whether a letter's state lets it be sent.
const fn may_go(letter: &LockedLetter) -> Result<(), Error> {
    match letter.state {
        LetterState::Open => Ok(()),
        LetterState::Replaying if letter.is_overdue => Ok(()),
        state => Err(Error::NotOpen {
            letter_id: letter.letter_id,
            state,
        }),
    }
}

/// Whether all that can be done for a letter is to remind its group of it.
fn is_reminder(letter: &LockedLetter) -> bool {
    letter.disposition == Disposition::Parked
}

/// Asks the group once more to release what is parked under a key that nobody heads: the
/// first request may have been lost with its retry topic.
async fn remind(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    letter: &LockedLetter,
    actor: &str,
) -> Result<(ReplayOutcome, serde_json::Value), Error> {
    let letter_id = letter.letter_id;
    may_go(letter)?;
    if let Err(first) = crate::park::is_first(transaction, letter).await? {
        return Err(Error::Parked { letter_id, first });
    }
    let release = retry::record(writer, letter, Asks::Release)?;
    EventWriter::write(transaction, &[release]).await?;
    store::insert_history(transaction, letter_id, "replayed", actor, "asked for its release").await?;
    let detail = json!({"group": letter.group_name, "event_id": letter.event_id, "release": true});
    let outcome = ReplayOutcome {
        letter_id,
        attempt: letter.replay_attempt,
        deadline: Utc::now() + REPLAY_DEADLINE,
    };
    Ok((outcome, detail))
}
