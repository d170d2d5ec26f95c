//! What one step of a walk saw.

use std::collections::BTreeMap;

use headgate_outbox::inbox::InboxState;

use super::counts::{GroupCounts, TopicCounts};
use super::finding::Finding;
use crate::passed::Whereabouts;

/// What one step of a walk saw.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Rows that were looked at.
    pub looked_at: u64,
    /// Of those, published events.
    pub published: u64,
    pub topics: BTreeMap<String, TopicCounts>,
    pub groups: BTreeMap<(&'static str, String), GroupCounts>,
    pub findings: Vec<Finding>,
}

impl Tally {
    /// Counts a published event.
    pub(super) fn publish(&mut self, topic: &str) {
        self.published += 1;
        let counts = self.topic(topic);
        counts.published += 1;
        counts.committed += 1;
    }

    /// Notes an event that is nowhere.
    pub(super) fn lose(&mut self, topic: &str, finding: Finding) {
        let counts = self.topic(topic);
        counts.lost += 1;
        counts.committed += 1;
        self.findings.push(finding);
    }

    fn topic(&mut self, topic: &str) -> &mut TopicCounts {
        self.topics
            .entry(topic.to_owned())
            .or_insert_with(|| TopicCounts {
                topic: topic.to_owned(),
                ..TopicCounts::default()
            })
    }

    /// Counts what became of a published event in a group.
    pub(super) fn arrive(&mut self, group: &'static str, topic: &str, place: Whereabouts) {
        let counts = self
            .groups
            .entry((group, topic.to_owned()))
            .or_insert_with(|| GroupCounts {
                group: group.to_owned(),
                topic: topic.to_owned(),
                ..GroupCounts::default()
            });
        counts.published += 1;
        let stage = match place {
            Whereabouts::Skipped => &mut counts.skipped,
            Whereabouts::Settled(InboxState::Applied) => &mut counts.persisted,
            Whereabouts::Settled(InboxState::Parked) => &mut counts.parked,
            Whereabouts::Settled(InboxState::Dead) => &mut counts.dead,
            Whereabouts::Settled(InboxState::Discarded) => &mut counts.discarded,
            Whereabouts::InFlight => &mut counts.in_flight,
            Whereabouts::PassedBy => &mut counts.passed_by,
            Whereabouts::Forgotten => &mut counts.forgotten,
        };
        *stage += 1;
    }

    /// Whether `finding` was found again.
    pub(super) fn has(&self, finding: &Finding) -> bool {
        let identity = finding.identity();
        self.findings.iter().any(|found| found.identity() == identity)
    }
}
