//! What the servers hold: read by plain queries of the test kit's own. They are not
//! checked against the product's schema at build time on purpose, so that the kit
//! builds without a server.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{FromRow, MySql, Transaction};
use uuid::Uuid;

use crate::Environment;
use crate::checkers::admission::AdmissionState;
use crate::topic::{self, Record};

/// The public topic, without prefix.
pub const TOPIC: &str = "headgate.coupons";
/// The consumer group that issues coupons.
pub const GROUP: &str = "coupon-issuance";

/// A campaign with its stock.
#[derive(Clone, Debug, FromRow)]
pub struct Campaign {
    /// Its number.
    pub campaign_no: u32,
    /// Its id.
    pub campaign_id: Uuid,
    /// Its quota.
    pub quota: u32,
    /// `scheduled`, `open`, `paused`, `ended`.
    pub state: String,
    /// Grows with every rebuild and every switch.
    pub admission_epoch: u32,
    /// `redis` or `mysql`.
    pub admission_source: String,
    /// Coupons not issued yet.
    pub remaining: u32,
    /// Coupons issued.
    pub issued: u32,
    /// Events of the campaign itself.
    pub event_sequence: u64,
}

/// A claim, admitted or released.
#[derive(Clone, Debug, FromRow)]
pub struct Claim {
    /// Its campaign.
    pub campaign_no: u32,
    /// 1 to the quota.
    pub ticket: u32,
    /// Its id.
    pub claim_id: Uuid,
    /// The user, as bytes.
    pub user_id: Vec<u8>,
    /// Epoch of its admission.
    pub admission_epoch: u32,
    /// Order of its admission.
    pub sequence: u64,
    /// Events of the claim.
    pub event_sequence: u64,
    /// Why it was released; empty where it was not.
    pub reason: String,
}

impl Claim {
    /// The user as text.
    pub fn user(&self) -> String {
        String::from_utf8_lossy(&self.user_id).into_owned()
    }
}

/// A coupon.
#[derive(Clone, Debug, FromRow)]
pub struct Coupon {
    /// Its id, which is its claim's.
    pub coupon_id: Uuid,
    /// Its campaign.
    pub campaign_no: u32,
    /// Its claim's ticket.
    pub ticket: u32,
    /// Its owner, as bytes.
    pub user_id: Vec<u8>,
    /// `issued`, `used`, `expired`.
    pub state: String,
    /// Events of the claim and the coupon.
    pub event_sequence: u64,
}

/// A row that was, is or waits to be published.
#[derive(Clone, Debug, FromRow)]
pub struct Event {
    /// `outbox`, `blocked` or `archive`.
    pub place: String,
    /// Deduplicated by.
    pub event_id: Uuid,
    /// `campaign`, `claim`, `record`.
    pub aggregate_type: String,
    /// Key.
    pub aggregate_id: Vec<u8>,
    /// `ce_type`.
    pub event_type: String,
    /// `ce_sequence`.
    pub sequence: u64,
    /// Where it goes.
    pub topic: String,
    /// The value.
    pub payload: Option<Vec<u8>>,
}

impl Event {
    /// The key as text.
    pub fn aggregate(&self) -> String {
        String::from_utf8_lossy(&self.aggregate_id).into_owned()
    }

    /// The last part of its type, e.g. `ClaimAdmitted`.
    pub fn kind(&self) -> &str {
        self.event_type.rsplit('.').next().unwrap_or_default()
    }

    /// Whether it is a copy of a record (a dead letter, a replay).
    pub fn is_copy(&self) -> bool {
        self.aggregate_type == "record"
    }
}

/// What a group did with an event.
#[derive(Clone, Debug, FromRow)]
pub struct Seen {
    /// The group's name.
    pub group_name: String,
    /// The event.
    pub event_id: Uuid,
    /// `applied`, `dead`, `parked`, `discarded`.
    pub state: String,
}

/// A dead letter.
#[derive(Clone, Debug, FromRow)]
pub struct Letter {
    /// Its id.
    pub letter_id: Uuid,
    /// The group's name.
    pub group_name: String,
    /// The event.
    pub event_id: Uuid,
    /// The record's key.
    pub record_key: Option<Vec<u8>>,
    /// The record's value.
    pub record_value: Option<Vec<u8>>,
    /// Why it is one.
    pub disposition: String,
    /// `open`, `replaying`, ...
    pub state: String,
    /// Topic it came from.
    pub topic: String,
    /// Partition it came from.
    pub partition_no: i32,
    /// Offset it had.
    pub kafka_offset: i64,
    /// How often it was replayed.
    pub replay_attempt: u32,
}

/// A line of a letter's history.
#[derive(Clone, Debug, FromRow)]
pub struct Line {
    /// The letter.
    pub letter_id: Uuid,
    /// What was done.
    pub action: String,
    /// By whom.
    pub actor: String,
}

/// Everything that the checkers look at.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Put before every topic and group.
    pub kafka_prefix: String,
    /// All campaigns.
    pub campaigns: Vec<Campaign>,
    /// All admitted claims.
    pub claims: Vec<Claim>,
    /// All released claims.
    pub released: Vec<Claim>,
    /// All coupons.
    pub coupons: Vec<Coupon>,
    /// Everything that was ever to be published.
    pub events: Vec<Event>,
    /// All inboxes.
    pub inbox: Vec<Seen>,
    /// All dead letters, in the order in which they were buried.
    pub letters: Vec<Letter>,
    /// Their histories.
    pub history: Vec<Line>,
    /// Objects and actions of the audit log.
    pub audit: Vec<(String, String)>,
    /// Every record of the public topic and of every topic that an event went to.
    pub records: Vec<Record>,
    /// The admission state in Redis, by campaign, where there is one.
    pub admission: BTreeMap<Uuid, AdmissionState>,
    /// The schemas that values name.
    pub schemas: BTreeMap<u32, apache_avro::Schema>,
}

