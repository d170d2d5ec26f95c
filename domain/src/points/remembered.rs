//! A balance that is remembered for a while.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::store::{Balance, EXPIRING_MAX, Expiring};

/// What a user had when it was read. What runs out meanwhile is known, so that the balance stays
/// right as time goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedBalance {
    balance: u64,
    as_of: DateTime<Utc>,
    /// How many points run out when, soonest first.
    expiring: Vec<(u64, DateTime<Utc>)>,
}

impl From<&Balance> for RememberedBalance {
    fn from(read: &Balance) -> Self {
        let expiring = |expiring: &Expiring| (expiring.amount, expiring.expires_at);
        Self {
            balance: read.balance,
            as_of: read.as_of,
            expiring: read.expiring.iter().map(expiring).collect(),
        }
    }
}

impl RememberedBalance {
    /// What the user has at `now`.
    pub fn at(self, now: DateTime<Utc>) -> Balance {
        let (over, left): (Vec<_>, Vec<_>) = self
            .expiring
            .into_iter()
            .partition(|(_, expires_at)| *expires_at <= now);
        let over = over.into_iter().map(|(amount, _)| amount).sum();
        Balance {
            balance: self.balance.saturating_sub(over),
            as_of: self.as_of,
            expiring: left
                .into_iter()
                .map(|(amount, expires_at)| Expiring { amount, expires_at })
                .collect(),
        }
    }

    /// For how long it may be remembered from `now` on: where there may be more that runs out than
    /// is known, until the last of what is known does.
    pub fn good_for(&self, now: DateTime<Utc>) -> Duration {
        match self.expiring.last() {
            Some((_, last)) if self.expiring.len() >= EXPIRING_MAX as usize => {
                (*last - now).to_std().unwrap_or_default()
            }
            _ => Duration::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    fn remembered(lots: u32) -> RememberedBalance {
        RememberedBalance {
            balance: 100 + u64::from(lots),
            as_of: second(0),
            expiring: (1..=lots).map(|at| (1, second(at.into()))).collect(),
        }
    }

    #[test]
    fn what_runs_out_meanwhile_is_taken_off() {
        let later = remembered(3).at(second(2));
        assert_eq!((later.balance, later.as_of), (101, second(0)));
        assert_eq!(later.expiring.len(), 1);
        assert_eq!(remembered(3).at(second(0)).balance, 103);
    }

    #[test]
    fn what_is_not_known_of_ends_it() {
        assert_eq!(remembered(3).good_for(second(0)), Duration::MAX);
        assert_eq!(
            remembered(EXPIRING_MAX).good_for(second(0)),
            Duration::from_secs(EXPIRING_MAX.into())
        );
        assert_eq!(remembered(EXPIRING_MAX).good_for(second(60)), Duration::ZERO);
    }
}
