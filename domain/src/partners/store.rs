//! The SQL of partners and their keys.

use std::time::Duration;

use headgate_schemas::ids::ApiKeyId;
use sqlx::MySqlPool;

use super::{ApiKey, CreatedKey, KeyHash, Partner, Principal, Scopes};
use crate::Error;

/// Registers a partner.
pub async fn create_partner(pool: &MySqlPool, name: &str) -> Result<Partner, Error> {
    unimplemented!("{pool:?} {name}")
}

/// All partners, in order of registration, up to `limit`.
pub async fn list(pool: &MySqlPool, limit: u32) -> Result<Vec<Partner>, Error> {
    unimplemented!("{pool:?} {limit}")
}

/// Makes a key for a partner.
pub async fn create_key(pool: &MySqlPool, partner_no: u32, scopes: Scopes) -> Result<CreatedKey, Error> {
    unimplemented!("{pool:?} {partner_no} {scopes}")
}

/// The keys of a partner.
pub async fn list_keys(pool: &MySqlPool, partner_no: u32) -> Result<Vec<ApiKey>, Error> {
    unimplemented!("{pool:?} {partner_no}")
}

/// Who holds the key with this hash: `None` if nobody, or if it is revoked or past
/// its end.
pub async fn find_by_key_hash(pool: &MySqlPool, hash: &KeyHash) -> Result<Option<Principal>, Error> {
    unimplemented!("{pool:?} {hash:?}")
}

/// The keys that were revoked within the last `window`, up to `limit`, the latest first.
pub async fn revoked_lately(pool: &MySqlPool, window: Duration, limit: u32) -> Result<Vec<ApiKeyId>, Error> {
    unimplemented!("{pool:?} {window:?} {limit}")
}

/// Ends a key. False if there is no such key, or it was revoked before.
pub async fn revoke_key(pool: &MySqlPool, key_id: ApiKeyId) -> Result<bool, Error> {
    unimplemented!("{pool:?} {key_id}")
}

/// Makes a key with the same scopes; the old one goes on for `overlap`. `None` if
/// there is no such key, or it is revoked or past its end.
pub async fn rotate_key(
    pool: &MySqlPool,
    key_id: ApiKeyId,
    overlap: Duration,
) -> Result<Option<CreatedKey>, Error> {
    unimplemented!("{pool:?} {key_id} {overlap:?}")
}
