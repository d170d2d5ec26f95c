//! Writing deliveries, and looking at them.

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_schemas::ids::{DeliveryId, EventId, PartnerId};
use headgate_schemas::names::SubscriptionId;
use sqlx::{MySql, MySqlExecutor, QueryBuilder, Transaction};

use crate::Error;
use crate::notifications::{EventTypes, Payload};

/// What one subscription of a partner wants to hear of.
#[derive(Clone, Debug)]
pub struct Matching {
    /// Which.
    pub subscription_no: u32,
    /// Whose.
    pub partner_id: PartnerId,
    /// Which events.
    pub event_types: EventTypes,
    /// How much of each.
    pub payload: Payload,
}

/// The subscriptions of partners that are enabled now. Locks nothing.
pub async fn matching(on: impl MySqlExecutor<'_>, partners: &[PartnerId]) -> Result<Vec<Matching>, Error> {
    let rows = sqlx::query!(
        r#"SELECT s.subscription_no, p.partner_id AS "partner_id: PartnerId", s.event_types,
               s.payload AS "payload: String"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (partner_id CHAR(36) CHARACTER SET ascii PATH '$')) AS j
               STRAIGHT_JOIN partners p ON p.partner_id = UUID_TO_BIN(j.partner_id)
               STRAIGHT_JOIN subscriptions s ON s.partner_no = p.partner_no
           WHERE s.enabled = 1 ORDER BY s.subscription_no"#,
        serde_json::to_string(partners).unwrap_or_default()
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Matching {
            subscription_no: row.subscription_no,
            partner_id: row.partner_id,
            event_types: EventTypes::from_stored(&row.event_types),
            payload: Payload::from_stored(&row.payload),
        })
        .collect())
}

/// A delivery to be written.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// To which subscription.
    pub subscription_no: u32,
    /// Of which event.
    pub event_id: EventId,
    /// Its full name.
    pub event_type: String,
    /// What it is about.
    pub aggregate_id: String,
    /// The aggregate's own number of it, if its record said it.
    pub sequence: Option<u64>,
    /// When it happened.
    pub event_time: DateTime<Utc>,
    /// JSON; none for a zero payload.
    pub body: Option<Vec<u8>>,
}

/// Writes deliveries, due at once. What is there already, of the same event to the same
/// subscription, stays as it is.
pub async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    deliveries: &[NewDelivery],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    for deliveries in multirow::pieces(deliveries) {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO deliveries (delivery_id, subscription_no, event_id, event_type, aggregate_id, sequence,
                 event_time, body, next_attempt_at, created_at, waits_since) ",
        );
        insert.push_values(deliveries, |mut values, delivery| {
            values
                .push_bind(DeliveryId::generate())
                .push_bind(delivery.subscription_no)
                .push_bind(delivery.event_id)
                .push_bind(&delivery.event_type)
                .push_bind(&delivery.aggregate_id)
                .push_bind(delivery.sequence)
                .push_bind(delivery.event_time)
                .push_bind(&delivery.body)
                .push_bind(now)
                .push_bind(now)
                .push_bind(now);
        });
        // Not IGNORE, which would pass over more than that.
        insert.push(" ON DUPLICATE KEY UPDATE deliveries.delivery_no = deliveries.delivery_no");
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// A delivery, as operators see it.
#[derive(Clone, Debug)]
pub struct DeliveryView {
    /// Its id, the same at every attempt.
    pub delivery_id: DeliveryId,
    /// Whose subscription.
    pub partner_id: PartnerId,
    /// The partner's own name of it.
    pub subscription_id: SubscriptionId,
    /// `webhook` or `email`.
    pub sink: String,
    /// The event.
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
    pub next_attempt_at: DateTime<Utc>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was delivered, or given up.
    pub settled_at: Option<DateTime<Utc>>,
}

/// A row of `deliveries` and of its subscription, as MySQL gives it.
struct Row {
    delivery_id: DeliveryId,
    partner_id: PartnerId,
    subscription_id: Vec<u8>,
    sink: String,
    event_id: EventId,
    event_type: String,
    aggregate_id: String,
    sequence: Option<u64>,
    event_time: DateTime<Utc>,
    state: String,
    attempts: u32,
    next_attempt_at: DateTime<Utc>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
}

impl From<Row> for DeliveryView {
    fn from(row: Row) -> Self {
        Self {
            delivery_id: row.delivery_id,
            partner_id: row.partner_id,
            subscription_id: SubscriptionId::from_stored(row.subscription_id),
            sink: row.sink,
            event_id: row.event_id,
            event_type: row.event_type,
            aggregate_id: row.aggregate_id,
            sequence: row.sequence,
            event_time: row.event_time,
            state: row.state,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            last_error: row.last_error,
            created_at: row.created_at,
            settled_at: row.settled_at,
        }
    }
}

