//! Quantities that may not be mixed up, each with its limits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most coupons one campaign may hold.
pub const QUOTA_MAX: u32 = 10_000_000;

/// A quantity was outside its limits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} must be between {min} and {max}, not {value}")]
pub struct OutOfRange {
    what: &'static str,
    min: u64,
    max: u64,
    value: u64,
}

macro_rules! bounded_u32 {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(try_from = "u32", into = "u32")]
        #[sqlx(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The value, if it lies within the limits.
            pub fn new(value: u32) -> Result<Self, OutOfRange> {
                if (1..=$max).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(OutOfRange { what: $what, min: 1, max: u64::from($max), value: u64::from(value) })
                }
            }

            /// The plain number.
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl TryFrom<u32> for $name {
            type Error = OutOfRange;

            fn try_from(value: u32) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> u32 {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded_u32!(
    /// How many coupons a campaign may hand out.
    Quota, "quota", QUOTA_MAX
);
bounded_u32!(
    /// The number an admitted claim holds: 1 to the campaign's quota, unique within
    /// the campaign. It is what MySQL guards; a counter would not be.
    Ticket, "ticket", QUOTA_MAX
);
bounded_u32!(
    /// Counts the times a campaign's admission state was rebuilt or moved between
    /// Redis and MySQL. Order of admission is the order of (epoch, sequence).
    AdmissionEpoch, "admission epoch", u32::MAX
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_too_much_are_refused() {
        assert!(Quota::new(0).is_err());
        assert!(Quota::new(QUOTA_MAX).is_ok());
        let refused = Quota::new(QUOTA_MAX + 1).expect_err("too much");
        assert_eq!(
            refused.to_string(),
            "quota must be between 1 and 10000000, not 10000001"
        );
    }
}
