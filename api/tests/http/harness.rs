//! An api on real servers, and what a test does beside it.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use headgate_api::{Config, Service, config};
use headgate_domain::campaigns::store as campaigns;
use headgate_domain::claims::{self, Claim};
use headgate_domain::coupons::{NewCoupon, store as coupons};
use headgate_domain::partners::{CreatedKey, Rates, Scopes, store as partners};
use headgate_domain::{Change, Error};
use headgate_outbox::write::{EventWriter, Predecessor};
use headgate_runtime::process::ProcessNumber;
use headgate_runtime::registry::Registry;
use headgate_runtime::shutdown::CancellationToken;
use headgate_runtime::telemetry;
use headgate_schemas::codec::Encoder;
use headgate_schemas::event::schemas;
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::topics::TopicNames;
use headgate_testkit::Environment;
use headgate_testkit::process::{Service as Process, Start};
use headgate_testkit::servers::Servers;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::{AssertSqlSafe, MySql, MySqlPool, Transaction};

use crate::partner::Partner;

/// How often a test's campaign may be read anew: at once.
const REMEMBERED: Duration = Duration::from_millis(1);

/// One installation: databases and prefixes, and any number of api processes on it.
pub struct Installation {
    pub environment: Environment,
    writer: EventWriter,
}

impl Installation {
    pub async fn new(test: &str) -> Self {
        Self::of(Environment::migrated(test).await).await
    }

    /// On servers of one's own.
    pub async fn on(servers: Servers, test: &str) -> Self {
        let environment = Environment::on(servers, test).await;
        environment.migrate().await;
        Self::of(environment).await
    }

    async fn of(environment: Environment) -> Self {
        let names = TopicNames::with_prefix(environment.kafka_prefix());
        let installation = Self {
            writer: writer(names.clone()),
            environment,
        };
        let registry = Registry::new(&installation.config().registry).expect("a registry");
        registry.register_all(&names).await.expect("schemas");
        installation
    }

    /// One with a running api and a partner that calls it.
    pub async fn with_partner(test: &str) -> (Self, Api, Partner) {
        let installation = Self::new(test).await;
        let api = installation.start().await;
        let partner = installation.partner(&api).await;
        (installation, api, partner)
    }

    /// Settings of an api here.
    pub fn config(&self) -> Config {
        let mut config = config::load(None).expect("the defaults");
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        config.http.listen = anywhere;
        config.health.listen = anywhere;
        config.campaigns.remembered = REMEMBERED;
        // Only tests of the limit are to meet it.
        config.rate_limits.stranger.per_second = 0;
        config.mysql.url = self.environment.mysql_url();
        self.environment.redis_url().clone_into(&mut config.redis.url);
        config.redis.prefix = self.environment.redis_prefix();
        config.kafka.prefix = self.environment.kafka_prefix();
        self.environment
            .registry_url()
            .clone_into(&mut config.registry.url);
        config
    }

    pub fn pool(&self) -> &MySqlPool {
        self.environment.pool()
    }

    /// Starts an api.
    pub async fn start(&self) -> Api {
        self.start_with(self.config()).await
    }

    pub async fn start_with(&self, config: Config) -> Api {
        let service = Service::build(config, recorder()).await.expect("an api");
        let url = format!("http://{}", service.addresses().http);
        let stop = CancellationToken::new();
        let running = tokio::spawn(service.run_until(stop.clone()));
        Api { url, stop, running }
    }

    /// Starts an api as a process of its own, with these settings beside the usual ones.
    pub async fn spawn(&self, settings: &[(&str, &str)]) -> Process {
        let anywhere = "127.0.0.1:0";
        let mut start = Start::new("headgate-api", self.environment.env_vars())
            .variable("HEADGATE_HTTP__LISTEN", anywhere)
            .variable("HEADGATE_HEALTH__LISTEN", anywhere);
        for (key, value) in settings {
            start = start.variable(key, *value);
        }
        start.spawn().await
    }

    /// A new partner with a key that may do everything.
    pub async fn partner(&self, api: &Api) -> Partner {
        self.partner_of(&api.url).await
    }

    /// The same, by the api's address.
    pub async fn partner_of(&self, url: &str) -> Partner {
        let (_, key) = self.partner_and_key(Scopes::all()).await;
        Partner::new(url, key.text.reveal())
    }

    /// A partner with a key that meets no rate limit.
    pub async fn partner_and_key(&self, scopes: Scopes) -> (u32, CreatedKey) {
        self.partner_with_rates(scopes, Rates::HIGHEST).await
    }

    pub async fn partner_with_rates(&self, scopes: Scopes, rates: Rates) -> (u32, CreatedKey) {
        let partner = partners::create_partner(self.pool(), "shop")
            .await
            .expect("a partner");
        let key = partners::create_key(self.pool(), partner.partner_no, scopes, rates)
            .await
            .expect("a key");
        (partner.partner_no, key)
    }

