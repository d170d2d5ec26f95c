//! Names of the Kafka headers, and the byte form in which raw headers are kept in
//! MySQL (a dead letter keeps them exactly as they came).

/// `CloudEvents` 1.0, binary content mode.
pub const CE_SPECVERSION: &str = "ce_specversion";
/// Event id: deduplicate by it.
pub const CE_ID: &str = "ce_id";
/// Event type, see [`crate::event`].
pub const CE_TYPE: &str = "ce_type";
/// Which system speaks.
pub const CE_SOURCE: &str = "ce_source";
/// Aggregate id, the record's key.
pub const CE_SUBJECT: &str = "ce_subject";
/// When it happened, RFC 3339.
pub const CE_TIME: &str = "ce_time";
/// The aggregate's own contiguous number, from 1.
pub const CE_SEQUENCE: &str = "ce_sequence";
/// Media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Value of [`CE_SPECVERSION`].
pub const CE_SPECVERSION_VALUE: &str = "1.0";
/// Value of [`CE_SOURCE`] unless configured.
pub const CE_SOURCE_VALUE: &str = "/headgate";
/// Value of [`CONTENT_TYPE`]: Avro in Confluent's wire format.
pub const CONTENT_TYPE_VALUE: &str = "application/vnd.confluent.avro";

/// Dead letter: the group that could not apply the record.
pub const DLQ_GROUP: &str = "dlq-group";
/// Dead letter: the letter's id in `dead_letters`.
pub const DLQ_LETTER_ID: &str = "dlq-letter-id";
/// Dead letter: where the record came from.
pub const DLQ_ORIGINAL_TOPIC: &str = "dlq-original-topic";
/// Dead letter: partition it came from.
pub const DLQ_ORIGINAL_PARTITION: &str = "dlq-original-partition";
/// Dead letter: offset it had.
pub const DLQ_ORIGINAL_OFFSET: &str = "dlq-original-offset";
/// Dead letter: timestamp it had, milliseconds since 1970.
pub const DLQ_ORIGINAL_TIMESTAMP: &str = "dlq-original-timestamp";
/// Dead letter: `poison`, `rejected`, `exhausted` or `parked`.
pub const DLQ_DISPOSITION: &str = "dlq-disposition";
/// Dead letter: class of the error, a stable word.
pub const DLQ_ERROR_CLASS: &str = "dlq-error-class";
/// Dead letter: the error's text, bounded.
pub const DLQ_ERROR: &str = "dlq-error";
/// Dead letter: how often it was tried.
pub const DLQ_ATTEMPTS: &str = "dlq-attempts";
/// Dead letter: when it first failed, RFC 3339.
pub const DLQ_FIRST_FAILED_AT: &str = "dlq-first-failed-at";
/// Dead letter: groups letters of one cause.
pub const DLQ_FINGERPRINT: &str = "dlq-fingerprint";
/// Retry record: which replay attempt of the letter this is. Only the current
/// attempt of a letter that is `replaying` is applied.
pub const REPLAY_ATTEMPT: &str = "dlq-replay-attempt";

/// Retry record that carries nothing: what is parked behind the letter may go.
pub const RELEASE: &str = "dlq-release";

/// Most headers that are kept of one record.
pub const HEADERS_MAX: usize = 64;

/// Headers exactly as a record carries them: ordered, names may repeat, a value may
/// be null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawHeaders(pub Vec<(String, Option<Vec<u8>>)>);

/// The stored bytes are not headers.
#[derive(Debug, thiserror::Error)]
#[error("stored headers are cut short or malformed at byte {at}")]
pub struct InvalidHeaders {
    at: usize,
}

/// Marks a null value in the stored form.
const NULL: u32 = u32::MAX;

impl RawHeaders {
    /// The last value of the header `name`, as Kafka clients read it.
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .and_then(|(_, value)| value.as_deref())
    }

    /// Adds a header behind the others.
    pub fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_owned(), Some(value.into())));
    }

    /// The stored form: for each header a big-endian `u32` length and the name's
    /// bytes, then a length (`u32::MAX` for null) and the value's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in &self.0 {
            push_stored(&mut bytes, name, value.as_deref());
        }
        bytes
    }

    /// Reads the stored form back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidHeaders> {
        let mut at = 0;
        let mut headers = Vec::new();
        while at < bytes.len() {
            let name = take(bytes, &mut at)?.ok_or(InvalidHeaders { at })?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| InvalidHeaders { at })?;
            let value = take(bytes, &mut at)?.map(<[u8]>::to_vec);
            headers.push((name, value));
        }
        Ok(Self(headers))
    }
}

/// Adds a header to the stored form; see [`RawHeaders::to_bytes`].
pub fn push_stored(bytes: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    let mut put = |value: Option<&[u8]>| match value {
        None => bytes.extend_from_slice(&NULL.to_be_bytes()),
        Some(value) => {
            let length = u32::try_from(value.len()).unwrap_or(NULL - 1);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(value);
        }
    };
    put(Some(name.as_bytes()));
    put(value);
}

fn take<'b>(bytes: &'b [u8], at: &mut usize) -> Result<Option<&'b [u8]>, InvalidHeaders> {
    let short = InvalidHeaders { at: *at };
    let (length, rest) = bytes[*at..]
        .split_first_chunk::<4>()
        .ok_or(InvalidHeaders { at: *at })?;
    *at += length.len();
    let length = u32::from_be_bytes(*length);
    if length == NULL {
        return Ok(None);
    }
    let value = usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or(short)?;
    *at += value.len();
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_storage_byte_for_byte() {
        let mut headers = RawHeaders(vec![
            ("a".into(), None),
            ("a".into(), Some(vec![])),
            ("b".into(), Some(vec![0, 255])),
        ]);
        headers.push("a", "last");
        assert_eq!(
            RawHeaders::from_bytes(&headers.to_bytes()).expect("own bytes"),
            headers
        );
        assert_eq!(headers.last("a"), Some(&b"last"[..]));
    }

    #[test]
    fn cut_headers_are_an_error() {
        let mut headers = RawHeaders::default();
        headers.push("name", "value");
        let bytes = headers.to_bytes();
        for end in 1..bytes.len() {
            assert!(RawHeaders::from_bytes(&bytes[..end]).is_err(), "{end} bytes");
        }
    }
}
