//! Wallets counted anew from their ledgers, for reconciliation, and what can be repaired of them.

use chrono::{DateTime, Utc};
use headgate_schemas::ids::{PartnerId, WalletId};
use headgate_schemas::names::UserId;
use sqlx::{MySql, MySqlConnection, Transaction};

use crate::Error;

/// A wallet, and what its ledger, its lots and its kept balance come to. The ledger and its
/// allocations are only ever added to: they are what the rest has to agree with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletCount {
    /// Its number.
    pub wallet_no: u64,
    /// Its id.
    pub wallet_id: WalletId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// The partner's own name of the user.
    pub user_id: UserId,
    /// What its head says that it holds.
    pub balance: u64,
    /// How many entries its head says that there are.
    pub entries: u64,
    /// What the entries add up to.
    pub ledger_sum: i64,
    /// How many entries there are.
    pub ledger_entries: u64,
    /// The number of the last one.
    pub last_entry_no: u64,
    /// When it was made.
    pub last_made_at: Option<DateTime<Utc>>,
    /// Entries that do not leave what those up to them add up to.
    pub entries_strange: u64,
    /// Entries whose allocations do not add up to them.
    pub allocations_strange: u64,
    /// What remains in its lots.
    pub lots_remaining: u64,
    /// What of that ran out, and was not taken out yet.
    pub lots_overdue: u64,
    /// What of it runs out within the next minute.
    pub lots_expiring: u64,
    /// Lots in which there is something else than their allocations add up to.
    pub lots_strange: u64,
    /// What is kept beside the ledger: the balance, and the entry that left it.
    pub heard: Option<(u64, u64)>,
}

impl WalletCount {
    /// Whether the ledger contradicts itself, so that nothing can be made to agree with it.
    pub const fn is_damaged(&self) -> bool {
        self.entries_strange > 0
            || self.allocations_strange > 0
            || self.ledger_sum < 0
            || self.last_entry_no != self.ledger_entries
    }
}

/// Counts up to `limit` wallets behind the number `after`, in the order of their numbers, as they
/// are at one moment: `on` is a snapshot, or has locked them.
pub async fn count(
    on: &mut MySqlConnection,
    after: u64,
    limit: u32,
    now: DateTime<Utc>,
) -> Result<Vec<WalletCount>, sqlx::Error> {
    let mut counts = heads(on, after, limit).await?;
    let Some(last) = counts.last().map(|count| count.wallet_no) else {
        return Ok(counts);
    };
    count_entries(on, after, last, &mut counts).await?;
    count_allocations(on, after, last, &mut counts).await?;
    count_lots(on, after, last, now, &mut counts).await?;
    Ok(counts)
}

async fn heads(on: &mut MySqlConnection, after: u64, limit: u32) -> Result<Vec<WalletCount>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT w.wallet_no AS "wallet_no!: u64", w.wallet_id AS "wallet_id!: WalletId",
               p.partner_id AS "partner_id!: PartnerId", w.user_id AS "user_id!", w.balance AS "balance!: u64",
               w.entries AS "entries!: u64", b.balance AS "heard_balance?: u64", b.entry_no AS "heard_entry_no?: u64"
           FROM wallets w JOIN partners p USING (partner_no) LEFT JOIN point_balances b ON b.wallet_id = w.wallet_id
           WHERE w.wallet_no > ? ORDER BY w.wallet_no LIMIT ?"#,
        after,
        limit
    )
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| WalletCount {
            wallet_no: row.wallet_no,
            wallet_id: row.wallet_id,
            partner_id: row.partner_id,
            user_id: UserId::from_stored(row.user_id),
            balance: row.balance,
            entries: row.entries,
            ledger_sum: 0,
            ledger_entries: 0,
            last_entry_no: 0,
            last_made_at: None,
            entries_strange: 0,
            allocations_strange: 0,
            lots_remaining: 0,
            lots_overdue: 0,
            lots_expiring: 0,
            lots_strange: 0,
            heard: row.heard_balance.zip(row.heard_entry_no),
        })
        .collect())
}

/// The count of this wallet, if it is one of `counts`, which are in the order of their numbers.
fn of(counts: &mut [WalletCount], wallet_no: u64) -> Option<&mut WalletCount> {
    let place = counts
        .binary_search_by_key(&wallet_no, |count| count.wallet_no)
        .ok()?;
    counts.get_mut(place)
}

async fn count_entries(
    on: &mut MySqlConnection,
    after: u64,
    last: u64,
    counts: &mut [WalletCount],
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT wallet_no AS "wallet_no!: u64", CAST(SUM(amount) AS SIGNED) AS "sum!: i64",
               COUNT(*) AS "entries!: u64", MAX(entry_no) AS "last!: u64",
               MAX(made_at) AS "made_at!: DateTime<Utc>",
               COUNT(IF(balance_after <> running, 1, NULL)) AS "strange!: u64"
           FROM (SELECT wallet_no, entry_no, amount, balance_after, made_at,
                     SUM(amount) OVER (PARTITION BY wallet_no ORDER BY entry_no) AS running
                 FROM point_entries WHERE wallet_no > ? AND wallet_no <= ?) AS e
           GROUP BY wallet_no"#,
        after,
        last
    )
    .fetch_all(on)
    .await?;
    for row in rows {
        if let Some(count) = of(counts, row.wallet_no) {
            count.ledger_sum = row.sum;
            count.ledger_entries = row.entries;
            count.last_entry_no = row.last;
            count.last_made_at = Some(row.made_at);
            count.entries_strange = row.strange;
        }
    }
    Ok(())
}

