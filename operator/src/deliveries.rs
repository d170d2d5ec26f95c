//! Deliveries to partners: which wait, which were given up, and trying those again.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_domain::notifications::store::{self, DeliveryView, Found, Wanted};
use headgate_domain::partners::store as partners;
use headgate_outbox::audit;
use headgate_schemas::ids::{DeliveryId, EventId, PartnerId};
use headgate_schemas::names::SubscriptionId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};
use utoipa::{IntoParams, ToSchema};

use crate::auth::{Acting, As, Viewer};
use crate::http::extract::{Body, Path, Query, page_rows};
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;
use crate::transaction::conclude;
use crate::{Error, Thing};

/// Most deliveries of a subscription that one request has tried again.
pub const RETRIED_MAX: u32 = 1_000;

/// A delivery.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Its id: what the receiver knows as `webhook-id`.
    #[schema(value_type = Uuid)]
    pub delivery_id: DeliveryId,
    /// Whose subscription.
    #[schema(value_type = Uuid)]
    pub partner_id: PartnerId,
    /// The partner's own name of it.
    #[schema(value_type = String)]
    pub subscription_id: SubscriptionId,
    /// `webhook` or `email`.
    pub sink: String,
    /// The event.
    #[schema(value_type = Uuid)]
    pub event_id: EventId,
    /// Its full name.
    pub event_type: String,
    /// What it is about.
    pub aggregate_id: String,
    /// The aggregate's own number of it.
    pub sequence: Option<u64>,
    /// When it happened.
    pub event_time: DateTime<Utc>,
    /// `pending`, `delivered` or `dead`.
    pub state: String,
    /// Attempts that were begun since it waits.
    pub attempts: u32,
    /// Of a pending one: when the next attempt is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was delivered, or given up.
    pub settled_at: Option<DateTime<Utc>>,
}

impl From<DeliveryView> for Delivery {
    fn from(view: DeliveryView) -> Self {
        let is_pending = view.settled_at.is_none();
        Self {
            delivery_id: view.delivery_id,
            partner_id: view.partner_id,
            subscription_id: view.subscription_id,
            sink: view.sink,
            event_id: view.event_id,
            event_type: view.event_type,
            aggregate_id: view.aggregate_id,
            sequence: view.sequence,
            event_time: view.event_time,
            state: view.state,
            attempts: view.attempts,
            next_attempt_at: is_pending.then_some(view.next_attempt_at),
            last_error: view.last_error,
            created_at: view.created_at,
            settled_at: view.settled_at,
        }
    }
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageOf {
    /// `pending`, `delivered`, or `dead` unless given.
    state: Option<String>,
    /// Of one subscription: its partner.
    #[param(value_type = Option<Uuid>)]
    partner: Option<PartnerId>,
    /// Of one subscription: the partner's own name of it.
    #[param(value_type = Option<String>)]
    subscription: Option<SubscriptionId>,
    /// Deliveries of a page, 1 to 500.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<DeliveryId>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Deliveries {
    /// Those that wait, or waited, for the shortest time first.
    pub items: Vec<Delivery>,
    /// Cursor of the next page.
    pub next_cursor: Option<String>,
}

/// Lists deliveries in one state.
#[utoipa::path(
    get, path = "/v1/deliveries", tag = "deliveries", params(PageOf),
    responses((status = 200, body = Deliveries), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list(
    _viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Query(page): Query<PageOf>,
) -> Result<Json<Deliveries>, Error> {
    let limit = page_rows(page.limit)?;
    let state = match page.state.as_deref() {
        None | Some("dead") => "dead",
        Some("pending") => "pending",
        Some("delivered") => "delivered",
        Some(_) => return Err(wrong("state", "must be pending, delivered or dead")),
    };
    let subscription_no = match (page.partner, page.subscription) {
        (None, None) => None,
        (Some(partner), Some(name)) => Some(subscription(&pool, partner, &name).await?),
        _ => {
            return Err(wrong(
                "subscription",
                "takes its partner, and a partner a subscription",
            ));
        }
    };
    let wanted = Wanted {
        state,
        subscription_no,
        after: page.cursor,
    };
    let found = store::list(&pool, &wanted, limit).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|found| found == limit);
    let last = found.last().filter(|_| is_full);
    Ok(Json(Deliveries {
        next_cursor: last.map(|delivery| delivery.delivery_id.to_string()),
        items: found.into_iter().map(Delivery::from).collect(),
    }))
}

/// Shows a delivery.
#[utoipa::path(
    get, path = "/v1/deliveries/{delivery_id}", tag = "deliveries",
    params(("delivery_id" = Uuid, Path, description = "The delivery")),
    responses((status = 200, body = Delivery), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn show(
    _viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Path(delivery_id): Path<DeliveryId>,
) -> Result<Json<Delivery>, Error> {
    let found = store::find(&pool, delivery_id).await?;
    let found = found.ok_or_else(|| not_found(delivery_id))?;
    Ok(Json(found.into()))
}

/// Which dead deliveries to try again: one, or a subscription's.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToRetry {
    /// This one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub delivery_id: Option<DeliveryId>,
    /// A subscription's: its partner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    pub partner_id: Option<PartnerId>,
    /// A subscription's: the partner's own name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub subscription_id: Option<SubscriptionId>,
}

/// What a retry did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RetriedDeliveries {
    /// Deliveries that are due again, with all their attempts.
    pub deliveries: u64,
    /// Whether there may be more: ask again.
    pub more: bool,
}

