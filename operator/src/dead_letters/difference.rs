//! Edits of a letter as operators see them: what changed, and for viewers only where.

use chrono::{DateTime, Utc};
use headgate_dead_letters as letters;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::record::masked_field;

/// An edit of a letter.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Edit {
    /// Its number, from 1.
    pub edit_no: u32,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub edited_at: DateTime<Utc>,
    /// What it changed of what went before.
    pub difference: Difference,
}

/// What an edit changed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// Field by field, at most 50; long values are cut. Values are masked for viewers as the
    /// record is.
    pub changes: Vec<Change>,
    /// How many more there are.
    pub left_out: usize,
    /// What there was before could not be read: every field counts as new.
    pub original_unreadable: bool,
}

/// A field that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// JSON pointer.
    pub path: String,
    /// What it was; null if it was not there.
    pub before: Value,
    /// What it is; null if it is not there.
    pub after: Value,
}

/// A difference as viewers see it, and the audit log.
pub(super) fn masked(difference: letters::Difference) -> letters::Difference {
    difference.map(masked_field)
}

impl Edit {
    /// The edit as it is, or `masked`.
    pub(super) fn of(edit: letters::Edit, masked: bool) -> Self {
        let difference = if masked {
            self::masked(edit.difference)
        } else {
            edit.difference
        };
        Self {
            edit_no: edit.edit_no,
            actor: edit.actor,
            reason: edit.reason,
            edited_at: edit.edited_at,
            difference: difference.into(),
        }
    }
}

impl From<letters::Difference> for Difference {
    fn from(difference: letters::Difference) -> Self {
        let changes = difference.changes.into_iter().map(|change| Change {
            path: change.path,
            before: change.before,
            after: change.after,
        });
        Self {
            changes: changes.collect(),
            left_out: difference.left_out,
            original_unreadable: difference.original_unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dead_letters::record::MASK;

    #[test]
    fn viewers_see_which_fields_changed_and_only_values_that_name_nobody() {
        let before = json!({"ticket": 7, "user_id": "u-1", "quota": {"user_id": "u-2"}, "list": ["u-3"]});
        let after = json!({"ticket": 8, "user_id": "u-4", "quota": 5, "list": ["u-5"]});
        let difference = masked(letters::Difference::between(Some(&before), &after));
        let shown: Vec<_> = difference
            .changes
            .into_iter()
            .map(|change| (change.path, change.before, change.after))
            .collect();
        let change = |path: &str, before: Value, after: Value| (path.to_owned(), before, after);
        assert_eq!(
            shown,
            [
                change("/list/0", json!(MASK), json!(MASK)),
                change("/quota", json!({"user_id": MASK}), json!(5)),
                change("/ticket", json!(7), json!(8)),
                change("/user_id", json!(MASK), json!(MASK)),
            ]
        );
        // However large it is.
        let large = json!({"quota": {"user_id": "u-2".repeat(1_000)}});
        let difference = masked(letters::Difference::between(Some(&large), &after));
        let text = serde_json::to_string(&difference).expect("JSON");
        assert!(!text.contains("u-2") && !text.contains("u-4"), "{text}");
    }
}
