//! G7: every committed event reaches Kafka at least once, in order per aggregate.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::Evidence;

/// G7: everything that left the outbox is in its topic, with its key, value and number.
/// What still waits (outbox, blocked) is not missed; at rest the outbox is empty.
pub fn at_least_once(evidence: &Evidence) -> Vec<String> {
    let mut published: BTreeMap<(&str, &str), Vec<_>> = BTreeMap::new();
    for record in &evidence.records {
        if let Some(id) = record.header("ce_id") {
            published
                .entry((record.topic.as_str(), id))
                .or_default()
                .push(record);
        }
    }
    let mut found = Vec::new();
    for event in evidence.events.iter().filter(|event| event.place == "archive") {
        let id = event.event_id.to_string();
        let Some(records) = published.get(&(event.topic.as_str(), id.as_str())) else {
            // A copy of foreign bytes carries the headers it came with, maybe no id.
            if !event.is_copy() {
                found.push(format!(
                    "G7 {} {id} of {} is not in {}",
                    event.kind(),
                    event.aggregate(),
                    event.topic
                ));
            }
            continue;
        };
        let differs = !event.is_copy()
            && records.iter().any(|record| {
                record.key.as_deref() != Some(event.aggregate_id.as_slice())
                    || record.value != event.payload
                    || record.header("ce_type") != Some(event.event_type.as_str())
                    || record.header("ce_sequence") != Some(event.sequence.to_string().as_str())
            });
        if differs {
            found.push(format!(
                "G7 {} {id} of {} was published with other bytes",
                event.kind(),
                event.aggregate()
            ));
        }
    }
    found.extend(invented(evidence));
    found
}

/// Records of ours on the public topic that no transaction wrote.
fn invented(evidence: &Evidence) -> Vec<String> {
    let known: BTreeSet<_> = evidence
        .events
        .iter()
        .map(|event| event.event_id.to_string())
        .collect();
    let ours = evidence
        .public_records()
        .filter(|record| record.header("ce_source") == Some("/headgate"));
    let invented = ours.filter(|record| record.header("ce_id").is_none_or(|id| !known.contains(id)));
    invented
        .map(|record| {
            format!(
                "G6 {} at {}/{} was never committed",
                record.topic, record.partition, record.offset
            )
        })
        .collect()
}

/// G7: per aggregate, the first occurrences arrive as 1, 2, 3, ... on one partition.
pub fn in_order(evidence: &Evidence) -> Vec<String> {
    let mut next: BTreeMap<&str, (i32, u64)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for record in evidence.public_records() {
        let (Some(key), Some(id)) = (record.key_text(), record.header("ce_id")) else {
            continue;
        };
        let Some(sequence) = record
            .header("ce_sequence")
            .and_then(|text| text.parse::<u64>().ok())
        else {
            continue;
        };
        let (partition, expected) = next.entry(key).or_insert((record.partition, 1));
        if *partition != record.partition {
            found.push(format!(
                "G7 {key} lies on partitions {partition} and {}",
                record.partition
            ));
        }
        if !seen.insert(id) {
            continue;
        }
        if sequence != *expected {
            found.push(format!("G7 {key}: {sequence} came where {expected} was next"));
        }
        *expected = sequence + 1;
    }
    found
}
