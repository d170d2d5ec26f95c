//! Lots. Their wallet is locked by whoever changes them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use serde::{Deserialize, Serialize};
use sqlx::{MySql, MySqlExecutor, QueryBuilder, Transaction};

use crate::Error;
use crate::points::rules::Allocation;
use crate::points::{LOTS_MAX, Lot};

/// Lots that are read at once.
const LOTS_AT_ONCE: usize = 100;
/// Most expiries that a balance names.
pub const EXPIRING_MAX: u32 = 10;

/// The lots that can be spent at `now`, in the order in which they are, as many as it takes
/// until there is `amount` in them.
pub(in crate::points) async fn open_for(
    transaction: &mut Transaction<'_, MySql>,
    wallet_no: u64,
    amount: u64,
    now: DateTime<Utc>,
) -> Result<Vec<Lot>, sqlx::Error> {
    let mut lots: Vec<Lot> = Vec::new();
    let mut found = 0;
    let mut limit = LOTS_AT_ONCE;
    loop {
        let (expires_at, lot_no) = lots
            .last()
            .map_or((now, u64::MAX), |lot| (lot.expires_at, lot.lot_no));
        let next = sqlx::query_as!(
            Lot,
            r#"SELECT lot_no, amount, remaining, expires_at AS "expires_at: DateTime<Utc>" FROM point_lots
               WHERE wallet_no = ? AND is_open = 1 AND (expires_at > ? OR (expires_at = ? AND lot_no > ?))
               ORDER BY expires_at, lot_no LIMIT ?"#,
            wallet_no,
            expires_at,
            expires_at,
            lot_no,
            limit as u64
        )
        .fetch_all(&mut **transaction)
        .await?;
        let is_last = next.len() < limit;
        found += next.iter().map(|lot| lot.remaining).sum::<u64>();
        lots.extend(next);
        if is_last || found >= amount {
            return Ok(lots);
        }
        limit = LOTS_MAX;
    }
}

/// How many lots of a wallet have something in them, counted up to one more than there may be.
pub(in crate::points) async fn open_count(
    transaction: &mut Transaction<'_, MySql>,
    wallet_no: u64,
) -> Result<usize, sqlx::Error> {
    let count = sqlx::query_scalar!(
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM point_lots WHERE wallet_no = ? AND is_open = 1 LIMIT ?) AS open",
        wallet_no,
        LOTS_MAX as u64 + 1
    )
    .fetch_one(&mut **transaction)
    .await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The lot that an entry made. `None`: the entry made none, or several.
pub(in crate::points) async fn of_entry(
    transaction: &mut Transaction<'_, MySql>,
    wallet_no: u64,
    entry_no: u64,
) -> Result<Option<Lot>, sqlx::Error> {
    let mut lots = sqlx::query_as!(
        Lot,
        r#"SELECT lot_no, amount, remaining, expires_at AS "expires_at: DateTime<Utc>" FROM point_lots
           WHERE wallet_no = ? AND entry_no = ? LIMIT 2"#,
        wallet_no,
        entry_no
    )
    .fetch_all(&mut **transaction)
    .await?;
    Ok(if lots.len() == 1 { lots.pop() } else { None })
}

/// A lot to be made, full.
#[derive(Clone, Copy, Debug)]
pub(in crate::points) struct NewLot {
    pub wallet_no: u64,
    pub entry_no: u64,
    pub in_stead_of: Option<u64>,
    pub amount: u64,
    pub expires_at: DateTime<Utc>,
}

/// Makes lots; returns their numbers.
pub(in crate::points) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    lots: &[NewLot],
) -> Result<Vec<u64>, sqlx::Error> {
    let mut numbers = Vec::with_capacity(lots.len());
    for lots in multirow::pieces(lots) {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO point_lots (wallet_no, entry_no, in_stead_of, amount, remaining, expires_at) ",
        );
        insert.push_values(lots, |mut values, lot| {
            values
                .push_bind(lot.wallet_no)
                .push_bind(lot.entry_no)
                .push_bind(lot.in_stead_of)
                .push_bind(lot.amount)
                .push_bind(lot.amount)
                .push_bind(lot.expires_at);
        });
        let inserted = insert.build().execute(&mut **transaction).await?;
        // The numbers of one statement whose rows are counted beforehand follow each other:
        // https://dev.mysql.com/doc/refman/9.7/en/innodb-auto-increment-handling.html
        let first = inserted.last_insert_id();
        numbers.extend((first..).take(lots.len()));
    }
    Ok(numbers)
}

