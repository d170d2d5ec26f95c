//! Subscriptions, as their partners see them.

use chrono::{DateTime, Utc};
use headgate_schemas::names::SubscriptionId;
use sqlx::{MySql, MySqlExecutor, Transaction};

use crate::notifications::{
    EventTypes, NewSubscription, Payload, Put, Refusal, SUBSCRIPTIONS_MAX, Secret, Sink, Subscription,
};
use crate::{Error, Page};

/// A row of `subscriptions`, as MySQL gives it.
struct Row {
    subscription_no: u32,
    subscription_id: Vec<u8>,
    sink: String,
    target: String,
    event_types: String,
    payload: String,
    enabled: bool,
    is_gone: bool,
    previous_secret_until: Option<DateTime<Utc>>,
    failures: u32,
    rests_until: Option<DateTime<Utc>>,
    last_failure: Option<String>,
    last_failure_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Subscription {
    fn from(row: Row) -> Self {
        Self {
            subscription_no: row.subscription_no,
            subscription_id: SubscriptionId::from_stored(row.subscription_id),
            wanted: NewSubscription {
                sink: Sink::from_stored(&row.sink, row.target),
                event_types: EventTypes::from_stored(&row.event_types),
                payload: Payload::from_stored(&row.payload),
                enabled: row.enabled,
            },
            is_gone: row.is_gone,
            previous_secret_until: row.previous_secret_until,
            failures: row.failures,
            rests_until: row.rests_until,
            last_failure: row.last_failure,
            last_failure_at: row.last_failure_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Selects whole subscriptions; the text given follows the FROM clause.
macro_rules! select_subscriptions {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT subscription_no, subscription_id, sink AS "sink: String", target, event_types,
                   payload AS "payload: String", enabled AS "enabled: bool", is_gone AS "is_gone: bool",
                   previous_secret_until AS "previous_secret_until: DateTime<Utc>", failures,
                   rests_until AS "rests_until: DateTime<Utc>", last_failure,
                   last_failure_at AS "last_failure_at: DateTime<Utc>", created_at AS "created_at: DateTime<Utc>",
                   updated_at AS "updated_at: DateTime<Utc>"
               FROM subscriptions "#
                + $rest
            $(, $value)*
        )
    };
}

/// The partner's subscription of this name.
pub async fn find(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    subscription_id: &SubscriptionId,
) -> Result<Option<Subscription>, Error> {
    let row = select_subscriptions!(
        "WHERE partner_no = ? AND subscription_id = ?",
        partner_no,
        subscription_id.as_str().as_bytes()
    )
    .fetch_optional(on)
    .await?;
    Ok(row.map(Subscription::from))
}

/// The partner's subscriptions in the order of their names.
pub async fn list(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    after: Option<&SubscriptionId>,
    limit: u32,
) -> Result<Page<Subscription, SubscriptionId>, Error> {
    let rows = select_subscriptions!(
        "WHERE partner_no = ? AND subscription_id > ? ORDER BY subscription_id LIMIT ?",
        partner_no,
        after.map_or("", SubscriptionId::as_str).as_bytes(),
        limit + 1
    )
    .fetch_all(on)
    .await?;
    let items = rows.into_iter().map(Subscription::from).collect();
    Ok(Page::of(items, limit, |subscription: &Subscription| {
        subscription.subscription_id.clone()
    }))
}

/// Makes the subscription, or makes it what is wanted now: its circuit is closed again. A webhook
/// that has no secret yet gets one.
pub async fn put(
    transaction: &mut Transaction<'_, MySql>,
    partner_no: u32,
    subscription_id: &SubscriptionId,
    wanted: &NewSubscription,
    now: DateTime<Utc>,
) -> Result<Put, Error> {
    // Makes one partner's changes take turns: how many there are is counted.
    sqlx::query!(
        "SELECT partner_no FROM partners WHERE partner_no = ? FOR UPDATE",
        partner_no
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let before = find(&mut **transaction, partner_no, subscription_id).await?;
    let is_new = before.is_none();
    let signs = |subscription: &Subscription| matches!(subscription.wanted.sink, Sink::Webhook(_));
    let secret = match (&wanted.sink, &before) {
        (Sink::Webhook(_), Some(before)) if signs(before) => None,
        (Sink::Webhook(_), _) => Some(Secret::generate()),
        (Sink::Email(_), _) => None,
    };
    if let Some(before) = before {
        change(transaction, before.subscription_no, wanted, secret.as_ref(), now).await?;
    } else {
        insert(
            transaction,
            partner_no,
            subscription_id,
            wanted,
            secret.as_ref(),
            now,
        )
        .await?;
    }
    let subscription = find(&mut **transaction, partner_no, subscription_id).await?;
    Ok(Put {
        subscription: subscription.ok_or_else(gone)?,
        is_new,
        secret,
    })
}

async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    partner_no: u32,
    subscription_id: &SubscriptionId,
    wanted: &NewSubscription,
    secret: Option<&Secret>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let count = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM subscriptions WHERE partner_no = ?",
        partner_no
    )
    .fetch_one(&mut **transaction)
    .await?;
    if count >= i64::from(SUBSCRIPTIONS_MAX) {
        return Err(Refusal::TooMany.into());
    }
    sqlx::query!(
        "INSERT INTO subscriptions (partner_no, subscription_id, sink, target, event_types, payload, enabled, secret,
             created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        partner_no,
        subscription_id.as_str().as_bytes(),
        wanted.sink.kind(),
        wanted.sink.target(),
        wanted.event_types.stored(),
        wanted.payload.as_str(),
        wanted.enabled,
        secret.map(Secret::as_bytes),
        now,
        now
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn change(
    transaction: &mut Transaction<'_, MySql>,
    subscription_no: u32,
    wanted: &NewSubscription,
    secret: Option<&Secret>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let keeps_secret = secret.is_none() && matches!(wanted.sink, Sink::Webhook(_));
    sqlx::query!(
        "UPDATE subscriptions SET sink = ?, target = ?, event_types = ?, payload = ?, enabled = ?,
             secret = IF(?, secret, ?), previous_secret = IF(?, previous_secret, NULL),
             previous_secret_until = IF(?, previous_secret_until, NULL), is_gone = FALSE, failures = 0,
             rests_until = NULL, updated_at = ?
         WHERE subscription_no = ?",
        wanted.sink.kind(),
        wanted.sink.target(),
        wanted.event_types.stored(),
        wanted.payload.as_str(),
        wanted.enabled,
        keeps_secret,
        secret.map(Secret::as_bytes),
        keeps_secret,
        keeps_secret,
        now,
        subscription_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Gives the webhook a new secret. The one before signs, too, until `overlap_until`. Within an
/// overlap only the new secret is replaced, so that whoever did not hear the answer can ask again.
/// `None`: the partner has no such subscription.
pub async fn rotate(
    transaction: &mut Transaction<'_, MySql>,
    partner_no: u32,
    subscription_id: &SubscriptionId,
    now: DateTime<Utc>,
    overlap_until: DateTime<Utc>,
) -> Result<Option<Put>, Error> {
    let Some(found) = find(&mut **transaction, partner_no, subscription_id).await? else {
        return Ok(None);
    };
    let secret = Secret::generate();
    let rotated = sqlx::query!(
        "UPDATE subscriptions SET
             previous_secret = IF(previous_secret_until > ?, previous_secret, secret),
             previous_secret_until = IF(previous_secret_until > ?, previous_secret_until, ?),
             secret = ?, updated_at = ?
         WHERE subscription_no = ? AND sink = 'webhook'",
        now,
        now,
        overlap_until,
        secret.as_bytes(),
        now,
        found.subscription_no
    )
    .execute(&mut **transaction)
    .await?;
    if rotated.rows_affected() == 0 {
        return Err(Refusal::NotWebhook.into());
    }
    let subscription = find(&mut **transaction, partner_no, subscription_id).await?;
    Ok(Some(Put {
        subscription: subscription.ok_or_else(gone)?,
        is_new: false,
        secret: Some(secret),
    }))
}

fn gone() -> Error {
    Error::Corrupt {
        what: "subscription",
        why: "it was written and is not there".to_owned(),
    }
}

/// Removes a subscription. What is on its way is not sent any more; its rows are removed later.
/// `false`: the partner has none of this name.
pub async fn remove(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    subscription_id: &SubscriptionId,
) -> Result<bool, Error> {
    let removed = sqlx::query!(
        "DELETE FROM subscriptions WHERE partner_no = ? AND subscription_id = ?",
        partner_no,
        subscription_id.as_str().as_bytes()
    )
    .execute(on)
    .await?;
    Ok(removed.rows_affected() > 0)
}
