//! Typed ids. Every id is a `UUIDv7`: 16 bytes in MySQL (`BINARY(16)`), hyphenated
//! text in HTTP, Kafka keys and Avro. The first 48 bits are milliseconds since
//! 1970, so ids sort by the time they were made.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The text was not a hyphenated UUID. It is not repeated: it may be a person's name that
/// was put into the wrong field, and errors are kept and shown.
#[derive(Debug, thiserror::Error)]
#[error("this is not a {kind} id: expected a UUID such as 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
pub struct InvalidId {
    kind: &'static str,
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = InvalidId>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: a hyphenated UUID")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, ordered after those made earlier.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with these 16 bytes, as MySQL stores it.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes that MySQL stores.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The underlying UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // Only the hyphenated form: one id, one text, so that a Kafka key
                // and a path segment compare byte for byte.
                text.parse::<uuid::fmt::Hyphenated>()
                    .map(|id| Self(id.into_uuid()))
                    .map_err(|_| InvalidId { kind: $kind })
            }
        }

        // Text in every format: Avro holds ids as strings, and a binary format's idea
        // of a UUID would not match HTTP's.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor::<Self>(PhantomData))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

typed_id!(
    /// An event, wherever it travels. Consumers deduplicate by it.
    EventId, "event"
);
typed_id!(
    /// A partner: a shop's back end that calls the api with a key.
    PartnerId, "partner"
);
typed_id!(
    /// A member: a customer of a partner who logs in.
    MemberId, "member"
);
typed_id!(
    /// A member's login, and what follows from it.
    SessionId, "session"
);
typed_id!(
    /// One API key of a partner.
    ApiKeyId, "key"
);
typed_id!(
    /// A coupon campaign.
    CampaignId, "campaign"
);
typed_id!(
    /// A claim and, once issued, the coupon it became: one claim makes at most one
    /// coupon, so they share one id, one Kafka key and one event sequence.
    ClaimId, "claim"
);
typed_id!(
    /// A wallet: a user's points with a partner.
    WalletId, "wallet"
);
typed_id!(
    /// A movement of points: an entry of a wallet's ledger.
    PointKey, "point"
);
typed_id!(
    /// A transfer of points: two entries, one in each wallet.
    TransferId, "transfer"
);
typed_id!(
    /// A dead letter.
    DeadLetterId, "dead letter"
);
typed_id!(
    /// A delivery of an event to a subscription, the same at every attempt.
    DeliveryId, "delivery"
);
typed_id!(
    /// A replay of dead letters.
    ReplayId, "replay"
);

impl EventId {
    /// The millisecond in which the event was made, read from the id itself. The
    /// inbox partitions by it, so that a redelivery on another day meets the same
    /// partition (never by the clock of whoever asks).
    pub fn timestamp(&self) -> DateTime<Utc> {
        let bytes = self.0.as_bytes();
        let millis = bytes[..6]
            .iter()
            .fold(0_i64, |ms, byte| (ms << 8) | i64::from(*byte));
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    /// The id of a record that carries none (bytes that are not ours): made from
    /// where it lies, so that a redelivery gives the same id, and from the record's
    /// own timestamp, so that it falls into the same inbox partition.
    pub fn of_foreign_record(topic: &str, partition: i32, offset: i64, timestamp_millis: i64) -> Self {
        // FNV-1a, 64 bit: <http://www.isthe.com/chongo/tech/comp/fnv/>
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |bytes: &[u8]| {
            for byte in bytes {
                hash ^= u64::from(*byte);
                hash = hash.wrapping_mul(0x0100_0000_01b3);
            }
        };
        mix(topic.as_bytes());
        mix(&partition.to_be_bytes());
        mix(&offset.to_be_bytes());
        let mut random = [0_u8; 10];
        random[..2].copy_from_slice(&partition.to_be_bytes()[2..]);
        random[2..].copy_from_slice(&hash.to_be_bytes());
        let millis = u64::try_from(timestamp_millis).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_bytes() {
        let id = ClaimId::generate();
        assert_eq!(id, id.to_string().parse().expect("own text"));
        assert_eq!(id, ClaimId::from_bytes(*id.as_bytes()));
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id = ClaimId::generate();
        assert!(id.as_uuid().simple().to_string().parse::<ClaimId>().is_err());
        assert!("".parse::<ClaimId>().is_err());
    }

    #[test]
    fn an_error_does_not_repeat_what_may_be_a_persons_name() {
        let error = "alice@example.com".parse::<ClaimId>().expect_err("no id");
        assert!(!error.to_string().contains("alice"), "{error}");
    }

    #[test]
    fn the_timestamp_of_an_event_is_its_own() {
        let before = Utc::now().timestamp_millis();
        let id = EventId::generate();
        let after = Utc::now().timestamp_millis();
        assert!((before..=after).contains(&id.timestamp().timestamp_millis()));
    }

    #[test]
    fn a_foreign_record_has_one_id_and_its_own_time() {
        let id = EventId::of_foreign_record("headgate.coupons", 3, 77, 1_800_000_000_123);
        assert_eq!(
            id,
            EventId::of_foreign_record("headgate.coupons", 3, 77, 1_800_000_000_123)
        );
        assert_ne!(
            id,
            EventId::of_foreign_record("headgate.coupons", 3, 78, 1_800_000_000_123)
        );
        assert_ne!(
            id,
            EventId::of_foreign_record("headgate.points", 3, 77, 1_800_000_000_123)
        );
        assert_eq!(id.timestamp().timestamp_millis(), 1_800_000_000_123);
    }
}
