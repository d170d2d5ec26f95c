//! The SQL of points.

mod balances;
mod counts;
mod entries;
mod lots;
mod notices;
mod policies;
mod wallets;

pub use super::ledger::{cancel, charge, earn, expire_due, transfer, use_points};
pub use super::notice::notice_due;
pub use balances::{Heard, HeardBalance, balance_heard, hear, heard_of};
pub use counts::{Repair, WalletCount, count, repair};
pub use entries::{FoundEntry, find as find_entry, history};
pub use lots::{EXPIRING_MAX, Expiring};
pub use policies::{OwnPolicy, own_policy, policy, set_policy};
pub use wallets::{
    Balance, WalletHead, balance, find as find_wallet, find_or_create, last_events, number_of,
};

pub(super) use entries::{Allocated, Posted, insert as insert_entries, insert_allocations, taken_by};
pub(super) use lots::{
    NewLot, change as change_lots, due, insert as insert_lots, of_entry, open_count, open_for, wallets_due,
};
pub(super) use notices::{Unnoticed, notice, unnoticed, wallets_unnoticed};
pub(super) use wallets::{lock, lock_free, update as update_wallets};
