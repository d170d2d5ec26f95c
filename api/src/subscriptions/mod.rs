//! Subscriptions: what a partner wants to be told of, and where.

mod answer;
mod change;
mod read;
mod request;

pub use answer::SubscriptionBody;
pub use change::{
    __path_delete_subscription, __path_put_subscription, __path_rotate_secret, delete_subscription,
    put_subscription, rotate_secret,
};
pub use read::{__path_get_subscription, __path_list_subscriptions, get_subscription, list_subscriptions};
pub use request::PutSubscription;
