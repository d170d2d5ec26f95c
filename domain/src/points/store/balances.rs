//! Balances as they are heard of from events: a copy, behind the ledger.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_schemas::ids::{PartnerId, WalletId};
use headgate_schemas::names::UserId;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Transaction};

use super::Balance;
use super::lots;
use crate::Error;

/// What an entry left in a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The wallet.
    pub wallet_id: WalletId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The partner's own name of the user.
    pub user_id: UserId,
    /// What it holds.
    pub balance: u64,
    /// Number of the entry.
    pub entry_no: u64,
    /// When it was made.
    pub as_of: DateTime<Utc>,
}

/// Writes down what was heard of wallets, each named once. What is known to be newer stays.
pub async fn hear(transaction: &mut Transaction<'_, MySql>, heard: &[Heard]) -> Result<(), Error> {
    for heard in multirow::pieces(heard) {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO point_balances (wallet_id, partner_no, user_id, balance, entry_no, as_of)
             SELECT h.wallet_id, p.partner_no, h.user_id, h.balance, h.entry_no, h.as_of FROM (",
        );
        for (place, heard) in heard.iter().enumerate() {
            insert.push(if place == 0 {
                "SELECT "
            } else {
                " UNION ALL SELECT "
            });
            insert.push_bind(heard.wallet_id).push(" AS wallet_id, ");
            insert.push_bind(heard.partner_id).push(" AS partner_id, ");
            insert
                .push_bind(heard.user_id.as_str().as_bytes())
                .push(" AS user_id, ");
            insert.push_bind(heard.balance).push(" AS balance, ");
            insert.push_bind(heard.entry_no).push(" AS entry_no, ");
            insert
                .push("CAST(")
                .push_bind(heard.as_of)
                .push(" AS DATETIME(6)) AS as_of");
        }
        insert.push(
            ") h STRAIGHT_JOIN partners p ON p.partner_id = h.partner_id
             ON DUPLICATE KEY UPDATE
                 balance = IF(h.entry_no > point_balances.entry_no, h.balance, point_balances.balance),
                 as_of = IF(h.entry_no > point_balances.entry_no, h.as_of, point_balances.as_of),
                 entry_no = GREATEST(h.entry_no, point_balances.entry_no)",
        );
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// A balance, and the entry that left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardBalance {
    /// What the user has.
    pub balance: Balance,
    /// Number of the last entry that was heard of.
    pub entry_no: u64,
}

/// What a user has, as it was heard of, but for what has expired by `now` and was not taken out
/// yet. `None`: nothing was heard of the user.
pub async fn balance_heard(
    pool: &MySqlPool,
    partner_no: u32,
    user_id: &UserId,
    now: DateTime<Utc>,
) -> Result<Option<HeardBalance>, Error> {
    let heard = sqlx::query!(
        r#"SELECT balance, entry_no, as_of AS "as_of: DateTime<Utc>" FROM point_balances
           WHERE partner_no = ? AND user_id = ?"#,
        partner_no,
        user_id.as_str().as_bytes()
    )
    .fetch_optional(pool)
    .await?;
    let Some(heard) = heard else {
        return Ok(None);
    };
    let Some(wallet) = super::find_wallet(pool, partner_no, user_id).await? else {
        return Ok(None);
    };
    Ok(Some(HeardBalance {
        balance: Balance {
            balance: heard
                .balance
                .saturating_sub(lots::overdue(pool, wallet.wallet_no, now).await?),
            as_of: heard.as_of,
            expiring: lots::expiring(pool, wallet.wallet_no, now).await?,
        },
        entry_no: heard.entry_no,
    }))
}

/// Those of `wallets` that were heard of.
pub async fn heard_of(
    connection: &mut MySqlConnection,
    wallets: &[WalletId],
) -> Result<HashSet<WalletId>, Error> {
    let mut heard = HashSet::with_capacity(wallets.len());
    for wallets in wallets.chunks(multirow::ROWS_MAX) {
        let mut select =
            QueryBuilder::<MySql>::new("SELECT wallet_id FROM point_balances WHERE wallet_id IN (");
        let mut list = select.separated(", ");
        for wallet_id in multirow::padded(wallets) {
            list.push_bind(wallet_id);
        }
        select.push(")");
        let rows: Vec<WalletId> = select.build_query_scalar().fetch_all(&mut *connection).await?;
        heard.extend(rows);
    }
    Ok(heard)
}
