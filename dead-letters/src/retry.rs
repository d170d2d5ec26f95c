//! Records for a group's retry topic: what an operator sends to one group, and to nobody
//! else.

use headgate_outbox::write::{CopiedRecord, EventWriter, OutboxRow};
use headgate_schemas::headers::{self, RawHeaders};

use crate::Error;
use crate::bury::{catalogued, outbox_type, push_origin};
use crate::store::LockedLetter;

/// What a record asks of the group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asks {
    /// To apply the letter's record, as this attempt.
    Replay(u32),
    /// To release what is parked behind the letter.
    Release,
}

/// The record of a letter. Fails where the topic is not in the catalogue: then there is no
/// retry topic.
pub(crate) fn record(writer: &EventWriter, letter: &LockedLetter, asks: Asks) -> Result<OutboxRow, Error> {
    let names = writer.names();
    let topic = catalogued(names, &letter.topic).ok_or_else(|| Error::UnknownTopic(letter.topic.clone()))?;
    let letter_id = letter.letter_id;
    // Not behind the copy for the dead-letter topic: what holds that one up holds no replay up.
    // Nor behind an earlier attempt.
    let (mut headers, order_key, value) = match asks {
        Asks::Replay(attempt) => (
            letter.headers.clone(),
            format!("replay-{letter_id}-{attempt}"),
            letter.value.clone(),
        ),
        Asks::Release => (RawHeaders::default(), format!("release-{letter_id}"), None),
    };
    headers.push(headers::DLQ_GROUP, letter.group_name.as_str());
    headers.push(headers::DLQ_LETTER_ID, letter_id.to_string());
    match asks {
        Asks::Replay(attempt) => headers.push(headers::REPLAY_ATTEMPT, attempt.to_string()),
        Asks::Release => headers.push(headers::RELEASE, "1"),
    }
    push_origin(
        &mut headers,
        &letter.topic,
        letter.partition,
        letter.offset,
        letter.record_time,
    );
    let copied = CopiedRecord {
        key: letter.key.clone(),
        headers,
    };
    Ok(writer.copy(
        names.retry(topic, &letter.group_name),
        &order_key,
        letter.event_id,
        outbox_type(letter.event_type.as_deref()),
        copied,
        value,
    ))
}
