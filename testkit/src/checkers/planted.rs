//! A small world in which everything holds, and the violations that each check has to
//! find in it: planted in the real servers, so that the queries are tested, too.

use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Evidence, violations};
use crate::Environment;
use crate::client::{Answer, Asked, Claim, Ledger};
use crate::servers::workspace_root;
use crate::topic::{self, Record};

const NAMESPACE: &str = "io.headgate.coupons";
const GROUP: &str = super::evidence::GROUP;
const USERS: [&str; 3] = ["u-1", "u-2", "u-3"];

/// A campaign with three coupons: two are issued, the third claim lies as a dead letter.
struct World {
    environment: Environment,
    campaign: Uuid,
    claims: [Uuid; 3],
    ledger: Ledger,
}

/// An event on its way into the archive and onto the topic.
struct Planted<'p> {
    aggregate_type: &'p str,
    aggregate: Uuid,
    kind: &'p str,
    sequence: u64,
    payload: Vec<u8>,
}

impl World {
    async fn new(name: &str) -> Self {
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
        format!("{}{}", self.environment.kafka_prefix(), super::evidence::TOPIC)
    }

    /// Runs one statement; `{c1}` to `{c3}` and `{campaign}` stand for the ids.
    async fn sql(&self, statement: &str) {
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
    async fn redis(&self, command: &[&str]) {
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
    async fn publish(&self, event: Planted<'_>) -> (Uuid, Record) {
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

    fn record(&self, event: &Planted<'_>, event_id: Uuid) -> Record {
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

    async fn violations(&self) -> Vec<String> {
        violations(&self.environment, self.campaign, &self.ledger).await
    }

    async fn require(&self, expected: &str) {
        let found = self.violations().await;
        assert!(
            found.iter().any(|violation| violation.contains(expected)),
            "`{expected}` was planted, but found was {found:#?}"
        );
    }

    /// Plants by SQL, requires that it is found, and takes it out again.
    async fn sql_violation(&self, plant: &str, undo: &str, expected: &str) {
        self.sql(plant).await;
        self.require(expected).await;
        self.sql(undo).await;
    }
}

fn event<'p>(
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

/// What is done to MySQL, how it is undone, and what has to be found.
const SQL_VIOLATIONS: &[(&str, &str, &str)] = &[
    (
        "UPDATE claims SET ticket = 4 WHERE claim_id = {c3}",
        "UPDATE claims SET ticket = 3 WHERE claim_id = {c3}",
        "ticket 4 of claims lies beyond the quota 3",
    ),
    (
        "UPDATE coupons SET ticket = 2 WHERE coupon_id = {c1}",
        "UPDATE coupons SET ticket = 1 WHERE coupon_id = {c1}",
        "a ticket was given twice: 2 coupons, 1 tickets",
    ),
    (
        "UPDATE coupons SET user_id = 'u-2' WHERE coupon_id = {c1}",
        "UPDATE coupons SET user_id = 'u-1' WHERE coupon_id = {c1}",
        "a user has two: 2 coupons, 1 users",
    ),
    (
        "UPDATE campaign_stock SET remaining = 0",
        "UPDATE campaign_stock SET remaining = 1",
        "the stock says 2 issued and 0 remaining",
    ),
    (
        "UPDATE claims SET user_id = 'U-3' WHERE claim_id = {c3}",
        "UPDATE claims SET user_id = 'u-3' WHERE claim_id = {c3}",
        "but it is U-3's with ticket 3",
    ),
    (
        "UPDATE dead_letters SET state = 'archived'",
        "UPDATE dead_letters SET state = 'open'",
        "of u-3 never became a coupon",
    ),
    (
        "UPDATE campaigns SET quota = 2",
        "UPDATE campaigns SET quota = 3",
        "3 users asked for 2 coupons, but 3 claims stand, not 2",
    ),
    (
        "UPDATE claims SET sequence = 2 WHERE claim_id = {c3}",
        "UPDATE claims SET sequence = 3 WHERE claim_id = {c3}",
        "G4 campaign 1: sequence 2 was used twice",
    ),
    (
        "UPDATE claims SET admission_epoch = 2 WHERE claim_id = {c1}",
        "UPDATE claims SET admission_epoch = 1 WHERE claim_id = {c1}",
        "sequence 1 of epoch 2 lies before 2 of epoch 1",
    ),
    (
        "UPDATE claims SET sequence = 7 WHERE claim_id = {c1}",
        "UPDATE claims SET sequence = 1 WHERE claim_id = {c1}",
        "u-1 had his answer before u-2 asked, but comes later (7 > 2)",
    ),
    (
        "UPDATE claims SET event_sequence = 3 WHERE claim_id = {c3}",
        "UPDATE claims SET event_sequence = 2 WHERE claim_id = {c3}",
        "has events numbered [1, 2], its row says 1 to 3",
    ),
    (
        "UPDATE outbox_archive SET event_type = 'ClaimReleased' WHERE event_type LIKE '%ClaimFailed'",
        "UPDATE outbox_archive SET event_type = 'io.headgate.coupons.ClaimFailed' WHERE event_type = 'ClaimReleased'",
        "has 1 events ClaimReleased, not 0",
    ),
    (
        "UPDATE coupons SET state = 'expired' WHERE coupon_id = {c1}",
        "UPDATE coupons SET state = 'issued' WHERE coupon_id = {c1}",
        "is expired, but its last event is ClaimIssued",
    ),
    (
        "UPDATE claims SET admission_epoch = 3 WHERE claim_id = {c3}",
        "UPDATE claims SET admission_epoch = 1 WHERE claim_id = {c3}",
        "says something else than its row",
    ),
    (
        "UPDATE inbox SET state = 'discarded' WHERE state = 'dead'",
        "UPDATE inbox SET state = 'dead' WHERE state = 'discarded'",
        "is discarded in the inbox of coupon-issuance, its letter is Some(\"open\")",
    ),
    (
        "UPDATE inbox SET state = 'parked' WHERE state = 'applied'",
        "UPDATE inbox SET state = 'applied' WHERE state = 'parked'",
        "exists, but no inbox row says that its event was applied",
    ),
    (
        "UPDATE inbox SET state = 'applied', recorded_at = '2000-01-01' WHERE state = 'dead'",
        "UPDATE inbox SET state = 'dead' WHERE recorded_at = '2000-01-01'",
        "counts as applied, but there is no coupon",
    ),
    (
        "UPDATE coupons SET ticket = 3 WHERE coupon_id = {c1}",
        "UPDATE coupons SET ticket = 1 WHERE coupon_id = {c1}",
        "differs from its claim",
    ),
    (
        "UPDATE dead_letters SET record_value = 'x', error = 'moved'",
        "UPDATE dead_letters l JOIN outbox_archive a ON a.event_id = l.event_id AND a.payload IS NOT NULL
            SET l.record_value = a.payload",
        "does not hold the bytes of the record it came from",
    ),
    (
        "UPDATE dead_letters SET state = 'discarded', closed_at = NOW()",
        "UPDATE dead_letters SET state = 'open', closed_at = NULL",
        "was discarded without an audit row",
    ),
    (
        "UPDATE dead_letter_history SET letter_id = REVERSE(letter_id)",
        "UPDATE dead_letter_history SET letter_id = REVERSE(letter_id)",
        "has no history",
    ),
];

#[tokio::test]
async fn every_violation_in_mysql_is_found() {
    let world = World::new("planted_mysql").await;
    super::settle(&world.environment, Duration::from_secs(5)).await;
    assert_eq!(world.violations().await, Vec::<String>::new());
    for (plant, undo, expected) in SQL_VIOLATIONS {
        world.sql_violation(plant, undo, expected).await;
    }
    assert_eq!(world.violations().await, Vec::<String>::new());
}

#[tokio::test]
async fn every_violation_in_redis_is_found() {
    let world = World::new("planted_redis").await;
    assert_eq!(world.violations().await, Vec::<String>::new());
    let cases: [(&[&str], &[&str], &str); 5] = [
        (
            &["ZADD", "pending", "1", "x"],
            &["ZREM", "pending", "x"],
            "1 reservations were never settled",
        ),
        (
            &["ZADD", "free", "1", "2"],
            &["ZREM", "free", "2"],
            "ticket 2 of u-2 is free in Redis",
        ),
        (
            &["HSET", "state", "counter", "4"],
            &["HSET", "state", "counter", "3"],
            "ticket 4 is nobody's, and not free",
        ),
        (
            &["HSET", "state", "counter", "2"],
            &["HSET", "state", "counter", "3"],
            "ticket 3 is held, but Redis will hand it out",
        ),
        (
            &["HSET", "users", "u-9", "0123456789abcdef0000"],
            &["HDEL", "users", "u-9"],
            "Redis blocks u-9",
        ),
    ];
    for (plant, undo, expected) in cases {
        world.redis(plant).await;
        world.require(expected).await;
        world.redis(undo).await;
    }
    assert_eq!(world.violations().await, Vec::<String>::new());
}

#[tokio::test]
async fn every_violation_in_kafka_is_found() {
    let world = World::new("planted_kafka").await;
    assert_eq!(world.violations().await, Vec::<String>::new());
    let stranger = Uuid::now_v7();
    let lost =
        "UPDATE outbox_archive SET event_id = REVERSE(event_id) WHERE event_type LIKE '%CampaignOpened'";
    world.sql_violation(lost, lost, "CampaignOpened").await;
    world.sql_violation(lost, lost, "was never committed").await;
    let changed = "UPDATE outbox_archive SET payload = X'01' WHERE event_type LIKE '%CampaignOpened'";
    let back = "UPDATE outbox_archive SET payload = X'00' WHERE event_type LIKE '%CampaignOpened'";
    world
        .sql_violation(changed, back, "was published with other bytes")
        .await;
    let ahead = event("claim", stranger, "ClaimAdmitted", 2, vec![0]);
    let (event_id, record) = world.publish(ahead).await;
    world.require("2 came where 1 was next").await;
    let late = event("claim", stranger, "ClaimAdmitted", 1, vec![0]);
    let late = world.record(&late, Uuid::now_v7());
    let elsewhere = Record {
        partition: (record.partition + 1) % 4,
        ..late
    };
    topic::write(world.environment.kafka_bootstrap(), &elsewhere).await;
    world.require("lies on partitions").await;
    // A repeated suffix is no violation: a takeover may publish again.
    let before = world.violations().await.len();
    topic::write(world.environment.kafka_bootstrap(), &record).await;
    assert_eq!(world.violations().await.len(), before, "{event_id} came twice");
}

#[tokio::test]
async fn a_promise_that_nobody_wrote_down_is_found() {
    let world = World::new("planted_promise").await;
    let now = Instant::now();
    world.ledger.add(Asked {
        user: "u-1".to_owned(),
        asked_at: now,
        answered_at: now,
        answer: Answer::AlreadyClaimed(Claim {
            claim_id: Uuid::now_v7(),
            ticket: 1,
            sequence: None,
            state: "admitted".to_owned(),
        }),
    });
    world.require("which does not exist").await;
}

#[tokio::test]
async fn tickets_out_of_order_are_found() {
    let world = World::new("planted_order").await;
    let evidence = Evidence::collect(&world.environment).await;
    assert_eq!(super::order::tickets_follow(&evidence), Vec::<String>::new());
    world
        .sql("UPDATE claims SET sequence = 9 WHERE claim_id = {c1}")
        .await;
    let evidence = Evidence::collect(&world.environment).await;
    assert_eq!(
        super::order::tickets_follow(&evidence),
        ["G4 ticket 3 was given before ticket 1"]
    );
}
