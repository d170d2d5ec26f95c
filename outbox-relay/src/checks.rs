//! What is checked of a row before any row behind it in its aggregate is sent: that it
//! is not too large, that it is Avro in the wire format under a schema that the registry
//! knows, and that Kafka knows its topic.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use headgate_outbox::claim::PendingRow;
use headgate_runtime::registry::{self, Registry};
use headgate_schemas::codec::split_wire_format;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::topics::TopicNames;

use crate::producer::Producer;
use crate::record::bytes_at_most;

/// Why a row is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It cannot be published as it is.
    Poison(String),
    /// It cannot be told, because a server is away.
    Unknown,
}

/// Most topics and schemas that are remembered; beyond that all are asked for anew.
const REMEMBERED_MAX: usize = 10_000;

/// How long a registry that did not answer is left alone.
const REGISTRY_REST: Duration = Duration::from_secs(10);

/// The checks of one worker.
#[derive(Debug)]
pub struct Checks {
    registry: Registry,
    record_bytes_max: usize,
    names: TopicNames,
    topics: HashSet<String>,
    schemas: HashSet<u32>,
    /// Of the batch in hand.
    missing_topics: HashMap<String, Finding>,
    missing_schemas: HashMap<u32, Finding>,
    /// Topics of the catalogue that are missing since they were last reported.
    missing_reported: HashSet<String>,
    ask_registry_from: Instant,
}

impl Checks {
    /// Checks against `registry`, for records of at most `record_bytes_max` bytes, in an
    /// installation that calls its topics so.
    pub fn new(registry: Registry, names: TopicNames, record_bytes_max: u32) -> Self {
        Self {
            registry,
            names,
            record_bytes_max: usize::try_from(record_bytes_max).unwrap_or(usize::MAX),
            topics: HashSet::new(),
            schemas: HashSet::new(),
            missing_topics: HashMap::new(),
            missing_schemas: HashMap::new(),
            missing_reported: HashSet::new(),
            ask_registry_from: Instant::now(),
        }
    }

    /// Asks Kafka and the registry about topics and schemas that are new to it.
    pub async fn look_up(&mut self, rows: &[PendingRow], producer: &Producer) {
        self.missing_topics.clear();
        self.missing_schemas.clear();
        if self.topics.len() + self.schemas.len() > REMEMBERED_MAX {
            self.topics.clear();
            self.schemas.clear();
        }
        for row in rows {
            if !self.topics.contains(&row.topic) && !self.missing_topics.contains_key(&row.topic) {
                self.look_up_topic(&row.topic, producer).await;
            }
            if let Some(schema) = own_schema(row)
                && !self.schemas.contains(&schema)
                && !self.missing_schemas.contains_key(&schema)
            {
                self.look_up_schema(schema).await;
            }
        }
    }

    async fn look_up_topic(&mut self, topic: &str, producer: &Producer) {
        let finding = match producer.knows(topic).await {
            Ok(true) => {
                self.missing_reported.remove(topic);
                self.topics.insert(topic.to_owned());
                return;
            }
            // A cluster that lost its topics, or does not have them yet: nothing is wrong
            // with the rows, and all of them would be set aside.
            Ok(false) if self.names.are_of_the_catalogue(topic) => {
                if self.missing_reported.insert(topic.to_owned()) {
                    tracing::error!(topic, "Kafka does not have this topic: its events wait for it");
                }
                Finding::Unknown
            }
            Ok(false) => Finding::Poison(format!("Kafka knows no topic {topic}")),
            Err(error) => {
                tracing::debug!(%error, topic, "Kafka does not say whether it knows a topic");
                Finding::Unknown
            }
        };
        self.missing_topics.insert(topic.to_owned(), finding);
    }

    async fn look_up_schema(&mut self, schema: u32) {
        if Instant::now() < self.ask_registry_from {
            return;
        }
        match self.registry.writer_schema(schema).await {
            Ok(_) => {
                self.schemas.insert(schema);
            }
            Err(registry::Error::Decode(error)) => {
                self.missing_schemas
                    .insert(schema, Finding::Poison(error.to_string()));
            }
            // The id came from the registry when the row was written. That it cannot be
            // asked now is no reason to hold events back.
            Err(error) => {
                self.ask_registry_from = Instant::now() + REGISTRY_REST;
                tracing::debug!(%error, schema, "the registry does not say whether it knows a schema");
            }
        }
    }

    /// What is wrong with a row of the batch that was looked up last.
    pub fn check(&self, row: &PendingRow) -> Option<Finding> {
        let bytes = bytes_at_most(row);
        if bytes > self.record_bytes_max {
            let most = self.record_bytes_max;
            return Some(Finding::Poison(format!(
                "the record takes up to {bytes} bytes, more than {most}"
            )));
        }
        if let Some(finding) = self.missing_topics.get(&row.topic) {
            return Some(finding.clone());
        }
        match &row.raw_headers {
            Some(stored) => RawHeaders::from_bytes(stored)
                .err()
                .map(|error| Finding::Poison(error.to_string())),
            None => match split_wire_format(row.payload.as_deref()) {
                Ok((schema, _)) => self.missing_schemas.get(&schema).cloned(),
                Err(error) => Some(Finding::Poison(error.to_string())),
            },
        }
    }
}

/// The schema of an event of our own. A copied record is none of our business.
fn own_schema(row: &PendingRow) -> Option<u32> {
    let of_our_own = row.raw_headers.is_none();
    let (schema, _) = of_our_own.then(|| split_wire_format(row.payload.as_deref()).ok())??;
    Some(schema)
}
