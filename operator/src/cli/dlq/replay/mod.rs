//! `headgate dlq plan`, `rehearse`, `replay` and what follows it.

mod act;
mod plan;
mod rehearse;
mod run;
mod show;
mod watch;

use clap::Args;
use headgate_schemas::ids::{DeadLetterId, ReplayId};

use super::Matching;
use crate::cli::confirm::Confirmation;
use crate::replays::PaceAsked;

/// How fast it goes.
#[derive(Clone, Copy, Debug, Args)]
struct Pace {
    /// Most letters a second
    #[arg(long, value_name = "LETTERS")]
    rate: Option<u32>,
    /// So many letters go first, then it pauses to be looked at; 0: none
    #[arg(long, value_name = "LETTERS")]
    canary: Option<u32>,
    /// It pauses when more of the last 100 letters failed; 0: at the first, 100: never
    #[arg(long, value_name = "PERCENT")]
    failures_max: Option<u8>,
}

impl Pace {
    const fn asked(self) -> PaceAsked {
        PaceAsked {
            rate_per_second: self.rate,
            canary_letters: self.canary,
            failures_percent_max: self.failures_max,
        }
    }
}

/// Chooses letters for a replay and says what it will meet; sends nothing
///
/// The letters are the open ones that match, as they are now. What is parked behind one goes
/// with it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate dlq plan --class campaign-missing
  headgate dlq plan --fingerprint 5b0c1d7c2f6e4a7f9d1e8a3b6c5d4e2f --rate 500 --output json | jq .replay_id")]
pub struct Plan {
    #[command(flatten)]
    matching: Matching,
    #[command(flatten)]
    pace: Pace,
}

/// Says letter by letter what a replay would do
///
/// Each letter is applied by the very function of its group, and rolled back. Nothing is
/// changed or sent; what would be published is listed. Name a letter, or a replay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate dlq rehearse 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77
  headgate dlq rehearse --plan 0198c5a1-9f00-7000-8000-3f6d1c0b4e11 --letters 100
  headgate dlq rehearse --plan 0198c5a1-9f00-7000-8000-3f6d1c0b4e11 --all --output json | jq '.[] | select(.would != \"apply\")'")]
pub struct Rehearse {
    /// The letter
    #[arg(conflicts_with = "plan")]
    letter_id: Option<DeadLetterId>,
    /// A replay, of which letters that were not sent are rehearsed
    #[arg(long, value_name = "REPLAY_ID")]
    plan: Option<ReplayId>,
    /// Most letters
    #[arg(long, default_value_t = 20, conflicts_with = "all")]
    letters: u32,
    /// All letters of the replay
    #[arg(long, requires = "plan")]
    all: bool,
}

/// Sends dead letters to their group once more
///
/// The record goes to the one group that could not apply it and to nobody else, and is
/// applied at most once. Name one letter, a replay that was planned, or say which open letters:
/// then they are planned first. Letters go oldest first, at a rate. After its canary a replay
/// pauses and asks; when too much fails, it pauses by itself. It goes on without this command,
/// which only watches.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate dlq replay 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77
  headgate dlq replay --plan 0198c5a1-9f00-7000-8000-3f6d1c0b4e11
  headgate dlq replay --class campaign-missing --rate 500 --yes
  headgate dlq replay --fingerprint 5b0c1d7c2f6e4a7f9d1e8a3b6c5d4e2f --canary 0 --yes --detach")]
pub struct Replay {
    /// The letter
    #[arg(conflicts_with_all = [
        "group", "disposition", "class", "event_type", "key", "fingerprint", "since", "until", "text", "schema_id",
        "plan", "rate", "canary", "failures_max", "detach",
    ])]
    letter_id: Option<DeadLetterId>,
    #[command(flatten)]
    matching: Matching,
    /// A replay that was planned
    #[arg(long, value_name = "REPLAY_ID", conflicts_with_all = [
        "group", "disposition", "class", "event_type", "key", "fingerprint", "since", "until", "text", "schema_id",
    ])]
    plan: Option<ReplayId>,
    #[command(flatten)]
    pace: Pace,
    /// Do not wait for it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Lists replays, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate dlq replays --state paused")]
pub struct Replays {
    /// planned, running, paused, completed or cancelled
    #[arg(long)]
    state: Option<String>,
    /// Most replays
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<ReplayId>,
}

/// Waits for a replay until it pauses or ends, and shows it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate dlq watch 0198c5a1-9f00-7000-8000-3f6d1c0b4e11")]
pub struct Watch {
    /// The replay
    replay_id: ReplayId,
}

/// Lists the letters of a replay, each with its outcome
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  headgate dlq outcome 0198c5a1-9f00-7000-8000-3f6d1c0b4e11 --outcome failed"
)]
pub struct Outcome {
    /// The replay
    replay_id: ReplayId,
    /// waiting, sent, resolved, failed, quarantined, unanswered or refused
    #[arg(long)]
    outcome: Option<String>,
    /// Most letters
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<u32>,
}

/// Pauses a running replay: nothing more is sent
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate dlq pause 0198c5a1-9f00-7000-8000-3f6d1c0b4e11")]
pub struct Pause {
    /// The replay
    replay_id: ReplayId,
}

/// Resumes a paused replay, at another pace if one is given
///
/// Failures so far are forgiven. Paused after its canary, it sends the rest; with --canary so
/// many more first.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate dlq resume 0198c5a1-9f00-7000-8000-3f6d1c0b4e11 --rate 1000")]
pub struct Resume {
    /// The replay
    replay_id: ReplayId,
    #[command(flatten)]
    pace: Pace,
    /// Do not wait for it
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Cancels a replay: nothing more is sent, and what was not sent stays open
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate dlq cancel 0198c5a1-9f00-7000-8000-3f6d1c0b4e11")]
pub struct Cancel {
    /// The replay
    replay_id: ReplayId,
}
