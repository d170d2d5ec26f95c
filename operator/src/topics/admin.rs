//! Reads and makes topics in Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use headgate_runtime::kafka;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, OwnedResourceSpecifier,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Found, Planned, Step, Wanted, plan};

/// Longest wait for one answer of the brokers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Topics could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings of the client are wrong.
    #[error("the Kafka client cannot be made")]
    Client(#[source] KafkaError),
    /// No broker answered, or one answered nonsense.
    #[error("Kafka does not answer")]
    Unavailable(#[source] KafkaError),
    /// Kafka refused a change.
    #[error("Kafka refuses to {what}")]
    Refused {
        /// What was asked.
        what: String,
        /// Kafka's reason.
        #[source]
        source: KafkaError,
    },
    /// Topics with another number of partitions than the catalogue's.
    #[error(
        "the number of partitions of a topic is fixed, because its keys would move: {}",
        .0.iter().map(refusal).collect::<Vec<_>>().join(", ")
    )]
    PartitionsDiffer(Vec<Planned>),
}

fn refusal(planned: &Planned) -> String {
    let found = match planned.step {
        Step::Refuse { partitions_found } => partitions_found,
        _ => planned.wanted.partitions,
    };
    format!(
        "{} has {found}, not {}",
        planned.wanted.name, planned.wanted.partitions
    )
}

/// Topics of one Kafka cluster.
pub struct Topics {
    client: AdminClient<DefaultClientContext>,
    options: AdminOptions,
    replication: i32,
}

impl Topics {
    /// Connects when first used. New topics get `replication` copies of each partition.
    pub fn new(config: &kafka::Config, replication: i32) -> Result<Self, Error> {
        let client = config.client().create().map_err(Error::Client)?;
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_TIMEOUT))
            .operation_timeout(Some(ANSWER_TIMEOUT));
        Ok(Self {
            client,
            options,
            replication,
        })
    }

    /// What there is to do to make the topics of `wanted` so.
    pub async fn plan(&self, wanted: Vec<Wanted>) -> Result<Vec<Planned>, Error> {
        let found = self.find(&wanted).await?;
        Ok(plan(wanted, &found))
    }

    /// Makes the topics of `wanted` so, and returns what was done. Refuses as a whole
    /// when one of them has another number of partitions.
    pub async fn apply(&self, wanted: Vec<Wanted>) -> Result<Vec<Planned>, Error> {
        let found = self.find(&wanted).await?;
        let planned = plan(wanted, &found);
        let refused: Vec<_> = planned
            .iter()
            .filter(|planned| matches!(planned.step, Step::Refuse { .. }))
            .cloned()
            .collect();
        if !refused.is_empty() {
            return Err(Error::PartitionsDiffer(refused));
        }
        self.create(&planned).await?;
        self.configure(&planned, &found).await?;
        Ok(planned)
    }

    async fn find(&self, wanted: &[Wanted]) -> Result<BTreeMap<String, Found>, Error> {
        let partitions = self.partitions()?;
        let there: Vec<_> = wanted
            .iter()
            .filter_map(|topic| partitions.get_key_value(&topic.name))
            .collect();
        if there.is_empty() {
            return Ok(BTreeMap::new());
        }
        let resources: Vec<_> = there
            .iter()
            .map(|(name, _)| ResourceSpecifier::Topic(name))
            .collect();
        let described = self
            .client
            .describe_configs(resources.iter(), &self.options)
            .await
            .map_err(Error::Unavailable)?;
        let mut found = BTreeMap::new();
        for resource in described {
            let resource = resource.map_err(|code| Error::Unavailable(KafkaError::AdminOp(code)))?;
            let OwnedResourceSpecifier::Topic(name) = resource.specifier else {
                continue;
            };
            let Some(partitions) = partitions.get(&name).copied() else {
                continue;
            };
            let (mut own_settings, mut settings) = (BTreeMap::new(), BTreeMap::new());
            for entry in resource.entries {
                let Some(value) = entry.value else { continue };
                if entry.source == ConfigSource::DynamicTopic {
                    own_settings.insert(entry.name.clone(), value.clone());
                }
                settings.insert(entry.name, value);
            }
            found.insert(
                name,
                Found {
                    partitions,
                    own_settings,
                    settings,
                },
            );
        }
        Ok(found)
    }

    /// Partitions of every topic. Blocks for as long as the brokers take: a command
    /// line has nothing else to do meanwhile.
    fn partitions(&self) -> Result<BTreeMap<String, i32>, Error> {
        let metadata =
            tokio::task::block_in_place(|| self.client.inner().fetch_metadata(None, ANSWER_TIMEOUT))
                .map_err(Error::Unavailable)?;
        Ok(metadata
            .topics()
            .iter()
            .map(|topic| {
                let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
                (topic.name().to_owned(), partitions)
            })
            .collect())
    }

    async fn create(&self, planned: &[Planned]) -> Result<(), Error> {
        let missing: Vec<_> = planned
            .iter()
            .filter(|planned| planned.step == Step::Create)
            .map(|Planned { wanted, .. }| {
                let topic = NewTopic::new(
                    &wanted.name,
                    wanted.partitions,
                    TopicReplication::Fixed(self.replication),
                );
                wanted
                    .settings
                    .iter()
                    .fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let created = self
            .client
            .create_topics(&missing, &self.options)
            .await
            .map_err(Error::Unavailable)?;
        for outcome in created {
            match outcome {
                // Somebody else made it between our look and now.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(Error::Refused {
                        what: format!("create the topic {name}"),
                        source: KafkaError::AdminOp(code),
                    });
                }
            }
        }
        Ok(())
    }

    async fn configure(&self, planned: &[Planned], found: &BTreeMap<String, Found>) -> Result<(), Error> {
        for Planned { wanted, step } in planned {
            let (Step::Configure { settings }, Some(found)) = (step, found.get(&wanted.name)) else {
                continue;
            };
            // The request replaces all settings of the topic: send those that somebody
            // else made along.
            let mut all = found.own_settings.clone();
            all.extend(settings.clone());
            let change = all.iter().fold(
                AlterConfig::new(ResourceSpecifier::Topic(&wanted.name)),
                |change, (name, value)| change.set(name, value),
            );
            let outcomes = self
                .client
                .alter_configs([&change], &self.options)
                .await
                .map_err(Error::Unavailable)?;
            for outcome in outcomes {
                outcome.map_err(|(_, code)| Error::Refused {
                    what: format!("change the settings of the topic {}", wanted.name),
                    source: KafkaError::AdminOp(code),
                })?;
            }
        }
        Ok(())
    }
}
