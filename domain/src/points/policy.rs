//! What a partner's points may do.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{POINTS_MAX, Refusal};

/// Longest validity of points.
pub const VALID_FOR_MAX: Duration = Duration::from_hours(24 * 366 * 10);

/// The limits of a partner's points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Least of one earn, at least 1.
    pub earn_min: u64,
    /// Most of one earn.
    pub earn_max: u64,
    /// Most that one wallet holds, up to [`POINTS_MAX`].
    pub wallet_max: u64,
    /// How long points are valid that are earned without an expiry, or that come back after
    /// their lot has expired.
    pub valid_for: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            earn_min: 1,
            earn_max: 1_000_000,
            wallet_max: 1_000_000_000,
            valid_for: Duration::from_hours(24 * 365),
        }
    }
}

impl Policy {
    /// What is wrong with it; empty if nothing is.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if self.earn_min == 0 {
            faults.push(("earn_min", "must be at least 1".to_owned()));
        }
        if self.earn_max < self.earn_min {
            faults.push(("earn_max", "must not be below earn_min".to_owned()));
        }
        if self.wallet_max < self.earn_max || self.wallet_max > POINTS_MAX {
            let detail = format!("must lie between earn_max and {POINTS_MAX}");
            faults.push(("wallet_max", detail));
        }
        if self.valid_for.is_zero() || self.valid_for > VALID_FOR_MAX {
            let detail = format!("must lie between 1 and {}", VALID_FOR_MAX.as_secs());
            faults.push(("valid_for_seconds", detail));
        }
        faults
    }

    /// May so many be granted at once?
    pub const fn allows_earn(&self, amount: u64) -> Result<(), Refusal> {
        if amount < self.earn_min || amount > self.earn_max {
            return Err(Refusal::EarnOutOfRange {
                min: self.earn_min,
                max: self.earn_max,
            });
        }
        Ok(())
    }

    /// May a wallet that holds `balance` be given `amount` more?
    pub const fn allows_balance(&self, balance: u64, amount: u64) -> Result<(), Refusal> {
        if balance.saturating_add(amount) > self.wallet_max {
            return Err(Refusal::WalletFull {
                wallet_max: self.wallet_max,
            });
        }
        Ok(())
    }

    /// Until when points are valid that get their expiry now.
    pub fn expires_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::from_std(self.valid_for).unwrap_or(TimeDelta::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_all_its_faults() {
        assert_eq!(Policy::default().faults(), []);
        let wrong = Policy {
            earn_min: 0,
            earn_max: 0,
            wallet_max: POINTS_MAX + 1,
            valid_for: Duration::ZERO,
        };
        let fields: Vec<_> = wrong.faults().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["earn_min", "wallet_max", "valid_for_seconds"]);
        let crossed = Policy {
            earn_min: 7,
            earn_max: 6,
            wallet_max: 5,
            ..Policy::default()
        };
        let fields: Vec<_> = crossed.faults().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["earn_max", "wallet_max"]);
    }

    #[test]
    fn limits_are_inclusive() {
        let policy = Policy::default();
        assert_eq!(policy.allows_earn(1), Ok(()));
        assert_eq!(policy.allows_earn(1_000_000), Ok(()));
        assert!(policy.allows_earn(0).is_err() && policy.allows_earn(1_000_001).is_err());
        assert_eq!(policy.allows_balance(999_999_999, 1), Ok(()));
        let full = Err(Refusal::WalletFull {
            wallet_max: 1_000_000_000,
        });
        assert_eq!(policy.allows_balance(999_999_999, 2), full);
        assert_eq!(policy.allows_balance(1, u64::MAX), full);
    }
}
