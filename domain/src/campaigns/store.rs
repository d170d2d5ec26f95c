//! The SQL of campaigns and their stock. Lock order: campaigns, campaign_stock,
//! claims, coupons.

use chrono::{DateTime, Utc};
use headgate_outbox::write::Predecessor;
use headgate_schemas::ids::{CampaignId, PartnerId};
use headgate_schemas::quantities::Quota;
use sqlx::{MySql, MySqlExecutor, MySqlPool, Transaction};

use super::{AdmissionSource, Campaign, CampaignState, Discount, Progress, ValidFor};
use crate::{Error, LastEvent, Page, claims};

pub use super::lifecycle::{
    Locked, end, end_due, insert, open_due, pause, raise_quota, rename, resume, take_stock,
};

/// A row of `campaigns`, as MySQL gives it.
struct Row {
    campaign_no: u32,
    campaign_id: CampaignId,
    partner_no: u32,
    partner_id: PartnerId,
    name: String,
    quota: u32,
    opens_at: DateTime<Utc>,
    closes_at: DateTime<Utc>,
    discount_amount: Option<u64>,
    discount_percent: Option<u8>,
    discount_amount_max: Option<u64>,
    order_amount_min: u64,
    coupon_valid_for_seconds: u32,
    reclaim_allowed: bool,
    state: CampaignState,
    admission_epoch: u32,
    admission_source: AdmissionSource,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl Discount {
    /// Reads the three columns of a discount.
    pub(crate) fn of_columns(
        amount: Option<u64>,
        percent: Option<u8>,
        amount_max: Option<u64>,
    ) -> Result<Self, Error> {
        match (amount, percent, amount_max) {
            (Some(amount), None, None) => Ok(Self::Fixed { amount }),
            (None, Some(percent), Some(amount_max)) => Ok(Self::Percent { percent, amount_max }),
            _ => Err(Error::Corrupt {
                what: "campaign",
                why: "it has no discount, or two".to_owned(),
            }),
        }
    }
}

impl TryFrom<Row> for Campaign {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let corrupt = |why: String| Error::Corrupt {
            what: "campaign",
            why,
        };
        Ok(Self {
            campaign_no: row.campaign_no,
            campaign_id: row.campaign_id,
            partner_no: row.partner_no,
            partner_id: row.partner_id,
            name: row.name,
            quota: Quota::new(row.quota).map_err(|error| corrupt(error.to_string()))?,
            opens_at: row.opens_at,
            closes_at: row.closes_at,
            discount: Discount::of_columns(
                row.discount_amount,
                row.discount_percent,
                row.discount_amount_max,
            )?,
            order_amount_min: row.order_amount_min,
            valid_for: ValidFor::seconds(u64::from(row.coupon_valid_for_seconds))
                .map_err(|error| corrupt(error.to_string()))?,
            reclaim_allowed: row.reclaim_allowed,
            state: row.state,
            admission_epoch: row.admission_epoch,
            admission_source: row.admission_source,
            created_at: row.created_at,
            updated_at: row.updated_at,
            ended_at: row.ended_at,
        })
    }
}

/// Selects whole campaigns; the text given follows the FROM clause.
macro_rules! select_campaigns {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT c.campaign_no, c.campaign_id AS "campaign_id: CampaignId", c.partner_no,
                   p.partner_id AS "partner_id: PartnerId", c.name, c.quota, c.opens_at AS "opens_at: DateTime<Utc>",
                   c.closes_at AS "closes_at: DateTime<Utc>", c.discount_amount, c.discount_percent,
                   c.discount_amount_max, c.order_amount_min, c.coupon_valid_for_seconds,
                   c.reclaim_allowed AS "reclaim_allowed: bool", c.state AS "state: CampaignState",
                   c.admission_epoch, c.admission_source AS "admission_source: AdmissionSource",
                   c.created_at AS "created_at: DateTime<Utc>", c.updated_at AS "updated_at: DateTime<Utc>",
                   c.ended_at AS "ended_at: DateTime<Utc>"
               FROM campaigns c JOIN partners p ON p.partner_no = c.partner_no "#
                + $rest
            $(, $value)*
        )
    };
}

/// The campaign of this id.
pub async fn find(on: impl MySqlExecutor<'_>, campaign_id: CampaignId) -> Result<Option<Campaign>, Error> {
    let row = select_campaigns!("WHERE c.campaign_id = ?", campaign_id)
        .fetch_optional(on)
        .await?;
    row.map(Campaign::try_from).transpose()
}

