//! Bury: a consumer writes what it cannot apply as a dead letter, in the transaction
//! of its batch, with a copy for the dead-letter topic.

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat, Utc};
use headgate_outbox::inbox::GroupNo;
use headgate_outbox::write::{CopiedRecord, EventWriter, OutboxRow};
use headgate_schemas::headers::{self, RawHeaders};
use headgate_schemas::ids::{DeadLetterId, EventId};
use headgate_schemas::topics::{CATALOGUE, Topic, TopicNames};
use sqlx::{MySql, Transaction};

use crate::Error;
use crate::fingerprint::fingerprint;
use crate::letter::Disposition;
use crate::store::{self, ERROR_CHARS_MAX, LetterRow, bounded};

/// Longest error text in a header, in characters.
const ERROR_HEADER_CHARS_MAX: usize = 500;
/// What stands for the type of an event that could not be read that far.
const UNREADABLE_TYPE: &str = "unreadable";

/// A record as it came, and from where.
#[derive(Clone, Debug)]
pub struct SourceRecord {
    /// Topic, as Kafka names it.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp.
    pub time: DateTime<Utc>,
    /// Key, byte for byte.
    pub key: Option<Vec<u8>>,
    /// Value, byte for byte.
    pub value: Option<Vec<u8>>,
    /// Headers, byte for byte.
    pub headers: RawHeaders,
}

/// A record that becomes a dead letter.
#[derive(Clone, Debug)]
pub struct NewLetter {
    /// Deduplicated by.
    pub event_id: EventId,
    /// Its type, if the record could be read that far.
    pub event_type: Option<String>,
    /// The record.
    pub record: SourceRecord,
    /// Why.
    pub disposition: Disposition,
    /// A stable word for the cause.
    pub error_class: String,
    /// What went wrong.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// First failure.
    pub first_failed_at: DateTime<Utc>,
    /// Last failure.
    pub last_failed_at: DateTime<Utc>,
}

/// Who buries: a group, by number and name.
#[derive(Clone, Copy, Debug)]
pub struct Burier<'g> {
    /// Its number.
    pub group: GroupNo,
    /// Its name.
    pub name: &'g str,
}

/// Writes letters with their first line of history, and a copy of each record for the
/// group's dead-letter topic. The inbox rows (state `dead`) are the caller's. An event
/// that has its letter already keeps it: it came again after the inbox forgot it. Returns
/// the events that have their letter from now on.
pub async fn bury(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    group: Burier<'_>,
    mut letters: Vec<NewLetter>,
) -> Result<HashSet<EventId>, Error> {
    let events: Vec<EventId> = letters.iter().map(|letter| letter.event_id).collect();
    let known = store::inbox_states(transaction, group.group, &events).await?;
    letters.retain(|letter| !known.contains_key(&letter.event_id));
    let mut rows = Vec::with_capacity(letters.len());
    let mut copies = Vec::with_capacity(letters.len());
    for mut letter in letters {
        letter
            .error
            .truncate(bounded(&letter.error, ERROR_CHARS_MAX).len());
        let letter_id = DeadLetterId::generate();
        let fingerprint = fingerprint(group.name, &letter.error_class, &letter.error);
        copies.extend(copy(
            writer,
            group.name,
            letter_id,
            &fingerprint.to_string(),
            &letter,
        ));
        rows.push(LetterRow {
            letter_id,
            group: group.group,
            fingerprint,
            letter,
        });
    }
    store::insert(transaction, &rows).await?;
    store::insert_failures(transaction, group.name, &rows).await?;
    EventWriter::write(transaction, &copies).await?;
    Ok(rows.iter().map(|row| row.letter.event_id).collect())
}

/// The copy for the dead-letter topic. `None` where the topic is not in the catalogue:
/// then there is no such topic either, and the letter itself is all there is.
fn copy(
    writer: &EventWriter,
    group: &str,
    letter_id: DeadLetterId,
    fingerprint: &str,
    letter: &NewLetter,
) -> Option<OutboxRow> {
    let record = &letter.record;
    let topic = catalogued(writer.names(), &record.topic)?;
    let mut headers = record.headers.clone();
    headers.push(headers::DLQ_GROUP, group);
    headers.push(headers::DLQ_LETTER_ID, letter_id.to_string());
    push_origin(
        &mut headers,
        &record.topic,
        record.partition,
        record.offset,
        record.time,
    );
    headers.push(headers::DLQ_DISPOSITION, letter.disposition.as_str());
    headers.push(headers::DLQ_ERROR_CLASS, letter.error_class.as_str());
    headers.push(headers::DLQ_ERROR, bounded(&letter.error, ERROR_HEADER_CHARS_MAX));
    headers.push(headers::DLQ_ATTEMPTS, letter.attempts.to_string());
    headers.push(
        headers::DLQ_FIRST_FAILED_AT,
        letter
            .first_failed_at
            .to_rfc3339_opts(SecondsFormat::Micros, true),
    );
    headers.push(headers::DLQ_FINGERPRINT, fingerprint);
    let copied = CopiedRecord {
        key: record.key.clone(),
        headers,
    };
    Some(writer.copy(
        writer.names().dead_letter(topic, group),
        &letter_id.to_string(),
        letter.event_id,
        outbox_type(letter.event_type.as_deref()),
        copied,
        record.value.clone(),
    ))
}

/// Adds the headers that say where a record came from.
pub(crate) fn push_origin(
    headers: &mut RawHeaders,
    topic: &str,
    partition: i32,
    offset: i64,
    time: DateTime<Utc>,
) {
    headers.push(headers::DLQ_ORIGINAL_TOPIC, topic);
    headers.push(headers::DLQ_ORIGINAL_PARTITION, partition.to_string());
    headers.push(headers::DLQ_ORIGINAL_OFFSET, offset.to_string());
    headers.push(
        headers::DLQ_ORIGINAL_TIMESTAMP,
        time.timestamp_millis().to_string(),
    );
}

/// The catalogue's entry of a topic, by its name in Kafka.
pub(crate) fn catalogued(names: &TopicNames, topic: &str) -> Option<&'static Topic> {
    CATALOGUE.iter().find(|entry| names.public(entry) == topic)
}

/// The event type that goes into an outbox row of a copy.
pub(crate) fn outbox_type(event_type: Option<&str>) -> String {
    event_type.unwrap_or(UNREADABLE_TYPE).to_owned()
}

/// Hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let written = write!(text, "{byte:02x}");
            debug_assert!(written.is_ok(), "text takes everything");
            text
        })
}
