//! The topic catalogue: every public topic with its partitions, retention and
//! cleanup. `headgate topics apply` creates what is missing and refuses to change
//! the partition count of a keyed topic, because that would move keys.

use std::time::Duration;

/// Everything that is published about coupons: campaigns, claims, coupons.
pub const COUPONS: Topic = Topic {
    name: "headgate.coupons",
    partitions: 4,
    retention: Duration::from_hours(7 * 24),
};

/// Everything that is published about points.
pub const POINTS: Topic = Topic {
    name: "headgate.points",
    partitions: 4,
    retention: Duration::from_hours(7 * 24),
};

/// All public topics.
pub const CATALOGUE: &[Topic] = &[COUPONS, POINTS];

/// Partitions of a retry topic and of a dead-letter topic: low traffic, operators
/// replay at a capped rate.
pub const RETRY_PARTITIONS: i32 = 2;

/// Partitions of a dead-letter topic.
pub const DEAD_LETTER_PARTITIONS: i32 = 1;

/// How long Kafka keeps the copy of a dead letter. The letter itself stays in MySQL.
pub const DEAD_LETTER_RETENTION: Duration = Duration::from_hours(30 * 24);

/// Largest batch of records that a public topic takes, in bytes: Kafka's own default.
pub const RECORD_BYTES_MAX: u32 = 1_048_588;

/// The same of retry and dead-letter topics: a record of a public topic with headers of ours
/// beside its own.
pub const COPY_BYTES_MAX: u32 = 2 * RECORD_BYTES_MAX;

/// One public topic. All topics use `cleanup.policy=delete` and the partitioner
/// `murmur2_random`, the Java client's, so that any producer agrees on a key's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Name without the installation's prefix.
    pub name: &'static str,
    /// Fixed for the life of the topic.
    pub partitions: i32,
    /// How long Kafka keeps a record.
    pub retention: Duration,
}

/// Maps catalogue names to the names in Kafka. An installation (or a test) may
/// carry a prefix, so that several share one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicNames {
    prefix: String,
}

impl TopicNames {
    /// Names that begin with `prefix` (may be empty; it is put before the name as it is).
    pub fn with_prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The topic's name in Kafka.
    pub fn public(&self, topic: &Topic) -> String {
        format!("{}{}", self.prefix, topic.name)
    }

    /// Where the dead letters of `group` from `topic` are copied to.
    pub fn dead_letter(&self, topic: &Topic, group: &str) -> String {
        format!("{}{}.{group}.dlq", self.prefix, topic.name)
    }

    /// Where replayed letters reach `group` and nobody else.
    pub fn retry(&self, topic: &Topic, group: &str) -> String {
        format!("{}{}.{group}.retry", self.prefix, topic.name)
    }

    /// Whether `topic` is one that this installation makes: a public one, or a group's own.
    pub fn are_of_the_catalogue(&self, topic: &str) -> bool {
        CATALOGUE.iter().any(|public| {
            let own = topic.strip_prefix(&self.public(public));
            let of_a_group = |rest: &str| matches!(rest.rsplit('.').next(), Some("dlq" | "retry"));
            own.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && of_a_group(rest))
        })
    }

    /// The group id in Kafka.
    pub fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }
}
