//! What tests find in the database: a campaign with claims, and dead letters.

use chrono::{TimeDelta, Utc};
use headgate_dead_letters::Disposition;
use headgate_dead_letters::bury::{Burier, NewLetter, SourceRecord, bury};
use headgate_operator::state::Servers;
use headgate_outbox::inbox::{self, InboxState};
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::ClaimAdmitted;
use headgate_schemas::headers::{self, RawHeaders};
use headgate_schemas::ids::{CampaignId, ClaimId, DeadLetterId, EventId, PartnerId};
use headgate_schemas::topics::COUPONS;

use crate::listener::Listener;

/// A campaign in the database.
pub struct Campaign {
    pub no: u32,
    pub id: CampaignId,
    partner_id: PartnerId,
}

impl Listener {
    fn pool(&self) -> &sqlx::MySqlPool {
        self.environment.pool()
    }

    /// An open campaign.
    pub async fn campaign(&self, quota: u32) -> Campaign {
        let (partner_id, campaign_id) = (PartnerId::generate(), CampaignId::generate());
        let partner = sqlx::query("INSERT INTO partners (partner_id, name) VALUES (?, 'shop')")
            .bind(partner_id)
            .execute(self.pool())
            .await
            .expect("a partner");
        let campaign = sqlx::query(
            "INSERT INTO campaigns (campaign_id, partner_no, name, quota, opens_at, closes_at, discount_type,
                 discount_amount, order_amount_min, coupon_valid_for_seconds, state, created_at, updated_at)
             VALUES (?, ?, 'autumn', ?, '2026-01-01', '2036-01-01', 'fixed', 1000, 0, 86400, 'open', NOW(6), NOW(6))",
        )
        .bind(campaign_id)
        .bind(partner.last_insert_id())
        .bind(quota)
        .execute(self.pool())
        .await
        .expect("a campaign");
        let campaign_no = u32::try_from(campaign.last_insert_id()).expect("a small number");
        sqlx::query(
            "INSERT INTO campaign_stock (campaign_no, remaining, issued, event_sequence, last_outbox_id)
             VALUES (?, ?, 0, 1, 1)",
        )
        .bind(campaign_no)
        .bind(quota)
        .execute(self.pool())
        .await
        .expect("its stock");
        Campaign {
            no: campaign_no,
            id: campaign_id,
            partner_id,
        }
    }

    /// An admitted claim, an hour old.
    pub async fn claim(&self, campaign: &Campaign, ticket: u32) -> ClaimId {
        let claim_id = ClaimId::generate();
        sqlx::query(
            "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at,
                 last_outbox_id) VALUES (?, ?, ?, ?, 1, ?, UTC_TIMESTAMP(6) - INTERVAL 1 HOUR, 1)",
        )
        .bind(campaign.no)
        .bind(ticket)
        .bind(claim_id)
        .bind(format!("u-{ticket}").into_bytes())
        .bind(ticket)
        .execute(self.pool())
        .await
        .expect("a claim");
        claim_id
    }

    /// The coupon of a claim; `stock` says whether the stock row knows.
    pub async fn coupon(&self, campaign: &Campaign, claim_id: ClaimId, ticket: u32, stock: bool) {
        sqlx::query(
            "INSERT INTO coupons (coupon_id, campaign_no, partner_no, ticket, user_id, state, issued_at, expires_at,
                 event_sequence, last_outbox_id)
             SELECT ?, campaign_no, partner_no, ?, ?, 'issued', NOW(6), NOW(6) + INTERVAL 1 DAY, 2, 2
             FROM campaigns WHERE campaign_no = ?",
        )
        .bind(claim_id)
        .bind(ticket)
        .bind(format!("u-{ticket}").into_bytes())
        .bind(campaign.no)
        .execute(self.pool())
        .await
        .expect("a coupon");
        if stock {
            sqlx::query("UPDATE campaign_stock SET remaining = remaining - 1, issued = issued + 1 WHERE campaign_no = ?")
                .bind(campaign.no)
                .execute(self.pool())
                .await
                .expect("the stock");
        }
    }

    /// A dead letter of the group `coupon-issuance`: the event of an admitted claim that
    /// a rule rejected.
    pub async fn rejected_letter(&self, campaign: &Campaign, claim_id: ClaimId, ticket: u32) -> DeadLetterId {
        let event = ClaimAdmitted {
            claim_id,
            campaign_id: campaign.id,
            partner_id: campaign.partner_id,
            user_id: format!("u-{ticket}"),
            ticket: ticket.cast_signed(),
            admission_epoch: 1,
            sequence: i64::from(ticket),
            quota: 100,
            stock_left: 0,
            admitted_at: Utc::now().into(),
        };
        let names = self.config.kafka.names();
        let registry = headgate_runtime::registry::Registry::new(&self.config.registry).expect("a client");
        let value = registry
            .encoder(&names)
            .await
            .expect("schemas")
            .encode(&event)
            .expect("it fits");
        let event_id = EventId::generate();
        let mut raw = RawHeaders::default();
        raw.push(headers::CE_ID, event_id.to_string());
        raw.push("x-user", event.user_id.as_str());
        self.letter(NewLetter {
            event_id,
            event_type: Some(ClaimAdmitted::NAME.to_owned()),
            record: SourceRecord {
                topic: names.public(&COUPONS),
                partition: 0,
                offset: i64::from(ticket),
                time: Utc::now(),
                key: Some(claim_id.to_string().into_bytes()),
                value: Some(value),
                headers: raw,
            },
            disposition: Disposition::Rejected,
            error_class: "ticket-above-quota".to_owned(),
            error: format!("ticket {ticket} is above the quota"),
            attempts: 1,
            first_failed_at: Utc::now() - TimeDelta::seconds(1),
            last_failed_at: Utc::now(),
        })
        .await
    }

    /// A dead letter of bytes that are not Avro.
    pub async fn poison_letter(&self, offset: i64) -> DeadLetterId {
        let topic = self.config.kafka.names().public(&COUPONS);
        let time = Utc::now();
        self.letter(NewLetter {
            event_id: EventId::of_foreign_record(&topic, 1, offset, time.timestamp_millis()),
            event_type: None,
            record: SourceRecord {
                topic,
                partition: 1,
                offset,
                time,
                key: Some(b"kim@shop.example".to_vec()),
                value: Some(b"not avro".to_vec()),
                headers: RawHeaders::default(),
            },
            disposition: Disposition::Poison,
            error_class: "not-wire-format".to_owned(),
            error: "the value does not begin with the magic byte 0 and a schema id".to_owned(),
            attempts: 1,
            first_failed_at: time,
            last_failed_at: time,
        })
        .await
    }

    async fn letter(&self, letter: NewLetter) -> DeadLetterId {
        let servers = Servers::new(self.config.clone()).expect("clients");
        let group = inbox::group_no(self.pool(), "coupon-issuance")
            .await
            .expect("a group");
        let topic = &letter.record.topic;
        inbox::register_partition(self.pool(), group, topic, letter.record.partition)
            .await
            .expect("a partition");
        let event_id = letter.event_id;
        let mut transaction = self.pool().begin().await.expect("MySQL answers");
        inbox::record(&mut transaction, group, &[event_id], InboxState::Dead)
            .await
            .expect("an inbox row");
        let burier = Burier {
            group,
            name: "coupon-issuance",
        };
        bury(
            &mut transaction,
            servers.writer().await.expect("a writer"),
            burier,
            vec![letter],
        )
        .await
        .expect("it is buried");
        transaction.commit().await.expect("MySQL commits");
        sqlx::query_scalar("SELECT letter_id FROM dead_letters WHERE event_id = ?")
            .bind(event_id)
            .fetch_one(self.pool())
            .await
            .expect("the letter is there")
    }

    /// Takes what the outbox holds for the dead-letter topic away, as a relay would.
    pub async fn published(&self) {
        sqlx::query("DELETE FROM outbox")
            .execute(self.pool())
            .await
            .expect("MySQL answers");
    }

    /// Topic and event of what waits to be published.
    pub async fn unpublished(&self) -> Vec<(String, EventId)> {
        sqlx::query_as("SELECT topic, event_id FROM outbox ORDER BY created_at, id")
            .fetch_all(self.pool())
            .await
            .expect("the outbox can be read")
    }
}
