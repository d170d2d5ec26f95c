//! The SQL of coupons.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_outbox::write::{OutboxRow, Predecessor};
use headgate_schemas::ids::{CampaignId, ClaimId, PartnerId};
use headgate_schemas::names::{OrderReference, UserId};
use sqlx::{MySql, MySqlConnection, MySqlExecutor, MySqlPool, QueryBuilder, Transaction};

use super::lifecycle::NewCoupon;
use super::{Coupon, CouponState};
use crate::campaigns::Discount;
use crate::{Error, LastEvent, Page};

pub use super::lifecycle::{expire_due, issue, restore, use_coupon};

/// A row of `coupons`, as MySQL gives it.
struct Row {
    coupon_id: ClaimId,
    campaign_id: CampaignId,
    partner_no: u32,
    partner_id: PartnerId,
    ticket: u32,
    user_id: Vec<u8>,
    discount_amount: Option<u64>,
    discount_percent: Option<u8>,
    discount_amount_max: Option<u64>,
    order_amount_min: u64,
    state: CouponState,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    used_at: Option<DateTime<Utc>>,
    order_reference: Option<Vec<u8>>,
    restored_from: Option<Vec<u8>>,
    event_sequence: u64,
    last_outbox_id: u64,
}

impl TryFrom<Row> for Coupon {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            coupon_id: row.coupon_id,
            campaign_id: row.campaign_id,
            partner_no: row.partner_no,
            partner_id: row.partner_id,
            ticket: row.ticket,
            user_id: UserId::from_stored(row.user_id),
            discount: Discount::of_columns(
                row.discount_amount,
                row.discount_percent,
                row.discount_amount_max,
            )?,
            order_amount_min: row.order_amount_min,
            state: row.state,
            issued_at: row.issued_at,
            expires_at: row.expires_at,
            used_at: row.used_at,
            order_reference: row.order_reference.map(OrderReference::from_stored),
            restored_from: row.restored_from.map(OrderReference::from_stored),
            last_event: Predecessor {
                sequence: row.event_sequence,
                outbox_id: row.last_outbox_id,
            },
        })
    }
}

/// Selects whole coupons; the text given follows the FROM clause.
macro_rules! select_coupons {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT u.coupon_id AS "coupon_id: ClaimId", c.campaign_id AS "campaign_id: CampaignId", u.partner_no,
                   p.partner_id AS "partner_id: PartnerId", u.ticket, u.user_id, c.discount_amount,
                   c.discount_percent, c.discount_amount_max, c.order_amount_min, u.state AS "state: CouponState",
                   u.issued_at AS "issued_at: DateTime<Utc>", u.expires_at AS "expires_at: DateTime<Utc>",
                   u.used_at AS "used_at: DateTime<Utc>", u.order_reference, u.restored_from, u.event_sequence,
                   u.last_outbox_id
               FROM coupons u
                   STRAIGHT_JOIN campaigns c ON c.campaign_no = u.campaign_no
                   STRAIGHT_JOIN partners p ON p.partner_no = u.partner_no "#
                + $rest
            $(, $value)*
        )
    };
}

/// The coupon of this id, if it is of one of the partner's campaigns.
pub async fn find_of_partner(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    coupon_id: ClaimId,
) -> Result<Option<Coupon>, Error> {
    let row = select_coupons!(
        "WHERE u.coupon_id = ? AND u.partner_no = ?",
        coupon_id,
        partner_no
    )
    .fetch_optional(on)
    .await?;
    row.map(Coupon::try_from).transpose()
}

/// The user's coupons, the latest claim first, `limit` of them after `after`.
pub async fn list_of_user(
    pool: &MySqlPool,
    partner_no: u32,
    user_id: &UserId,
    after: Option<ClaimId>,
    limit: u32,
) -> Result<Page<Coupon, ClaimId>, Error> {
    let rows = select_coupons!(
        "WHERE u.partner_no = ? AND u.user_id = ? AND u.coupon_id < ? ORDER BY u.coupon_id DESC LIMIT ?",
        partner_no,
        user_id.as_str().as_bytes(),
        after.unwrap_or(ClaimId::from_bytes([u8::MAX; 16])),
        limit.saturating_add(1)
    )
    .fetch_all(pool)
    .await?;
    let coupons = rows.into_iter().map(Coupon::try_from).collect::<Result<_, _>>()?;
    Ok(Page::of(coupons, limit, |coupon: &Coupon| coupon.coupon_id))
}

/// Locks a coupon's row until the end of the transaction.
pub(super) async fn lock(
    transaction: &mut Transaction<'_, MySql>,
    partner_no: u32,
    coupon_id: ClaimId,
) -> Result<Option<Coupon>, Error> {
    let row = select_coupons!(
        "WHERE u.coupon_id = ? AND u.partner_no = ? FOR UPDATE OF u",
        coupon_id,
        partner_no
    )
    .fetch_optional(&mut **transaction)
    .await?;
    row.map(Coupon::try_from).transpose()
}

