//! Partners: shops' back ends that call the api with a key.

mod key;
mod rates;
mod scope;
pub mod store;

use chrono::{DateTime, Utc};
use headgate_schemas::ids::{ApiKeyId, PartnerId};

pub use key::{KEY_TEXT_BYTES, KeyHash, KeyText, hash};
pub use rates::{RATE_MAX, Rates};
pub use scope::{Scope, Scopes, UnknownScope};

/// A partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// The number that other tables refer to.
    pub partner_no: u32,
    /// The id that outsiders see.
    pub partner_id: PartnerId,
    /// For people.
    pub name: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// Whoever presents a valid key: a partner, and what the key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The partner's number.
    pub partner_no: u32,
    /// The partner's id.
    pub partner_id: PartnerId,
    /// The key that was presented.
    pub key_id: ApiKeyId,
    /// What it may do.
    pub scopes: Scopes,
    /// How much of it.
    pub rates: Rates,
    /// End of the overlap after a rotation.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Principal {
    /// Whether the key still holds at `now`.
    pub fn holds_at(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// A key as it is listed: never its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub key_id: ApiKeyId,
    /// What it may do.
    pub scopes: Scopes,
    /// How much of it.
    pub rates: Rates,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// End of the overlap after a rotation.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key that was just made. Its text is shown once and stored nowhere.
#[derive(Debug)]
pub struct CreatedKey {
    /// Its id.
    pub key_id: ApiKeyId,
    /// What the partner sends as `X-API-KEY`.
    pub text: KeyText,
}
