//! The topics an installation needs, and what differs from them in Kafka. Pure: the
//! talking is done by [`admin`].

pub mod admin;

use std::collections::BTreeMap;

use headgate_groups::Group;
use headgate_schemas::topics::{
    CATALOGUE, COPY_BYTES_MAX, DEAD_LETTER_PARTITIONS, DEAD_LETTER_RETENTION, RECORD_BYTES_MAX,
    RETRY_PARTITIONS, TopicNames,
};
use serde::Serialize;

/// Copies of a partition from which on a write waits for two of them.
const REPLICATION_FOR_TWO_IN_SYNC: i32 = 3;

/// A topic as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// Name in Kafka, with the installation's prefix.
    pub name: String,
    /// Partitions, for ever.
    pub partitions: i32,
    /// Settings of the topic that are ours to say.
    pub settings: BTreeMap<String, String>,
}

/// A topic as Kafka has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Partitions.
    pub partitions: i32,
    /// Settings that were given to the topic itself.
    pub own_settings: BTreeMap<String, String>,
    /// All settings in force, inherited ones too.
    pub settings: BTreeMap<String, String>,
}

/// What there is to do about a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Step {
    /// As it should be.
    Current,
    /// Not there.
    Create,
    /// Settings differ: the ones to set.
    Configure {
        /// What changes.
        settings: BTreeMap<String, String>,
    },
    /// Another number of partitions. Never changed: keys would move to other
    /// partitions, and events of one key lose their order.
    Refuse {
        /// What Kafka has.
        partitions_found: i32,
    },
}

/// A topic and what there is to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The topic.
    #[serde(flatten)]
    pub wanted: Wanted,
    /// What there is to do.
    #[serde(flatten)]
    pub step: Step,
}

/// Every topic of the catalogue with the retry and dead-letter topics of its groups.
pub fn wanted(names: &TopicNames, replication: i32) -> Vec<Wanted> {
    let mut all = Vec::new();
    for topic in CATALOGUE {
        let own = |bytes_max| settings(topic.retention, bytes_max, replication);
        all.push(Wanted {
            name: names.public(topic),
            partitions: topic.partitions,
            settings: own(RECORD_BYTES_MAX),
        });
        let groups = Group::ALL.iter().filter(|group| group.topics().contains(topic));
        for group in groups.map(|group| group.name()) {
            all.push(Wanted {
                name: names.retry(topic, group),
                partitions: RETRY_PARTITIONS,
                settings: own(COPY_BYTES_MAX),
            });
            all.push(Wanted {
                name: names.dead_letter(topic, group),
                partitions: DEAD_LETTER_PARTITIONS,
                settings: settings(DEAD_LETTER_RETENTION, COPY_BYTES_MAX, replication),
            });
        }
    }
    all
}

const BYTES_MAX: &str = "max.message.bytes";

fn settings(retention: std::time::Duration, bytes_max: u32, replication: i32) -> BTreeMap<String, String> {
    let in_sync_min = if replication >= REPLICATION_FOR_TWO_IN_SYNC {
        2
    } else {
        1
    };
    BTreeMap::from([
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("retention.ms".to_owned(), retention.as_millis().to_string()),
        (BYTES_MAX.to_owned(), bytes_max.to_string()),
        ("min.insync.replicas".to_owned(), in_sync_min.to_string()),
        // Never trade acknowledged records for availability.
        ("unclean.leader.election.enable".to_owned(), "false".to_owned()),
    ])
}

/// Compares what should be with what is.
pub fn plan(wanted: Vec<Wanted>, found: &BTreeMap<String, Found>) -> Vec<Planned> {
    wanted
        .into_iter()
        .map(|wanted| {
            let step = found
                .get(&wanted.name)
                .map_or(Step::Create, |found| step(&wanted, found));
            Planned { wanted, step }
        })
        .collect()
}

fn step(wanted: &Wanted, found: &Found) -> Step {
    if wanted.partitions != found.partitions {
        return Step::Refuse {
            partitions_found: found.partitions,
        };
    }
    let differing: BTreeMap<_, _> = wanted
        .settings
        .iter()
        .filter(|(name, value)| {
            found
                .settings
                .get(*name)
                .is_none_or(|found| differs(name, value, found))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if differing.is_empty() {
        Step::Current
    } else {
        Step::Configure { settings: differing }
    }
}

/// Sizes are taken as the least: an installation may allow more.
fn differs(name: &str, wanted: &str, found: &str) -> bool {
    match (name, wanted.parse::<u64>(), found.parse::<u64>()) {
        (BYTES_MAX, Ok(wanted), Ok(found)) => found < wanted,
        _ => wanted != found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(wanted: &Wanted) -> Found {
        Found {
            partitions: wanted.partitions,
            own_settings: wanted.settings.clone(),
            settings: wanted.settings.clone(),
        }
    }

    fn wanted_of(prefix: &str) -> Vec<Wanted> {
        wanted(&TopicNames::with_prefix(prefix), 1)
    }

    #[test]
    fn every_group_has_a_retry_and_a_dead_letter_topic() {
        let names: Vec<_> = wanted_of("t-").into_iter().map(|topic| topic.name).collect();
        assert_eq!(
            names,
            [
                "t-headgate.coupons",
                "t-headgate.coupons.coupon-issuance.retry",
                "t-headgate.coupons.coupon-issuance.dlq",
                "t-headgate.coupons.notifications.retry",
                "t-headgate.coupons.notifications.dlq",
                "t-headgate.points",
                "t-headgate.points.point-balances.retry",
                "t-headgate.points.point-balances.dlq",
                "t-headgate.points.notifications.retry",
                "t-headgate.points.notifications.dlq"
            ]
        );
    }

    #[test]
    fn more_or_fewer_partitions_are_refused() {
        for change in [-1, 1] {
            let topics = wanted_of("");
            let mut there = BTreeMap::from([(topics[0].name.clone(), found(&topics[0]))]);
            let partitions = topics[0].partitions + change;
            there
                .entry(topics[0].name.clone())
                .and_modify(|found| found.partitions = partitions);
            let planned = plan(topics, &there);
            assert_eq!(
                planned[0].step,
                Step::Refuse {
                    partitions_found: partitions
                }
            );
            assert_eq!(planned[1].step, Step::Create);
        }
    }

    #[test]
    fn only_settings_that_differ_are_set() {
        let topics = wanted_of("");
        let mut there: BTreeMap<_, _> = topics
            .iter()
            .map(|topic| (topic.name.clone(), found(topic)))
            .collect();
        there.entry(topics[0].name.clone()).and_modify(|found| {
            found.settings.insert("retention.ms".to_owned(), "1".to_owned());
            found
                .settings
                .insert("compression.type".to_owned(), "zstd".to_owned());
        });
        let planned = plan(topics, &there);
        let Step::Configure { settings } = &planned[0].step else {
            panic!("not configured: {:?}", planned[0].step);
        };
        assert_eq!(settings.keys().collect::<Vec<_>>(), ["retention.ms"]);
        assert_eq!(planned[1].step, Step::Current);
    }

    #[test]
    fn three_copies_make_a_write_wait_for_two() {
        let in_sync_min = |replication| {
            wanted(&TopicNames::default(), replication)[0].settings["min.insync.replicas"].clone()
        };
        assert_eq!((in_sync_min(1), in_sync_min(3)), ("1".to_owned(), "2".to_owned()));
    }
}
