//! The claims and records behind a plan: admitted by a real api, written to Kafka by the test
//! itself, several claims under one key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use headgate_guarantees::{Installation, Partner};
use headgate_testkit::topic::{self, Record};
use rand::RngExt;
use rand::rngs::StdRng;
use sqlx::{AssertSqlSafe, MySqlPool};
use uuid::Uuid;

use super::plan::{Kind, Plan, Spoilt};

/// The type of every event that the group acts on.
const ADMITTED: &str = "io.headgate.coupons.ClaimAdmitted";
/// Values that nobody can read.
pub const JUNK: [Option<&[u8]>; 4] = [
    Some(b"no avro at all"),
    Some(&[0, 0x7f, 0xff, 0xff, 0xff, 1]),
    Some(&[0, 0]),
    None,
];
/// One record of so many is written a second time, some time after the first.
const ONE_AGAIN_OF: u32 = 6;

/// What stands in the way of an event, and can be mended.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// The claim's row is not as it was.
    Row(usize),
    /// There is no stock of the sale that is short.
    Stock,
}

/// An event's record.
#[derive(Clone, Debug)]
pub struct Sent {
    pub event_id: Uuid,
    /// The claim, if it is one's.
    pub claim: Option<Uuid>,
    pub record: Record,
}

/// A plan with its claims and records.
pub struct World {
    pub plan: Plan,
    /// Of each event of the plan.
    pub sent: Vec<Sent>,
    pool: MySqlPool,
    bootstrap: String,
    short: Uuid,
    /// Events that were written to Kafka at least once.
    published: AtomicUsize,
}

impl World {
    /// Admits the plan's claims one after the other, so that the order of their ids is that
    /// of the stream, and takes their events out of the outbox: the test publishes them.
    pub async fn admit(installation: &Installation, plan: Plan) -> Self {
        let environment = installation.environment();
        let mut api = installation.api().spawn().await;
        let partner = installation.partner(&api);
        let quotas = [false, true].map(|short| {
            let of_sale = |kind| matches!(kind, Kind::Claim { is_short, .. } if is_short == short);
            let claims = plan.events.iter().filter(|event| of_sale(event.kind)).count();
            u32::try_from(claims.max(1)).expect("a small plan")
        });
        let (plenty, short) = (
            partner.open_campaign(quotas[0]).await,
            partner.open_campaign(quotas[1]).await,
        );
        let mut claims = Vec::with_capacity(plan.events.len());
        for (number, event) in plan.events.iter().enumerate() {
            claims.push(match event.kind {
                Kind::Claim { is_short, .. } => {
                    let campaign = if is_short { short } else { plenty };
                    Some(claim(&partner, campaign, number).await)
                }
                Kind::Junk(_) => None,
            });
        }
        api.stop().await;
        assert!(
            claims.iter().flatten().is_sorted(),
            "claims' ids follow the order of admission"
        );
        let sent = records(installation, &plan, &claims).await;
        Self {
            plan,
            sent,
            pool: environment.pool().clone(),
            bootstrap: environment.kafka_bootstrap().to_owned(),
            short,
            published: AtomicUsize::new(0),
        }
    }

    /// The claim that gives a key its name.
    pub fn leader(&self, key: usize) -> Option<Uuid> {
        leader(&self.plan, key).and_then(|number| self.sent[number].claim)
    }

    /// What stands in the way at first, and is mended in the course of the run.
    pub fn causes(&self) -> Vec<Cause> {
        let rows = self.plan.events.iter().enumerate().filter_map(|(number, event)| {
            let spoilt = matches!(event.kind, Kind::Claim { spoilt: Some(_), .. });
            (spoilt && !event.is_lost()).then_some(Cause::Row(number))
        });
        rows.chain([Cause::Stock]).collect()
    }

    /// Puts everything in the way that the plan wants there.
    pub async fn spoil(&self) {
        for number in 0..self.sent.len() {
            self.turn(number, true).await;
        }
        let none = "UPDATE campaign_stock s JOIN campaigns c USING (campaign_no) SET s.remaining = 0
            WHERE c.campaign_id = ?";
        self.change(none, self.short).await;
    }

    /// Takes a cause away.
    pub async fn mend(&self, cause: Cause) {
        match cause {
            Cause::Row(number) => self.turn(number, false).await,
            Cause::Stock => {
                let all = "UPDATE campaign_stock s JOIN campaigns c USING (campaign_no)
                    SET s.remaining = c.quota WHERE c.campaign_id = ?";
                self.change(all, self.short).await;
            }
        }
    }

    /// Takes away also what is not to be mended, when all is over: the tables are compared
    /// as the product left them.
    pub async fn clear(&self) {
        for (number, event) in self.plan.events.iter().enumerate() {
            if event.is_lost() {
                self.turn(number, false).await;
            }
        }
    }

