//! The SQL of partners and their keys.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use headgate_schemas::ids::{ApiKeyId, PartnerId};
use sqlx::{MySql, MySqlExecutor, MySqlPool, Transaction};

use super::{ApiKey, CreatedKey, KeyHash, KeyText, Partner, Principal, Rates, Scopes};
use crate::Error;

/// Digits of a second that MySQL keeps.
const SECOND_DIGITS: u16 = 6;

/// Registers a partner.
pub async fn create_partner(on: impl MySqlExecutor<'_>, name: &str) -> Result<Partner, Error> {
    let partner_id = PartnerId::generate();
    let created_at = Utc::now().trunc_subsecs(SECOND_DIGITS);
    let inserted = sqlx::query!(
        "INSERT INTO partners (partner_id, name, created_at) VALUES (?, ?, ?)",
        partner_id,
        name,
        created_at
    )
    .execute(on)
    .await?;
    let partner_no = u32::try_from(inserted.last_insert_id()).map_err(|error| Error::Corrupt {
        what: "partner number",
        why: error.to_string(),
    })?;
    Ok(Partner {
        partner_no,
        partner_id,
        name: name.to_owned(),
        created_at,
    })
}

/// The partner of this id.
pub async fn find_partner(
    on: impl MySqlExecutor<'_>,
    partner_id: PartnerId,
) -> Result<Option<Partner>, Error> {
    let found = sqlx::query_as!(
        Partner,
        r#"SELECT partner_no, partner_id AS "partner_id: PartnerId", name, created_at AS "created_at: DateTime<Utc>"
           FROM partners WHERE partner_id = ?"#,
        partner_id
    )
    .fetch_optional(on)
    .await?;
    Ok(found)
}