/// Puts into lots, or takes out of them, what is said of each. MySQL refuses to take out more
/// than there is, or to put in more than there was.
pub(in crate::points) async fn change(
    transaction: &mut Transaction<'_, MySql>,
    changes: &[(u64, i64)],
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    // The usual one: a use that one lot is enough for.
    let outcome = if let [(lot_no, amount)] = changes {
        sqlx::query!(
            "UPDATE point_lots SET remaining = remaining + ? WHERE lot_no = ?",
            amount,
            lot_no
        )
        .execute(&mut **transaction)
        .await?
    } else {
        let list = serde_json::to_string(changes).unwrap_or_default();
        sqlx::query!(
            "UPDATE JSON_TABLE(?, '$[*]' COLUMNS (lot_no BIGINT UNSIGNED PATH '$[0]', amount BIGINT PATH '$[1]'))
                 AS given STRAIGHT_JOIN point_lots AS l ON l.lot_no = given.lot_no
             SET l.remaining = l.remaining + given.amount",
            list
        )
        .execute(&mut **transaction)
        .await?
    };
    if outcome.rows_affected() == changes.len() as u64 {
        Ok(())
    } else {
        Err(Error::Corrupt {
            what: "lot",
            why: format!("{} of {} were there", outcome.rows_affected(), changes.len()),
        })
    }
}

/// Wallets that have lots whose time was up between `from` and `now`, among the `lots_max` lots
/// that wait longest; and since when the first of them does.
pub(in crate::points) async fn wallets_due(
    transaction: &mut Transaction<'_, MySql>,
    from: DateTime<Utc>,
    now: DateTime<Utc>,
    lots_max: u32,
) -> Result<(Vec<u64>, Option<DateTime<Utc>>), sqlx::Error> {
    let due = sqlx::query!(
        r#"SELECT due.wallet_no, MIN(due.expires_at) AS "oldest!: DateTime<Utc>"
           FROM (SELECT wallet_no, expires_at FROM point_lots
               WHERE is_open = 1 AND expires_at >= ? AND expires_at <= ?
               ORDER BY expires_at, lot_no LIMIT ?) AS due
           GROUP BY due.wallet_no"#,
        from,
        now,
        lots_max
    )
    .fetch_all(&mut **transaction)
    .await?;
    let oldest = due.iter().map(|due| due.oldest).min();
    Ok((due.into_iter().map(|due| due.wallet_no).collect(), oldest))
}

/// What is left in lots of locked wallets whose time is up, by wallet, up to `lots_max`.
pub(in crate::points) async fn due(
    transaction: &mut Transaction<'_, MySql>,
    wallets: &[u64],
    now: DateTime<Utc>,
    lots_max: u32,
) -> Result<HashMap<u64, Vec<Allocation>>, sqlx::Error> {
    let list = serde_json::to_string(wallets).unwrap_or_default();
    let rows = sqlx::query!(
        "SELECT l.wallet_no, l.lot_no, l.remaining
         FROM JSON_TABLE(?, '$[*]' COLUMNS (wallet_no BIGINT UNSIGNED PATH '$')) AS j
             STRAIGHT_JOIN point_lots l ON l.wallet_no = j.wallet_no AND l.is_open = 1 AND l.expires_at <= ?
         ORDER BY l.wallet_no, l.expires_at, l.lot_no LIMIT ?",
        list,
        now,
        lots_max
    )
    .fetch_all(&mut **transaction)
    .await?;
    let mut due: HashMap<u64, Vec<Allocation>> = HashMap::new();
    for row in rows {
        due.entry(row.wallet_no).or_default().push(Allocation {
            lot_no: row.lot_no,
            amount: row.remaining,
        });
    }
    Ok(due)
}

/// What is left in lots of a wallet whose time is up at `now`.
pub(super) async fn overdue(
    on: impl MySqlExecutor<'_>,
    wallet_no: u64,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT CAST(COALESCE(SUM(remaining), 0) AS UNSIGNED) AS "points!: u64" FROM point_lots
           WHERE wallet_no = ? AND is_open = 1 AND expires_at <= ?"#,
        wallet_no,
        now
    )
    .fetch_one(on)
    .await
}

/// Points that run out at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiring {
    /// How many.
    pub amount: u64,
    /// When.
    pub expires_at: DateTime<Utc>,
}

/// What of a wallet runs out next, soonest first.
pub(super) async fn expiring(
    on: impl MySqlExecutor<'_>,
    wallet_no: u64,
    now: DateTime<Utc>,
) -> Result<Vec<Expiring>, sqlx::Error> {
    sqlx::query_as!(
        Expiring,
        r#"SELECT CAST(SUM(remaining) AS UNSIGNED) AS "amount!: u64", expires_at AS "expires_at: DateTime<Utc>"
           FROM point_lots WHERE wallet_no = ? AND is_open = 1 AND expires_at > ?
           GROUP BY expires_at ORDER BY expires_at LIMIT ?"#,
        wallet_no,
        now,
        EXPIRING_MAX
    )
    .fetch_all(on)
    .await
}