/// Selects whole deliveries; the text given follows the select list.
macro_rules! select_deliveries {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT d.delivery_id AS "delivery_id: DeliveryId", p.partner_id AS "partner_id: PartnerId",
                   s.subscription_id, s.sink AS "sink: String", d.event_id AS "event_id: EventId", d.event_type,
                   d.aggregate_id, d.sequence, d.event_time AS "event_time: DateTime<Utc>",
                   d.state AS "state: String", d.attempts, d.next_attempt_at AS "next_attempt_at: DateTime<Utc>",
                   d.last_error, d.created_at AS "created_at: DateTime<Utc>",
                   d.settled_at AS "settled_at: DateTime<Utc>" "#
                + $rest
            $(, $value)*
        )
    };
}

/// Which deliveries are looked at.
#[derive(Clone, Debug)]
pub struct Wanted<'w> {
    /// `pending`, `delivered` or `dead`.
    pub state: &'w str,
    /// Of one subscription only.
    pub subscription_no: Option<u32>,
    /// Behind this one.
    pub after: Option<DeliveryId>,
}

/// Deliveries in one state, those that wait for the shortest time first, up to `limit`.
pub async fn list(
    on: impl MySqlExecutor<'_>,
    wanted: &Wanted<'_>,
    limit: u32,
) -> Result<Vec<DeliveryView>, Error> {
    let after = wanted.after.as_ref().map(DeliveryId::as_bytes);
    let rows = select_deliveries!(
        "FROM deliveries d FORCE INDEX (deliveries_state)
             STRAIGHT_JOIN subscriptions s ON s.subscription_no = d.subscription_no
             STRAIGHT_JOIN partners p ON p.partner_no = s.partner_no
         WHERE d.state = ? AND (? IS NULL OR d.subscription_no = ?)
             AND (? IS NULL OR (d.waits_since, d.delivery_no)
                 < (SELECT a.waits_since, a.delivery_no FROM deliveries a WHERE a.delivery_id = ?))
         ORDER BY d.waits_since DESC, d.delivery_no DESC LIMIT ?",
        wanted.state,
        wanted.subscription_no,
        wanted.subscription_no,
        after.map(<[u8; 16]>::as_slice),
        after.map(<[u8; 16]>::as_slice),
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(DeliveryView::from).collect())
}

/// The delivery of this id.
pub async fn find(
    on: impl MySqlExecutor<'_>,
    delivery_id: DeliveryId,
) -> Result<Option<DeliveryView>, Error> {
    let row = select_deliveries!(
        "FROM deliveries d
             STRAIGHT_JOIN subscriptions s ON s.subscription_no = d.subscription_no
             STRAIGHT_JOIN partners p ON p.partner_no = s.partner_no
         WHERE d.delivery_id = ?",
        delivery_id
    )
    .fetch_optional(on)
    .await?;
    Ok(row.map(DeliveryView::from))
}

/// Which dead deliveries are tried again.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// This one.
    One(DeliveryId),
    /// So many of a subscription's, at most.
    OfSubscription(u32, u32),
}

/// Makes dead deliveries pending, due at once and with all their attempts, and closes the circuit
/// of their subscription. Returns how many.
pub async fn retry(
    transaction: &mut Transaction<'_, MySql>,
    which: Found,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let retried = match which {
        Found::One(delivery_id) => sqlx::query!(
            "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = ?, waits_since = ?,
                 settled_at = NULL
             WHERE delivery_id = ? AND state = 'dead'",
            now,
            now,
            delivery_id
        ),
        Found::OfSubscription(subscription_no, most) => sqlx::query!(
            "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = ?, waits_since = ?,
                 settled_at = NULL
             WHERE subscription_no = ? AND state = 'dead' LIMIT ?",
            now,
            now,
            subscription_no,
            most
        ),
    };
    let retried = retried.execute(&mut **transaction).await?.rows_affected();
    let (delivery_id, subscription_no) = match which {
        Found::One(delivery_id) => (Some(delivery_id), None),
        Found::OfSubscription(subscription_no, _) => (None, Some(subscription_no)),
    };
    if retried > 0 {
        sqlx::query!(
            "UPDATE subscriptions SET failures = 0, rests_until = NULL
             WHERE subscription_no = COALESCE(?, (SELECT d.subscription_no FROM deliveries d WHERE d.delivery_id = ?))",
            subscription_no,
            delivery_id.as_ref().map(|id| id.as_bytes().as_slice())
        )
        .execute(&mut **transaction)
        .await?;
    }
    Ok(retried)
}
