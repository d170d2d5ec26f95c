//! Subscriptions as their partners see them.

use chrono::{DateTime, Utc};
use headgate_domain::notifications::store::Backlog;
use headgate_domain::notifications::{Put, Subscription};
use headgate_schemas::names::SubscriptionId;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::{PayloadBody, SinkBody};

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub struct SubscriptionBody {
    /// The partner's own name of it.
    #[schema(value_type = String, example = "points-to-crm")]
    pub subscription_id: SubscriptionId,
    /// Where events go.
    pub sink: SinkBody,
    /// Which events.
    pub event_types: Vec<String>,
    /// How much of each is told.
    pub payload: PayloadBody,
    /// Whether anything is sent.
    pub enabled: bool,
    /// `gone`: the endpoint answered 410, and so disabled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<&'static str>,
    /// What deliveries are signed with. Only in the answer that made it: keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")]
    pub secret: Option<String>,
    /// Until when the secret before signs, too: each delivery has two signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_secret_until: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the partner last changed it.
    pub updated_at: DateTime<Utc>,
}

impl SubscriptionBody {
    /// A subscription at `now`.
    pub fn new(subscription: Subscription, now: DateTime<Utc>) -> Self {
        let wanted = subscription.wanted;
        Self {
            subscription_id: subscription.subscription_id,
            event_types: wanted.event_types.names().to_vec(),
            sink: wanted.sink.into(),
            payload: wanted.payload.into(),
            enabled: wanted.enabled,
            disabled_reason: subscription.is_gone.then_some("gone"),
            secret: None,
            previous_secret_until: subscription.previous_secret_until.filter(|until| *until > now),
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }

    /// One that was made or changed, with its secret if that is new.
    pub fn of_put(put: Put, now: DateTime<Utc>) -> Self {
        Self {
            secret: put.secret.map(|secret| secret.reveal()),
            ..Self::new(put.subscription, now)
        }
    }
}

/// Whether the endpoint is sent anything.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Circuit)]
pub enum CircuitBody {
    /// It is.
    Closed,
    /// It failed too often in a row, or asked for it, and is left alone until `rests_until`.
    Open,
    /// It was left alone; one delivery finds out whether it works again.
    Probing,
}

/// A subscription, and how its deliveries stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShownSubscription)]
pub struct ShownSubscription {
    /// The subscription.
    #[serde(flatten)]
    pub subscription: SubscriptionBody,
    /// Whether the endpoint is sent anything.
    pub circuit: CircuitBody,
    /// Until when it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<DateTime<Utc>>,
    /// Failures since the last success.
    pub failures: u32,
    /// Why the last failure failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_at: Option<DateTime<Utc>>,
    /// Deliveries that wait; counting ends at 100,000.
    pub pending: u64,
    /// Since when the oldest of them waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_pending_at: Option<DateTime<Utc>>,
    /// Deliveries that were given up, and that an operator can have tried again; counting ends at
    /// 100,000.
    pub dead: u64,
}

impl ShownSubscription {
    /// A subscription and its deliveries at `now`.
    pub fn new(subscription: Subscription, backlog: Backlog, now: DateTime<Utc>) -> Self {
        let circuit = match subscription.rests_until {
            None => CircuitBody::Closed,
            Some(until) if until > now => CircuitBody::Open,
            Some(_) => CircuitBody::Probing,
        };
        Self {
            circuit,
            rests_until: subscription.rests_until.filter(|until| *until > now),
            failures: subscription.failures,
            last_failure: subscription.last_failure.clone(),
            last_failure_at: subscription.last_failure_at,
            pending: backlog.pending,
            oldest_pending_at: backlog.oldest,
            dead: backlog.dead,
            subscription: SubscriptionBody::new(subscription, now),
        }
    }
}

/// A page of subscriptions.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionPage {
    /// In the order of their names.
    pub items: Vec<SubscriptionBody>,
    /// `?cursor=` of the next page; null at the end.
    pub next_cursor: Option<String>,
}
