//! The schema registry, through Confluent's HTTP API (which Apicurio serves too).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headgate_schemas::codec::{DecodeError, Encoder, WriterSchema};
use headgate_schemas::event::{EventSchema, schemas};
use headgate_schemas::topics::TopicNames;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::config::{milliseconds, require};

/// Section `registry` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Base of the Confluent API, e.g. `http://registry:8081`.
    pub url: String,
    /// Longest wait for an answer.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
}

impl Config {
    /// What is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let readable = reqwest::Url::parse(&self.url).is_ok();
        require(
            &mut faults,
            readable,
            "registry.url must look like http://host:8081",
        );
        require(
            &mut faults,
            !self.timeout.is_zero(),
            "registry.timeout_ms must be at least 1",
        );
        faults
    }
}

/// The registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Away, or too slow. Never a reason for a dead letter.
    #[error("the schema registry does not answer")]
    Unavailable(#[source] reqwest::Error),
    /// It answered with a refusal.
    #[error("the schema registry refuses {what}: {status} {body}")]
    Refused {
        /// What was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// The beginning of its answer.
        body: String,
    },
    /// Its schemas are not ours.
    #[error("the schemas cannot be used")]
    Schemas(#[source] headgate_schemas::codec::EncodeError),
    /// A schema cannot be read, or is unknown: the record that names it is poison.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// The subject of an event on a topic: `<topic>-<full name>`, Confluent's
/// `TopicRecordNameStrategy`, because a topic carries several types of event.
pub fn subject(topic: &str, event_name: &str) -> String {
    format!("{topic}-{event_name}")
}

#[derive(Serialize)]
struct SchemaText<'t> {
    schema: &'t str,
}

#[derive(Deserialize)]
struct RegisteredId {
    id: u32,
}

#[derive(Deserialize)]
struct FetchedSchema {
    schema: String,
}

#[derive(Deserialize)]
struct Compatibility {
    is_compatible: bool,
}

/// A subject of the contract and how the registry stands to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SubjectState {
    /// The subject.
    pub subject: String,
    /// How the registry stands to its schema.
    #[serde(flatten)]
    pub state: SchemaState,
}

/// How the registry stands to a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SchemaState {
    /// It has it.
    Registered {
        /// Its id.
        schema_id: u32,
    },
    /// It does not have it and would take it.
    Missing,
    /// It would refuse it: readers of earlier versions could not read on.
    Incompatible,
}

/// Most writer schemas that are kept in memory.
const WRITER_SCHEMAS_MAX: usize = 1_000;
/// Longest piece of a refusal that is repeated, in characters.
const REFUSAL_SHOWN_CHARS: usize = 300;

/// A client of the registry. Clones share one cache.
#[derive(Clone, Debug)]
pub struct Registry {
    http: reqwest::Client,
    url: String,
    writer_schemas: Arc<RwLock<HashMap<u32, Arc<WriterSchema>>>>,
}

impl Registry {
    /// A client; nothing is asked yet.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .build()
            .map_err(Error::Unavailable)?;
        let url = config.url.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            url,
            writer_schemas: Arc::default(),
        })
    }

    /// Registers every schema of the contract under this installation's topics, with
    /// the compatibility `BACKWARD_TRANSITIVE`. Registering again changes nothing.
    pub async fn register_all(&self, names: &TopicNames) -> Result<(), Error> {
        for EventSchema { topic, name, text } in schemas() {
            let subject = subject(&names.public(&topic), name);
            self.post::<_, RegisteredId>(
                &format!("subjects/{subject}/versions"),
                &SchemaText { schema: text },
            )
            .await?;
            let body = serde_json::json!({"compatibility": "BACKWARD_TRANSITIVE"});
            let request = self
                .http
                .put(format!("{}/config/{subject}", self.url))
                .json(&body);
            Self::answer::<serde_json::Value>(request, "the compatibility setting").await?;
        }
        Ok(())
    }

    /// What registering the contract's schemas would change: an event for each.
    pub async fn check_all(&self, names: &TopicNames) -> Result<Vec<SubjectState>, Error> {
        let mut states = Vec::new();
        for EventSchema { topic, name, text } in schemas() {
            let subject = subject(&names.public(&topic), name);
            let state = self.check(&subject, text).await?;
            states.push(SubjectState { subject, state });
        }
        Ok(states)
    }

    async fn check(&self, subject: &str, text: &str) -> Result<SchemaState, Error> {
        let schema = SchemaText { schema: text };
        match self
            .post::<_, RegisteredId>(&format!("subjects/{subject}"), &schema)
            .await
        {
            Ok(found) => return Ok(SchemaState::Registered { schema_id: found.id }),
            Err(Error::Refused { status: 404, .. }) => {}
            Err(other) => return Err(other),
        }
        // Against all versions: the contract is BACKWARD_TRANSITIVE.
        let path = format!("compatibility/subjects/{subject}/versions");
        match self.post::<_, Compatibility>(&path, &schema).await {
            Ok(Compatibility { is_compatible: false }) => Ok(SchemaState::Incompatible),
            // No version to be compatible with.
            Ok(_) | Err(Error::Refused { status: 404, .. }) => Ok(SchemaState::Missing),
            Err(other) => Err(other),
        }
    }

    /// Ids of the contract's schemas, to write with. They are looked up, not
    /// registered: publishing a new schema is a step of deployment.
    pub async fn encoder(&self, names: &TopicNames) -> Result<Encoder, Error> {
        let mut ids = HashMap::new();
        for EventSchema { topic, name, text } in schemas() {
            let subject = subject(&names.public(&topic), name);
            let found: RegisteredId = self
                .post(&format!("subjects/{subject}"), &SchemaText { schema: text })
                .await?;
            ids.insert(name.to_owned(), found.id);
        }
        Encoder::new(&ids).map_err(Error::Schemas)
    }

    /// The schema that a record names; fetched once.
    pub async fn writer_schema(&self, id: u32) -> Result<Arc<WriterSchema>, Error> {
        if let Some(schema) = self.writer_schemas.read().get(&id) {
            return Ok(schema.clone());
        }
        let request = self.http.get(format!("{}/schemas/ids/{id}", self.url));
        let fetched: FetchedSchema = match Self::answer(request, &format!("schema {id}")).await {
            Err(Error::Refused { status: 404, .. }) => return Err(DecodeError::UnknownSchema(id).into()),
            other => other?,
        };
        let schema = Arc::new(WriterSchema::parse(id, &fetched.schema)?);
        let mut known = self.writer_schemas.write();
        if known.len() >= WRITER_SCHEMAS_MAX {
            known.clear();
        }
        known.insert(id, schema.clone());
        Ok(schema)
    }

    async fn post<B: Serialize, A: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<A, Error> {
        let request = self.http.post(format!("{}/{path}", self.url)).json(body);
        Self::answer(request, path).await
    }

    async fn answer<A: serde::de::DeserializeOwned>(
        request: reqwest::RequestBuilder,
        what: &str,
    ) -> Result<A, Error> {
        let response = request.send().await.map_err(Error::Unavailable)?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(Error::Unavailable);
        }
        if status.is_server_error() {
            return Err(response
                .error_for_status()
                .map_or_else(Error::Unavailable, |response| Error::Refused {
                    what: what.to_owned(),
                    status: response.status().as_u16(),
                    body: String::new(),
                }));
        }
        let body = response
            .text()
            .await
            .unwrap_or_default()
            .chars()
            .take(REFUSAL_SHOWN_CHARS)
            .collect();
        Err(Error::Refused {
            what: what.to_owned(),
            status: status.as_u16(),
            body,
        })
    }
}
