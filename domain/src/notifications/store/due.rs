//! Taking deliveries that are due: a lease on each, in a short transaction. Nothing is sent
//! while rows are locked.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use headgate_schemas::ids::{DeliveryId, EventId};
use sqlx::{MySql, MySqlPool, Transaction};
use uuid::Uuid;

use crate::Error;
use crate::notifications::{Secret, Sink};

/// A delivery that is ours to send, until its lease runs out.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its number.
    pub delivery_no: u64,
    /// Its id, the same at every attempt.
    pub delivery_id: DeliveryId,
    /// What says that it is still ours.
    pub lease: Uuid,
    /// Which attempt this is, from 1.
    pub attempt: u32,
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
    /// JSON; none of a zero payload.
    pub body: Option<Vec<u8>>,
    /// To which subscription.
    pub subscription_no: u32,
    /// Where to.
    pub sink: Sink,
    /// What it is signed with: the secret, and the one before while that holds.
    pub secrets: Vec<Secret>,
}

/// Up to `limit` subscriptions, in no order, that have deliveries to send at `now` and may be asked:
/// none of `busy`, none that is left alone, and e-mail only where that can be sent.
pub async fn due(
    pool: &MySqlPool,
    now: DateTime<Utc>,
    with_email: bool,
    busy: &[u32],
    limit: u32,
) -> Result<Vec<u32>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT s.subscription_no FROM subscriptions s
         WHERE s.enabled = 1 AND (s.sink = 'webhook' OR ?) AND (s.rests_until IS NULL OR s.rests_until <= ?)
             AND NOT JSON_CONTAINS(?, CAST(s.subscription_no AS JSON))
             AND EXISTS (SELECT 1 FROM deliveries d WHERE d.subscription_no = s.subscription_no
                         AND d.state = 'pending' AND d.next_attempt_at <= ?)
         ORDER BY RAND() LIMIT ?",
        with_email,
        now,
        serde_json::to_string(busy).unwrap_or_default(),
        now,
        limit
    )
    .fetch_all(pool)
    .await?)
}

/// What of a subscription it takes to send.
struct Target {
    sink: String,
    target: String,
    secret: Option<Vec<u8>>,
    previous_secret: Option<Vec<u8>>,
    previous_secret_until: Option<DateTime<Utc>>,
    rests_until: Option<DateTime<Utc>>,
}

impl Target {
    fn secrets(&self, now: DateTime<Utc>) -> Vec<Secret> {
        let holds = self.previous_secret_until.is_some_and(|until| until > now);
        let previous = self.previous_secret.iter().filter(|_| holds);
        let secrets = self.secret.iter().chain(previous);
        secrets.cloned().map(Secret::from_stored).collect()
    }
}

struct Row {
    delivery_no: u64,
    delivery_id: DeliveryId,
    attempts: u32,
    event_id: EventId,
    event_type: String,
    aggregate_id: String,
    sequence: Option<u64>,
    event_time: DateTime<Utc>,
    body: Option<Vec<u8>>,
}

/// Takes up to `most` due deliveries of a subscription, those that wait longest first, for as long as
/// `lease`. An endpoint that was left alone is asked once, by one process, before it is asked more.
/// Commit before anything is sent.
pub async fn take(
    transaction: &mut Transaction<'_, MySql>,
    subscription_no: u32,
    now: DateTime<Utc>,
    lease: Duration,
    most: u32,
) -> Result<Vec<Taken>, Error> {
    let Some(target) = target(transaction, subscription_no, now).await? else {
        return Ok(Vec::new());
    };
    let most = if target.rests_until.is_some() { 1 } else { most };
    let rows = lock_due(transaction, subscription_no, now, most).await?;
    let until = now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
    if rows.is_empty() || !is_ours(transaction, subscription_no, target.rests_until, until).await? {
        return Ok(Vec::new());
    }
    let lease = Uuid::new_v4();
    let numbers: Vec<u64> = rows.iter().map(|row| row.delivery_no).collect();
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (delivery_no BIGINT UNSIGNED PATH '$')) AS j
             STRAIGHT_JOIN deliveries AS d ON d.delivery_no = j.delivery_no
         SET d.lease = ?, d.next_attempt_at = ?, d.attempts = d.attempts + 1",
        serde_json::to_string(&numbers).unwrap_or_default(),
        lease,
        until
    )
    .execute(&mut **transaction)
    .await?;
    let secrets = target.secrets(now);
    let sink = Sink::from_stored(&target.sink, target.target);
    let taken = rows.into_iter().map(|row| Taken {
        delivery_no: row.delivery_no,
        delivery_id: row.delivery_id,
        lease,
        attempt: row.attempts + 1,
        event_id: row.event_id,
        event_type: row.event_type,
        aggregate_id: row.aggregate_id,
        sequence: row.sequence,
        event_time: row.event_time,
        body: row.body,
        subscription_no,
        sink: sink.clone(),
        secrets: secrets.clone(),
    });
    Ok(taken.collect())
}

/// Where the subscription's deliveries go, if they may at `now`.
async fn target(
    transaction: &mut Transaction<'_, MySql>,
    subscription_no: u32,
    now: DateTime<Utc>,
) -> Result<Option<Target>, sqlx::Error> {
    sqlx::query_as!(
        Target,
        r#"SELECT sink AS "sink: String", target, secret, previous_secret,
               previous_secret_until AS "previous_secret_until: DateTime<Utc>",
               rests_until AS "rests_until: DateTime<Utc>"
           FROM subscriptions WHERE subscription_no = ? AND enabled = 1 AND (rests_until IS NULL OR rests_until <= ?)"#,
        subscription_no,
        now
    )
    .fetch_optional(&mut **transaction)
    .await
}

/// Locks what is due and what nobody else is about to take.
async fn lock_due(
    transaction: &mut Transaction<'_, MySql>,
    subscription_no: u32,
    now: DateTime<Utc>,
    most: u32,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT delivery_no, delivery_id AS "delivery_id: DeliveryId", attempts, event_id AS "event_id: EventId",
               event_type, aggregate_id, sequence, event_time AS "event_time: DateTime<Utc>", body
           FROM deliveries FORCE INDEX (deliveries_due)
           WHERE subscription_no = ? AND state = 'pending' AND next_attempt_at <= ?
           ORDER BY next_attempt_at, delivery_no LIMIT ? FOR UPDATE SKIP LOCKED"#,
        subscription_no,
        now,
        most
    )
    .fetch_all(&mut **transaction)
    .await
}

/// Whether this process may send: always to an endpoint that is not left alone, and to one that was
/// if nobody else has taken the probe.
async fn is_ours(
    transaction: &mut Transaction<'_, MySql>,
    subscription_no: u32,
    rested_until: Option<DateTime<Utc>>,
    until: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let Some(rested_until) = rested_until else {
        return Ok(true);
    };
    let taken = sqlx::query!(
        "UPDATE subscriptions SET rests_until = ? WHERE subscription_no = ? AND rests_until = ?",
        until,
        subscription_no,
        rested_until
    )
    .execute(&mut **transaction)
    .await?;
    Ok(taken.rows_affected() == 1)
}