/// The campaign of this number.
pub async fn find_by_no(on: impl MySqlExecutor<'_>, campaign_no: u32) -> Result<Option<Campaign>, Error> {
    let row = select_campaigns!("WHERE c.campaign_no = ?", campaign_no)
        .fetch_optional(on)
        .await?;
    row.map(Campaign::try_from).transpose()
}

/// The campaign of this id, if it is the partner's.
pub async fn find_of_partner(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    campaign_id: CampaignId,
) -> Result<Option<Campaign>, Error> {
    let campaign = find(on, campaign_id).await?;
    Ok(campaign.filter(|campaign| campaign.partner_no == partner_no))
}

/// The partner's campaigns, the latest first, `limit` of them after `after`. `None` if
/// `after` is no campaign of the partner.
pub async fn list(
    pool: &MySqlPool,
    partner_no: u32,
    after: Option<CampaignId>,
    limit: u32,
) -> Result<Option<Page<Campaign, CampaignId>>, Error> {
    let below_no = match after {
        None => u32::MAX,
        Some(after) => match find_of_partner(pool, partner_no, after).await? {
            None => return Ok(None),
            Some(campaign) => campaign.campaign_no,
        },
    };
    let rows = select_campaigns!(
        "WHERE c.partner_no = ? AND c.campaign_no < ? ORDER BY c.campaign_no DESC LIMIT ?",
        partner_no,
        below_no,
        limit.saturating_add(1)
    )
    .fetch_all(pool)
    .await?;
    let campaigns = rows
        .into_iter()
        .map(Campaign::try_from)
        .collect::<Result<_, _>>()?;
    Ok(Some(Page::of(campaigns, limit, |campaign: &Campaign| {
        campaign.campaign_id
    })))
}

/// The latest campaigns of all partners, up to `limit`.
pub async fn list_of_all(pool: &MySqlPool, limit: u32) -> Result<Vec<Campaign>, Error> {
    let rows = select_campaigns!("ORDER BY c.campaign_no DESC LIMIT ?", limit)
        .fetch_all(pool)
        .await?;
    rows.into_iter().map(Campaign::try_from).collect()
}

/// Number and id of the campaigns that may admit claims, or did until `ended_after`:
/// those whose reservations may have to be settled.
pub async fn admitting(
    pool: &MySqlPool,
    now: DateTime<Utc>,
    ended_after: DateTime<Utc>,
) -> Result<Vec<(u32, CampaignId)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT campaign_no AS "campaign_no!: u32", campaign_id AS "campaign_id!: CampaignId" FROM campaigns
           WHERE state IN ('scheduled', 'open', 'paused') AND opens_at <= ?
           UNION ALL
           SELECT campaign_no, campaign_id FROM campaigns WHERE ended_at > ?"#,
        now,
        ended_after
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.campaign_no, row.campaign_id))
        .collect())
}

/// How far a campaign has got. Claims are counted, not kept in a counter: a counter
/// would be one row that every batch of admissions waits for. Once all coupons are
/// issued the stock says it.
pub async fn progress(pool: &MySqlPool, campaign: &Campaign) -> Result<Progress, Error> {
    let issued = sqlx::query_scalar!(
        "SELECT issued FROM campaign_stock WHERE campaign_no = ?",
        campaign.campaign_no
    )
    .fetch_one(pool)
    .await?;
    let claimed = if issued >= campaign.quota.get() {
        u64::from(issued)
    } else {
        claims::store::count(pool, campaign.campaign_no).await?
    };
    Ok(Progress {
        claimed,
        issued: u64::from(issued),
    })
}

/// The last events of the campaigns after number `after` that have had any, in order of
/// registration.
pub async fn last_events(
    on: impl MySqlExecutor<'_>,
    after: u32,
    limit: u32,
) -> Result<Vec<LastEvent<u32>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT c.campaign_no, c.campaign_id AS "campaign_id: CampaignId", s.event_sequence, s.last_outbox_id
           FROM campaigns c JOIN campaign_stock s USING (campaign_no)
           WHERE c.campaign_no > ? AND s.event_sequence > 0 ORDER BY c.campaign_no LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            LastEvent::of(
                row.campaign_no,
                &row.campaign_id,
                row.event_sequence,
                row.last_outbox_id,
            )
        })
        .collect())
}

/// Locks a campaign's row until the end of the transaction.
pub async fn lock(
    transaction: &mut Transaction<'_, MySql>,
    campaign_id: CampaignId,
) -> Result<Option<Locked>, Error> {
    let row = select_campaigns!("WHERE c.campaign_id = ? FOR UPDATE OF c", campaign_id)
        .fetch_optional(&mut **transaction)
        .await?;
    row.map(|row| Campaign::try_from(row).map(Locked::new))
        .transpose()
}

