//! What is hashed, and how. A line's hash is the SHA-256 of these fields, one behind the other:
//!
//! | field | bytes |
//! | --- | --- |
//! | label | `headgate.audit.1`; another encoding would have another label |
//! | `audit_no` | unsigned, 8 bytes, big-endian |
//! | `at` | microseconds since 1970-01-01 UTC, signed, 8 bytes, big-endian |
//! | `actor`, `action`, `object` | UTF-8 |
//! | `detail` | UTF-8, exactly as it is stored |
//! | `previous_hash` | 32 bytes; of the first line: zeros |
//!
//! Each field is preceded by its length in bytes, unsigned, 8 bytes, big-endian; a `detail` that
//! is NULL is the length 2^64 - 1 with no bytes. So no two lines have one encoding. Migration 0015
//! says the same in SQL.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

const LABEL: &[u8] = b"headgate.audit.1";
/// Stands for the length of what is not there.
const ABSENT: u64 = u64::MAX;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// A SHA-256. Text: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub(super) [u8; HASH_BYTES]);

impl Hash {
    /// What the first line follows.
    pub const NONE: Self = Self([0; HASH_BYTES]);

    /// As MySQL gives it back.
    pub(super) fn from_column(bytes: &[u8]) -> Result<Self, sqlx::Error> {
        let bytes = bytes
            .try_into()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text names no line and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a line's number, a colon, and its hash of 64 hexadecimal digits")]
pub struct InvalidLink;

/// A line's number and hash: all that has to be noted elsewhere to know the chain up to there
/// again. Text: `NUMBER:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The line's number in the chain.
    pub audit_no: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Link {
    /// What the first line follows.
    pub const START: Self = Self {
        audit_no: 0,
        hash: Hash::NONE,
    };
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.audit_no, self.hash)
    }
}

impl FromStr for Link {
    type Err = InvalidLink;

    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        let (audit_no, hash) = text.split_once(':').ok_or(InvalidLink)?;
        let mut bytes = [0; HASH_BYTES];
        hex::decode_to_slice(hash, &mut bytes).map_err(|_| InvalidLink)?;
        Ok(Self {
            audit_no: audit_no.parse().map_err(|_| InvalidLink)?,
            hash: Hash(bytes),
        })
    }
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the chain, from 1, without gaps.
    pub audit_no: u64,
    /// When, by MySQL's clock.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// More about it, as JSON.
    pub detail: Option<String>,
    /// The hash of the line before.
    pub previous_hash: Hash,
    /// Its own.
    pub hash: Hash,
}

impl Line {
    /// The hash that its fields have, whatever its own field says.
    pub fn hashed(&self) -> Hash {
        self.hashed_behind(self.previous_hash)
    }

    /// The hash that it would have behind another line.
    pub(super) fn hashed_behind(&self, previous_hash: Hash) -> Hash {
        let mut sha256 = Sha256::new();
        for field in [
            Some(LABEL),
            Some(&self.audit_no.to_be_bytes()),
            Some(&self.at.timestamp_micros().to_be_bytes()),
            Some(self.actor.as_bytes()),
            Some(self.action.as_bytes()),
            Some(self.object.as_bytes()),
            self.detail.as_deref().map(str::as_bytes),
            Some(&previous_hash.0),
        ] {
            let length = field.map_or(ABSENT, |bytes| bytes.len() as u64);
            sha256.update(length.to_be_bytes());
            sha256.update(field.unwrap_or_default());
        }
        Hash(sha256.finalize().into())
    }

    /// Its number and hash.
    pub const fn link(&self) -> Link {
        Link {
            audit_no: self.audit_no,
            hash: self.hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            audit_no: 7,
            at: DateTime::from_timestamp_micros(1_790_000_000_123_456).expect("a time"),
            actor: "kim".to_owned(),
            action: "key.revoke".to_owned(),
            object: "o".to_owned(),
            detail: Some("{}".to_owned()),
            previous_hash: Hash([1; HASH_BYTES]),
            hash: Hash::NONE,
        }
    }

    /// Whoever verifies the chain without us has to come to the same.
    #[test]
    fn the_encoding_is_the_documented_one() {
        let mut bytes = Vec::new();
        for field in [
            b"headgate.audit.1".as_slice(),
            &7_u64.to_be_bytes(),
            &1_790_000_000_123_456_i64.to_be_bytes(),
            b"kim",
            b"key.revoke",
            b"o",
            b"{}",
            &[1; HASH_BYTES],
        ] {
            bytes.extend((field.len() as u64).to_be_bytes());
            bytes.extend(field);
        }
        assert_eq!(line().hashed().0, <[u8; HASH_BYTES]>::from(Sha256::digest(bytes)));
    }

    #[test]
    fn every_field_is_part_of_the_hash_and_none_runs_into_the_next() {
        let change = |change: fn(&mut Line)| {
            let mut changed = line();
            change(&mut changed);
            changed.hashed()
        };
        let hashes = [
            line().hashed(),
            change(|line| line.audit_no = 8),
            change(|line| line.at += chrono::TimeDelta::microseconds(1)),
            change(|line| line.actor = "kin".to_owned()),
            change(|line| line.action = "key.rotate".to_owned()),
            change(|line| line.object = "p".to_owned()),
            change(|line| line.detail = Some("{ }".to_owned())),
            change(|line| line.detail = None),
            change(|line| line.detail = Some(String::new())),
            change(|line| line.previous_hash = Hash([2; HASH_BYTES])),
            change(|line| (line.actor, line.action) = ("ki".to_owned(), "mkey.revoke".to_owned())),
        ];
        for (n, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..n].contains(hash), "case {n}");
        }
        assert_eq!(change(|line| line.hash = Hash([3; HASH_BYTES])), hashes[0]);
    }

    #[test]
    fn a_link_is_read_as_it_is_printed() {
        let link = line().link();
        assert_eq!(link.to_string().parse(), Ok(link));
        for wrong in ["", "7", "7:", ":00", "7:zz", "-1:00", "7:00"] {
            assert_eq!(wrong.parse::<Link>(), Err(InvalidLink), "{wrong}");
        }
    }
}
