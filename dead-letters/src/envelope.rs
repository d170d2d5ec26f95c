//! The headers of an edited record: those it came with, mended as far as it takes to read
//! it, so that no cause of poison is left that an edit could not remove.

use chrono::{DateTime, SecondsFormat, Utc};
use headgate_schemas::headers::{self, RawHeaders};
use headgate_schemas::ids::EventId;

/// What is known of an edited record beside its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'e> {
    pub event_id: EventId,
    pub event_type: &'e str,
    pub key: Option<&'e [u8]>,
    pub time: DateTime<Utc>,
}

impl Envelope<'_> {
    /// The headers with what has to be right set right and what is missing added, and the
    /// names of those that changed.
    pub(crate) fn mend(&self, headers: &RawHeaders) -> (RawHeaders, Vec<&'static str>) {
        let id = self.event_id.to_string();
        let time = self.time.to_rfc3339_opts(SecondsFormat::Micros, true);
        // Deduplication, dispatch and decoding go by these.
        let exact = [
            (headers::CE_ID, id.as_bytes()),
            (headers::CE_TYPE, self.event_type.as_bytes()),
            (headers::CONTENT_TYPE, headers::CONTENT_TYPE_VALUE.as_bytes()),
        ];
        // CloudEvents wants these; what the producer said stands.
        let usual = [
            (
                headers::CE_SPECVERSION,
                Some(headers::CE_SPECVERSION_VALUE.as_bytes()),
            ),
            (headers::CE_SOURCE, Some(headers::CE_SOURCE_VALUE.as_bytes())),
            (headers::CE_SUBJECT, self.key),
            (headers::CE_TIME, Some(time.as_bytes())),
        ];
        let wrong = exact
            .into_iter()
            .filter(|(name, value)| headers.last(name) != Some(value));
        let missing = usual.into_iter().filter(|(name, _)| headers.last(name).is_none());
        let set: Vec<_> = wrong
            .chain(missing.filter_map(|(name, value)| Some((name, value?))))
            .collect();
        let mut mended = headers.clone();
        // Of headers of one name the last is read: the others would only mislead.
        mended
            .0
            .retain(|(name, _)| !set.iter().any(|(other, _)| other == name));
        for (name, value) in &set {
            mended.push(name, *value);
        }
        (mended, set.into_iter().map(|(name, _)| name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "io.headgate.coupons.ClaimAdmitted";

    fn envelope(event_id: EventId) -> Envelope<'static> {
        Envelope {
            event_id,
            event_type: TYPE,
            key: Some(b"key"),
            time: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn headers_that_are_missing_are_added_and_foreign_ones_stay() {
        let event_id = EventId::generate();
        let mut came = RawHeaders::default();
        came.push("x-origin", "elsewhere");
        let (mended, set) = envelope(event_id).mend(&came);
        assert_eq!(set.len(), 7);
        let texts = [
            ("x-origin", "elsewhere"),
            (headers::CE_ID, &event_id.to_string()),
            (headers::CE_TYPE, TYPE),
            (headers::CE_SPECVERSION, "1.0"),
            (headers::CE_SUBJECT, "key"),
            (headers::CE_TIME, "1970-01-01T00:00:00.000000Z"),
        ];
        for (name, text) in texts {
            assert_eq!(mended.last(name), Some(text.as_bytes()), "{name}");
        }
        // Mended headers need no mending.
        assert_eq!(envelope(event_id).mend(&mended), (mended, vec![]));
    }

    #[test]
    fn wrong_headers_are_replaced_however_often_they_are_there() {
        let event_id = EventId::generate();
        let (mut came, _) = envelope(event_id).mend(&RawHeaders::default());
        came.push(headers::CE_TYPE, "io.headgate.coupons.ClaimIssued");
        came.0.push((headers::CE_ID.to_owned(), None));
        came.push(headers::CE_SOURCE, "/shop");
        let (mended, set) = envelope(event_id).mend(&came);
        assert_eq!(set, [headers::CE_ID, headers::CE_TYPE]);
        let of = |name: &str| mended.0.iter().filter(|(other, _)| other == name).count();
        assert_eq!((of(headers::CE_ID), of(headers::CE_TYPE)), (1, 1));
        assert_eq!(mended.last(headers::CE_TYPE), Some(TYPE.as_bytes()));
        assert_eq!(mended.last(headers::CE_SOURCE), Some(&b"/shop"[..]));
    }
}
