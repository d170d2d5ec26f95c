//! `headgate dlq`.

mod act;
mod edit;
mod look;
mod replay;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use headgate_dead_letters::Fingerprint;
use headgate_dead_letters::groups::GroupCursor;
use headgate_schemas::ids::DeadLetterId;

use super::Error;
use super::confirm::Confirmation;
use super::output::Output;

/// Dead letters: what a consumer group could not apply
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Groups(Groups),
    Show(Show),
    Edit(Edit),
    Plan(replay::Plan),
    Rehearse(replay::Rehearse),
    Replay(replay::Replay),
    Replays(replay::Replays),
    Watch(replay::Watch),
    Outcome(replay::Outcome),
    Pause(replay::Pause),
    Resume(replay::Resume),
    Cancel(replay::Cancel),
    Archive(Archive),
    Restore(Restore),
    Discard(Discard),
}

/// Which letters.
#[derive(Debug, Args)]
struct Matching {
    /// Only letters of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only poison, rejected, exhausted or parked letters
    #[arg(long, value_name = "DISPOSITION")]
    disposition: Option<String>,
    /// Only letters of this class of error
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Only letters of this event type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only letters of records with this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only letters of this cause, as `dlq groups` shows it
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<Fingerprint>,
    /// Only letters that failed first at this time or later, e.g. 2026-11-22T08:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Only letters that failed first before this time
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Only letters whose error contains this
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Only letters of records whose value names this schema id
    #[arg(long, value_name = "ID")]
    schema_id: Option<u32>,
}

/// Lists dead letters, the newest first, without their values
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate dlq list
  headgate dlq list --class claim-not-found --limit 500
  headgate dlq list --state any --output json | jq '.items[].letter_id'")]
pub struct List {
    #[command(flatten)]
    matching: Matching,
    /// open, replaying, resolved, discarded, archived, quarantined, or any but archived
    #[arg(long, default_value = "open")]
    state: String,
    /// Most letters
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<DeadLetterId>,
}

/// Groups dead letters by consumer group and cause, most letters first
///
/// A thousand letters are few faults: mend one, then replay its letters by --fingerprint.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate dlq groups
  headgate dlq groups --since 2026-11-22T08:00:00Z --output json | jq '.items[] | .letters, .error'")]
pub struct Groups {
    #[command(flatten)]
    matching: Matching,
    /// open, replaying, resolved, discarded, archived or quarantined
    #[arg(long, default_value = "open")]
    state: String,
    /// Most groups
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<GroupCursor>,
}

/// Shows a dead letter: its record, decoded, and what became of it
///
/// Viewers see the record with its personal parts masked.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate dlq show 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
pub struct Show {
    /// The letter
    letter_id: DeadLetterId,
}

/// Corrects the value that a dead letter sends to its group, for a reason
///
/// The value is edited as JSON and checked against its event's schema. The record stays as it
/// came; `dlq show` has both, and what is different. Nothing is sent without --replay. Without
/// --file, $VISUAL or $EDITOR opens on the value.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate dlq edit 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --reason 'the shop sent the wrong user'
  headgate dlq edit 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --file value.json --reason 'cut short' --replay --yes")]
pub struct Edit {
    /// The letter
    letter_id: DeadLetterId,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
    /// The whole value as JSON; `-` is stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The event that the value is, if neither its headers nor the value say it right
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Send it to its group at once
    #[arg(long)]
    replay: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Puts a dead letter out of sight and of replays, for a reason
///
/// It goes on holding its key. After `retention.archived_letters_days` it is discarded, and
/// what its event promised is settled then.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  headgate dlq archive 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --reason 'waits for the supplier'"
)]
pub struct Archive {
    /// The letter
    letter_id: DeadLetterId,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
}

/// Opens an archived or quarantined dead letter again, for a reason
///
/// Its failed replays are counted anew.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  headgate dlq restore 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --reason 'the cause is mended'"
)]
pub struct Restore {
    /// The letter
    letter_id: DeadLetterId,
    /// Why, for the audit log
    #[arg(long)]
    reason: String,
}

/// Gives a dead letter up, for a reason
///
/// What its event promised is settled at the same time: a claim whose coupon will never
/// be issued is released, and its ticket goes to the next asker.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  headgate dlq discard 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --reason 'a test sale'"
)]
pub struct Discard {
    /// The letter
    letter_id: DeadLetterId,
    /// Why, for the audit log and the event that follows
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        match self {
            Self::List(list) => list.run(output).await,
            Self::Groups(groups) => groups.run(output).await,
            Self::Show(show) => show.run(output).await,
            Self::Edit(edit) => edit.run(output).await,
            Self::Plan(plan) => plan.run(output).await,
            Self::Rehearse(rehearse) => rehearse.run(output).await,
            Self::Replay(replay) => replay.run(output).await,
            Self::Replays(replays) => replays.run(output).await,
            Self::Watch(watch) => watch.run(output).await,
            Self::Outcome(outcome) => outcome.run(output).await,
            Self::Pause(pause) => pause.run(output).await,
            Self::Resume(resume) => resume.run(output).await,
            Self::Cancel(cancel) => cancel.run(output).await,
            Self::Archive(archive) => archive.run(output).await,
            Self::Restore(restore) => restore.run(output).await,
            Self::Discard(discard) => discard.run(output).await,
        }
    }
}
