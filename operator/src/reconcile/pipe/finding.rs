//! What a walk finds that must never be, and how it is shown.

use std::collections::BTreeMap;

use headgate_schemas::ids::{DeadLetterId, EventId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cursor::Cursor;

/// Kinds of differences. Each has a section in `docs/runbook/reconciliation.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// A committed event that is neither waiting, blocked nor published.
    OutboxLost,
    /// Published, but not where Kafka acknowledged it.
    RecordMissing,
    /// Behind the group's place, and not in its inbox.
    PassedBy,
    /// Applied according to the inbox, and its change is not there.
    WithoutEffect,
    /// Inbox and letter say different things.
    LetterDisagrees,
}

impl Kind {
    /// The stable word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OutboxLost => "outbox-lost",
            Self::RecordMissing => "record-missing",
            Self::PassedBy => "passed-by",
            Self::WithoutEffect => "without-effect",
            Self::LetterDisagrees => "letter-disagrees",
        }
    }

    /// What to do, in a line; more is in the runbook.
    const fn remedy(self) -> &'static str {
        match self {
            Self::OutboxLost => "restore the outbox row from a backup or the binary log",
            Self::RecordMissing => {
                "headgate offsets refeed GROUP --since DAY; tell other readers of the topic"
            }
            Self::PassedBy => "headgate offsets refeed GROUP --since DAY",
            Self::WithoutEffect => "restore the rows of the change from a backup or the binary log",
            Self::LetterDisagrees => {
                "compare `headgate dlq show` with the inbox; restore the one that was changed"
            }
        }
    }
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Example {
    /// The event; unknown if nothing of it is left.
    #[schema(value_type = Option<Uuid>)]
    pub event_id: Option<EventId>,
    /// Key of its record: the claim or the campaign.
    pub key: Option<String>,
    /// Its `ce_sequence`.
    pub sequence: Option<u64>,
    /// The group that it concerns.
    pub group: Option<String>,
    /// Its letter.
    #[schema(value_type = Option<Uuid>)]
    pub letter_id: Option<DeadLetterId>,
    /// Where it was published, or its record came from.
    pub topic: Option<String>,
    /// The partition there.
    pub partition: Option<i32>,
    /// The offset there.
    pub offset: Option<i64>,
    /// What was found instead.
    pub detail: String,
}

/// Differences of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipeDifference {
    /// A stable word for it.
    pub kind: String,
    /// How many there are.
    pub count: u64,
    /// What to do about it.
    pub remedy: String,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// Most examples of a kind in an answer.
pub const EXAMPLES_MAX: usize = 20;

impl PipeDifference {
    /// Adds those of another page.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }
}

/// A difference, and where a walk meets it again.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub kind: Kind,
    pub example: Example,
    /// Right before the row that showed it.
    pub at: Cursor,
}

/// What makes a finding the same as one before.
pub(super) type Identity = (Kind, String);

impl Finding {
    pub(super) fn identity(&self) -> Identity {
        let example = &self.example;
        let group = example.group.as_deref().unwrap_or_default();
        let what = match (example.event_id, &example.key, example.sequence) {
            (Some(event_id), _, _) => event_id.to_string(),
            (None, key, sequence) => format!(
                "{}#{}",
                key.as_deref().unwrap_or_default(),
                sequence.unwrap_or_default()
            ),
        };
        (self.kind, format!("{group} {what}"))
    }
}

/// Findings by kind, as an answer shows them.
pub(super) fn by_kind(findings: impl IntoIterator<Item = Finding>) -> Vec<PipeDifference> {
    let mut kinds: BTreeMap<Kind, PipeDifference> = BTreeMap::new();
    for finding in findings {
        let one = PipeDifference {
            kind: finding.kind.as_str().to_owned(),
            count: 1,
            remedy: finding.kind.remedy().to_owned(),
            examples: vec![finding.example],
        };
        match kinds.get_mut(&finding.kind) {
            Some(difference) => difference.add(one),
            None => {
                kinds.insert(finding.kind, one);
            }
        }
    }
    kinds.into_values().collect()
}