    async fn turn(&self, number: usize, spoil: bool) {
        let Kind::Claim {
            spoilt: Some(spoilt), ..
        } = self.plan.events[number].kind
        else {
            return;
        };
        let claim = self.sent[number].claim.expect("it is a claim's");
        let change = match (spoilt, spoil) {
            (Spoilt::Away, true) => "UPDATE claims SET claim_id = REVERSE(claim_id) WHERE claim_id = ?",
            (Spoilt::Away, false) => {
                "UPDATE claims SET claim_id = REVERSE(claim_id) WHERE claim_id = REVERSE(?)"
            }
            (Spoilt::Changed, true) => {
                "UPDATE claims SET user_id = CONCAT(user_id, '-changed') WHERE claim_id = ?"
            }
            (Spoilt::Changed, false) => {
                "UPDATE claims SET user_id = REPLACE(user_id, '-changed', '') WHERE claim_id = ?"
            }
        };
        self.change(change, claim).await;
    }

    async fn change(&self, change: &'static str, id: Uuid) {
        let changed = sqlx::query(change).bind(id).execute(&self.pool).await;
        let changed = changed.expect("the row can be changed").rows_affected();
        assert_eq!(changed, 1, "{change}");
    }

    /// The records in their order, some of them a second time.
    pub fn stream(&self, random: &mut StdRng) -> Vec<usize> {
        let mut stream = Vec::new();
        for number in 0..self.sent.len() {
            stream.push(number);
            if random.random_ratio(1, ONE_AGAIN_OF) {
                stream.push(random.random_range(0..=number));
            }
        }
        stream
    }

    /// Writes events to Kafka.
    pub async fn publish(&self, numbers: &[usize]) {
        let records: Vec<Record> = numbers
            .iter()
            .map(|number| self.sent[*number].record.clone())
            .collect();
        topic::publish(&self.bootstrap, &records).await;
        let last = numbers.iter().max().map_or(0, |number| number + 1);
        self.published.fetch_max(last, Ordering::Relaxed);
    }

    /// Events that are in Kafka.
    pub fn published(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }
}

/// The first event of a key with which nothing is ever wrong.
fn leader(plan: &Plan, key: usize) -> Option<usize> {
    plan.events
        .iter()
        .position(|event| event.key == key && event.is_sound())
}

async fn claim(partner: &Partner, campaign: Uuid, number: usize) -> Uuid {
    let reply = partner.claim(campaign, &format!("u-{number}")).await;
    assert_eq!(reply.status, reqwest::StatusCode::ACCEPTED, "{}", reply.body);
    let id = reply.body["claim_id"].as_str().and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("no claim_id in {}", reply.body))
}

/// The record of each event. A key is the id of a claim of its own, as the keys of the topic
/// are, so that the group has something to say when a letter of it is buried.
async fn records(installation: &Installation, plan: &Plan, claims: &[Option<Uuid>]) -> Vec<Sent> {
    let mut admitted = take_admitted(installation.environment().pool()).await;
    let keys: BTreeSet<usize> = plan.events.iter().map(|event| event.key).collect();
    let keys: BTreeMap<usize, Uuid> = keys
        .into_iter()
        .map(|key| {
            (
                key,
                leader(plan, key)
                    .and_then(|number| claims[number])
                    .unwrap_or_else(Uuid::now_v7),
            )
        })
        .collect();
    let topic = format!("{}headgate.coupons", installation.environment().kafka_prefix());
    let events = plan.events.iter().zip(claims);
    let sent = events.map(|(event, claim)| {
        let (event_id, value) = match (event.kind, claim) {
            (Kind::Junk(which), _) => (Uuid::now_v7(), JUNK[which].map(<[u8]>::to_vec)),
            (_, Some(claim)) => admitted.remove(claim).expect("an admitted claim has its event"),
            (_, None) => unreachable!("every claim of the plan was admitted"),
        };
        let key = keys[&event.key].to_string();
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let record = Record {
            topic: topic.clone(),
            partition: 0,
            offset: 0,
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", &event_id.to_string()),
                header("ce_type", ADMITTED),
                header("ce_subject", &key),
            ],
            key: Some(key.into_bytes()),
            value,
        };
        Sent {
            event_id,
            claim: *claim,
            record,
        }
    });
    sent.collect()
}

/// The events of admitted claims that wait in the outbox, by claim, with their values.
async fn take_admitted(pool: &MySqlPool) -> BTreeMap<Uuid, (Uuid, Option<Vec<u8>>)> {
    let of_claims = format!("FROM outbox WHERE event_type = '{ADMITTED}'");
    let read = AssertSqlSafe(format!(
        "SELECT CAST(aggregate_id AS CHAR), event_id, payload {of_claims}"
    ));
    let rows: Vec<(String, Uuid, Option<Vec<u8>>)> = sqlx::query_as(read)
        .fetch_all(pool)
        .await
        .expect("the outbox can be read");
    sqlx::query(AssertSqlSafe(format!("DELETE {of_claims}")))
        .execute(pool)
        .await
        .expect("the outbox can be changed");
    let by_claim = rows
        .into_iter()
        .map(|(claim, event, value)| (claim.parse().expect("a claim's id"), (event, value)));
    by_claim.collect()
}
