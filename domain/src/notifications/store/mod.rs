//! The SQL of notifications.

mod deliveries;
mod due;
mod kept;
mod outcomes;
mod subscriptions;

pub use deliveries::{
    DeliveryView, Found, Matching, NewDelivery, Wanted, find, insert, list, matching, retry,
};
pub use due::{Taken, due, take};
pub use kept::{Backlog, backlog, give_up, of_subscription, remove_orphans, remove_settled, waiting};
pub use outcomes::{Failed, delivered, failed};
pub use subscriptions::{find as find_subscription, list as list_subscriptions, put, remove, rotate};

/// Most rows that are counted one by one.
pub const COUNTED_MAX: u32 = 100_000;
