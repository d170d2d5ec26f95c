//! What must never be of a wallet.

use chrono::{DateTime, Utc};
use headgate_domain::points::RememberedBalance;
use headgate_domain::points::store::WalletCount;
use headgate_runtime::cache::Cached;

use crate::reconcile::Difference;

/// A wallet as it was counted, and what else is known of it.
pub(super) struct Looked {
    pub count: WalletCount,
    /// When it was counted.
    pub now: DateTime<Utc>,
    /// Whether all that was written of it should have come through.
    pub is_settled: bool,
    /// What Redis remembers of it.
    pub cached: Option<Cached<RememberedBalance>>,
}

impl Looked {
    /// All of them, each with a stable word.
    pub fn differences(&self) -> Vec<Difference> {
        let count = &self.count;
        let mut differences = Vec::new();
        let mut check = |kind: &str, expected: u64, found: u64| {
            if expected != found {
                differences.push(Difference {
                    kind: kind.to_owned(),
                    expected,
                    found,
                });
            }
        };
        check("ledger-gap", count.ledger_entries, count.last_entry_no);
        check("ledger-broken", 0, count.entries_strange);
        check("allocations-unlike-ledger", 0, count.allocations_strange);
        let sum = u64::try_from(count.ledger_sum).unwrap_or_default();
        check("balance-unlike-ledger", sum, count.balance);
        check("entries-unlike-ledger", count.ledger_entries, count.entries);
        check("lots-unlike-allocations", 0, count.lots_strange);
        check("lots-unlike-ledger", sum, count.lots_remaining);
        self.kept(&mut check);
        self.remembered(&mut check);
        differences
    }

    /// The balance beside the ledger, which follows it.
    fn kept(&self, check: &mut impl FnMut(&str, u64, u64)) {
        let count = &self.count;
        let (balance, entry_no) = count.heard.unwrap_or_default();
        if entry_no == count.entries {
            check("kept-balance-wrong", count.balance, balance);
        } else if entry_no > count.entries {
            check("kept-balance-ahead", count.entries, entry_no);
        } else if self.is_settled {
            check("kept-balance-behind", count.entries, entry_no);
        }
    }

    /// What Redis remembers, which follows that. What is newer than the count was remembered since.
    fn remembered(&self, check: &mut impl FnMut(&str, u64, u64)) {
        let (count, Some(cached)) = (&self.count, &self.cached) else {
            return;
        };
        if cached.version == count.entries {
            let expected = count.balance.saturating_sub(count.lots_overdue);
            let found = cached.value.clone().at(self.now).balance;
            // It may have been remembered after the count, when more had run out.
            let least = expected.saturating_sub(count.lots_expiring);
            if !(least..=expected).contains(&found) {
                check("cached-balance-wrong", expected, found);
            }
        } else if cached.version < count.entries && self.is_settled {
            check("cached-balance-behind", count.entries, cached.version);
        }
    }
}

#[cfg(test)]
mod tests {
    use headgate_domain::points::store::Balance;
    use headgate_schemas::names::UserId;
    use uuid::Uuid;

    use super::*;

    fn sound() -> Looked {
        let count = WalletCount {
            wallet_no: 1,
            wallet_id: Uuid::nil().into(),
            partner_id: Uuid::nil().into(),
            user_id: UserId::new("kim").expect("a name"),
            balance: 70,
            entries: 3,
            ledger_sum: 70,
            ledger_entries: 3,
            last_entry_no: 3,
            last_made_at: None,
            entries_strange: 0,
            allocations_strange: 0,
            lots_remaining: 70,
            lots_overdue: 20,
            lots_expiring: 0,
            lots_strange: 0,
            heard: Some((70, 3)),
        };
        Looked {
            count,
            now: DateTime::UNIX_EPOCH,
            is_settled: true,
            cached: Some(remembered(3, 50)),
        }
    }

    fn remembered(version: u64, balance: u64) -> Cached<RememberedBalance> {
        let balance = Balance {
            balance,
            ..Balance::nothing(DateTime::UNIX_EPOCH)
        };
        Cached {
            version,
            value: RememberedBalance::from(&balance),
        }
    }

    fn kinds(looked: &Looked) -> Vec<String> {
        let differences = looked.differences().into_iter();
        differences.map(|difference| difference.kind).collect()
    }

    #[test]
    fn a_sound_wallet_has_none() {
        assert_eq!(kinds(&sound()), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        type Plant = fn(&mut Looked);
        let faults: [(&str, Plant); 11] = [
            ("ledger-gap", |looked| looked.count.last_entry_no = 4),
            ("ledger-broken", |looked| looked.count.entries_strange = 1),
            ("allocations-unlike-ledger", |looked| {
                looked.count.allocations_strange = 1;
            }),
            ("entries-unlike-ledger", |looked| looked.count.ledger_entries = 2),
            ("lots-unlike-allocations", |looked| looked.count.lots_strange = 1),
            ("lots-unlike-ledger", |looked| looked.count.lots_remaining = 71),
            ("kept-balance-wrong", |looked| looked.count.heard = Some((71, 3))),
            ("kept-balance-ahead", |looked| looked.count.heard = Some((71, 4))),
            ("kept-balance-behind", |looked| looked.count.heard = None),
            ("cached-balance-wrong", |looked| {
                looked.cached = Some(remembered(3, 70));
            }),
            ("cached-balance-behind", |looked| {
                looked.cached = Some(remembered(2, 50));
            }),
        ];
        for (kind, plant) in faults {
            let mut looked = sound();
            plant(&mut looked);
            assert!(
                kinds(&looked).contains(&kind.to_owned()),
                "{kind}: {:?}",
                kinds(&looked)
            );
        }
        let mut looked = sound();
        looked.count.balance = 71;
        assert!(kinds(&looked).contains(&"balance-unlike-ledger".to_owned()));
    }

    #[test]
    fn what_is_on_its_way_is_not_behind() {
        let mut looked = sound();
        looked.is_settled = false;
        looked.count.heard = Some((100, 2));
        looked.cached = Some(remembered(2, 100));
        assert_eq!(kinds(&looked), Vec::<String>::new());
        // Remembered since the count.
        looked.cached = Some(remembered(4, 10));
        assert_eq!(kinds(&looked), Vec::<String>::new());
    }
}
