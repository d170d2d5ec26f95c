//! Wallets.

use chrono::{DateTime, Utc};
use headgate_outbox::write::Predecessor;
use headgate_schemas::ids::{PartnerId, WalletId};
use headgate_schemas::names::UserId;
use sqlx::{MySql, MySqlExecutor, MySqlPool, Transaction};

use super::lots::{self, Expiring};
use crate::points::Wallet;
use crate::{Error, LastEvent};

/// The number of the wallet of this id.
pub async fn number_of(on: impl MySqlExecutor<'_>, wallet_id: WalletId) -> Result<Option<u64>, sqlx::Error> {
    sqlx::query_scalar!("SELECT wallet_no FROM wallets WHERE wallet_id = ?", wallet_id)
        .fetch_optional(on)
        .await
}

/// A wallet, as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletHead {
    /// Its number.
    pub wallet_no: u64,
    /// Its id.
    pub wallet_id: WalletId,
    /// How many entries its ledger had.
    pub entries: u64,
}

/// The user's wallet, if there is one.
pub async fn find(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    user_id: &UserId,
) -> Result<Option<WalletHead>, Error> {
    Ok(sqlx::query_as!(
        WalletHead,
        r#"SELECT wallet_no, wallet_id AS "wallet_id: WalletId", entries FROM wallets
           WHERE partner_no = ? AND user_id = ?"#,
        partner_no,
        user_id.as_str().as_bytes()
    )
    .fetch_optional(on)
    .await?)
}

/// The user's wallet; an empty one is made if there is none. By itself, and
/// before anything is locked: two transactions that each make a wallet and then wait for the
/// other's would meet in a deadlock.
pub async fn find_or_create(
    pool: &MySqlPool,
    partner_no: u32,
    user_id: &UserId,
) -> Result<WalletHead, Error> {
    if let Some(wallet) = find(pool, partner_no, user_id).await? {
        return Ok(wallet);
    }
    sqlx::query!(
        "INSERT IGNORE INTO wallets (wallet_id, partner_no, user_id) VALUES (?, ?, ?)",
        WalletId::generate(),
        partner_no,
        user_id.as_str().as_bytes()
    )
    .execute(pool)
    .await?;
    find(pool, partner_no, user_id)
        .await?
        .ok_or_else(|| Error::Corrupt {
            what: "wallet",
            why: "it was made and is not there".to_owned(),
        })
}

/// A row of `wallets`, as MySQL gives it.
struct Row {
    wallet_no: u64,
    wallet_id: WalletId,
    partner_no: u32,
    partner_id: PartnerId,
    user_id: Vec<u8>,
    balance: u64,
    entries: u64,
    event_sequence: u64,
    last_outbox_id: u64,
}

impl From<Row> for Wallet {
    fn from(row: Row) -> Self {
        Self {
            wallet_no: row.wallet_no,
            wallet_id: row.wallet_id,
            partner_no: row.partner_no,
            partner_id: row.partner_id,
            user_id: UserId::from_stored(row.user_id),
            balance: row.balance,
            entries: row.entries,
            last_event: Predecessor {
                sequence: row.event_sequence,
                outbox_id: row.last_outbox_id,
            },
        }
    }
}

/// Selects whole wallets; the text given follows the FROM clause.
macro_rules! select_wallets {
    ($rest:literal $(, $value:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT w.wallet_no, w.wallet_id AS "wallet_id: WalletId", w.partner_no,
                   p.partner_id AS "partner_id: PartnerId", w.user_id, w.balance, w.entries, w.event_sequence,
                   w.last_outbox_id
               FROM wallets w STRAIGHT_JOIN partners p ON p.partner_no = w.partner_no "#
                + $rest
            $(, $value)*
        )
    };
}

/// Locks a wallet to the end of the transaction.
pub(in crate::points) async fn lock(
    transaction: &mut Transaction<'_, MySql>,
    wallet_no: u64,
) -> Result<Wallet, Error> {
    let row = select_wallets!("WHERE w.wallet_no = ? FOR UPDATE OF w", wallet_no)
        .fetch_optional(&mut **transaction)
        .await?;
    row.map(Wallet::from).ok_or_else(|| Error::Corrupt {
        what: "wallet",
        why: format!("there is none of number {wallet_no}"),
    })
}

