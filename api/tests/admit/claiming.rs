//! An admitter over real servers, and a campaign to claim in.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use headgate_admission::{Admission, Settings};
use headgate_api::admit::{Admitter, ClaimAnswer, Limits, Parts};
use headgate_domain::campaigns::{Campaign, store};
use headgate_outbox::wake::Waker;
use headgate_outbox::write::EventWriter;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::shutdown::CancellationToken;
use headgate_runtime::{mysql, redis};
use headgate_schemas::codec::Encoder;
use headgate_schemas::event::schemas;
use headgate_schemas::ids::CampaignId;
use headgate_schemas::names::UserId;
use headgate_schemas::topics::TopicNames;
use headgate_testkit::environment::Environment;
use headgate_testkit::eventually;
use sqlx::MySqlPool;

/// Short enough that a test sees a second chance.
pub const FLAG: Duration = Duration::from_millis(200);

/// Longest that a user keeps asking.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);

pub struct Claiming {
    pub environment: Environment,
    pub admission: Admission,
    campaign_id: CampaignId,
}

impl Claiming {
    pub async fn new(test: &str, quota: u32) -> Self {
        Self::with_flag(test, quota, FLAG).await
    }

    /// With sold-out flags that live so long.
    pub async fn with_flag(test: &str, quota: u32, sold_out_flag: Duration) -> Self {
        let environment = Environment::migrated(test).await;
        let settings = Settings {
            pending: Duration::from_secs(2),
            sold_out_flag,
            sold_out_holders_max: 1_000,
        };
        let config = redis_config(&environment, environment.redis_url());
        let connection = redis::connection(&config).expect("a connection");
        let admission = Admission::new(connection, &config.prefix, settings);
        let campaign_id = CampaignId::generate();
        sqlx::query("INSERT INTO partners (partner_no, partner_id, name) VALUES (1, ?, 'p')")
            .bind(CampaignId::generate())
            .execute(environment.pool())
            .await
            .expect("a partner");
        sqlx::query(
            "INSERT INTO campaigns (campaign_id, partner_no, name, quota, opens_at, closes_at, discount_type,
                 discount_amount, order_amount_min, coupon_valid_for_seconds, state, created_at, updated_at)
             VALUES (?, 1, 'c', ?, '2020-01-01', '2090-01-01', 'fixed', 1, 0, 60, 'open', NOW(6), NOW(6))",
        )
        .bind(campaign_id)
        .bind(quota)
        .execute(environment.pool())
        .await
        .expect("a campaign");
        Self {
            environment,
            admission,
            campaign_id,
        }
    }

    /// The campaign as MySQL has it now.
    pub async fn campaign(&self) -> Arc<Campaign> {
        let found = store::find(self.environment.pool(), self.campaign_id)
            .await
            .expect("mysql");
        Arc::new(found.expect("the campaign"))
    }

    /// An api process's admitter.
    pub fn admitter(&self) -> Admitter {
        self.admitter_with(self.environment.redis_url(), limits())
    }

    /// One that does not reach Redis: at this port nobody listens.
    pub fn admitter_without_redis(&self) -> Admitter {
        let limits = Limits {
            // It comes to know that at once.
            redis_timeout: Duration::from_millis(50),
            ..limits()
        };
        self.admitter_with("redis://127.0.0.1:9/", limits)
    }

    fn admitter_with(&self, redis_url: &str, limits: Limits) -> Admitter {
        let config = redis_config(&self.environment, redis_url);
        let connection = redis::connection(&config).expect("a connection");
        let settings = self.admission.settings().clone();
        let parts = Parts {
            admission: Admission::new(connection, &config.prefix, settings),
            pool: self.pool(limits.connections()),
            writer: self.writer(),
            waker: Waker::new(&config).expect("a waker"),
            clock: DatabaseClock::default(),
            limits,
        };
        Admitter::start(parts, CancellationToken::new())
    }

    /// An api process's connections, at most so many.
    pub fn pool(&self, connections_max: u32) -> MySqlPool {
        let config = mysql::Config {
            url: self.environment.mysql_url(),
            connections_max,
            acquire_timeout: Duration::from_secs(5),
            lock_wait_timeout_s: 5,
            select_timeout: Duration::from_secs(5),
        };
        mysql::pool(&config).expect("a pool")
    }

    /// An api process's writer of events.
    pub fn writer(&self) -> EventWriter {
        let ids = (1..)
            .zip(schemas())
            .map(|(id, event)| (event.name.to_owned(), id))
            .collect();
        let names = TopicNames::with_prefix(self.environment.kafka_prefix());
        let process = ProcessNumber::from(u64::from(rand::random::<u16>()));
        EventWriter::new(Encoder::new(&ids).expect("all schemas"), names, process)
    }

    pub async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(self.environment.pool())
            .await
            .expect("mysql")
    }

    /// A claim that MySQL has and Redis does not know of.
    pub async fn hold_in_mysql(&self, ticket: u32, user_id: &str) {
        sqlx::query(
            "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at,
                 last_outbox_id) VALUES (?, ?, UUID_TO_BIN(UUID()), ?, 1, ?, NOW(6), 1)",
        )
        .bind(self.campaign().await.campaign_no)
        .bind(ticket)
        .bind(user_id)
        .bind(1_000 + ticket)
        .execute(self.environment.pool())
        .await
        .expect("a claim");
    }

    /// Enlarges the campaign in MySQL; who has read it before does not know.
    pub async fn raise_quota(&self, quota: u32) {
        sqlx::query("UPDATE campaigns SET quota = ?")
            .bind(quota)
            .execute(self.environment.pool())
            .await
            .expect("mysql");
    }

    /// How many tickets Redis has handed out in this epoch.
    pub async fn tickets_of_redis(&self) -> u32 {
        ::redis::AsyncCommands::hget(&mut self.redis().await, self.key("state"), "counter")
            .await
            .expect("redis")
    }

    /// Deletes the campaign's keys, as FLUSHALL would.
    pub async fn lose_redis_state(&self) {
        let keys = ["state", "users", "free", "pending"].map(|name| self.key(name));
        let _removed: u64 = ::redis::AsyncCommands::del(&mut self.redis().await, &keys)
            .await
            .expect("redis");
    }

    /// As if MySQL had been put back by so many epochs.
    pub async fn advance_redis_epoch(&self, epoch: u32) {
        let _new: u64 =
            ::redis::AsyncCommands::hset(&mut self.redis().await, self.key("state"), "epoch", epoch)
                .await
                .expect("redis");
    }

    /// As if Redis had been started again with an older state, in which a user's claim is
    /// missing and somebody else has the ticket.
    pub async fn start_redis_again_without(&self, user: &UserId) {
        let mut redis = self.redis().await;
        let _set: u64 = ::redis::AsyncCommands::hset(&mut redis, self.key("state"), "server", "another")
            .await
            .expect("redis");
        let _removed: u64 = ::redis::AsyncCommands::hdel(&mut redis, self.key("users"), user.as_str())
            .await
            .expect("redis");
    }

    fn key(&self, name: &str) -> String {
        format!(
            "{}{{{}}}:{name}",
            self.environment.redis_prefix(),
            self.campaign_id
        )
    }

    async fn redis(&self) -> ::redis::aio::MultiplexedConnection {
        let config = redis_config(&self.environment, self.environment.redis_url());
        let client = redis::client(&config).expect("a client");
        client.get_multiplexed_async_connection().await.expect("redis")
    }
}