/// Campaigns that wait to be opened, the longest waiting first. Not locked.
pub(super) async fn due_to_open(
    transaction: &mut Transaction<'_, MySql>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<CampaignId>, Error> {
    let due = sqlx::query_scalar!(
        r#"SELECT campaign_id AS "campaign_id: CampaignId" FROM campaigns
           WHERE state = 'scheduled' AND opens_at <= ? ORDER BY opens_at LIMIT ?"#,
        now,
        limit
    )
    .fetch_all(&mut **transaction)
    .await?;
    Ok(due)
}

/// Campaigns that wait to be ended, the longest waiting first. Not locked.
pub(super) async fn due_to_end(
    transaction: &mut Transaction<'_, MySql>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<CampaignId>, Error> {
    let due = sqlx::query_scalar!(
        r#"SELECT campaign_id AS "campaign_id: CampaignId" FROM campaigns
           WHERE state IN ('open', 'paused') AND closes_at <= ? ORDER BY closes_at LIMIT ?"#,
        now,
        limit
    )
    .fetch_all(&mut **transaction)
    .await?;
    Ok(due)
}

/// Inserts the row of a campaign that is not open; its number is in the answer.
pub(super) async fn insert_scheduled(
    transaction: &mut Transaction<'_, MySql>,
    campaign: &Campaign,
) -> Result<u32, Error> {
    let (kind, amount, percent, amount_max) = match campaign.discount {
        Discount::Fixed { amount } => ("fixed", Some(amount), None, None),
        Discount::Percent { percent, amount_max } => ("percent", None, Some(percent), Some(amount_max)),
    };
    let inserted = sqlx::query!(
        "INSERT INTO campaigns (campaign_id, partner_no, name, quota, opens_at, closes_at, discount_type,
             discount_amount, discount_percent, discount_amount_max, order_amount_min, coupon_valid_for_seconds,
             reclaim_allowed, state, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'scheduled', ?, ?)",
        campaign.campaign_id,
        campaign.partner_no,
        campaign.name,
        campaign.quota.get(),
        campaign.opens_at,
        campaign.closes_at,
        kind,
        amount,
        percent,
        amount_max,
        campaign.order_amount_min,
        campaign.valid_for.get(),
        campaign.reclaim_allowed,
        campaign.created_at,
        campaign.updated_at
    )
    .execute(&mut **transaction)
    .await?;
    let campaign_no = u32::try_from(inserted.last_insert_id()).map_err(|error| Error::Corrupt {
        what: "campaign number",
        why: error.to_string(),
    })?;
    sqlx::query!(
        "INSERT INTO campaign_stock (campaign_no, remaining, issued, event_sequence, last_outbox_id)
         VALUES (?, ?, 0, 0, 0)",
        campaign_no,
        campaign.quota.get()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(campaign_no)
}

/// Writes name, quota, state and their times, as `campaign` has them now.
pub(super) async fn update(
    transaction: &mut Transaction<'_, MySql>,
    campaign: &Campaign,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE campaigns SET name = ?, quota = ?, state = ?, updated_at = ?, ended_at = ? WHERE campaign_no = ?",
        campaign.name,
        campaign.quota.get(),
        campaign.state.as_str(),
        campaign.updated_at,
        campaign.ended_at,
        campaign.campaign_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The stock of a campaign, locked.
pub(super) struct Stock {
    /// Coupons not issued yet.
    pub remaining: u32,
    /// Coupons issued.
    pub issued: u32,
    /// Last event of the campaign.
    pub last_event: Predecessor,
}

/// Locks the stock row until the end of the transaction.
pub(super) async fn lock_stock(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
) -> Result<Stock, Error> {
    let row = sqlx::query!(
        "SELECT remaining, issued, event_sequence, last_outbox_id FROM campaign_stock WHERE campaign_no = ?
         FOR UPDATE",
        campaign_no
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(Stock {
        remaining: row.remaining,
        issued: row.issued,
        last_event: Predecessor {
            sequence: row.event_sequence,
            outbox_id: row.last_outbox_id,
        },
    })
}

/// Writes the stock row, which is locked.
pub(super) async fn update_stock(
    transaction: &mut Transaction<'_, MySql>,
    campaign_no: u32,
    stock: &Stock,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE campaign_stock SET remaining = ?, issued = ?, event_sequence = ?, last_outbox_id = ?
         WHERE campaign_no = ?",
        stock.remaining,
        stock.issued,
        stock.last_event.sequence,
        stock.last_event.outbox_id,
        campaign_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
