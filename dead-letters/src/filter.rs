//! Which letters. Lists, counts, groups and replays take the same filter, and one function
//! turns it into SQL ([`store`](crate::store)): what is acted on is what was shown.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Fingerprint;
use crate::letter::{Disposition, LetterState};

/// Which letters. Empty fields match everything.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// Name of the group.
    pub group: Option<String>,
    /// State. Without one: any but `archived`.
    pub state: Option<LetterState>,
    /// Disposition.
    pub disposition: Option<Disposition>,
    /// Class of the error.
    pub error_class: Option<String>,
    /// Event type.
    pub event_type: Option<String>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The cause.
    pub fingerprint: Option<Fingerprint>,
    /// First failure at this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// First failure before this moment.
    pub until: Option<DateTime<Utc>>,
    /// A part of the error.
    pub text: Option<ErrorPart>,
    /// Schema id of the value, where it is in Confluent's wire format.
    pub schema_id: Option<u32>,
    /// Only those that wait behind another of their key, or only those that do not.
    pub parked: Option<bool>,
}

/// Longest part of an error that is looked for, in characters.
pub const ERROR_PART_CHARS_MAX: usize = 256;

/// A part of an error's text: 1 to [`ERROR_PART_CHARS_MAX`] characters, each of which stands
/// for itself, upper and lower case apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ErrorPart(String);

/// It is too short or too long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must have 1 to {ERROR_PART_CHARS_MAX} characters")]
pub struct InvalidErrorPart;

impl TryFrom<String> for ErrorPart {
    type Error = InvalidErrorPart;

    fn try_from(text: String) -> Result<Self, InvalidErrorPart> {
        if text.is_empty() || text.chars().count() > ERROR_PART_CHARS_MAX {
            return Err(InvalidErrorPart);
        }
        Ok(Self(text))
    }
}

impl From<ErrorPart> for String {
    fn from(part: ErrorPart) -> Self {
        part.0
    }
}

impl ErrorPart {
    /// The pattern of a LIKE whose escape character is `!`.
    pub(crate) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.0.len() + 2);
        pattern.push('%');
        for letter in self.0.chars() {
            if matches!(letter, '%' | '_' | '!') {
                pattern.push('!');
            }
            pattern.push(letter);
        }
        pattern.push('%');
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_a_part_stands_for_itself() {
        let part = |text: &str| ErrorPart::try_from(text.to_owned());
        assert_eq!(part("50% a_b!").expect("it is short").pattern(), "%50!% a!_b!!%");
        assert!(part("").is_err() && part(&"x".repeat(ERROR_PART_CHARS_MAX + 1)).is_err());
        assert!(part(&"ü".repeat(ERROR_PART_CHARS_MAX)).is_ok());
    }
}