const CAMPAIGNS: &str =
    "SELECT c.campaign_no, c.campaign_id, c.quota, CAST(c.state AS CHAR) AS state, c.admission_epoch,
    CAST(c.admission_source AS CHAR) AS admission_source, s.remaining, s.issued, s.event_sequence
    FROM campaigns c JOIN campaign_stock s ON s.campaign_no = c.campaign_no";
const CLAIMS: &str =
    "SELECT campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, event_sequence,
    '' AS reason FROM claims";
const RELEASED: &str =
    "SELECT campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, event_sequence,
    reason FROM released_claims";
const COUPONS: &str =
    "SELECT coupon_id, campaign_no, ticket, user_id, CAST(state AS CHAR) AS state, event_sequence
    FROM coupons";
const EVENTS: &str =
    "SELECT 'outbox' AS place, event_id, aggregate_type, aggregate_id, event_type, sequence, topic, payload
        FROM outbox
    UNION ALL SELECT 'blocked', event_id, aggregate_type, aggregate_id, event_type, sequence, topic, payload
        FROM outbox_blocked
    UNION ALL SELECT 'archive', event_id, aggregate_type, aggregate_id, event_type, sequence, topic, payload
        FROM outbox_archive";
const INBOX: &str = "SELECT g.name AS group_name, i.event_id, CAST(i.state AS CHAR) AS state
    FROM inbox i JOIN consumer_groups g ON g.group_no = i.group_no";
const LETTERS: &str = "SELECT l.letter_id, g.name AS group_name, l.event_id, l.record_key, l.record_value,
    CAST(l.disposition AS CHAR) AS disposition, CAST(l.state AS CHAR) AS state, l.topic, l.partition_no,
    l.kafka_offset, l.replay_attempt
    FROM dead_letters l JOIN consumer_groups g ON g.group_no = l.group_no ORDER BY l.letter_no";
const HISTORY: &str = "SELECT letter_id, action, actor FROM dead_letter_history ORDER BY history_no";
const AUDIT: &str = "SELECT object, action FROM audit_log ORDER BY audit_no";

impl Evidence {
    /// Reads MySQL in one consistent look, then Kafka and Redis.
    pub async fn collect(environment: &Environment) -> Self {
        let mut look = environment.pool().begin().await.expect("MySQL answers");
        let campaigns: Vec<Campaign> = all(&mut look, CAMPAIGNS).await;
        let events: Vec<Event> = all(&mut look, EVENTS).await;
        let audit = sqlx::query_as(AUDIT)
            .fetch_all(&mut *look)
            .await
            .expect("the audit log can be read");
        let mut evidence = Self {
            kafka_prefix: environment.kafka_prefix(),
            claims: all(&mut look, CLAIMS).await,
            released: all(&mut look, RELEASED).await,
            coupons: all(&mut look, COUPONS).await,
            inbox: all(&mut look, INBOX).await,
            letters: all(&mut look, LETTERS).await,
            history: all(&mut look, HISTORY).await,
            audit,
            records: Vec::new(),
            admission: AdmissionState::of(environment, &campaigns).await,
            schemas: BTreeMap::new(),
            campaigns,
            events,
        };
        look.rollback().await.expect("MySQL answers");
        let mut topics: BTreeSet<String> = evidence.events.iter().map(|event| event.topic.clone()).collect();
        topics.insert(evidence.public_topic());
        for topic in topics {
            evidence
                .records
                .extend(topic::read(environment.kafka_bootstrap(), &topic).await);
        }
        evidence.schemas = super::avro::schemas(environment.registry_url(), &evidence.events).await;
        evidence
    }

    /// The public topic under its prefix.
    pub fn public_topic(&self) -> String {
        format!("{}{TOPIC}", self.kafka_prefix)
    }

    /// The records of the public topic.
    pub fn public_records(&self) -> impl Iterator<Item = &Record> {
        let topic = self.public_topic();
        self.records.iter().filter(move |record| record.topic == topic)
    }

    /// The records of the dead-letter topic.
    pub fn dead_records(&self) -> impl Iterator<Item = &Record> {
        let topic = format!("{}.{GROUP}.dlq", self.public_topic());
        self.records.iter().filter(move |record| record.topic == topic)
    }

    /// The campaign with this id.
    pub fn campaign(&self, campaign_id: Uuid) -> &Campaign {
        let found = self
            .campaigns
            .iter()
            .find(|campaign| campaign.campaign_id == campaign_id);
        found.unwrap_or_else(|| panic!("there is no campaign {campaign_id}"))
    }
}

async fn all<R>(look: &mut Transaction<'_, MySql>, query: &'static str) -> Vec<R>
where
    R: for<'r> FromRow<'r, sqlx::mysql::MySqlRow> + Send + Unpin,
{
    sqlx::query_as(query)
        .fetch_all(&mut **look)
        .await
        .unwrap_or_else(|error| panic!("the evidence cannot be read: {error}\n{query}"))
}
