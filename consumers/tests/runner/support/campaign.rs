//! Campaigns and admitted claims, as the api leaves them in MySQL.

use chrono::Utc;
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::ClaimAdmitted;
use headgate_schemas::ids::{CampaignId, ClaimId, EventId, PartnerId};

use super::{Outgoing, Pipe};

pub struct Campaign {
    pub campaign_no: u32,
    pub campaign_id: CampaignId,
    pub partner_id: PartnerId,
}

/// A claim that was admitted, and its event.
#[derive(Clone)]
pub struct Admitted {
    pub event_id: EventId,
    pub claim: ClaimAdmitted,
}

/// Rows of one INSERT.
const ROWS: usize = 500;

impl Pipe {
    /// An open campaign.
    pub async fn campaign(&self, quota: u32) -> Campaign {
        let pool = self.environment.pool();
        let (partner_id, campaign_id) = (PartnerId::generate(), CampaignId::generate());
        let partner_no = sqlx::query("INSERT INTO partners (partner_id, name) VALUES (?, 'test')")
            .bind(partner_id)
            .execute(pool)
            .await
            .expect("a partner")
            .last_insert_id();
        let campaign_no = sqlx::query(
            "INSERT INTO campaigns (campaign_id, partner_no, name, quota, opens_at, closes_at, discount_type,
                 discount_amount, order_amount_min, coupon_valid_for_seconds, state, created_at, updated_at)
             VALUES (?, ?, 'test', ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 DAY, 'fixed', 1000, 0, 3600,
                 'open', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))",
        )
        .bind(campaign_id)
        .bind(partner_no)
        .bind(quota)
        .execute(pool)
        .await
        .expect("a campaign")
        .last_insert_id();
        sqlx::query(
            "INSERT INTO campaign_stock (campaign_no, remaining, issued, event_sequence, last_outbox_id)
             VALUES (?, ?, 0, 1, 1)",
        )
        .bind(campaign_no)
        .bind(quota)
        .execute(pool)
        .await
        .expect("a stock");
        Campaign {
            campaign_no: u32::try_from(campaign_no).expect("a small number"),
            campaign_id,
            partner_id,
        }
    }

    /// Admits claims for these tickets.
    pub async fn admit(&self, campaign: &Campaign, tickets: impl IntoIterator<Item = i32>) -> Vec<Admitted> {
        let admitted: Vec<Admitted> = tickets
            .into_iter()
            .map(|ticket| Admitted {
                event_id: EventId::generate(),
                claim: campaign.claim(ticket),
            })
            .collect();
        for rows in admitted.chunks(ROWS) {
            let mut insert = sqlx::QueryBuilder::<sqlx::MySql>::new(
                "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at,
                     last_outbox_id) ",
            );
            insert.push_values(rows, |mut values, Admitted { claim, .. }| {
                values
                    .push_bind(campaign.campaign_no)
                    .push_bind(claim.ticket)
                    .push_bind(claim.claim_id)
                    .push_bind(claim.user_id.as_bytes())
                    .push_bind(1)
                    .push_bind(claim.sequence)
                    .push_bind(Utc::now())
                    .push_bind(1);
            });
            insert
                .build()
                .execute(self.environment.pool())
                .await
                .expect("claims are inserted");
        }
        admitted
    }

    /// The record of an admitted claim.
    pub fn record(&self, admitted: &Admitted) -> Outgoing {
        let value = self.encoder.encode(&admitted.claim).expect("it fits its schema");
        Outgoing::of_event(
            admitted.event_id,
            ClaimAdmitted::NAME,
            &admitted.claim.claim_id.to_string(),
            value,
        )
    }

    /// The records of admitted claims.
    pub fn records(&self, admitted: &[Admitted]) -> Vec<Outgoing> {
        admitted.iter().map(|admitted| self.record(admitted)).collect()
    }
}

impl Campaign {
    /// A claim's event; no row is written.
    pub fn claim(&self, ticket: i32) -> ClaimAdmitted {
        ClaimAdmitted {
            claim_id: ClaimId::generate(),
            campaign_id: self.campaign_id,
            partner_id: self.partner_id,
            user_id: format!("u-{ticket}"),
            ticket,
            admission_epoch: 1,
            sequence: i64::from(ticket),
            quota: 0,
            stock_left: 0,
            admitted_at: Utc::now().into(),
        }
    }
}