/// Locks those of the wallets that nobody else holds, in the order of their numbers.
pub(in crate::points) async fn lock_free(
    transaction: &mut Transaction<'_, MySql>,
    wallets: &[u64],
) -> Result<Vec<Wallet>, Error> {
    let list = serde_json::to_string(wallets).unwrap_or_default();
    let rows = select_wallets!(
        "WHERE w.wallet_no IN (SELECT j.wallet_no FROM JSON_TABLE(?, '$[*]' COLUMNS (
             wallet_no BIGINT UNSIGNED PATH '$')) AS j)
         ORDER BY w.wallet_no FOR UPDATE OF w SKIP LOCKED",
        list
    )
    .fetch_all(&mut **transaction)
    .await?;
    Ok(rows.into_iter().map(Wallet::from).collect())
}

/// Writes the heads of locked wallets as they are now.
pub(in crate::points) async fn update(
    transaction: &mut Transaction<'_, MySql>,
    wallets: &[&Wallet],
) -> Result<(), sqlx::Error> {
    // The usual one: a request's.
    if let [wallet] = wallets {
        sqlx::query!(
            "UPDATE wallets SET balance = ?, entries = ?, event_sequence = ?, last_outbox_id = ? WHERE wallet_no = ?",
            wallet.balance,
            wallet.entries,
            wallet.last_event.sequence,
            wallet.last_event.outbox_id,
            wallet.wallet_no
        )
        .execute(&mut **transaction)
        .await?;
        return Ok(());
    }
    let heads: Vec<[u64; 5]> = wallets
        .iter()
        .map(|wallet| {
            let last = wallet.last_event;
            [
                wallet.wallet_no,
                wallet.balance,
                wallet.entries,
                last.sequence,
                last.outbox_id,
            ]
        })
        .collect();
    sqlx::query!(
        "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (wallet_no BIGINT UNSIGNED PATH '$[0]',
                 balance BIGINT UNSIGNED PATH '$[1]', entries BIGINT UNSIGNED PATH '$[2]',
                 sequence BIGINT UNSIGNED PATH '$[3]', outbox_id BIGINT UNSIGNED PATH '$[4]')) AS head
             STRAIGHT_JOIN wallets AS w ON w.wallet_no = head.wallet_no
         SET w.balance = head.balance, w.entries = head.entries, w.event_sequence = head.sequence,
             w.last_outbox_id = head.outbox_id",
        serde_json::to_string(&heads).unwrap_or_default()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What a user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What can be spent.
    pub balance: u64,
    /// When it was so.
    pub as_of: DateTime<Utc>,
    /// What runs out next, soonest first.
    pub expiring: Vec<Expiring>,
}

impl Balance {
    /// That of a user nobody has heard of.
    pub const fn nothing(now: DateTime<Utc>) -> Self {
        Self {
            balance: 0,
            as_of: now,
            expiring: Vec::new(),
        }
    }
}

/// What a user has at `now`, by the ledger: what the last entry left, but for what has expired
/// since and was not taken out yet.
pub async fn balance(
    pool: &MySqlPool,
    partner_no: u32,
    user_id: &UserId,
    now: DateTime<Utc>,
) -> Result<Balance, Error> {
    // One statement sees one moment.
    let head = sqlx::query!(
        r#"SELECT w.wallet_no AS "wallet_no!",
               CAST(w.balance - (SELECT COALESCE(SUM(l.remaining), 0) FROM point_lots l
                   WHERE l.wallet_no = w.wallet_no AND l.is_open = 1 AND l.expires_at <= ?) AS UNSIGNED)
                   AS "balance!: u64"
           FROM wallets w WHERE w.partner_no = ? AND w.user_id = ?"#,
        now,
        partner_no,
        user_id.as_str().as_bytes()
    )
    .fetch_optional(pool)
    .await?;
    let Some(head) = head else {
        return Ok(Balance::nothing(now));
    };
    Ok(Balance {
        balance: head.balance,
        as_of: now,
        expiring: lots::expiring(pool, head.wallet_no, now).await?,
    })
}

/// The last events of wallets, those whose outbox id is above `after`, in their order.
pub async fn last_events(
    on: impl MySqlExecutor<'_>,
    after: u64,
    limit: u32,
) -> Result<Vec<LastEvent<u64>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT wallet_id AS "wallet_id: WalletId", event_sequence, last_outbox_id FROM wallets
           WHERE last_outbox_id > ? ORDER BY last_outbox_id LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            LastEvent::of(
                row.last_outbox_id,
                &row.wallet_id,
                row.event_sequence,
                row.last_outbox_id,
            )
        })
        .collect())
}
