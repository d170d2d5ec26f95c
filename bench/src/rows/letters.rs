//! Dead letters, planted: what consumers write when they cannot apply the events of
//! admitted claims, by the functions that they call. The records are sound, so that a
//! replay applies them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use headgate_dead_letters::bury::{Burier, bury};
use headgate_dead_letters::{Disposition, NewLetter, SourceRecord, park};
use headgate_outbox::inbox::{self, InboxState};
use headgate_outbox::write::EventWriter;
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::ClaimAdmitted;
use headgate_schemas::headers::{self, RawHeaders};
use headgate_schemas::ids::EventId;
use headgate_schemas::topics::COUPONS;

use super::admitted::{AdmittedEvent, partition_of};
use crate::stack::installation::Installation;

/// The group that buries.
pub const GROUP: &str = "coupon-issuance";
const EVENTS_PER_TRANSACTION: usize = 512;
/// Letters have failed over the last so many seconds.
const FAILED_WITHIN_S: i64 = 48 * 60 * 60;
/// What stands for the claim's id in the text of an error.
const CLAIM: &str = "{claim}";

/// Why letters failed.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// Disposition.
    pub disposition: Disposition,
    /// Class of the error.
    pub class: &'static str,
    /// The error; `{claim}` stands for the claim's id.
    pub error: &'static str,
}

/// What waits behind the letters.
#[derive(Clone, Copy, Debug)]
pub struct Followers {
    /// Behind every so many-th letter.
    pub every: usize,
    /// So many.
    pub behind_each: usize,
}

/// Buries the events, each as a letter of a cause that its place in the list chooses.
pub async fn plant(
    installation: &Installation,
    writer: &EventWriter,
    events: &[AdmittedEvent],
    cause_of: impl Fn(usize) -> Cause,
    followers: Option<Followers>,
) -> anyhow::Result<()> {
    let group = inbox::group_no(&installation.pool, GROUP).await?;
    let burier = Burier { group, name: GROUP };
    let topic = format!("{}{}", installation.kafka_prefix, COUPONS.name);
    let step = TimeDelta::microseconds(FAILED_WITHIN_S * 1_000_000 / i64::try_from(events.len().max(1))?);
    let mut failed_at = Utc::now() - TimeDelta::seconds(FAILED_WITHIN_S);
    for (piece, events) in events.chunks(EVENTS_PER_TRANSACTION).enumerate() {
        let (mut heads, mut behind) = (Vec::new(), Vec::new());
        for (place, event) in events.iter().enumerate() {
            let place = piece * EVENTS_PER_TRANSACTION + place;
            failed_at += step;
            let record = record(&topic, event, 1, i64::try_from(place)?);
            heads.push(letter(event.event_id, record, cause_of(place), failed_at));
            let waiting = followers.filter(|followers| place.is_multiple_of(followers.every));
            for number in 0..waiting.map_or(0, |followers| followers.behind_each) {
                behind.push(follower(&topic, event, number, failed_at)?);
            }
        }
        let mut transaction = installation.pool.begin().await?;
        for (letters, state) in [(heads, InboxState::Dead), (behind, InboxState::Parked)] {
            let ids: Vec<EventId> = letters.iter().map(|letter| letter.event_id).collect();
            inbox::record(&mut transaction, group, &ids, state).await?;
            bury(&mut transaction, writer, burier, letters).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

fn letter(event_id: EventId, record: SourceRecord, cause: Cause, failed_at: DateTime<Utc>) -> NewLetter {
    let claim = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
    NewLetter {
        event_id,
        event_type: Some(ClaimAdmitted::NAME.to_owned()),
        record,
        disposition: cause.disposition,
        error_class: cause.class.to_owned(),
        error: cause.error.replace(CLAIM, &claim),
        attempts: 1,
        first_failed_at: failed_at,
        last_failed_at: failed_at,
    }
}

/// A later event of the same claim.
fn follower(
    topic: &str,
    event: &AdmittedEvent,
    number: usize,
    failed_at: DateTime<Utc>,
) -> anyhow::Result<NewLetter> {
    let later = AdmittedEvent {
        event_id: EventId::generate(),
        ..event.clone()
    };
    let number = i64::try_from(number)?;
    let cause = Cause {
        disposition: Disposition::Parked,
        class: park::CLASS,
        error: park::ERROR,
    };
    let record = record(topic, &later, number + 2, number);
    Ok(NewLetter {
        attempts: 0,
        ..letter(later.event_id, record, cause, failed_at)
    })
}

/// The event's record, as the relay publishes it.
fn record(topic: &str, event: &AdmittedEvent, sequence: i64, offset: i64) -> SourceRecord {
    let mut marks = RawHeaders::default();
    marks.push(headers::CE_SPECVERSION, headers::CE_SPECVERSION_VALUE);
    marks.push(headers::CE_ID, event.event_id.to_string());
    marks.push(headers::CE_TYPE, ClaimAdmitted::NAME);
    marks.push(headers::CE_SOURCE, headers::CE_SOURCE_VALUE);
    marks.push(headers::CE_SUBJECT, event.aggregate_id.as_slice());
    marks.push(
        headers::CE_TIME,
        event.created_at.to_rfc3339_opts(SecondsFormat::Micros, true),
    );
    marks.push(headers::CE_SEQUENCE, sequence.to_string());
    marks.push(headers::CONTENT_TYPE, headers::CONTENT_TYPE_VALUE);
    SourceRecord {
        topic: topic.to_owned(),
        partition: partition_of(&event.aggregate_id).cast_signed(),
        offset,
        time: event.created_at,
        key: Some(event.aggregate_id.clone()),
        value: Some(event.payload.clone()),
        headers: marks,
    }
}

/// Adds settled letters to those that are open: each of them once more, resolved an hour
/// earlier, and again an hour before that.
pub async fn settle_earlier(installation: &Installation, times: u32) -> anyhow::Result<u64> {
    let mut added = 0;
    for hours in 1..=times {
        // The first six bytes of an id are its time, in milliseconds.
        let inserted = sqlx::query(
            "INSERT INTO dead_letters (letter_id, group_no, event_id, event_day, event_type, topic, partition_no,
                 kafka_offset, kafka_timestamp, record_key, record_value, record_headers, disposition, error_class,
                 error, fingerprint, attempts, first_failed_at, last_failed_at, state, replay_attempt, closed_at)
             SELECT INSERT(letter_id, 1, 6, UNHEX(LPAD(HEX(CONV(HEX(LEFT(letter_id, 6)), 16, 10) - ?), 12, '0'))),
                 group_no, INSERT(event_id, 1, 6, UNHEX(LPAD(HEX(CONV(HEX(LEFT(event_id, 6)), 16, 10) - ?), 12, '0'))),
                 event_day, event_type, topic, partition_no, kafka_offset, kafka_timestamp, record_key, record_value,
                 record_headers, disposition, error_class, error, fingerprint, attempts,
                 first_failed_at - INTERVAL ? HOUR, last_failed_at - INTERVAL ? HOUR, 'resolved', 1, UTC_TIMESTAMP(6)
             FROM dead_letters WHERE state = 'open' AND disposition <> 'parked'",
        )
        .bind(hours * 3_600_000)
        .bind(hours * 3_600_000)
        .bind(hours)
        .bind(hours)
        .execute(&installation.pool)
        .await?;
        added += inserted.rows_affected();
    }
    Ok(added)
}
