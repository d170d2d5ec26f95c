//! Avro in Confluent's wire format: a zero byte, the schema's id in the registry as
//! four big-endian bytes, then the Avro datum.
//! <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>

mod json;

use std::collections::HashMap;
use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::event::{self, DomainEvent, Event, ReadEvent};

pub use self::json::{EncodedJson, JsonError, Misfit, blank, public};

/// First byte of every value.
const MAGIC: u8 = 0;
/// Bytes before the datum.
pub const HEADER_BYTES: usize = 5;
/// Largest value that is published or read, in bytes. Kafka's default
/// `max.message.bytes` is 1 MiB; the rest is room for headers.
pub const VALUE_BYTES_MAX: usize = 900 * 1024;

/// Room that is reserved for a value before it is written, in bytes.
const VALUE_BYTES_USUAL: usize = 256;

/// The bytes are not a value this code can read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No value at all.
    #[error("the record has no value")]
    Null,
    /// Larger than [`VALUE_BYTES_MAX`].
    #[error("the value has {bytes} bytes, more than {VALUE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not in the wire format.
    #[error("the value does not begin with the magic byte 0 and a schema id")]
    NotWireFormat,
    /// The registry knows no schema of this id.
    #[error("the registry knows no schema {0}")]
    UnknownSchema(u32),
    /// The schema is no event of this topic.
    #[error("`{0}` is no event of this topic")]
    UnknownEvent(String),
    /// The datum does not fit its schema.
    #[error("the value does not fit schema {schema_id}")]
    Malformed {
        /// The id the value names.
        schema_id: u32,
        /// What Avro says.
        #[source]
        source: Box<apache_avro::Error>,
    },
}

impl DecodeError {
    /// A stable word for metrics and dead letters.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Null => "null-value",
            Self::TooLarge { .. } => "value-too-large",
            Self::NotWireFormat => "not-wire-format",
            Self::UnknownSchema(_) => "unknown-schema",
            Self::UnknownEvent(_) => "unknown-event",
            Self::Malformed { .. } => "malformed-avro",
        }
    }
}

/// A value could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The event has no registered schema.
    #[error("`{0}` has no schema id: schemas were not registered")]
    NotRegistered(&'static str),
    /// The struct does not fit the schema.
    #[error("the event does not fit its schema")]
    Avro(#[source] Box<apache_avro::Error>),
}

/// The schema id that a value names, and the datum behind it.
pub fn split_wire_format(value: Option<&[u8]>) -> Result<(u32, &[u8]), DecodeError> {
    let value = value.ok_or(DecodeError::Null)?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(DecodeError::TooLarge { bytes: value.len() });
    }
    match value {
        [MAGIC, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        _ => Err(DecodeError::NotWireFormat),
    }
}

/// Writes events. Made once, from the ids that the registry gave our schemas, and
/// kept in memory: writing goes on while the registry is away.
pub struct Encoder {
    writers: HashMap<&'static str, (u32, GenericDatumWriter<'static>)>,
}

/// Our own schemas, parsed once.
static OWN_SCHEMAS: LazyLock<HashMap<&'static str, Schema>> = LazyLock::new(|| {
    event::schemas()
        .map(|event| {
            (
                event.name,
                Schema::parse_str(event.text).expect("a test parses every schema"),
            )
        })
        .collect()
});

impl Encoder {
    /// An encoder for the schemas whose ids are given, by full name.
    pub fn new(ids: &HashMap<String, u32>) -> Result<Self, EncodeError> {
        let mut writers = HashMap::new();
        for (name, schema) in OWN_SCHEMAS.iter() {
            let id = *ids.get(*name).ok_or(EncodeError::NotRegistered(name))?;
            let writer = GenericDatumWriter::builder(schema)
                .build()
                .map_err(|e| EncodeError::Avro(Box::new(e)))?;
            writers.insert(*name, (id, writer));
        }
        Ok(Self { writers })
    }

    /// The value of a record.
    pub fn encode<T: DomainEvent>(&self, event: &T) -> Result<Vec<u8>, EncodeError> {
        let (id, writer) = self
            .writers
            .get(T::NAME)
            .ok_or(EncodeError::NotRegistered(T::NAME))?;
        let mut value = Vec::with_capacity(VALUE_BYTES_USUAL);
        value.push(MAGIC);
        value.extend_from_slice(&id.to_be_bytes());
        writer
            .write_ser(&mut value, event)
            .map_err(|e| EncodeError::Avro(Box::new(e)))?;
        Ok(value)
    }
}

/// A writer's schema, as the registry gave it.
#[derive(Debug)]
pub struct WriterSchema {
    id: u32,
    name: String,
    schema: Schema,
    reader: Option<&'static Schema>,
}

impl WriterSchema {
    /// Parses the schema that the registry holds under `id`.
    pub fn parse(id: u32, text: &str) -> Result<Self, DecodeError> {
        let malformed = |source| DecodeError::Malformed {
            schema_id: id,
            source: Box::new(source),
        };
        let schema = Schema::parse_str(text).map_err(malformed)?;
        let name = schema.name().map(|name| name.fullname(None)).unwrap_or_default();
        // Resolution costs time per field: skip it while writer and reader agree.
        let reader = OWN_SCHEMAS.get(name.as_str()).filter(|own| **own != schema);
        Ok(Self {
            id,
            name,
            schema,
            reader,
        })
    }

