//! Dead letters that an operator sent again: each is applied once, if this attempt is the
//! letter's current one, and otherwise not at all. Letters that arrive together share a
//! transaction, so that a replay beside traffic waits for its partition once and not letter by
//! letter.

use std::collections::{HashMap, HashSet};

use headgate_dead_letters::attempt::{self, Origin};
use headgate_dead_letters::park::{self, HeldKey};
use headgate_groups::decode::Content;
use headgate_runtime::crash_point;
use headgate_schemas::ids::DeadLetterId;

use super::failure::{Failure, Kind};
use super::patience::Stopped;
use super::persist::{Again, Failed};
use super::pieces::{Piece, Pieces};
use super::record::Record;
use super::worker::{Wait, Worker};

/// Most letters of one transaction: so long their partition's traffic waits.
const LETTERS_TOGETHER_MAX: usize = 64;

/// A letter as it was sent, read.
#[derive(Debug)]
pub(crate) struct Sent {
    pub letter_id: DeadLetterId,
    /// Number of the attempt.
    pub number: u32,
    pub key: Option<HeldKey>,
    pub content: Content,
    /// Where its record came from. `None`: the group has no such letter.
    pub origin: Option<Origin>,
}

impl Worker {
    /// Settles records that carry dead letters, in order.
    pub(crate) async fn replay(&self, records: Vec<Record>) -> Result<(), Stopped> {
        let mut sent = self.read_sent(records).await?;
        // Within a partition they stay in order.
        sent.sort_by(|one, other| one.home().cmp(&other.home()));
        for run in runs(&sent) {
            let mut pieces = Pieces::of(run);
            while let Some(piece) = pieces.next() {
                // What was settled has been released, too.
                if self.stop.is_cancelled() {
                    return Err(Stopped);
                }
                pieces.note(piece, self.replay_together(piece).await?);
            }
        }
        Ok(())
    }

    async fn read_sent(&self, records: Vec<Record>) -> Result<Vec<Sent>, Stopped> {
        let letters: Vec<DeadLetterId> = records
            .iter()
            .filter_map(|record| record.marks.letter_id)
            .collect();
        let origins = self.until_possible(|| self.origins(&letters)).await?;
        let mut sent = Vec::with_capacity(records.len());
        for record in records {
            let (Some(letter_id), Some(number)) = (record.marks.letter_id, record.marks.attempt) else {
                continue;
            };
            // A letter may be there twice.
            let origin = origins.get(&letter_id).cloned();
            let content = match &origin {
                Some(origin) => self.content(origin.event_id, &record).await?,
                None => None,
            };
            sent.push(Sent {
                letter_id,
                number,
                key: record.key.as_deref().map(HeldKey::of),
                content: content.unwrap_or_else(Content::not_for_group),
                origin,
            });
        }
        Ok(sent)
    }

    /// Where those of `letters` come from that are the group's.
    async fn origins(&self, letters: &[DeadLetterId]) -> Result<HashMap<DeadLetterId, Origin>, Failure> {
        let batches = &self.tools.batches;
        let origins = attempt::origins(&batches.pool, letters).await?;
        let own = origins
            .into_iter()
            .filter(|(_, origin)| origin.group == batches.group_no);
        Ok(own.collect())
    }

    /// Settles letters in one transaction, if none of several fails.
    async fn replay_together(&self, piece: &[Sent]) -> Result<Piece, Stopped> {
        let mut wait = Wait::new(self);
        let mut failed = Failed::new(self);
        loop {
            let failure = match self.attempt_letters(piece).await {
                Ok(outcomes) => {
                    wait.over();
                    for (letter_id, outcome) in outcomes {
                        self.report(Some(letter_id), outcome);
                    }
                    crash_point!("consumer.after-replay-before-release");
                    // Also when it was settled before: whoever settled it may have died here.
                    self.release_behind(piece).await?;
                    return Ok(Piece::Settled);
                }
                Err(failure) => failure,
            };
            if failure.kind == Kind::Contention {
                metrics::counter!("headgate_mysql_deadlocks_total").increment(1);
            }
            if failure.kind != Kind::Data {
                wait.out(&failure).await?;
                // Fewer letters need less time, and meet fewer others.
                if piece.len() > 1 && failure.is_eased_by_less() {
                    wait.over();
                    return Ok(Piece::Halve);
                }
                continue;
            }
            wait.over();
            let [sent] = piece else { return Ok(Piece::Halve) };
            if failed.again(&self.stop).await? == Again::Enough {
                self.give_back(sent, &failure.cause).await?;
                // Should somebody else have settled it meanwhile, and died.
                self.release(sent.letter_id, sent.key).await?;
                return Ok(Piece::Settled);
            }
        }
    }

