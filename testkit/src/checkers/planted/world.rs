//! A small world in which everything holds: planted in the real servers, so that the
//! checkers' queries are tested, too.

use std::time::Instant;

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::Environment;
use crate::checkers::evidence;
use crate::checkers::violations;
use crate::client::{Answer, Asked, Claim, Ledger};
use crate::servers::workspace_root;
use crate::topic::{self, Record};

const NAMESPACE: &str = "io.headgate.coupons";
const GROUP: &str = evidence::GROUP;
const USERS: [&str; 3] = ["u-1", "u-2", "u-3"];

/// A campaign with three coupons: two are issued, the third claim lies as a dead letter.
pub(super) struct World {
    pub environment: Environment,
    campaign: Uuid,
    claims: [Uuid; 3],
    pub ledger: Ledger,
}

/// An event on its way into the archive and onto the topic.
pub(super) struct Planted<'p> {
    aggregate_type: &'p str,
    aggregate: Uuid,
    kind: &'p str,
    sequence: u64,
    payload: Vec<u8>,
}

impl World {
    pub async fn new(name: &str) -> Self {
        let environment = Environment::migrated(name).await;
        let campaign = Uuid::now_v7();
        let claims = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
        let world = Self {
            environment,
            campaign,
            claims,
            ledger: Ledger::default(),
        };
        world.plant().await;
        world
    }

    fn topic(&self) -> String {
        format!("{}{}", self.environment.kafka_prefix(), evidence::TOPIC)
    }

    /// Runs one statement; `{c1}` to `{c3}` and `{campaign}` stand for the ids.
    pub async fn sql(&self, statement: &str) {
        let mut statement = statement.replace("{campaign}", &literal(self.campaign));
        for (number, claim) in self.claims.iter().enumerate() {
            statement = statement.replace(&format!("{{c{}}}", number + 1), &literal(*claim));
        }
        let done = sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(self.environment.pool())
            .await;
        done.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }

