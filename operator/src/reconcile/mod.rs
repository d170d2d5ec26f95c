//! Reconciliation of campaigns: what MySQL's own rows must say of each other at every
//! commit. A difference is a fault, whatever caused it. Of the pipe: see [`pipe`]; of points:
//! see [`points`].

mod look;
pub mod pipe;
pub mod points;
mod store;
mod watch;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_schemas::ids::CampaignId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use watch::watch;

use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::Query;
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;

/// Campaigns of a page unless the request says otherwise.
const PAGE_CAMPAIGNS_USUAL: u32 = 20;
/// Most campaigns of a page: each is counted row by row.
const PAGE_CAMPAIGNS_MAX: u32 = 100;

/// How far a campaign has got, counted row by row in one snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Most coupons.
    pub quota: u64,
    /// Claims that were admitted and not released.
    pub claimed: u64,
    /// Claims whose coupon exists.
    pub issued: u64,
    /// Coupons not issued yet, as the stock row says.
    pub remaining: u64,
    /// Claims without a coupon whose event is an unsettled dead letter.
    pub dead_letters: u64,
    /// Claims that were released.
    pub released: u64,
    /// Claims without a coupon whose event is on its way.
    pub in_flight: u64,
}

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// A stable word for it.
    pub kind: String,
    /// What it should be.
    pub expected: u64,
    /// What it is.
    pub found: u64,
}

/// A campaign, counted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Reconciled {
    /// The campaign.
    #[schema(value_type = Uuid)]
    pub campaign_id: CampaignId,
    /// Its name.
    pub name: String,
    /// How far it has got.
    pub counts: Counts,
    /// What must never be; empty when all is well.
    pub differences: Vec<Difference>,
}

/// A page of campaigns, counted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reconciliation {
    /// When the counting began, by MySQL's clock.
    pub as_of: DateTime<Utc>,
    /// Whether nothing was on its way, so that a claim without a coupon is a fault. While
    /// events flow, such claims count as in flight.
    pub quiet: bool,
    /// The campaigns, the oldest first.
    pub items: Vec<Reconciled>,
    /// Cursor of the next page.
    pub next_cursor: Option<u32>,
}

/// Which campaigns.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageOf {
    /// Campaigns of a page, 1 to 100.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<u32>,
}

/// Counts campaigns and lists every difference.
#[utoipa::path(
    get, path = "/v1/reconciliation", tag = "campaigns", params(PageOf),
    responses((status = 200, body = Reconciliation), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn reconcile(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(page): Query<PageOf>,
) -> Result<Json<Reconciliation>, Error> {
    let limit = page.limit.unwrap_or(PAGE_CAMPAIGNS_USUAL);
    if !(1..=PAGE_CAMPAIGNS_MAX).contains(&limit) {
        let detail = format!("must lie between 1 and {PAGE_CAMPAIGNS_MAX}");
        return Err(Error::InvalidParameter(vec![FieldError::new("limit", detail)]));
    }
    let campaigns = store::page(&servers.pool, page.cursor.unwrap_or(0), limit).await?;
    let full = u32::try_from(campaigns.len()).is_ok_and(|rows| rows == limit);
    let next_cursor = campaigns
        .last()
        .filter(|_| full)
        .map(|campaign| campaign.campaign_no);
    let pipe = look::look(&servers).await?;
    let mut items = Vec::new();
    for campaign in campaigns {
        items.push(count(&servers, campaign, pipe).await?);
    }
    Ok(Json(Reconciliation {
        as_of: pipe.as_of,
        quiet: pipe.quiet,
        items,
        next_cursor,
    }))
}

/// Counts one campaign, after a look at the pipe.
async fn count(servers: &Servers, campaign: store::Named, pipe: look::Pipe) -> Result<Reconciled, Error> {
    let rows = store::count(&servers.pool, campaign.campaign_no, pipe.settled_before()).await?;
    Ok(Reconciled {
        campaign_id: campaign.campaign_id,
        name: campaign.name,
        counts: rows.counts(),
        differences: rows.differences(pipe.quiet),
    })
}

/// Counts the campaign of this number on its own.
pub async fn of_campaign(servers: &Servers, campaign_no: u32) -> Result<(Counts, Vec<Difference>), Error> {
    let pipe = look::look(servers).await?;
    let rows = store::count(&servers.pool, campaign_no, pipe.settled_before()).await?;
    Ok((rows.counts(), rows.differences(pipe.quiet)))
}

/// What the rows of a campaign say, in one snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    quota: u64,
    stock_remaining: u64,
    stock_issued: u64,
    claims: u64,
    tickets: u64,
    ticket_highest: u64,
    /// Claims that have a coupon.
    coupons: u64,
    /// Coupons that say something else than their claim.
    coupons_strange: u64,
    released: u64,
    /// Claims without a coupon but with an unsettled letter.
    letters: u64,
    /// Claims with neither, that were admitted long before the look at the pipe.
    stuck: u64,
}

