//! How far a group lies behind, per partition, in records and in seconds.

use rdkafka::Statistics;

use super::assignment::{Assignment, of_partition};
use super::item::Source;
use crate::measure;

/// Reports from what the client knows of its partitions.
pub(crate) fn report(assignment: &Assignment, group: &'static str, statistics: &Statistics) {
    assignment.with(|partitions| {
        for partition in partitions.iter() {
            let source = &partition.source;
            let Some(known) = of_partition(statistics, source) else {
                continue;
            };
            let settled = partition.progress.next().unwrap_or(known.committed_offset);
            if known.hi_offset < 0 || settled < 0 {
                continue;
            }
            let records = (known.hi_offset - settled).max(0);
            gauge("headgate_consumer_lag_records", group, source).set(measure::count(records));
            let seconds = partition.progress.seconds_behind(partition.queue.oldest_ms());
            match seconds {
                Some(seconds) if records > 0 => {
                    gauge("headgate_consumer_lag_seconds", group, source).set(seconds);
                }
                _ if records == 0 => gauge("headgate_consumer_lag_seconds", group, source).set(0.0),
                // Records are on their way here, of an age not known yet.
                _ => {}
            }
            let is_waiting = f64::from(u8::from(partition.progress.is_waiting()));
            gauge("headgate_consumer_waiting", group, source).set(is_waiting);
        }
    });
}

/// The partition is another process's, which reports it from now on.
pub(crate) fn forget(group: &'static str, source: &Source) {
    for name in [
        "headgate_consumer_lag_records",
        "headgate_consumer_lag_seconds",
        "headgate_consumer_waiting",
        PARKING_FULL,
    ] {
        gauge(name, group, source).set(0.0);
    }
}

/// The alert that a partition stands still, because too much is parked.
const PARKING_FULL: &str = "headgate_consumer_parking_full";

/// Raises or lowers that alert.
pub(crate) fn parking_full(group: &'static str, source: &Source, full: bool) {
    gauge(PARKING_FULL, group, source).set(f64::from(u8::from(full)));
}

fn gauge(name: &'static str, group: &'static str, source: &Source) -> metrics::Gauge {
    metrics::gauge!(name, "group" => group, "topic" => source.topic.to_string(),
        "partition" => source.partition.to_string())
}
