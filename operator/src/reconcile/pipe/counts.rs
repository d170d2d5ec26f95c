//! The stages of the pipe, counted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What became of the events of a topic: `committed = published + waiting + lost`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicCounts {
    /// The topic, as Kafka names it.
    pub topic: String,
    /// Events that business transactions committed, as far as anything tells of them.
    pub committed: u64,
    /// Those that Kafka has acknowledged.
    pub published: u64,
    /// Those that wait to be published, or are blocked. Counted at the end: while events flow,
    /// one that is published behind the walk counts nowhere.
    pub waiting: u64,
    /// Those that are nowhere.
    pub lost: u64,
}

/// What became of the published events of a topic in a group: `published = persisted + skipped
/// + parked + dead + discarded + in_flight + passed_by + forgotten`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupCounts {
    /// The group.
    pub group: String,
    /// The topic, as Kafka names it.
    pub topic: String,
    /// Events that Kafka has acknowledged.
    pub published: u64,
    /// Their change is committed.
    pub persisted: u64,
    /// Of types that the group does not act on.
    pub skipped: u64,
    /// They wait behind a dead letter of their key.
    pub parked: u64,
    /// A dead letter holds them.
    pub dead: u64,
    /// An operator gave them up.
    pub discarded: u64,
    /// Still to come to the group.
    pub in_flight: u64,
    /// Behind the group's place and not in its inbox: each is a difference.
    pub passed_by: u64,
    /// Older than what the inbox remembers.
    pub forgotten: u64,
}

impl TopicCounts {
    /// Adds what another page counted.
    pub fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.published += other.published;
        self.waiting += other.waiting;
        self.lost += other.lost;
    }
}

impl GroupCounts {
    /// Adds what another page counted.
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.persisted += other.persisted;
        self.skipped += other.skipped;
        self.parked += other.parked;
        self.dead += other.dead;
        self.discarded += other.discarded;
        self.in_flight += other.in_flight;
        self.passed_by += other.passed_by;
        self.forgotten += other.forgotten;
    }
}
