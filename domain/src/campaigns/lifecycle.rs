//! What is done with campaigns: each change and its event, in one transaction.

use headgate_outbox::write::{EventWriter, OutboxRow};
use headgate_schemas::event::coupons::{
    CampaignEnded, CampaignOpened, CampaignPaused, CampaignQuotaRaised, CampaignResumed, CampaignSoldOut,
};
use headgate_schemas::event::{DomainEvent, Timestamp};
use headgate_schemas::ids::{CampaignId, PartnerId};
use headgate_schemas::quantities::Quota;
use sqlx::{MySql, Transaction};

use super::rules::Decision;
use super::store::{self, Stock};
use super::{AdmissionSource, Campaign, CampaignName, CampaignState, NewCampaign};
use crate::{Change, Error};

/// A campaign whose row is locked until the end of the transaction: what it says
/// stays true meanwhile.
#[derive(Clone, Debug)]
pub struct Locked {
    campaign: Campaign,
}

impl Locked {
    pub(super) const fn new(campaign: Campaign) -> Self {
        Self { campaign }
    }

    /// The campaign.
    pub const fn campaign(&self) -> &Campaign {
        &self.campaign
    }

    /// The campaign, when nothing more is to be done with it.
    pub fn into_campaign(self) -> Campaign {
        self.campaign
    }
}

type Tx<'t, 'c> = &'t mut Transaction<'c, MySql>;

/// Registers a campaign; it opens at once if its time has come.
pub async fn insert(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    partner_no: u32,
    partner_id: PartnerId,
    new: NewCampaign,
) -> Result<Campaign, Error> {
    let mut campaign = Campaign {
        campaign_no: 0,
        campaign_id: CampaignId::generate(),
        partner_no,
        partner_id,
        name: new.name.into_string(),
        quota: new.quota,
        opens_at: new.window.opens_at(),
        closes_at: new.window.closes_at(),
        discount: new.discount,
        order_amount_min: new.order_amount_min,
        valid_for: new.valid_for,
        reclaim_allowed: new.reclaim_allowed,
        state: CampaignState::Scheduled,
        admission_epoch: 0,
        admission_source: AdmissionSource::Redis,
        created_at: change.now,
        updated_at: change.now,
        ended_at: None,
    };
    campaign.campaign_no = store::insert_scheduled(transaction, &campaign).await?;
    let mut locked = Locked::new(campaign);
    open_if_due(transaction, change, &mut locked).await?;
    Ok(locked.into_campaign())
}

/// Raises the quota, and the stock with it.
pub async fn raise_quota(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    locked: &mut Locked,
    quota: Quota,
) -> Result<(), Error> {
    let campaign = &mut locked.campaign;
    if campaign.raise_quota_at(quota, change.now)? == Decision::Nothing {
        return Ok(());
    }
    let quota_before = campaign.quota;
    campaign.quota = quota;
    campaign.updated_at = change.now;
    store::update(transaction, campaign).await?;
    let mut stock = store::lock_stock(transaction, campaign.campaign_no).await?;
    stock.remaining += quota.get() - quota_before.get();
    let event = CampaignQuotaRaised {
        campaign_id: campaign.campaign_id,
        partner_id: campaign.partner_id,
        name: campaign.name.clone(),
        quota: event_int(quota.get()),
        quota_before: event_int(quota_before.get()),
        raised_at: Timestamp::from(change.now),
    };
    write_with_stock(transaction, change, campaign, stock, &event).await
}

/// Gives it another name. That is no event: every event of a campaign carries its name.
pub async fn rename(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    locked: &mut Locked,
    name: CampaignName,
) -> Result<(), Error> {
    let campaign = &mut locked.campaign;
    if campaign.name == name.as_str() {
        return Ok(());
    }
    campaign.name = name.into_string();
    campaign.updated_at = change.now;
    store::update(transaction, campaign).await
}

/// Takes no more claims until it is resumed.
pub async fn pause(transaction: Tx<'_, '_>, change: Change<'_>, locked: &mut Locked) -> Result<(), Error> {
    if locked.campaign.pause_at(change.now)? == Decision::Nothing {
        return Ok(());
    }
    open_if_due(transaction, change, locked).await?;
    let campaign = &mut locked.campaign;
    let event = CampaignPaused {
        campaign_id: campaign.campaign_id,
        partner_id: campaign.partner_id,
        name: campaign.name.clone(),
        quota: event_int(campaign.quota.get()),
        paused_at: Timestamp::from(change.now),
    };
    enter(transaction, change, campaign, CampaignState::Paused).await?;
    write(transaction, change, campaign, &event).await
}

/// Takes claims again.
pub async fn resume(transaction: Tx<'_, '_>, change: Change<'_>, locked: &mut Locked) -> Result<(), Error> {
    let campaign = &mut locked.campaign;
    if campaign.resume_at(change.now)? == Decision::Nothing {
        return Ok(());
    }
    let event = CampaignResumed {
        campaign_id: campaign.campaign_id,
        partner_id: campaign.partner_id,
        name: campaign.name.clone(),
        quota: event_int(campaign.quota.get()),
        resumed_at: Timestamp::from(change.now),
    };
    enter(transaction, change, campaign, CampaignState::Open).await?;
    write(transaction, change, campaign, &event).await
}

