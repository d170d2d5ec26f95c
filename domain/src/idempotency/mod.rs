//! Idempotency keys: a request that is sent again takes effect once and hears the first
//! answer.
//!
//! `in_progress -> answered`. [`store::reserve`] commits before the work begins, so that
//! who asks again meanwhile is told to wait. The transaction of the work calls
//! [`store::hold`] first and [`store::answer`] last: whoever slept past its lease and
//! was taken over changes nothing.

pub mod store;

use std::time::Duration;

use sha2::{Digest, Sha256};

/// How long an answer is kept. Partners count on it.
pub const KEPT: Duration = Duration::from_hours(24);
/// Largest body of an answer that is kept, in bytes.
pub const ANSWER_BYTES_MAX: usize = 65_535;

/// A caller's key for one method and path: the same text from another caller, or for
/// something else, is another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopedKey([u8; 32]);

impl ScopedKey {
    /// The key `key` of `caller` for this method and path.
    pub fn new(caller: &str, method: &str, path: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [caller, method, path, key] {
            // With its length, so that no two lists of parts run together to one text.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// What was asked for, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a request's body, byte for byte.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

/// A request that carries a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Whose key, for what.
    pub key: ScopedKey,
    /// What was asked for.
    pub fingerprint: Fingerprint,
}

/// A key that is ours to answer, until the lease runs out and somebody takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    key: ScopedKey,
    owner: [u8; 16],
}

/// An answer, as it was given and is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its media type.
    pub content_type: String,
    /// Where the thing lies that was made.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// How a request with a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has answered it and nobody is about to: it is ours.
    Ours(Reservation),
    /// It was answered.
    Answered(Answer),
    /// Somebody is about to answer it.
    InProgress,
    /// The key was used for something else.
    Reused,
}

/// Why a key cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The lease ran out and somebody took the key over: roll the transaction back.
    #[error("the key was taken over meanwhile")]
    TakenOver,
    /// The answer is larger than what is kept.
    #[error("an answer of {bytes} bytes cannot be kept")]
    AnswerTooLarge {
        /// Its size.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_scoped_key_counts() {
        let key = ScopedKey::new("partner-1", "POST", "/v1/campaigns", "k");
        assert_eq!(key, ScopedKey::new("partner-1", "POST", "/v1/campaigns", "k"));
        let others = [
            ScopedKey::new("partner-2", "POST", "/v1/campaigns", "k"),
            ScopedKey::new("partner-1", "PUT", "/v1/campaigns", "k"),
            ScopedKey::new("partner-1", "POST", "/v1/campaign", "k"),
            ScopedKey::new("partner-1", "POST", "/v1/campaigns", "K"),
            // The same letters, cut elsewhere.
            ScopedKey::new("partner-1", "POST", "/v1/campaign", "sk"),
        ];
        assert!(others.iter().all(|other| *other != key));
    }
}
