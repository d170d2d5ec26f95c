//! Points: granting, spending, cancelling, transferring; what a user has, and had.

mod answer;
mod balance_cache;
mod change;
mod lock;
mod policy_cache;
mod read;
mod request;
mod transfer;

pub use balance_cache::BalanceCache;
pub use change::{
    __path_cancel_points, __path_earn_points, __path_use_points, cancel_points, earn_points, use_points,
};
pub use policy_cache::PolicyCache;
pub use read::{__path_get_balance, __path_list_movements, get_balance, list_movements};
pub use transfer::{__path_transfer_points, transfer_points};