    /// Does what the consumer group does with an admitted claim.
    pub async fn issue(&self, claim_id: ClaimId) {
        let mut transaction = self.pool().begin().await.expect("a transaction");
        let claim = claims::store::find(self.pool(), claim_id)
            .await
            .expect("mysql")
            .expect("the claim");
        self.issue_in(&mut transaction, &claim).await.expect("issued");
        transaction.commit().await.expect("committed");
        self.announce(claim_id).await;
    }

    async fn issue_in(&self, transaction: &mut Transaction<'_, MySql>, claim: &Claim) -> Result<(), Error> {
        let change = self.change();
        let campaign = campaigns::find(self.pool(), claim.campaign_id)
            .await?
            .expect("the campaign");
        let mut rows = Vec::from_iter(campaigns::take_stock(transaction, change, &campaign, 1).await?);
        let coupon = NewCoupon {
            coupon_id: claim.claim_id,
            campaign_no: campaign.campaign_no,
            campaign_id: campaign.campaign_id,
            partner_no: campaign.partner_no,
            partner_id: campaign.partner_id,
            ticket: claim.ticket.get(),
            user_id: claim.user_id.clone(),
            expires_at: campaign.valid_for.ends(change.now),
            after: Predecessor {
                sequence: 1,
                outbox_id: 0,
            },
            traceparent: None,
        };
        rows.extend(coupons::issue(transaction, change, &[coupon]).await?);
        EventWriter::write(transaction, &rows).await?;
        Ok(())
    }

    /// Tells the apis that a claim is settled.
    pub async fn announce(&self, claim_id: ClaimId) {
        let config = self.config().redis;
        let client = headgate_runtime::redis::client(&config).expect("a client");
        let mut redis = client.get_multiplexed_async_connection().await.expect("redis");
        let _heard: u64 = redis::cmd("PUBLISH")
            .arg(config.claims_channel())
            .arg(claim_id.as_bytes())
            .query_async(&mut redis)
            .await
            .expect("published");
    }

    /// A change at this moment.
    pub fn change(&self) -> Change<'_> {
        Change {
            writer: &self.writer,
            now: chrono::Utc::now(),
            traceparent: None,
        }
    }

    /// Runs a statement against the test's database.
    pub async fn sql(&self, statement: &str) -> u64 {
        sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(self.pool())
            .await
            .expect("a statement")
            .rows_affected()
    }

    pub async fn count(&self, what: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT COUNT(*) FROM {what}")))
            .fetch_one(self.pool())
            .await
            .expect("a count")
    }

    /// Names of the events of a campaign, or of a claim and its coupon, as they follow
    /// each other; panics where their sequence has a gap.
    pub async fn events(&self, aggregate_id: &str) -> Vec<String> {
        let rows: Vec<(u64, String)> = sqlx::query_as(
            "SELECT sequence, event_type FROM outbox WHERE aggregate_id = ? ORDER BY sequence, id",
        )
        .bind(aggregate_id.as_bytes())
        .fetch_all(self.pool())
        .await
        .expect("events");
        let sequences: Vec<u64> = rows.iter().map(|(sequence, _)| *sequence).collect();
        let contiguous: Vec<u64> = (1..).take(rows.len()).collect();
        assert_eq!(sequences, contiguous, "{rows:?}");
        rows.into_iter()
            .map(|(_, name)| name.rsplit('.').next().expect("a name").to_owned())
            .collect()
    }

    /// The campaign, as MySQL has it.
    pub async fn campaign(&self, id: &str) -> headgate_domain::campaigns::Campaign {
        let id: CampaignId = id.parse().expect("an id");
        campaigns::find(self.pool(), id)
            .await
            .expect("mysql")
            .expect("the campaign")
    }
}

/// A running api.
pub struct Api {
    pub url: String,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Api {
    /// Asks it to stop and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("no panic").expect("a clean end");
    }
}

fn writer(names: TopicNames) -> EventWriter {
    let ids = (1..)
        .zip(schemas())
        .map(|(id, event)| (event.name.to_owned(), id))
        .collect();
    let encoder = Encoder::new(&ids).expect("all schemas");
    EventWriter::new(
        encoder,
        names,
        ProcessNumber::from(u64::from(rand::random::<u16>())),
    )
}

/// The recorder of this process's metrics.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            // What the api logs belongs to a failed test's output.
            tracing_subscriber::fmt()
                .with_test_writer()
                .with_env_filter("warn")
                .init();
            telemetry::metrics_recorder()
                .expect("a recorder")
                .install_recorder()
                .expect("the only one")
        })
        .clone()
}