/// Partners in order of registration, up to `limit`.
pub async fn list(pool: &MySqlPool, limit: u32) -> Result<Vec<Partner>, Error> {
    let partners = sqlx::query_as!(
        Partner,
        r#"SELECT partner_no, partner_id AS "partner_id: PartnerId", name, created_at AS "created_at: DateTime<Utc>"
           FROM partners ORDER BY partner_no LIMIT ?"#,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(partners)
}

/// Makes a key for a partner.
pub async fn create_key(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    scopes: Scopes,
    rates: Rates,
) -> Result<CreatedKey, Error> {
    let (key_id, text) = (ApiKeyId::generate(), KeyText::generate());
    let hash = text.hash();
    sqlx::query!(
        "INSERT INTO api_keys (key_id, partner_no, key_hash, scopes, rate_key, rate_user, rate_address)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        key_id,
        partner_no,
        hash.as_slice(),
        scopes.to_string(),
        rates.key,
        rates.user,
        rates.address
    )
    .execute(on)
    .await?;
    Ok(CreatedKey { key_id, text })
}

/// The keys of a partner, in order of making, up to `limit`.
pub async fn list_keys(pool: &MySqlPool, partner_no: u32, limit: u32) -> Result<Vec<ApiKey>, Error> {
    let keys = sqlx::query!(
        r#"SELECT key_id AS "key_id: ApiKeyId", scopes, rate_key, rate_user, rate_address, created_at AS "created_at: DateTime<Utc>",
               expires_at AS "expires_at: DateTime<Utc>", revoked_at AS "revoked_at: DateTime<Utc>"
           FROM api_keys WHERE partner_no = ? ORDER BY key_id LIMIT ?"#,
        partner_no,
        limit
    )
    .fetch_all(pool)
    .await?;
    keys.into_iter()
        .map(|key| {
            Ok(ApiKey {
                key_id: key.key_id,
                scopes: stored_scopes(&key.scopes)?,
                rates: Rates {
                    key: key.rate_key,
                    user: key.rate_user,
                    address: key.rate_address,
                },
                created_at: key.created_at,
                expires_at: key.expires_at,
                revoked_at: key.revoked_at,
            })
        })
        .collect()
}

/// Who holds the key with this hash: `None` if nobody, or if it is revoked or past
/// its end.
pub async fn find_by_key_hash(pool: &MySqlPool, hash: &KeyHash) -> Result<Option<Principal>, Error> {
    let found = sqlx::query!(
        r#"SELECT k.key_id AS "key_id: ApiKeyId", k.partner_no, p.partner_id AS "partner_id: PartnerId", k.scopes,
               k.rate_key, k.rate_user, k.rate_address,
               k.expires_at AS "expires_at: DateTime<Utc>"
           FROM api_keys k JOIN partners p ON p.partner_no = k.partner_no
           WHERE k.key_hash = ? AND k.revoked_at IS NULL
               AND (k.expires_at IS NULL OR k.expires_at > UTC_TIMESTAMP(6))"#,
        hash.as_slice()
    )
    .fetch_optional(pool)
    .await?;
    found
        .map(|key| {
            Ok(Principal {
                partner_no: key.partner_no,
                partner_id: key.partner_id,
                key_id: key.key_id,
                scopes: stored_scopes(&key.scopes)?,
                rates: Rates {
                    key: key.rate_key,
                    user: key.rate_user,
                    address: key.rate_address,
                },
                expires_at: key.expires_at,
            })
        })
        .transpose()
}

/// The keys that were revoked or ran out within the last `window`, up to `limit` of each.
pub async fn ended_lately(pool: &MySqlPool, window: Duration, limit: u32) -> Result<Vec<ApiKeyId>, Error> {
    let ended = sqlx::query_scalar!(
        r#"(SELECT key_id AS "key_id: ApiKeyId" FROM api_keys
                WHERE revoked_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND ORDER BY revoked_at DESC LIMIT ?)
           UNION ALL
           (SELECT key_id FROM api_keys
                WHERE expires_at > UTC_TIMESTAMP(6) - INTERVAL ? SECOND AND expires_at <= UTC_TIMESTAMP(6)
                ORDER BY expires_at DESC LIMIT ?)"#,
        window.as_secs(),
        limit,
        window.as_secs(),
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(ended)
}

/// Ends a key. False if there is no such key, or it was revoked before.
pub async fn revoke_key(on: impl MySqlExecutor<'_>, key_id: ApiKeyId) -> Result<bool, Error> {
    let revoked = sqlx::query!(
        "UPDATE api_keys SET revoked_at = UTC_TIMESTAMP(6) WHERE key_id = ? AND revoked_at IS NULL",
        key_id
    )
    .execute(on)
    .await?;
    Ok(revoked.rows_affected() == 1)
}

/// Makes a key with the same scopes and rates; the old one goes on for `overlap`. `None` if
/// there is no such key, or it is revoked or past its end.
pub async fn rotate_key(
    transaction: &mut Transaction<'_, MySql>,
    key_id: ApiKeyId,
    overlap: Duration,
) -> Result<Option<CreatedKey>, Error> {
    let old = sqlx::query!(
        "SELECT partner_no, scopes, rate_key, rate_user, rate_address FROM api_keys WHERE key_id = ? AND revoked_at IS NULL
             AND (expires_at IS NULL OR expires_at > UTC_TIMESTAMP(6)) FOR UPDATE",
        key_id
    )
    .fetch_optional(&mut **transaction)
    .await?;
    let Some(old) = old else { return Ok(None) };
    let rates = Rates {
        key: old.rate_key,
        user: old.rate_user,
        address: old.rate_address,
    };
    let scopes = stored_scopes(&old.scopes)?;
    let created = create_key(&mut **transaction, old.partner_no, scopes, rates).await?;
    // A key that is already in its overlap keeps the earlier end.
    sqlx::query!(
        "UPDATE api_keys SET expires_at = LEAST(COALESCE(expires_at, '9999-12-31'),
             UTC_TIMESTAMP(6) + INTERVAL ? SECOND) WHERE key_id = ?",
        overlap.as_secs(),
        key_id
    )
    .execute(&mut **transaction)
    .await?;
    Ok(Some(created))
}

fn stored_scopes(text: &str) -> Result<Scopes, Error> {
    text.parse().map_err(|error: super::UnknownScope| Error::Corrupt {
        what: "api key",
        why: error.to_string(),
    })
}