    /// Releases what is parked behind letters.
    async fn release_behind(&self, piece: &[Sent]) -> Result<(), Stopped> {
        let held = self.until_possible(|| self.still_held(piece)).await?;
        for sent in piece {
            if sent.key.is_some_and(|key| held.contains(&key)) {
                self.release(sent.letter_id, sent.key).await?;
            }
        }
        Ok(())
    }

    /// The keys that letters hold although `piece` is settled.
    async fn still_held(&self, piece: &[Sent]) -> Result<HashSet<HeldKey>, Failure> {
        let Some(origin) = piece.first().and_then(|sent| sent.origin.as_ref()) else {
            return Ok(HashSet::new());
        };
        let keys = piece.iter().filter_map(|sent| sent.key);
        Ok(park::still_held(&self.tools.batches.pool, origin.home(), keys).await?)
    }

    pub(crate) fn report(&self, letter_id: Option<DeadLetterId>, outcome: &'static str) {
        let group = self.group_name();
        metrics::counter!("headgate_replays_total", "group" => group, "outcome" => outcome).increment(1);
        tracing::info!(
            group,
            outcome,
            letter_id = letter_id.map(|id| id.to_string()),
            "a replay was settled"
        );
    }
}

impl Sent {
    /// The partition that its record came from.
    fn home(&self) -> Option<(&str, i32)> {
        let origin = self.origin.as_ref()?;
        Some((&origin.topic, origin.partition))
    }

    fn mark(&self) -> Mark<'_> {
        Mark {
            letter_id: self.letter_id,
            key: self.key,
            home: self.home(),
            is_event: matches!(self.content, Content::Event { .. }),
        }
    }
}

/// What decides which letters go together.
#[derive(Clone, Copy, Debug)]
struct Mark<'s> {
    letter_id: DeadLetterId,
    key: Option<HeldKey>,
    home: Option<(&'s str, i32)>,
    /// Whether its event can be read.
    is_event: bool,
}

/// Cuts letters, in order, into runs of those that can go together.
fn runs(sent: &[Sent]) -> Vec<&[Sent]> {
    let mut runs = Vec::new();
    let mut rest = sent;
    while !rest.is_empty() {
        let (run, behind) = rest.split_at(run_length(rest.iter().map(Sent::mark)));
        runs.push(run);
        rest = behind;
    }
    runs
}

/// Length of the first run of some letters (there are some), at least 1: their events can be read,
/// they came from one partition, so that no partition is held while another is waited for, and
/// none comes after another of its key, or after itself. What is parked behind a letter goes
/// before what was sent behind it.
fn run_length<'s>(marks: impl Iterator<Item = Mark<'s>>) -> usize {
    let (mut letters, mut keys) = (HashSet::new(), HashSet::new());
    let mut first = None;
    let together = marks.take(LETTERS_TOGETHER_MAX).take_while(|mark| {
        let home = *first.get_or_insert(mark.home);
        mark.is_event
            && home.is_some()
            && mark.home == home
            && letters.insert(mark.letter_id)
            && mark.key.is_none_or(|key| keys.insert(key))
    });
    together.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(partition: i32, key: &str) -> Mark<'static> {
        Mark {
            letter_id: DeadLetterId::generate(),
            key: Some(HeldKey::of(key.as_bytes())),
            home: Some(("headgate.coupons", partition)),
            is_event: true,
        }
    }

    fn length(marks: &[Mark<'_>]) -> usize {
        run_length(marks.iter().copied())
    }

    #[test]
    fn letters_of_distinct_keys_of_one_partition_go_together() {
        let keyless = Mark {
            key: None,
            ..mark(0, "")
        };
        let marks = [mark(0, "a"), mark(0, "b"), keyless, mark(0, "c")];
        assert_eq!(length(&marks), 4);
        let many: Vec<Mark<'_>> = (0..200).map(|key| mark(0, &key.to_string())).collect();
        assert_eq!(length(&many), LETTERS_TOGETHER_MAX);
    }

    #[test]
    fn another_partition_begins_a_new_run() {
        assert_eq!(length(&[mark(0, "a"), mark(0, "b"), mark(2, "c")]), 2);
    }

    #[test]
    fn another_letter_of_a_key_begins_a_new_run() {
        assert_eq!(length(&[mark(0, "a"), mark(0, "b"), mark(0, "a")]), 2);
    }

    #[test]
    fn a_letter_that_comes_again_begins_a_new_run() {
        let first = Mark {
            key: None,
            ..mark(0, "")
        };
        assert_eq!(length(&[first, mark(0, "b"), first]), 2);
    }

    #[test]
    fn what_cannot_be_applied_goes_alone() {
        let poison = Mark {
            is_event: false,
            ..mark(0, "p")
        };
        let unknown = Mark {
            home: None,
            ..mark(0, "u")
        };
        assert_eq!(length(&[mark(0, "a"), poison]), 1);
        assert_eq!(length(&[poison, mark(0, "a")]), 1);
        assert_eq!(length(&[unknown, unknown, mark(0, "a")]), 1);
    }
}