fn limits() -> Limits {
    Limits {
        writers: 4,
        executing: 2,
        batch_rows_max: 256,
        waiting_max: 20_000,
        waiting_without_redis_max: 2_000,
        timeout: Duration::from_secs(20),
        redis_timeout: Duration::from_secs(1),
        redis_retry: Duration::from_millis(500),
        commit_timeout: Duration::from_secs(5),
    }
}

fn redis_config(environment: &Environment, url: &str) -> redis::Config {
    redis::Config {
        url: url.to_owned(),
        prefix: environment.redis_prefix(),
        connect_timeout: Duration::from_millis(500),
        response_timeout: Duration::from_secs(1),
    }
}

pub fn user(number: usize) -> UserId {
    UserId::new(format!("u-{number}")).expect("a user")
}

/// How answers divide.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub admitted: Vec<u32>,
    pub already_claimed: usize,
    pub sold_out: usize,
    pub other: usize,
}

/// All these users claim at once; who is told to come back later does.
pub async fn claim_at_once(
    admitter: &Admitter,
    campaign: &Arc<Campaign>,
    users: std::ops::Range<usize>,
) -> Tally {
    let mut claims: FuturesUnordered<_> = users
        .map(|number| claim(admitter, campaign, user(number)))
        .collect();
    let mut tally = Tally::default();
    while let Some(answer) = claims.next().await {
        match answer {
            ClaimAnswer::Admitted(claim) => tally.admitted.push(claim.ticket.get()),
            ClaimAnswer::AlreadyClaimed(_) => tally.already_claimed += 1,
            ClaimAnswer::SoldOut { .. } => tally.sold_out += 1,
            ClaimAnswer::Closed | ClaimAnswer::Unavailable { .. } => tally.other += 1,
        }
    }
    tally.admitted.sort_unstable();
    tally
}

/// One user's claim. A busy machine may answer 503: then the user asks again, as its
/// Retry-After says, and hears of the claim if it became durable meanwhile.
async fn claim(admitter: &Admitter, campaign: &Arc<Campaign>, user: UserId) -> ClaimAnswer {
    let mut turned_away = false;
    let answer = eventually(
        "an answer that is not 503",
        ANSWERED_WITHIN,
        async || match admitter.claim(campaign, user.clone(), None).await {
            ClaimAnswer::Unavailable { .. } => {
                turned_away = true;
                None
            }
            answer => Some(answer),
        },
    )
    .await;
    match answer {
        ClaimAnswer::AlreadyClaimed(claim) if turned_away => ClaimAnswer::Admitted(claim),
        answer => answer,
    }
}