impl Rows {
    fn counts(&self) -> Counts {
        Counts {
            quota: self.quota,
            claimed: self.claims,
            issued: self.coupons,
            remaining: self.stock_remaining,
            dead_letters: self.letters,
            released: self.released,
            in_flight: self
                .claims
                .saturating_sub(self.coupons)
                .saturating_sub(self.letters),
        }
    }

    /// Everything that must never be. With a quiet pipe nothing is on its way: then
    /// every claim has its coupon or its letter.
    fn differences(&self, quiet: bool) -> Vec<Difference> {
        let checks = [
            ("tickets-unique", self.claims, self.tickets),
            (
                "ticket-above-quota",
                self.ticket_highest.min(self.quota),
                self.ticket_highest,
            ),
            ("stock-issued", self.coupons, self.stock_issued),
            (
                "stock-remaining",
                self.quota.saturating_sub(self.coupons),
                self.stock_remaining,
            ),
            ("issued-above-quota", self.coupons.min(self.quota), self.coupons),
            ("coupon-unlike-claim", 0, self.coupons_strange),
            ("claims-stuck", 0, if quiet { self.stuck } else { 0 }),
        ];
        checks
            .into_iter()
            .filter(|(_, expected, found)| expected != found)
            .map(|(kind, expected, found)| Difference {
                kind: kind.to_owned(),
                expected,
                found,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten claims of a quota of twelve: seven issued, two dead, one on its way.
    const SOUND: Rows = Rows {
        quota: 12,
        stock_remaining: 5,
        stock_issued: 7,
        claims: 10,
        tickets: 10,
        ticket_highest: 12,
        coupons: 7,
        coupons_strange: 0,
        released: 1,
        letters: 2,
        stuck: 0,
    };

    fn kinds(rows: Rows, quiet: bool) -> Vec<String> {
        rows.differences(quiet)
            .into_iter()
            .map(|difference| difference.kind)
            .collect()
    }

    #[test]
    fn a_sound_campaign_has_no_difference_and_its_counts_add_up() {
        assert_eq!(kinds(SOUND, true), Vec::<String>::new());
        let counts = SOUND.counts();
        assert_eq!(
            counts.claimed,
            counts.issued + counts.dead_letters + counts.in_flight
        );
        assert_eq!(counts.in_flight, 1);
    }

    #[test]
    fn each_fault_is_one_difference() {
        for (kind, rows) in [
            ("tickets-unique", Rows { tickets: 9, ..SOUND }),
            (
                "ticket-above-quota",
                Rows {
                    ticket_highest: 13,
                    ..SOUND
                },
            ),
            (
                "stock-issued",
                Rows {
                    stock_issued: 8,
                    ..SOUND
                },
            ),
            (
                "stock-remaining",
                Rows {
                    stock_remaining: 4,
                    ..SOUND
                },
            ),
            (
                "coupon-unlike-claim",
                Rows {
                    coupons_strange: 1,
                    ..SOUND
                },
            ),
            ("claims-stuck", Rows { stuck: 1, ..SOUND }),
        ] {
            assert_eq!(kinds(rows, true), [kind]);
        }
        let over = Rows {
            coupons: 13,
            stock_issued: 13,
            stock_remaining: 0,
            claims: 13,
            tickets: 13,
            ..SOUND
        };
        assert_eq!(kinds(over, true), ["issued-above-quota"]);
    }

    #[test]
    fn while_events_flow_no_claim_is_called_stuck() {
        assert_eq!(kinds(Rows { stuck: 1, ..SOUND }, false), Vec::<String>::new());
    }
}
