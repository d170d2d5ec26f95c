//! How much may be sent under a key.

use serde::{Deserialize, Serialize};

/// Highest rate, per second.
pub const RATE_MAX: u32 = 1_000_000;

/// Requests per second that a key is allowed, where that is not what the api's settings say.
/// Each is 1 to [`RATE_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// All of the key's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u32>,
    /// What concerns one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// What comes from one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<u32>,
}

impl Rates {
    /// The highest: for load tests, and whatever else must not meet a limit.
    pub const HIGHEST: Self = Self {
        key: Some(RATE_MAX),
        user: Some(RATE_MAX),
        address: Some(RATE_MAX),
    };

    /// Those that are no rate, by name.
    pub fn wrong(&self) -> impl Iterator<Item = &'static str> {
        [("key", self.key), ("user", self.user), ("address", self.address)]
            .into_iter()
            .filter(|(_, rate)| rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)))
            .map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_bounded() {
        assert_eq!(Rates::default().wrong().count(), 0);
        assert_eq!(Rates::HIGHEST.wrong().count(), 0);
        let wrong = Rates {
            key: Some(0),
            user: Some(1),
            address: Some(RATE_MAX + 1),
        };
        assert_eq!(wrong.wrong().collect::<Vec<_>>(), ["key", "address"]);
    }
}