    /// Full name of the record type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a datum as the event it names.
    pub fn decode(&self, datum: &[u8]) -> Result<Event, DecodeError> {
        Event::read(&self.name, Datum { writer: self, datum })
            .unwrap_or_else(|| Err(DecodeError::UnknownEvent(self.name.clone())))
    }

    /// Reads a datum of any type as JSON, for people to look at.
    pub fn to_json(&self, datum: &[u8]) -> Result<serde_json::Value, DecodeError> {
        let malformed = |source| DecodeError::Malformed {
            schema_id: self.id,
            source: Box::new(source),
        };
        GenericDatumReader::builder(&self.schema)
            .build()
            .and_then(|reader| reader.read_value(&mut &*datum))
            .and_then(serde_json::Value::try_from)
            .map_err(malformed)
    }
}

struct Datum<'d> {
    writer: &'d WriterSchema,
    datum: &'d [u8],
}

impl ReadEvent<DecodeError> for Datum<'_> {
    fn read<T: DomainEvent>(self) -> Result<T, DecodeError> {
        let mut rest = self.datum;
        let reader = GenericDatumReader::builder(&self.writer.schema)
            .maybe_reader_schema(self.writer.reader)
            .build();
        let read = match self.writer.reader {
            None => reader.and_then(|reader| reader.read_deser::<T>(&mut rest)),
            Some(_) => reader
                .and_then(|reader| reader.read_value(&mut rest))
                .and_then(|value| apache_avro::from_value::<T>(&value)),
        };
        match read {
            Ok(event) if rest.is_empty() => Ok(event),
            Ok(_) => Err(DecodeError::NotWireFormat),
            Err(source) => Err(DecodeError::Malformed {
                schema_id: self.writer.id,
                source: Box::new(source),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;
    use crate::event::coupons::{ClaimIssued, CouponEvent};
    use crate::ids::{CampaignId, ClaimId, PartnerId};

    fn event() -> ClaimIssued {
        let claim_id = ClaimId::generate();
        ClaimIssued {
            claim_id,
            coupon_id: claim_id,
            campaign_id: CampaignId::generate(),
            partner_id: PartnerId::generate(),
            user_id: "u-1".into(),
            ticket: 57,
            issued_at: Timestamp(1_800_000_000_000_001),
            expires_at: Timestamp(1_800_000_000_000_002),
        }
    }

    fn encoder() -> Encoder {
        let ids = (7..)
            .zip(event::schemas())
            .map(|(id, event)| (event.name.to_owned(), id))
            .collect();
        Encoder::new(&ids).expect("every schema has an id")
    }

    #[test]
    fn what_is_written_is_read() {
        let event = event();
        let value = encoder().encode(&event).expect("fits its schema");
        let (id, datum) = split_wire_format(Some(&value)).expect("wire format");
        let schema = WriterSchema::parse(id, ClaimIssued::SCHEMA).expect("a schema");
        assert_eq!(
            schema.decode(datum).expect("own datum"),
            Event::Coupon(CouponEvent::ClaimIssued(event))
        );
    }

    #[test]
    fn an_older_or_newer_schema_is_resolved() {
        let newer = ClaimIssued::SCHEMA.replace(
            "\"fields\": [",
            "\"fields\": [{\"name\": \"channel\", \"type\": \"string\", \"default\": \"web\"},",
        );
        let schema = Schema::parse_str(&newer).expect("a schema");
        let event = event();
        let apache_avro::types::Value::Record(mut fields) = apache_avro::to_value(&event).expect("a value")
        else {
            panic!("a struct becomes a record");
        };
        fields.insert(0, ("channel".to_owned(), "app".into()));
        let datum = apache_avro::types::Value::Record(fields)
            .resolve(&schema)
            .and_then(|value| {
                GenericDatumWriter::builder(&schema)
                    .build()?
                    .write_value_to_vec(value)
            })
            .expect("a datum");
        let writer = WriterSchema::parse(9, &newer).expect("a schema");
        assert_eq!(
            writer.decode(&datum).expect("resolves"),
            Event::Coupon(CouponEvent::ClaimIssued(event))
        );
    }

    #[test]
    fn wrong_bytes_have_a_class() {
        assert_eq!(split_wire_format(None).expect_err("null").class(), "null-value");
        assert_eq!(
            split_wire_format(Some(b"{}")).expect_err("json").class(),
            "not-wire-format"
        );
        let large = vec![0; VALUE_BYTES_MAX + 1];
        assert_eq!(
            split_wire_format(Some(&large)).expect_err("large").class(),
            "value-too-large"
        );
        let schema = WriterSchema::parse(3, ClaimIssued::SCHEMA).expect("a schema");
        assert_eq!(
            schema.decode(&[1, 2, 3]).expect_err("cut").class(),
            "malformed-avro"
        );
        let other = r#"{"type": "record", "name": "Other", "fields": []}"#;
        let schema = WriterSchema::parse(4, other).expect("a schema");
        assert_eq!(schema.decode(&[]).expect_err("unknown").class(), "unknown-event");
    }

    #[test]
    fn every_schema_parses_and_bears_its_name() {
        for event in event::schemas() {
            let schema = WriterSchema::parse(1, event.text).expect("a schema");
            assert_eq!(schema.name(), event.name);
        }
    }
}