/// Locks coupons that can still be used although their time is up, the longest
/// waiting first. Those that somebody else holds are skipped.
pub(super) async fn lock_due_to_expire(
    transaction: &mut Transaction<'_, MySql>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Coupon>, Error> {
    let rows = select_coupons!(
        "WHERE u.state = 'issued' AND u.expires_at <= ? ORDER BY u.expires_at LIMIT ?
         FOR UPDATE OF u SKIP LOCKED",
        now,
        limit
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter().map(Coupon::try_from).collect()
}

/// Inserts coupons with one statement, each with the row of its event.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    coupons: &[NewCoupon],
    events: &[OutboxRow],
    issued_at: DateTime<Utc>,
) -> Result<(), Error> {
    let mut insert = QueryBuilder::<MySql>::new(
        "INSERT INTO coupons (coupon_id, campaign_no, partner_no, ticket, user_id, state, issued_at, expires_at,
             event_sequence, last_outbox_id) ",
    );
    insert.push_values(coupons.iter().zip(events), |mut values, (coupon, event)| {
        values
            .push_bind(coupon.coupon_id)
            .push_bind(coupon.campaign_no)
            .push_bind(coupon.partner_no)
            .push_bind(coupon.ticket)
            .push_bind(coupon.user_id.as_str().as_bytes())
            .push_bind(CouponState::Issued.as_str())
            .push_bind(issued_at)
            .push_bind(coupon.expires_at)
            .push_bind(event.sequence)
            .push_bind(event.id);
    });
    insert.build().execute(&mut **transaction).await?;
    Ok(())
}

/// Writes state, use and last event, as `coupon` has them now. Its row is locked.
pub(super) async fn update(transaction: &mut Transaction<'_, MySql>, coupon: &Coupon) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE coupons SET state = ?, used_at = ?, order_reference = ?, restored_from = ?, event_sequence = ?,
             last_outbox_id = ? WHERE coupon_id = ?",
        coupon.state.as_str(),
        coupon.used_at,
        coupon.order_reference.as_ref().map(|order| order.as_str().as_bytes()),
        coupon.restored_from.as_ref().map(|order| order.as_str().as_bytes()),
        coupon.last_event.sequence,
        coupon.last_event.outbox_id,
        coupon.coupon_id
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Marks coupons as expired with one statement, each with the row of its event.
pub(super) async fn mark_expired(
    transaction: &mut Transaction<'_, MySql>,
    coupons: &[Coupon],
    events: &[OutboxRow],
) -> Result<(), Error> {
    let expired: Vec<_> = coupons
        .iter()
        .zip(events)
        .map(|(coupon, event)| format!(r#"["{}",{},{}]"#, coupon.coupon_id, event.sequence, event.id))
        .collect();
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (coupon_id CHAR(36) PATH '$[0]', sequence BIGINT UNSIGNED PATH '$[1]',
                 outbox_id BIGINT UNSIGNED PATH '$[2]')) AS expired
             STRAIGHT_JOIN coupons AS u ON u.coupon_id = UUID_TO_BIN(expired.coupon_id)
         SET u.state = 'expired', u.event_sequence = expired.sequence, u.last_outbox_id = expired.outbox_id",
        format!("[{}]", expired.join(","))
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Those of `coupons` that exist.
pub async fn existing(
    on: &mut MySqlConnection,
    coupons: &[ClaimId],
) -> Result<HashSet<ClaimId>, sqlx::Error> {
    let mut found = HashSet::with_capacity(coupons.len());
    for coupons in coupons.chunks(multirow::ROWS_MAX) {
        let mut select = QueryBuilder::<MySql>::new("SELECT coupon_id FROM coupons WHERE coupon_id IN (");
        let mut list = select.separated(", ");
        for coupon in multirow::padded(coupons) {
            list.push_bind(coupon);
        }
        select.push(")");
        let rows: Vec<ClaimId> = select.build_query_scalar().fetch_all(&mut *on).await?;
        found.extend(rows);
    }
    Ok(found)
}

/// The last events of the coupons after `after`, in order of their ids.
pub async fn last_events(
    on: impl MySqlExecutor<'_>,
    after: ClaimId,
    limit: u32,
) -> Result<Vec<LastEvent<ClaimId>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT coupon_id AS "coupon_id: ClaimId", event_sequence, last_outbox_id FROM coupons
           WHERE coupon_id > ? ORDER BY coupon_id LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            LastEvent::of(
                row.coupon_id,
                &row.coupon_id,
                row.event_sequence,
                row.last_outbox_id,
            )
        })
        .collect())
}
