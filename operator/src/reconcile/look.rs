//! Whether anything is on its way between a claim's commit and its coupon.

use chrono::{DateTime, TimeDelta, Utc};

use super::store;
use crate::state::Servers;
use crate::{Error, lag};

/// How long after its admission time a claim's commit may still become visible: far
/// more than any transaction of the api may take.
const COMMIT_LATE_MAX: TimeDelta = TimeDelta::seconds(60);

/// A look at the pipe.
#[derive(Clone, Copy, Debug)]
pub struct Pipe {
    /// When the look began, by MySQL's clock.
    pub as_of: DateTime<Utc>,
    /// Whether the outbox was empty and the groups had read everything.
    pub quiet: bool,
}

impl Pipe {
    /// Claims that were admitted before this were seen by all that the look looked at.
    pub fn settled_before(&self) -> DateTime<Utc> {
        self.as_of - COMMIT_LATE_MAX
    }
}

/// Looks along the pipe in the direction of the events: what has left the outbox is in
/// Kafka, what the groups have committed in Kafka is in MySQL. Whoever counts claims
/// after a quiet look finds each with its coupon or its letter. A Kafka that is away
/// makes the pipe anything but quiet.
pub async fn look(servers: &Servers) -> Result<Pipe, Error> {
    let as_of = store::now(&servers.pool).await?;
    let is_published = store::outbox_is_empty(&servers.pool).await?;
    let quiet = is_published
        && match lag::measure(servers.kafka.clone()).await {
            Ok(groups) => groups.iter().all(|group| group.lag_records == 0),
            Err(error) => {
                tracing::debug!(%error, "the lag is not known");
                false
            }
        };
    Ok(Pipe { as_of, quiet })
}