/// Makes dead deliveries due again, and lets their endpoint be asked at once: up to 1,000 of a
/// subscription's.
#[utoipa::path(
    post, path = "/v1/deliveries/retry", tag = "deliveries", request_body = ToRetry,
    responses((status = 200, body = RetriedDeliveries), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn retry(
    acting: As<Acting>,
    State(servers): State<Servers>,
    Body(asked): Body<ToRetry>,
) -> Result<Json<RetriedDeliveries>, Error> {
    let pool = &servers.pool;
    let (which, object) = match (asked.delivery_id, asked.partner_id, asked.subscription_id) {
        (Some(delivery_id), None, None) => {
            let known = store::find(pool, delivery_id).await?;
            known.ok_or_else(|| not_found(delivery_id))?;
            (Found::One(delivery_id), format!("delivery {delivery_id}"))
        }
        (None, Some(partner_id), Some(name)) => {
            let subscription_no = subscription(pool, partner_id, &name).await?;
            let object = format!("subscription {partner_id}/{name}");
            (Found::OfSubscription(subscription_no, RETRIED_MAX), object)
        }
        _ => {
            let detail = "is required, or partner_id with subscription_id is";
            return Err(Error::InvalidBody(vec![FieldError::new("delivery_id", detail)]));
        }
    };
    let now = servers.now().await?;
    let mut transaction = pool.begin().await?;
    let done = act(&mut transaction, which, &object, &acting.operator.name, now).await;
    let deliveries = conclude(transaction, done).await?;
    tracing::info!(
        object,
        deliveries,
        operator = acting.operator.name,
        "deliveries retried"
    );
    Ok(Json(RetriedDeliveries {
        deliveries,
        more: deliveries >= u64::from(RETRIED_MAX),
    }))
}

async fn act(
    transaction: &mut Transaction<'_, MySql>,
    which: Found,
    object: &str,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let deliveries = store::retry(transaction, which, now).await?;
    // Where nothing was dead nothing was done.
    if deliveries > 0 {
        let detail = json!({ "deliveries": deliveries });
        audit::record(transaction, actor, "delivery.retry", object, &detail).await?;
    }
    Ok(deliveries)
}

/// The number of a partner's subscription.
async fn subscription(pool: &MySqlPool, partner_id: PartnerId, name: &SubscriptionId) -> Result<u32, Error> {
    let partner = partners::find_partner(pool, partner_id).await?;
    let partner = partner.ok_or_else(|| Error::NotFound {
        what: Thing::Partner,
        id: partner_id.to_string(),
    })?;
    let found = store::find_subscription(pool, partner.partner_no, name).await?;
    let found = found.ok_or_else(|| Error::NotFound {
        what: Thing::Subscription,
        id: name.to_string(),
    })?;
    Ok(found.subscription_no)
}

fn wrong(parameter: &str, detail: &str) -> Error {
    Error::InvalidParameter(vec![FieldError::new(parameter, detail.to_owned())])
}

fn not_found(delivery_id: DeliveryId) -> Error {
    Error::NotFound {
        what: Thing::Delivery,
        id: delivery_id.to_string(),
    }
}
