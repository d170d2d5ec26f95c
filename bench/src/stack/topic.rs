//! How many records a topic holds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::servers::Servers;

const TIMEOUT: Duration = Duration::from_secs(15);

/// A topic whose records are counted, not read.
#[derive(Clone)]
pub struct Topic {
    consumer: Arc<BaseConsumer>,
    name: String,
    partitions: i32,
}

impl Topic {
    /// A topic that exists.
    pub fn of(servers: &Servers, name: &str, partitions: i32) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &servers.kafka)
            .create()
            .context("make a consumer")?;
        Ok(Self {
            consumer: Arc::new(consumer),
            name: name.to_owned(),
            partitions,
        })
    }

    /// Records in all partitions.
    pub async fn records(&self) -> anyhow::Result<u32> {
        let topic = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut records = 0;
            for partition in 0..topic.partitions {
                let (first, next) = topic.consumer.fetch_watermarks(&topic.name, partition, TIMEOUT)?;
                records += next - first;
            }
            Ok(u32::try_from(records)?)
        })
        .await?
    }
}
