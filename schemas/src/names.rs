//! Names that partners give: bounded, compared byte for byte, never interpreted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Most characters of a partner's own name for something.
pub const NAME_CHARS_MAX: usize = 64;

/// The text is no acceptable name.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Nothing in it.
    #[error("must not be empty")]
    Empty,
    /// More than [`NAME_CHARS_MAX`] characters.
    #[error("must have at most {NAME_CHARS_MAX} characters")]
    TooLong,
    /// A character that no reader could see.
    #[error("must not contain control characters")]
    Control,
}

macro_rules! partner_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Accepts 1 to [`NAME_CHARS_MAX`] characters, none of them a control character.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                if text.is_empty() {
                    Err(InvalidName::Empty)
                } else if text.chars().nth(NAME_CHARS_MAX).is_some() {
                    Err(InvalidName::TooLong)
                } else if text.chars().any(char::is_control) {
                    Err(InvalidName::Control)
                } else {
                    Ok(Self(text))
                }
            }

            /// Takes what the database holds; it was checked when it came in.
            pub fn from_stored(bytes: Vec<u8>) -> Self {
                Self(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

partner_name!(
    /// A partner's own name of a user: `u-1` and `U-1` are two users.
    UserId
);
partner_name!(
    /// A partner's own name of an order that a coupon is used on.
    OrderReference
);
partner_name!(
    /// A partner's own name of what points are spent on.
    PointReference
);
partner_name!(
    /// A partner's own name of a subscription: a UUID, or any other text.
    SubscriptionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_characters_not_bytes() {
        assert!(UserId::new("가".repeat(NAME_CHARS_MAX)).is_ok());
        assert_eq!(
            UserId::new("가".repeat(NAME_CHARS_MAX + 1)),
            Err(InvalidName::TooLong)
        );
        assert_eq!(UserId::new(""), Err(InvalidName::Empty));
        assert_eq!(UserId::new("a\0"), Err(InvalidName::Control));
    }
}