async fn count_allocations(
    on: &mut MySqlConnection,
    after: u64,
    last: u64,
    counts: &mut [WalletCount],
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT e.wallet_no AS "wallet_no!: u64", COUNT(*) AS "strange!: u64"
           FROM point_entries e LEFT JOIN (
               SELECT wallet_no, entry_no, SUM(amount) AS allocated FROM point_allocations
               WHERE wallet_no > ? AND wallet_no <= ? GROUP BY wallet_no, entry_no
           ) AS a USING (wallet_no, entry_no)
           WHERE e.wallet_no > ? AND e.wallet_no <= ? AND e.amount <> COALESCE(a.allocated, 0)
           GROUP BY e.wallet_no"#,
        after,
        last,
        after,
        last
    )
    .fetch_all(on)
    .await?;
    for row in rows {
        if let Some(count) = of(counts, row.wallet_no) {
            count.allocations_strange = row.strange;
        }
    }
    Ok(())
}

async fn count_lots(
    on: &mut MySqlConnection,
    after: u64,
    last: u64,
    now: DateTime<Utc>,
    counts: &mut [WalletCount],
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT l.wallet_no AS "wallet_no!: u64", CAST(SUM(l.remaining) AS UNSIGNED) AS "remaining!: u64",
               CAST(SUM(IF(l.expires_at <= ?, l.remaining, 0)) AS UNSIGNED) AS "overdue!: u64",
               CAST(SUM(IF(l.expires_at > ? AND l.expires_at <= ? + INTERVAL 1 MINUTE, l.remaining, 0)) AS UNSIGNED)
                   AS "expiring!: u64",
               COUNT(IF(l.remaining <> COALESCE(a.allocated, 0), 1, NULL)) AS "strange!: u64"
           FROM point_lots l LEFT JOIN (
               SELECT lot_no, SUM(amount) AS allocated FROM point_allocations
               WHERE wallet_no > ? AND wallet_no <= ? GROUP BY lot_no
           ) AS a USING (lot_no)
           WHERE l.wallet_no > ? AND l.wallet_no <= ? GROUP BY l.wallet_no"#,
        now,
        now,
        now,
        after,
        last,
        after,
        last
    )
    .fetch_all(on)
    .await?;
    for row in rows {
        if let Some(count) = of(counts, row.wallet_no) {
            count.lots_remaining = row.remaining;
            count.lots_overdue = row.overdue;
            count.lots_expiring = row.expiring;
            count.lots_strange = row.strange;
        }
    }
    Ok(())
}

/// Something that was made to agree with the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What: `balance`, `entries`, `lots`, `kept-balance` or `kept-entry`.
    pub what: &'static str,
    /// What it was.
    pub from: u64,
    /// What it is now.
    pub to: u64,
}

/// Makes a wallet's head, its lots and its kept balance agree with its ledger. Returns the count
/// before, and what was changed; `None` for a ledger that contradicts itself, of which nothing is
/// changed.
pub async fn repair(
    transaction: &mut Transaction<'_, MySql>,
    wallet_no: u64,
    now: DateTime<Utc>,
) -> Result<(WalletCount, Option<Vec<Repair>>), Error> {
    super::lock(transaction, wallet_no).await?;
    let counted = count(transaction, wallet_no.saturating_sub(1), 1, now).await?;
    let count = counted.into_iter().next().ok_or_else(|| Error::Corrupt {
        what: "wallet",
        why: format!("there is none of number {wallet_no}"),
    })?;
    let Some(balance) = u64::try_from(count.ledger_sum)
        .ok()
        .filter(|_| !count.is_damaged())
    else {
        return Ok((count, None));
    };
    let entries = count.ledger_entries;
    set_head(transaction, wallet_no, balance, entries).await?;
    if count.lots_strange > 0 {
        set_lots(transaction, wallet_no).await?;
    }
    if let Some(made_at) = count.last_made_at {
        keep_balance(transaction, wallet_no, made_at).await?;
    }
    let (heard, heard_entry_no) = count.heard.unwrap_or_default();
    let repairs = [
        ("balance", count.balance, balance),
        ("entries", count.entries, entries),
        ("lots", count.lots_remaining, balance),
        ("kept-balance", heard, balance),
        ("kept-entry", heard_entry_no, entries),
    ];
    let repairs = repairs
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(what, from, to)| Repair { what, from, to })
        .collect();
    Ok((count, Some(repairs)))
}

async fn set_head(
    transaction: &mut Transaction<'_, MySql>,
    wallet_no: u64,
    balance: u64,
    entries: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE wallets SET balance = ?, entries = ? WHERE wallet_no = ?",
        balance,
        entries,
        wallet_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn set_lots(transaction: &mut Transaction<'_, MySql>, wallet_no: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE point_lots l LEFT JOIN (
             SELECT lot_no, SUM(amount) AS allocated FROM point_allocations WHERE wallet_no = ? GROUP BY lot_no
         ) AS a USING (lot_no)
         SET l.remaining = COALESCE(a.allocated, 0)
         WHERE l.wallet_no = ? AND l.remaining <> COALESCE(a.allocated, 0)",
        wallet_no,
        wallet_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Writes the balance beside the ledger as the head has it, whatever was known of it.
async fn keep_balance(
    transaction: &mut Transaction<'_, MySql>,
    wallet_no: u64,
    made_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO point_balances (wallet_id, partner_no, user_id, balance, entry_no, as_of)
         SELECT * FROM (SELECT wallet_id, partner_no, user_id, balance, entries, CAST(? AS DATETIME(6)) AS as_of
             FROM wallets WHERE wallet_no = ?) AS head
         ON DUPLICATE KEY UPDATE balance = head.balance, entry_no = head.entries, as_of = head.as_of",
        made_at,
        wallet_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
