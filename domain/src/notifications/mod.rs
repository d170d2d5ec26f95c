//! Notifications: what partners want to hear of (subscriptions), and what is on its way to
//! them (deliveries). A delivery is written by the group `notifications`, in the transaction that
//! reads the event, and sent by somebody else afterwards: at least once, under an id that stays.

pub mod delivery;
mod secret;
pub mod store;
mod subscription;

pub use secret::Secret;
pub use subscription::{
    Address, EVENT_TYPES_MAX, EventTypes, InvalidSubscription, NewSubscription, Payload, Put, Sink,
    Subscription, URL_CHARS_MAX, Url,
};

/// Most subscriptions of a partner.
pub const SUBSCRIPTIONS_MAX: u32 = 50;

/// A rule of subscriptions refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The partner has as many as it may.
    #[error("a partner has at most {SUBSCRIPTIONS_MAX} subscriptions")]
    TooMany,
    /// Only a webhook's deliveries are signed.
    #[error("the subscription is not a webhook")]
    NotWebhook,
}
