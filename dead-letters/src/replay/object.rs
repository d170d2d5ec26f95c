//! What a replay is.

use chrono::{DateTime, Utc};
use headgate_schemas::ids::{DeadLetterId, EventId, ReplayId};
use serde::{Deserialize, Serialize};

use super::answers::RecentAnswers;
use crate::fingerprint::Fingerprint;
use crate::letter::{Disposition, LetterState};

/// Where a replay is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum ReplayState {
    /// Its letters are chosen; nothing was sent.
    Planned,
    /// Its letters go, at its pace.
    Running,
    /// It stands still until it is resumed or cancelled.
    Paused,
    /// Every letter has an outcome.
    Completed,
    /// What was not sent stays as it is.
    Cancelled,
}

impl ReplayState {
    /// The word in MySQL and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for ReplayState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a replay stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum PauseReason {
    /// Somebody paused it.
    Operator,
    /// Its first letters are through: look at them, then resume.
    Canary,
    /// Too many of the last letters failed.
    Failures,
}

impl PauseReason {
    /// The word in MySQL and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Canary => "canary",
            Self::Failures => "failures",
        }
    }
}

/// What became of a letter in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(rename_all = "lowercase")]
pub enum Outcome {
    /// Its turn has not come.
    Waiting,
    /// On its way to its group.
    Sent,
    /// Applied.
    Resolved,
    /// It failed again and is open.
    Failed,
    /// It failed once too often: no replay takes it until it is restored.
    Quarantined,
    /// Its group did not answer within [`REPLAY_DEADLINE`](super::REPLAY_DEADLINE).
    Unanswered,
    /// It could not be sent, or somebody settled it meanwhile.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Sent,
        Self::Resolved,
        Self::Failed,
        Self::Quarantined,
        Self::Unanswered,
        Self::Refused,
    ];

    /// The word in MySQL and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Resolved => "resolved",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
            Self::Unanswered => "unanswered",
            Self::Refused => "refused",
        }
    }

    /// Whether it counts against the replay.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Quarantined | Self::Unanswered)
    }

    /// What a letter that was sent as `attempt` has become. `None`: it is still on its way.
    pub(crate) const fn of_sent(attempt: u32, now: LetterNow) -> Option<Self> {
        match now.state {
            LetterState::Replaying if now.attempt == attempt && !now.is_overdue => None,
            LetterState::Replaying => Some(Self::Unanswered),
            LetterState::Resolved => Some(Self::Resolved),
            LetterState::Open if !now.has_failed => Some(Self::Unanswered),
            LetterState::Open => Some(Self::Failed),
            LetterState::Quarantined => Some(Self::Quarantined),
            LetterState::Discarded | LetterState::Archived => Some(Self::Refused),
        }
    }
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LetterNow {
    pub state: LetterState,
    pub attempt: u32,
    /// Still replaying, past its deadline.
    pub is_overdue: bool,
    /// It failed since it was sent. One that is open without it was never answered.
    pub has_failed: bool,
}

/// How fast a replay goes, and what stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Most letters a second, at least 1.
    pub rate_per_second: u32,
    /// So many letters go first; then it pauses to be looked at. 0: none.
    pub canary_letters: u32,
    /// It pauses when more than so many per cent of the last letters failed, 0 to 100.
    pub failures_percent_max: u8,
}

/// What a replay will meet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Letters that will be sent.
    pub letters: u64,
    /// Distinct keys that they hold.
    pub keys: u64,
    /// Parked letters behind them, which follow by themselves.
    pub followers: u64,
    /// Letters that match but stay: each waits behind a letter that is not in the plan.
    pub conflicts: u64,
    /// Letters whose replay changes nothing: what they ask for was done by other means.
    pub superseded: u64,
    /// Most letters first, up to [`plan::CAUSES_MAX`](super::plan::CAUSES_MAX).
    pub causes: Vec<Cause>,
    /// How many causes there are.
    pub causes_total: u64,
}

/// Letters of one group and one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Name of the consumer group.
    pub group: String,
    /// The cause.
    pub fingerprint: Fingerprint,
    /// How many letters.
    pub letters: u64,
    /// Disposition of the newest.
    pub disposition: Disposition,
    /// Class of its error.
    pub error_class: String,
    /// Its error.
    pub error: String,
    /// The newest.
    pub example: DeadLetterId,
}

