//! Whether Kafka still holds what it acknowledged: the record at an offset is compared with
//! the archive.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use headgate_outbox::ledger::Entry;
use headgate_runtime::kafka;
use headgate_schemas::headers::CE_ID;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::Error;

/// Longest wait for the records of one partition.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait in one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Records that are read and not looked at rather than jumped over.
const JUMP_RECORDS: i64 = 5_000;

/// How many records are read and compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    /// The last of a page, as long as there are so many left.
    Samples(u32),
    /// Each.
    All,
}

impl Proof {
    /// Those of a page whose records are to be read.
    pub(super) fn choose<'e>(&mut self, entries: &'e [Entry]) -> &'e [Entry] {
        match self {
            Self::All => entries,
            Self::Samples(left) => {
                let last = &entries[entries.len().saturating_sub(1)..];
                let last = if *left == 0 { &[] } else { last };
                *left -= u32::from(!last.is_empty());
                last
            }
        }
    }
}

/// What lies at an offset instead of what was published there: `None` for nothing.
type Instead = Option<String>;

/// Those of `entries` whose record is not the one that was published, with what is there.
pub(super) async fn strange<'e>(
    config: &kafka::Config,
    entries: &[&'e Entry],
) -> Result<Vec<(&'e Entry, Instead)>, Error> {
    let mut by_partition: BTreeMap<(String, i32), Vec<i64>> = BTreeMap::new();
    for entry in entries {
        let offsets = by_partition
            .entry((entry.topic.clone(), entry.partition))
            .or_default();
        offsets.push(entry.offset);
    }
    if by_partition.is_empty() {
        return Ok(Vec::new());
    }
    let config = config.clone();
    let read = tokio::task::spawn_blocking(move || read(&config, by_partition));
    let found = read
        .await
        .map_err(|_| Error::Internal("reading records panicked"))??;
    let instead = |entry: &&'e Entry| {
        let key = (entry.topic.clone(), entry.partition, entry.offset);
        let held = found.get(&key).cloned().flatten();
        (held.as_deref() != Some(&entry.event_id.to_string())).then_some((*entry, held))
    };
    Ok(entries.iter().filter_map(instead).collect())
}

/// `ce_id` by topic, partition and offset.
type Found = BTreeMap<(String, i32, i64), Option<String>>;

fn read(config: &kafka::Config, wanted: BTreeMap<(String, i32), Vec<i64>>) -> KafkaResult<Found> {
    let consumer: BaseConsumer = config
        .client()
        // Never joined: it is only what the client asks for.
        .set("group.id", config.names().group("reconcile"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()?;
    let mut found = Found::new();
    for ((topic, partition), mut offsets) in wanted {
        offsets.sort_unstable();
        for run in offsets.chunk_by(|one, next| next - one <= JUMP_RECORDS) {
            read_run(&consumer, (&topic, partition), run, &mut found)?;
        }
    }
    Ok(found)
}

fn read_run(
    consumer: &BaseConsumer,
    (topic, partition): (&str, i32),
    offsets: &[i64],
    found: &mut Found,
) -> KafkaResult<()> {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
        return Ok(());
    };
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(*first))?;
    consumer.assign(&assignment)?;
    let until = Instant::now() + READ_TIMEOUT;
    while Instant::now() < until {
        match consumer.poll(POLL_TIMEOUT) {
            None => {}
            Some(Ok(message)) => {
                if offsets.binary_search(&message.offset()).is_ok() {
                    found.insert((topic.to_owned(), partition, message.offset()), ce_id(&message));
                }
                if message.offset() >= *last {
                    return Ok(());
                }
            }
            // Nothing more is there, or nothing of it.
            Some(Err(
                KafkaError::PartitionEOF(_)
                | KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                ),
            )) => return Ok(()),
            Some(Err(error)) => return Err(error),
        }
    }
    Err(KafkaError::MessageConsumption(
        RDKafkaErrorCode::OperationTimedOut,
    ))
}

fn ce_id(message: &BorrowedMessage<'_>) -> Option<String> {
    let headers = message.headers()?;
    let id = headers
        .iter()
        .filter(|header| header.key == CE_ID)
        .last()?
        .value?;
    Some(String::from_utf8_lossy(id).into_owned())
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use headgate_outbox::archive::Position;
    use headgate_schemas::ids::EventId;

    use super::*;

    #[test]
    fn a_sample_is_the_last_of_a_page_that_is_not_empty() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 22).expect("a day");
        let entry = |offset| Entry {
            position: Position::before(day),
            event_id: EventId::generate(),
            aggregate_id: "c".to_owned(),
            event_type: "T".to_owned(),
            sequence: 1,
            after_id: 0,
            topic: "t".to_owned(),
            partition: 0,
            offset,
        };
        let page = [entry(1), entry(2)];
        let mut samples = Proof::Samples(1);
        assert!(samples.choose(&[]).is_empty());
        assert_eq!(samples.choose(&page), &page[1..]);
        assert!(samples.choose(&page).is_empty(), "there is only one");
        assert_eq!(Proof::All.choose(&page), &page);
    }
}