    async fn plant(&self) {
        for statement in [
            "INSERT INTO partners (partner_id, name) VALUES (RANDOM_BYTES(16), 'p')",
            "INSERT INTO campaigns (campaign_id, partner_no, name, quota, opens_at, closes_at, discount_type,
                discount_amount, order_amount_min, coupon_valid_for_seconds, state, admission_epoch, created_at, updated_at)
             VALUES ({campaign}, 1, 'c', 3, NOW(), NOW() + INTERVAL 1 DAY, 'fixed', 1, 0, 60, 'open', 1, NOW(), NOW())",
            "INSERT INTO campaign_stock (campaign_no, remaining, issued, event_sequence, last_outbox_id)
             VALUES (1, 1, 2, 1, 1)",
            "INSERT INTO consumer_groups (name) VALUES ('coupon-issuance')",
        ] {
            self.sql(statement).await;
        }
        topic::create(self.environment.kafka_bootstrap(), &self.topic(), 4).await;
        topic::create(
            self.environment.kafka_bootstrap(),
            &format!("{}.{GROUP}.dlq", self.topic()),
            1,
        )
        .await;
        self.publish(event("campaign", self.campaign, "CampaignOpened", 1, vec![0]))
            .await;
        for ticket in 1..=3 {
            self.plant_claim(ticket).await;
        }
        self.plant_admission().await;
    }

    async fn plant_claim(&self, ticket: u32) {
        let index = usize::try_from(ticket).expect("small") - 1;
        let (claim_id, user) = (self.claims[index], USERS[index]);
        self.sql(&format!(
            "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at, last_outbox_id)
             VALUES (1, {ticket}, {}, '{user}', 1, {ticket}, NOW(6), 1)",
            literal(claim_id)
        ))
        .await;
        let now = Instant::now();
        self.ledger.add(Asked {
            user: user.to_owned(),
            asked_at: now,
            answered_at: now,
            answer: Answer::Admitted(Claim {
                claim_id,
                ticket,
                sequence: Some(u64::from(ticket)),
                state: "admitted".to_owned(),
            }),
        });
        let payload = self.admitted(claim_id, user, ticket).await;
        let (event_id, record) = self
            .publish(event("claim", claim_id, "ClaimAdmitted", 1, payload))
            .await;
        if ticket < 3 {
            self.publish(event("claim", claim_id, "ClaimIssued", 2, vec![0]))
                .await;
            self.sql(&format!(
                "INSERT INTO coupons (coupon_id, campaign_no, partner_no, ticket, user_id, state, issued_at, expires_at,
                    event_sequence, last_outbox_id)
                 VALUES ({}, 1, 1, {ticket}, '{user}', 'issued', NOW(), NOW(), 2, 1)",
                literal(claim_id)
            ))
            .await;
            self.sql(&inbox(event_id, "applied")).await;
        } else {
            self.plant_letter(event_id, &record).await;
        }
    }

    /// The third claim's event could not be applied.
    async fn plant_letter(&self, event_id: Uuid, record: &Record) {
        let letter = Uuid::now_v7();
        self.publish(event("claim", self.claims[2], "ClaimFailed", 2, vec![0]))
            .await;
        self.sql("UPDATE claims SET event_sequence = 2 WHERE claim_id = {c3}")
            .await;
        self.sql(&inbox(event_id, "dead")).await;
        self.sql(&format!(
            "INSERT INTO dead_letters (letter_id, group_no, event_id, event_day, event_type, topic, partition_no,
                kafka_offset, kafka_timestamp, record_key, record_value, record_headers, disposition, error_class, error,
                fingerprint, attempts, first_failed_at, last_failed_at, state)
             VALUES ({}, 1, {}, CURDATE(), 'e', '{}', {}, {}, NOW(), '{}', X'{}', '', 'rejected', 'class', 'text',
                RANDOM_BYTES(16), 1, NOW(), NOW(), 'open')",
            literal(letter),
            literal(event_id),
            record.topic,
            record.partition,
            record.offset,
            self.claims[2],
            hexadecimal(record.value.as_deref().unwrap_or_default()),
        ))
        .await;
        self.sql(&format!(
            "INSERT INTO dead_letter_history (letter_id, action, actor) VALUES ({}, 'failed', 'x')",
            literal(letter)
        ))
        .await;
        let copy = Record {
            topic: format!("{}.{GROUP}.dlq", self.topic()),
            partition: 0,
            headers: vec![("dlq-letter-id".to_owned(), Some(letter.to_string().into_bytes()))],
            ..record.clone()
        };
        topic::write(self.environment.kafka_bootstrap(), &copy).await;
        self.sql(&format!(
            "INSERT INTO outbox_archive (published_day, bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence,
                topic, created_at, kafka_partition, kafka_offset, published_at, published_by)
             VALUES (CURDATE(), 0, {}, {}, 'record', 'x', 'e', 0, '{}', NOW(), 0, 0, NOW(), 1)",
            rand::random::<u32>(),
            literal(event_id),
            copy.topic
        ))
        .await;
    }

    async fn plant_admission(&self) {
        let client = redis::Client::open(self.environment.redis_url()).expect("an address");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers");
        let tag = format!("{}{{{}}}:", self.environment.redis_prefix(), self.campaign);
        let mut pipe = redis::pipe();
        pipe.hset_multiple(
            format!("{tag}state"),
            &[("epoch", "1"), ("counter", "3"), ("number", "3"), ("quota", "3")],
        );
        pipe.zadd(format!("{tag}free"), "", "+inf")
            .zadd(format!("{tag}pending"), "", "+inf");
        pipe.hset(format!("{tag}users"), "", "");
        for (index, claim) in self.claims.iter().enumerate() {
            let ticket = u32::try_from(index).expect("small") + 1;
            let held = [claim.as_bytes().as_slice(), &ticket.to_be_bytes(), &[0; 8]].concat();
            pipe.hset(format!("{tag}users"), USERS[index], held);
        }
        let _done: () = pipe.query_async(&mut connection).await.expect("Redis answers");
    }

    /// Runs one Redis command on the campaign's keys.
    pub async fn redis(&self, command: &[&str]) {
        let client = redis::Client::open(self.environment.redis_url()).expect("an address");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("Redis answers");
        let tag = format!("{}{{{}}}:", self.environment.redis_prefix(), self.campaign);
        let mut sent = redis::cmd(command[0]);
        sent.arg(format!("{tag}{}", command[1])).arg(&command[2..]);
        let _done: redis::Value = sent.query_async(&mut connection).await.expect("Redis answers");
    }

    /// Archives an event and writes it to the topic.
    pub async fn publish(&self, event: Planted<'_>) -> (Uuid, Record) {
        let event_id = Uuid::now_v7();
        self.sql(&format!(
            "INSERT INTO outbox_archive (published_day, bucket, id, event_id, aggregate_type, aggregate_id, event_type, sequence,
                topic, payload, created_at, kafka_partition, kafka_offset, published_at, published_by)
             VALUES (CURDATE(), 0, {}, {}, '{}', '{}', '{NAMESPACE}.{}', {}, '{}', X'{}', NOW(), 0, 0, NOW(), 1)",
            rand::random::<u32>(),
            literal(event_id),
            event.aggregate_type,
            event.aggregate,
            event.kind,
            event.sequence,
            self.topic(),
            hexadecimal(&event.payload)
        ))
        .await;
        let record = self.record(&event, event_id);
        let offset = topic::write(self.environment.kafka_bootstrap(), &record).await;
        (event_id, Record { offset, ..record })
    }

    pub fn record(&self, event: &Planted<'_>, event_id: Uuid) -> Record {
        let header = |name: &str, value: String| (name.to_owned(), Some(value.into_bytes()));
        Record {
            topic: self.topic(),
            partition: i32::from(event.aggregate.as_bytes()[15] % 4),
            offset: 0,
            key: Some(event.aggregate.to_string().into_bytes()),
            value: Some(event.payload.clone()),
            headers: vec![
                header("ce_id", event_id.to_string()),
                header("ce_type", format!("{NAMESPACE}.{}", event.kind)),
                header("ce_source", "/headgate".to_owned()),
                header("ce_sequence", event.sequence.to_string()),
            ],
        }
    }

    /// The value of a ClaimAdmitted, as the contract's schema has it.
    async fn admitted(&self, claim_id: Uuid, user: &str, ticket: u32) -> Vec<u8> {
        let file = workspace_root().join("schemas/avro/coupons/claim-admitted.avsc");
        let text = std::fs::read_to_string(file).expect("the schema is there");
        let subject = format!("{}-{NAMESPACE}.ClaimAdmitted", self.topic());
        let registry = self.environment.registry_url().trim_end_matches('/');
        let answer: serde_json::Value = reqwest::Client::new()
            .post(format!("{registry}/subjects/{subject}/versions"))
            .json(&json!({ "schema": text }))
            .send()
            .await
            .expect("the registry answers")
            .json()
            .await
            .expect("in JSON");
        let id = u32::try_from(answer["id"].as_u64().expect("an id")).expect("a small id");
        let schema = Schema::parse_str(&text).expect("a schema");
        let ticket = i32::try_from(ticket).expect("small");
        let text = |text: &str| Avro::String(text.to_owned());
        let fields = [
            ("claim_id", text(&claim_id.to_string())),
            ("campaign_id", text(&self.campaign.to_string())),
            ("partner_id", text("p")),
            ("user_id", text(user)),
            ("ticket", Avro::Int(ticket)),
            ("admission_epoch", Avro::Int(1)),
            ("sequence", Avro::Long(i64::from(ticket))),
            ("quota", Avro::Int(3)),
            ("stock_left", Avro::Int(3 - ticket)),
            ("admitted_at", Avro::TimestampMicros(1)),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
        let datum = writer
            .write_value_to_vec(Avro::Record(fields))
            .expect("a value of the schema");
        [[0].as_slice(), &id.to_be_bytes(), &datum].concat()
    }

    pub async fn violations(&self) -> Vec<String> {
        violations(&self.environment, self.campaign, &self.ledger).await
    }

    pub async fn require(&self, expected: &str) {
        let found = self.violations().await;
        assert!(
            found.iter().any(|violation| violation.contains(expected)),
            "`{expected}` was planted, but found was {found:#?}"
        );
    }

    /// Plants by SQL, requires that it is found, and takes it out again.
    pub async fn sql_violation(&self, plant: &str, undo: &str, expected: &str) {
        self.sql(plant).await;
        self.require(expected).await;
        self.sql(undo).await;
    }
}

pub(super) fn event<'p>(
    aggregate_type: &'p str,
    aggregate: Uuid,
    kind: &'p str,
    sequence: u64,
    payload: Vec<u8>,
) -> Planted<'p> {
    Planted {
        aggregate_type,
        aggregate,
        kind,
        sequence,
        payload,
    }
}

fn literal(id: Uuid) -> String {
    format!("X'{}'", id.simple())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn inbox(event_id: Uuid, state: &str) -> String {
    format!(
        "INSERT INTO inbox (event_day, group_no, event_id, state) VALUES (CURDATE(), 1, {}, '{state}')",
        literal(event_id)
    )
}
