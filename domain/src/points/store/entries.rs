//! Entries of the ledger and their allocations: written once, never changed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headgate_outbox::multirow;
use headgate_schemas::ids::{PointKey, TransferId};
use headgate_schemas::names::{PointReference, UserId};
use sqlx::{MySql, MySqlExecutor, MySqlPool, QueryBuilder, Transaction};

use crate::points::rules::Taken;
use crate::points::{Entry, EntryKind};
use crate::{Error, Page};

/// An entry to be written.
#[derive(Clone, Debug)]
pub(in crate::points) struct Posted {
    pub wallet_no: u64,
    pub entry_no: u64,
    pub point_key: PointKey,
    pub kind: EntryKind,
    /// With its sign.
    pub amount: i64,
    pub balance_after: u64,
    pub cancels: Option<PointKey>,
    pub transfer_id: Option<TransferId>,
    pub other_wallet_no: Option<u64>,
    pub reference: Option<PointReference>,
    pub reason: Option<String>,
    pub made_at: DateTime<Utc>,
}

/// Writes entries.
pub(in crate::points) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    entries: &[Posted],
) -> Result<(), sqlx::Error> {
    for entries in multirow::pieces(entries) {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO point_entries (wallet_no, entry_no, point_key, kind, amount, balance_after, cancels,
                 transfer_id, other_wallet_no, reference, reason, made_at) ",
        );
        insert.push_values(entries, |mut values, entry| {
            values
                .push_bind(entry.wallet_no)
                .push_bind(entry.entry_no)
                .push_bind(entry.point_key)
                .push_bind(entry.kind.as_str())
                .push_bind(entry.amount)
                .push_bind(entry.balance_after)
                .push_bind(entry.cancels)
                .push_bind(entry.transfer_id)
                .push_bind(entry.other_wallet_no)
                .push_bind(
                    entry
                        .reference
                        .as_ref()
                        .map(|reference| reference.as_str().as_bytes()),
                )
                .push_bind(entry.reason.as_deref())
                .push_bind(entry.made_at);
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// What an entry puts into a lot, or takes out of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::points) struct Allocated {
    pub wallet_no: u64,
    pub entry_no: u64,
    pub lot_no: u64,
    /// With its sign.
    pub amount: i64,
}

/// Writes allocations.
pub(in crate::points) async fn insert_allocations(
    transaction: &mut Transaction<'_, MySql>,
    allocations: &[Allocated],
) -> Result<(), sqlx::Error> {
    for allocations in multirow::pieces(allocations) {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO point_allocations (wallet_no, entry_no, lot_no, amount) ",
        );
        insert.push_values(allocations, |mut values, allocation| {
            values
                .push_bind(allocation.wallet_no)
                .push_bind(allocation.entry_no)
                .push_bind(allocation.lot_no)
                .push_bind(allocation.amount);
        });
        insert.build().execute(&mut **transaction).await?;
    }
    Ok(())
}

/// An entry that is to be cancelled.
#[derive(Clone, Copy, Debug)]
pub struct FoundEntry {
    /// Its key.
    pub point_key: PointKey,
    /// Its wallet.
    pub wallet_no: u64,
    /// Its number in the wallet's ledger.
    pub entry_no: u64,
    /// What it did.
    pub kind: EntryKind,
}

/// The partner's entry of this key.
pub async fn find(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    point_key: PointKey,
) -> Result<Option<FoundEntry>, sqlx::Error> {
    sqlx::query_as!(
        FoundEntry,
        r#"SELECT e.point_key AS "point_key: PointKey", e.wallet_no, e.entry_no, e.kind AS "kind: EntryKind"
           FROM point_entries e JOIN wallets w USING (wallet_no)
           WHERE e.point_key = ? AND w.partner_no = ?"#,
        point_key,
        partner_no
    )
    .fetch_optional(on)
    .await
}

/// What a use took from each lot, in the order in which it took it, and what its cancellations
/// have given back since.
pub(in crate::points) async fn taken_by(
    transaction: &mut Transaction<'_, MySql>,
    found: FoundEntry,
) -> Result<Vec<Taken>, sqlx::Error> {
    let taken = sqlx::query!(
        r#"SELECT a.lot_no, CAST(-a.amount AS UNSIGNED) AS "taken!: u64", l.expires_at AS "expires_at: DateTime<Utc>"
           FROM point_allocations a JOIN point_lots l USING (lot_no)
           WHERE a.wallet_no = ? AND a.entry_no = ? ORDER BY l.expires_at, a.lot_no"#,
        found.wallet_no,
        found.entry_no
    )
    .fetch_all(&mut **transaction)
    .await?;
    let returned = sqlx::query!(
        r#"SELECT a.lot_no, l.in_stead_of, CAST(SUM(a.amount) AS UNSIGNED) AS "returned!: u64"
           FROM point_entries c
               JOIN point_allocations a ON a.wallet_no = c.wallet_no AND a.entry_no = c.entry_no
               JOIN point_lots l ON l.lot_no = a.lot_no
           WHERE c.cancels = ? GROUP BY a.lot_no, l.in_stead_of"#,
        found.point_key
    )
    .fetch_all(&mut **transaction)
    .await?;
    let places: HashMap<u64, usize> = (0..)
        .zip(&taken)
        .map(|(place, row)| (row.lot_no, place))
        .collect();
    let mut parts: Vec<Taken> = taken
        .iter()
        .map(|row| Taken {
            lot_no: row.lot_no,
            taken: row.taken,
            returned: 0,
            expires_at: row.expires_at,
        })
        .collect();
    for row in returned {
        // To the lot itself, or to another in its stead.
        let in_stead = || row.in_stead_of.and_then(|lot_no| places.get(&lot_no));
        if let Some(place) = places.get(&row.lot_no).or_else(in_stead) {
            parts[*place].returned += row.returned;
        }
    }
    Ok(parts)
}

/// A row of `point_entries`, as MySQL gives it.
struct Row {
    point_key: PointKey,
    entry_no: u64,
    kind: EntryKind,
    amount: u64,
    balance_after: u64,
    cancels: Option<PointKey>,
    transfer_id: Option<TransferId>,
    other_user: Option<Vec<u8>>,
    reference: Option<Vec<u8>>,
    reason: Option<String>,
    made_at: DateTime<Utc>,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            point_key: row.point_key,
            entry_no: row.entry_no,
            kind: row.kind,
            amount: row.amount,
            balance_after: row.balance_after,
            cancels: row.cancels,
            transfer_id: row.transfer_id,
            other_user: row.other_user.map(UserId::from_stored),
            reference: row.reference.map(PointReference::from_stored),
            reason: row.reason,
            made_at: row.made_at,
        }
    }
}