/// A replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Its number in MySQL.
    pub(crate) replay_no: u32,
    /// Its id.
    pub replay_id: ReplayId,
    /// Where it is in its life.
    pub state: ReplayState,
    /// Why it stands still.
    pub pause_reason: Option<PauseReason>,
    /// More about that.
    pub pause_detail: Option<String>,
    /// What was asked for, as it was asked.
    pub filter: serde_json::Value,
    /// What was found.
    pub plan: Plan,
    /// How fast it goes.
    pub pace: Pace,
    /// The last place that may be sent.
    pub(crate) places_allowed: u32,
    /// Who planned it.
    pub planned_by: String,
    /// When.
    pub planned_at: DateTime<Utc>,
    /// Who started or resumed it last.
    pub run_by: Option<String>,
    /// When it was started.
    pub started_at: Option<DateTime<Utc>>,
    /// What it is judged by.
    pub(crate) recent_answers: RecentAnswers,
    /// When it was completed or cancelled.
    pub ended_at: Option<DateTime<Utc>>,
}

/// How many letters of a replay have which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress([u64; Outcome::ALL.len()]);

impl Progress {
    /// That of a new plan: all of its letters wait.
    pub const fn planned(plan: &Plan) -> Self {
        let mut progress = Self([0; Outcome::ALL.len()]);
        progress.set(Outcome::Waiting, plan.letters);
        progress
    }

    /// How many have this one.
    pub const fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    const fn set(&mut self, outcome: Outcome, letters: u64) {
        self.0[outcome as usize] = letters;
    }

    /// So many letters have had their turn, and this outcome.
    pub(crate) const fn turn(&mut self, outcome: Outcome, letters: u64) {
        self.set(outcome, letters);
        let waiting = self.of(Outcome::Waiting).saturating_sub(letters);
        self.set(Outcome::Waiting, waiting);
    }
}

/// What became of one letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterOutcome {
    /// The letter.
    pub letter_id: DeadLetterId,
    /// What became of it.
    pub outcome: Outcome,
    /// Which attempt of the letter this was.
    pub attempt: Option<u32>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When that was known.
    pub settled_at: Option<DateTime<Utc>>,
    /// A stable word for why it was not resolved.
    pub error_class: Option<String>,
    /// Why it was not resolved.
    pub error: Option<String>,
}

impl LetterOutcome {
    /// That of a letter whose turn has not come.
    pub(crate) const fn waiting(letter_id: DeadLetterId) -> Self {
        Self {
            letter_id,
            outcome: Outcome::Waiting,
            attempt: None,
            sent_at: None,
            settled_at: None,
            error_class: None,
            error: None,
        }
    }
}

/// A letter of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayLetter {
    /// The order in which they go, from 1.
    pub place: u32,
    /// What became of it.
    pub outcome: LetterOutcome,
    /// Name of its group.
    pub group: String,
    /// Its event.
    pub event_id: EventId,
    /// Its record's key as text, with what is not UTF-8 replaced.
    pub key: Option<String>,
    /// Its cause.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sent_letter_has_an_outcome_once_its_attempt_is_over() {
        let now = |state, attempt, is_overdue| LetterNow {
            state,
            attempt,
            is_overdue,
            has_failed: true,
        };
        let unheard = LetterNow {
            has_failed: false,
            ..now(LetterState::Open, 2, false)
        };
        assert_eq!(
            Outcome::of_sent(2, unheard),
            Some(Outcome::Unanswered),
            "edited past its deadline"
        );
        for (letter, expected) in [
            (now(LetterState::Replaying, 2, false), None),
            (now(LetterState::Replaying, 2, true), Some(Outcome::Unanswered)),
            // Somebody replayed it anew.
            (now(LetterState::Replaying, 3, false), Some(Outcome::Unanswered)),
            (now(LetterState::Resolved, 2, false), Some(Outcome::Resolved)),
            (now(LetterState::Resolved, 3, false), Some(Outcome::Resolved)),
            (now(LetterState::Open, 2, false), Some(Outcome::Failed)),
            (
                now(LetterState::Quarantined, 2, false),
                Some(Outcome::Quarantined),
            ),
            (now(LetterState::Discarded, 2, false), Some(Outcome::Refused)),
            (now(LetterState::Archived, 2, false), Some(Outcome::Refused)),
        ] {
            assert_eq!(Outcome::of_sent(2, letter), expected, "{letter:?}");
        }
    }

    #[test]
    fn progress_counts_each_outcome_apart() {
        let plan = Plan {
            letters: 30,
            ..Plan::default()
        };
        let mut progress = Progress::planned(&plan);
        for (letters, outcome) in (2..).zip(&Outcome::ALL[1..]) {
            progress.turn(*outcome, letters);
        }
        assert_eq!(
            Outcome::ALL.map(|outcome| progress.of(outcome)),
            [3, 2, 3, 4, 5, 6, 7]
        );
    }
}
