//! Lots whose user was not told yet that they expire soon.

use chrono::{DateTime, Utc};
use sqlx::{MySql, Transaction};

/// Such a lot.
#[derive(Clone, Copy, Debug)]
pub(in crate::points) struct Unnoticed {
    pub wallet_no: u64,
    pub lot_no: u64,
    pub remaining: u64,
    pub expires_at: DateTime<Utc>,
}

/// Wallets that have lots to tell of, which expire after `now` and not after `until`, among the
/// `lots_max` that expire first.
pub(in crate::points) async fn wallets_unnoticed(
    transaction: &mut Transaction<'_, MySql>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    lots_max: u32,
) -> Result<Vec<u64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT DISTINCT due.wallet_no FROM (SELECT wallet_no FROM point_lots FORCE INDEX (point_lots_unnoticed)
             WHERE is_open = 1 AND noticed_at IS NULL AND expires_at > ? AND expires_at <= ?
             ORDER BY expires_at, lot_no LIMIT ?) AS due",
        now,
        until,
        lots_max
    )
    .fetch_all(&mut **transaction)
    .await
}

/// Lots of locked wallets to tell of, which expire after `now` and not after `until`, up to `lots_max`.
pub(in crate::points) async fn unnoticed(
    transaction: &mut Transaction<'_, MySql>,
    wallets: &[u64],
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    lots_max: u32,
) -> Result<Vec<Unnoticed>, sqlx::Error> {
    let list = serde_json::to_string(wallets).unwrap_or_default();
    sqlx::query_as!(
        Unnoticed,
        r#"SELECT l.wallet_no, l.lot_no, l.remaining, l.expires_at AS "expires_at: DateTime<Utc>"
           FROM JSON_TABLE(?, '$[*]' COLUMNS (wallet_no BIGINT UNSIGNED PATH '$')) AS j
               STRAIGHT_JOIN point_lots l ON l.wallet_no = j.wallet_no AND l.is_open = 1
                   AND l.expires_at > ? AND l.expires_at <= ?
           WHERE l.noticed_at IS NULL
           ORDER BY l.wallet_no, l.expires_at, l.lot_no LIMIT ?"#,
        list,
        now,
        until,
        lots_max
    )
    .fetch_all(&mut **transaction)
    .await
}

/// Marks lots as told of.
pub(in crate::points) async fn notice(
    transaction: &mut Transaction<'_, MySql>,
    lots: &[u64],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (lot_no BIGINT UNSIGNED PATH '$')) AS j
             STRAIGHT_JOIN point_lots AS l ON l.lot_no = j.lot_no
         SET l.noticed_at = ?",
        serde_json::to_string(lots).unwrap_or_default(),
        now
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
