//! A record as the runner keeps it: owned, with its headers in the stored form of a
//! dead letter, and what the runner has to know of them read once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use headgate_dead_letters::park::Parked;
use headgate_groups::decode::{Readable, UNREADABLE_HEADERS};
use headgate_groups::{event_type_text, time_text, traceparent_text};
use headgate_schemas::headers::{self, push_stored};
use headgate_schemas::ids::{DeadLetterId, EventId};
use rdkafka::Message;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers};

/// The version of the ids that we make; others carry no time to partition the inbox by.
const OWN_UUID_VERSION: usize = 7;

/// A record of a topic.
#[derive(Debug)]
pub(crate) struct Record {
    pub offset: i64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// See [`headgate_schemas::headers::RawHeaders::to_bytes`].
    pub headers: Vec<u8>,
    pub marks: Marks,
}

/// What the headers say.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub event_id: Option<EventId>,
    pub event_type: Option<String>,
    pub sequence: Option<u64>,
    pub time: Option<DateTime<Utc>>,
    pub traceparent: Option<String>,
    pub letter_id: Option<DeadLetterId>,
    pub attempt: Option<u32>,
    /// Nothing but a request to release what is parked behind the letter.
    pub release: bool,
    /// A header has a name that is no text: what came behind it is lost.
    pub cut: bool,
}

/// What a record of a retry topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// An event, which the group is fed again.
    Event,
    /// A dead letter's replay attempt.
    Letter,
    /// A request to release what is parked behind a letter.
    Release(DeadLetterId),
    /// A letter without the number of its attempt.
    Unreadable(DeadLetterId),
}

impl Record {
    /// What it is for, if it is of a retry topic.
    pub(crate) const fn carries(&self) -> Carries {
        match (self.marks.letter_id, self.marks.attempt, self.marks.release) {
            (None, ..) => Carries::Event,
            (Some(_), Some(_), _) => Carries::Letter,
            (Some(letter_id), None, true) => Carries::Release(letter_id),
            (Some(letter_id), None, false) => Carries::Unreadable(letter_id),
        }
    }

    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Self {
        let (mut stored, mut marks) = (Vec::new(), Marks::default());
        if let Some(headers) = message.headers() {
            // The client panics on a name that is not UTF-8; such a record must not take
            // the partition down with it.
            let read = catch_unwind(AssertUnwindSafe(|| read(headers, &mut stored, &mut marks)));
            marks.cut = read.is_err();
        }
        Self {
            offset: message.offset(),
            time_ms: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: stored,
            marks,
        }
    }

    /// The record of a letter, as it came or as it was edited.
    pub(crate) fn of_letter(letter: Parked) -> Self {
        let mut marks = Marks {
            // An edit has mended them.
            cut: letter.error_class == UNREADABLE_HEADERS && letter.read.edit_no == 0,
            ..Marks::default()
        };
        for (name, value) in &letter.headers.0 {
            mark(&mut marks, name, value.as_deref());
        }
        Self {
            offset: letter.offset,
            time_ms: letter.record_time.timestamp_millis(),
            headers: letter.headers.to_bytes(),
            key: letter.key,
            value: letter.value,
            marks,
        }
    }

    /// What of it is read.
    pub(crate) fn readable(&self) -> Readable<'_> {
        Readable {
            value: self.value.as_deref(),
            event_type: self.marks.event_type.as_deref(),
            sequence: self.marks.sequence,
            time: self.marks.time,
            traceparent: self.marks.traceparent.as_deref(),
            cut: self.marks.cut,
        }
    }

    /// Memory that it holds, more or less.
    pub(crate) fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + length(&self.key) + length(&self.value) + self.headers.len()
    }

    /// The event's id: its own, or one made from where the record lies.
    pub(crate) fn event_id(&self, topic: &str, partition: i32) -> EventId {
        self.marks
            .event_id
            .unwrap_or_else(|| EventId::of_foreign_record(topic, partition, self.offset, self.time_ms))
    }
}

fn read(headers: &BorrowedHeaders, stored: &mut Vec<u8>, marks: &mut Marks) {
    for header in headers.iter() {
        push_stored(stored, header.key, header.value);
        mark(marks, header.key, header.value);
    }
}

fn mark(marks: &mut Marks, name: &str, value: Option<&[u8]>) {
    let text = value.and_then(|value| std::str::from_utf8(value).ok());
    match name {
        headers::CE_ID => marks.event_id = text.and_then(own_event_id),
        headers::CE_TYPE => marks.event_type = text.and_then(event_type_text).map(str::to_owned),
        headers::CE_SEQUENCE => marks.sequence = text.and_then(|text| text.parse().ok()),
        headers::CE_TIME => marks.time = text.and_then(time_text),
        headers::TRACEPARENT => marks.traceparent = text.and_then(traceparent_text).map(str::to_owned),
        headers::DLQ_LETTER_ID => marks.letter_id = text.and_then(|text| text.parse().ok()),
        headers::RELEASE => marks.release = true,
        headers::REPLAY_ATTEMPT => marks.attempt = text.and_then(|text| text.parse().ok()),
        _ => {}
    }
}

fn own_event_id(text: &str) -> Option<EventId> {
    text.parse::<EventId>()
        .ok()
        .filter(|id| id.as_uuid().get_version_num() == OWN_UUID_VERSION)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use headgate_dead_letters::park::AsRead;
    use headgate_schemas::headers::RawHeaders;

    use super::*;

    #[test]
    fn headers_that_were_cut_off_are_mended_by_an_edit() {
        let cut = |edit_no| {
            let letter = Parked {
                read: AsRead {
                    letter_id: DeadLetterId::generate(),
                    edit_no,
                },
                event_id: EventId::generate(),
                offset: 0,
                record_time: DateTime::UNIX_EPOCH,
                key: None,
                value: None,
                headers: RawHeaders::default(),
                error_class: UNREADABLE_HEADERS.to_owned(),
            };
            Record::of_letter(letter).marks.cut
        };
        assert_eq!((cut(0), cut(1)), (true, false));
    }
}