/// A user's movements, the latest first, `limit` of them before entry `before`.
pub async fn history(
    pool: &MySqlPool,
    partner_no: u32,
    user_id: &UserId,
    before: Option<u64>,
    limit: u32,
) -> Result<Page<Entry, u64>, Error> {
    let rows = rows(
        pool,
        partner_no,
        user_id,
        before.unwrap_or(u64::MAX),
        limit.saturating_add(1),
    )
    .await?;
    let entries = rows.into_iter().map(Entry::from).collect();
    Ok(Page::of(entries, limit, |entry: &Entry| entry.entry_no))
}

async fn rows(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    user_id: &UserId,
    before: u64,
    limit: u32,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT e.point_key AS "point_key: PointKey", e.entry_no, e.kind AS "kind: EntryKind",
               CAST(ABS(e.amount) AS UNSIGNED) AS "amount!: u64", e.balance_after,
               e.cancels AS "cancels: PointKey", e.transfer_id AS "transfer_id: TransferId",
               o.user_id AS "other_user?", e.reference, e.reason, e.made_at AS "made_at: DateTime<Utc>"
           FROM wallets w STRAIGHT_JOIN point_entries e ON e.wallet_no = w.wallet_no
               LEFT JOIN wallets o ON o.wallet_no = e.other_wallet_no
           WHERE w.partner_no = ? AND w.user_id = ? AND e.entry_no < ? ORDER BY e.entry_no DESC LIMIT ?"#,
        partner_no,
        user_id.as_str().as_bytes(),
        before,
        limit
    )
    .fetch_all(on)
    .await
}
