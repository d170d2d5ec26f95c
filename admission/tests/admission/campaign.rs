//! A campaign with planted claims, and the admission state over it.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use headgate_admission::rebuild::{self, Rebuilt};
use headgate_admission::reserve::{Answer, Known, Request, Reserved};
use headgate_admission::{Admission, Settings};
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::Ticket;
use headgate_testkit::environment::Environment;

/// Long enough that nothing runs out during a test, short enough for the limits.
pub const LONG: Duration = Duration::from_secs(9);
/// Over at once.
pub const AT_ONCE: Duration = Duration::ZERO;

pub struct Campaign {
    pub environment: Environment,
    pub admission: Admission,
    pub campaign_no: u32,
    pub campaign_id: CampaignId,
    pub quota: u32,
}

impl Campaign {
    /// `pending`: when a reservation is due for the sweeper; `flag`: how long a returned
    /// ticket rests (and 100 ms more).
    pub async fn new(test: &str, quota: u32, pending: Duration, flag: Duration) -> Self {
        let environment = Environment::migrated(test).await;
        let settings = Settings {
            pending,
            sold_out_flag: flag,
            sold_out_holders_max: 1_000,
        };
        let admission = over(&environment, settings);
        sqlx::query("INSERT INTO partners (partner_no, partner_id, name) VALUES (1, ?, 'p')")
            .bind(CampaignId::generate())
            .execute(environment.pool())
            .await
            .expect("a partner");
        let (campaign_no, campaign_id) = plant_campaign(&environment, quota).await;
        Self {
            environment,
            admission,
            campaign_no,
            campaign_id,
            quota,
        }
    }

    /// Another campaign in the same environment.
    pub async fn anew(&mut self) {
        (self.campaign_no, self.campaign_id) = plant_campaign(&self.environment, self.quota).await;
    }

    /// Redis forgets the campaign.
    pub async fn flush(&self) {
        let keys = ["state", "users", "free", "pending"].map(|name| self.key(name));
        let _removed: u64 = redis::AsyncCommands::del(&mut self.redis().await, &keys)
            .await
            .expect("redis");
    }

    /// A key of the campaign's state.
    pub fn key(&self, name: &str) -> String {
        format!(
            "{}{{{}}}:{name}",
            self.environment.redis_prefix(),
            self.campaign_id
        )
    }

    /// A connection of the test's own.
    pub async fn redis(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.environment.redis_url()).expect("an address");
        client.get_multiplexed_async_connection().await.expect("redis")
    }

    fn to_rebuild(&self) -> rebuild::Campaign {
        rebuild::Campaign {
            campaign_no: self.campaign_no,
            campaign_id: self.campaign_id,
            quota: self.quota,
            closes_at: Utc::now() + TimeDelta::hours(1),
        }
    }

    pub async fn rebuild_if_cold(&self, known: Known) -> Rebuilt {
        let pool = self.environment.pool();
        let rebuilt = self.admission.rebuild(pool, self.to_rebuild(), Some(known)).await;
        rebuilt.expect("a rebuild")
    }

    pub async fn rebuild(&self) -> u32 {
        match self
            .admission
            .rebuild(self.environment.pool(), self.to_rebuild(), None)
            .await
            .expect("a rebuild")
        {
            Rebuilt::Installed(epoch) => epoch.get(),
            Rebuilt::Elsewhere => panic!("nobody else rebuilds here"),
        }
    }

    pub fn known(&self, epoch: u32) -> Known {
        Known {
            epoch,
            quota: self.quota,
            highest_ticket: 0,
        }
    }

    /// Asks as `claim_id` for `user`.
    pub async fn ask(&self, epoch: u32, claim_id: ClaimId, user: &str) -> Answer {
        match self.ask_knowing(self.known(epoch), claim_id, user).await {
            Reserved::Answers { answers, .. } => answers[0],
            other => panic!("the state is there and open, not {other:?}"),
        }
    }

    pub async fn ask_knowing(&self, known: Known, claim_id: ClaimId, user: &str) -> Reserved {
        let user_id = user_id(user);
        let request = Request {
            claim_id,
            user_id: &user_id,
        };
        self.admission
            .reserve(self.campaign_id, known, &[request])
            .await
            .expect("redis answers")
    }

    /// A claim in MySQL.
    pub async fn plant(&self, claim_id: ClaimId, user: &str, ticket: u32) {
        sqlx::query(
            "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at,
                 last_outbox_id) VALUES (?, ?, ?, ?, 1, ?, NOW(6), 1)",
        )
        .bind(self.campaign_no)
        .bind(ticket)
        .bind(claim_id)
        .bind(user.as_bytes())
        .bind(ticket)
        .execute(self.environment.pool())
        .await
        .expect("a claim");
    }
}

async fn plant_campaign(environment: &Environment, quota: u32) -> (u32, CampaignId) {
    let campaign_id = CampaignId::generate();
    let campaign = sqlx::query(
        "INSERT INTO campaigns (campaign_id, partner_no, name, quota, opens_at, closes_at, discount_type,
             discount_amount, order_amount_min, coupon_valid_for_seconds, state, created_at, updated_at)
         VALUES (?, 1, 'c', ?, '2020-01-01', '2090-01-01', 'fixed', 1, 0, 60, 'open', NOW(6), NOW(6))",
    )
    .bind(campaign_id)
    .bind(quota)
    .execute(environment.pool())
    .await
    .expect("a campaign");
    let campaign_no = u32::try_from(campaign.last_insert_id()).expect("a small number");
    (campaign_no, campaign_id)
}

pub fn over(environment: &Environment, settings: Settings) -> Admission {
    let config = headgate_runtime::redis::Config {
        url: environment.redis_url().to_owned(),
        prefix: environment.redis_prefix(),
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
    };
    let connection = headgate_runtime::redis::connection(&config).expect("a connection");
    Admission::new(connection, &config.prefix, settings)
}

pub fn user_id(user: &str) -> UserId {
    UserId::new(user).expect("a user")
}

pub fn ticket(answer: Answer) -> u32 {
    match answer {
        Answer::Reserved { ticket, .. } => ticket.get(),
        other => panic!("a ticket, not {other:?}"),
    }
}

pub fn ticket_number(number: u32) -> Ticket {
    Ticket::new(number).expect("from 1")
}