/// Takes no more claims, ever.
pub async fn end(transaction: Tx<'_, '_>, change: Change<'_>, locked: &mut Locked) -> Result<(), Error> {
    if locked.campaign.end() == Decision::Nothing {
        return Ok(());
    }
    open_if_due(transaction, change, locked).await?;
    let campaign = &mut locked.campaign;
    campaign.ended_at = Some(change.now);
    enter(transaction, change, campaign, CampaignState::Ended).await?;
    let stock = store::lock_stock(transaction, campaign.campaign_no).await?;
    let event = CampaignEnded {
        campaign_id: campaign.campaign_id,
        partner_id: campaign.partner_id,
        name: campaign.name.clone(),
        quota: event_int(campaign.quota.get()),
        issued: event_int(stock.issued),
        ended_at: Timestamp::from(change.now),
    };
    write_with_stock(transaction, change, campaign, stock, &event).await
}

/// The campaign clock: opens up to `limit` campaigns whose time has come. Returns
/// those that changed.
///
/// Rows are locked one by one and waited for: admission holds shared locks on the
/// rows of busy campaigns, and to skip what is locked would be to skip those for ever.
pub async fn open_due(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    limit: u32,
) -> Result<Vec<Campaign>, Error> {
    let mut changed = Vec::new();
    for campaign_id in store::due_to_open(transaction, change.now, limit).await? {
        let Some(mut locked) = store::lock(transaction, campaign_id).await? else {
            continue;
        };
        if open_if_due(transaction, change, &mut locked).await? {
            changed.push(locked.into_campaign());
        }
    }
    Ok(changed)
}

/// The campaign clock: ends up to `limit` campaigns whose time is up. Returns those
/// that changed. Run [`open_due`] first: a campaign that never opened opens, then ends.
pub async fn end_due(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    limit: u32,
) -> Result<Vec<Campaign>, Error> {
    let mut changed = Vec::new();
    for campaign_id in store::due_to_end(transaction, change.now, limit).await? {
        let Some(mut locked) = store::lock(transaction, campaign_id).await? else {
            continue;
        };
        if locked.campaign.end_is_due(change.now) {
            end(transaction, change, &mut locked).await?;
            changed.push(locked.into_campaign());
        }
    }
    Ok(changed)
}

/// Takes `coupons` from a campaign's stock, for coupons that are issued in this
/// transaction. Locks the stock row. If nothing remains, returns the row of
/// `CampaignSoldOut` for the outbox.
pub async fn take_stock(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    campaign: &Campaign,
    coupons: u32,
) -> Result<Option<OutboxRow>, Error> {
    let mut stock = store::lock_stock(transaction, campaign.campaign_no).await?;
    if coupons == 0 {
        return Ok(None);
    }
    stock.remaining = stock
        .remaining
        .checked_sub(coupons)
        .ok_or_else(|| Error::Corrupt {
            what: "campaign",
            why: format!("{coupons} coupons for a stock of {}", stock.remaining),
        })?;
    stock.issued += coupons;
    let row = (stock.remaining == 0)
        .then(|| {
            let event = CampaignSoldOut {
                campaign_id: campaign.campaign_id,
                partner_id: campaign.partner_id,
                name: campaign.name.clone(),
                quota: event_int(stock.issued),
                issued: event_int(stock.issued),
                sold_out_at: Timestamp::from(change.now),
            };
            event_row(change, &event, &mut stock)
        })
        .transpose()?;
    store::update_stock(transaction, campaign.campaign_no, &stock).await?;
    Ok(row)
}

/// Opens the campaign if it is due and the campaign clock has not come round yet.
async fn open_if_due(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    locked: &mut Locked,
) -> Result<bool, Error> {
    let campaign = &mut locked.campaign;
    if !campaign.opening_is_due(change.now) {
        return Ok(false);
    }
    let event = CampaignOpened {
        campaign_id: campaign.campaign_id,
        partner_id: campaign.partner_id,
        name: campaign.name.clone(),
        quota: event_int(campaign.quota.get()),
        opens_at: Timestamp::from(campaign.opens_at),
        closes_at: Timestamp::from(campaign.closes_at),
    };
    enter(transaction, change, campaign, CampaignState::Open).await?;
    write(transaction, change, campaign, &event).await?;
    Ok(true)
}

async fn enter(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    campaign: &mut Campaign,
    state: CampaignState,
) -> Result<(), Error> {
    campaign.state = state;
    campaign.updated_at = change.now;
    store::update(transaction, campaign).await
}

async fn write<T: DomainEvent>(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    campaign: &Campaign,
    event: &T,
) -> Result<(), Error> {
    let stock = store::lock_stock(transaction, campaign.campaign_no).await?;
    write_with_stock(transaction, change, campaign, stock, event).await
}

async fn write_with_stock<T: DomainEvent>(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    campaign: &Campaign,
    mut stock: Stock,
    event: &T,
) -> Result<(), Error> {
    let row = event_row(change, event, &mut stock)?;
    EventWriter::write(transaction, &[row]).await?;
    store::update_stock(transaction, campaign.campaign_no, &stock).await
}

/// The row of the campaign's next event; `stock` takes note of it.
fn event_row<T: DomainEvent>(change: Change<'_>, event: &T, stock: &mut Stock) -> Result<OutboxRow, Error> {
    let traceparent = change.traceparent.map(str::to_owned);
    let row = change
        .writer
        .row(event, stock.last_event, change.now, traceparent)?;
    stock.last_event.sequence = row.sequence;
    stock.last_event.outbox_id = row.id;
    Ok(row)
}

/// Counts of coupons as events carry them: quotas end far below `i32::MAX`.
fn event_int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
