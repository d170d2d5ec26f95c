//! The SQL of campaigns and their stock. Lock order: campaigns, campaign_stock,
//! claims, coupons.

use headgate_outbox::write::OutboxRow;
use headgate_schemas::ids::{CampaignId, PartnerId};
use headgate_schemas::quantities::Quota;
use sqlx::{MySql, MySqlExecutor, MySqlPool, Transaction};

use super::{Campaign, CampaignName, NewCampaign, Progress};
use crate::{Change, Error, Page};

/// A campaign whose row is locked until the end of the transaction: what it says
/// stays true meanwhile.
#[derive(Clone, Debug)]
pub struct Locked {
    campaign: Campaign,
}

impl Locked {
    /// The campaign.
    pub const fn campaign(&self) -> &Campaign {
        &self.campaign
    }

    /// The campaign, when nothing more is to be done with it.
    pub fn into_campaign(self) -> Campaign {
        self.campaign
    }
}

/// Registers a campaign; it opens at once if its time has come.
pub async fn insert(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _partner_no: u32,
    _partner_id: PartnerId,
    _new: NewCampaign,
) -> Result<Campaign, Error> {
    unimplemented!()
}

/// The campaign of this id.
pub async fn find(_on: impl MySqlExecutor<'_>, _campaign_id: CampaignId) -> Result<Option<Campaign>, Error> {
    unimplemented!()
}

/// The campaign of this number.
pub async fn find_by_no(_on: impl MySqlExecutor<'_>, _campaign_no: u32) -> Result<Option<Campaign>, Error> {
    unimplemented!()
}

/// The campaign of this id, if it is the partner's.
pub async fn find_of_partner(
    _on: impl MySqlExecutor<'_>,
    _partner_no: u32,
    _campaign_id: CampaignId,
) -> Result<Option<Campaign>, Error> {
    unimplemented!()
}

/// The partner's campaigns, the latest first, `limit` of them after `after`.
pub async fn list(
    _pool: &MySqlPool,
    _partner_no: u32,
    _after: Option<CampaignId>,
    _limit: u32,
) -> Result<Page<Campaign, CampaignId>, Error> {
    unimplemented!()
}

/// How far each of `campaigns` has got, in their order.
pub async fn progress(_pool: &MySqlPool, _campaigns: &[Campaign]) -> Result<Vec<Progress>, Error> {
    unimplemented!()
}

/// Locks a campaign's row.
pub async fn lock(
    _transaction: &mut Transaction<'_, MySql>,
    _campaign_id: CampaignId,
) -> Result<Option<Locked>, Error> {
    unimplemented!()
}

/// Raises the quota, and the stock with it.
pub async fn raise_quota(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _locked: &mut Locked,
    _quota: Quota,
) -> Result<(), Error> {
    unimplemented!()
}

/// Gives it another name.
pub async fn rename(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _locked: &mut Locked,
    _name: CampaignName,
) -> Result<(), Error> {
    unimplemented!()
}

/// Takes no more claims until it is resumed.
pub async fn pause(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _locked: &mut Locked,
) -> Result<(), Error> {
    unimplemented!()
}

/// Takes claims again.
pub async fn resume(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _locked: &mut Locked,
) -> Result<(), Error> {
    unimplemented!()
}

/// Takes no more claims, ever.
pub async fn end(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _locked: &mut Locked,
) -> Result<(), Error> {
    unimplemented!()
}

/// The campaign clock: opens up to `limit` campaigns whose time has come. Returns
/// those that changed.
pub async fn open_due(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _limit: u32,
) -> Result<Vec<Campaign>, Error> {
    unimplemented!()
}

/// The campaign clock: ends up to `limit` campaigns whose time is up. Returns those
/// that changed. Run [`open_due`] first: a campaign that never opened opens, then ends.
pub async fn end_due(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _limit: u32,
) -> Result<Vec<Campaign>, Error> {
    unimplemented!()
}

/// Takes `coupons` from a campaign's stock, for coupons that are issued in this
/// transaction. Locks the stock row. If nothing remains, returns the row of
/// `CampaignSoldOut` for the outbox.
pub async fn take_stock(
    _transaction: &mut Transaction<'_, MySql>,
    _change: Change<'_>,
    _campaign: &Campaign,
    _coupons: u32,
) -> Result<Option<OutboxRow>, Error> {
    unimplemented!()
}
