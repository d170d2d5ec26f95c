//! Moving points. Every function locks the wallets that it changes, the one of the lower number
//! first, and writes the entries, their allocations, the lots and the events in the
//! transaction that it is given.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headgate_outbox::write::EventWriter;
use headgate_schemas::ids::{PointKey, TransferId};
use headgate_schemas::names::PointReference;
use sqlx::{MySql, Transaction};

use super::posting::{NewLot, Posting, post};
use super::rules;
use super::store::FoundEntry;
use super::{EntryKind, LOTS_MAX, POINTS_MAX, Policy, Refusal, Wallet, store};
use crate::{Change, Error};

type Tx<'t, 'c> = &'t mut Transaction<'c, MySql>;

/// A movement that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The movement.
    pub point_key: PointKey,
    /// How many points.
    pub amount: u64,
    /// What the wallet holds after it.
    pub balance: u64,
    /// When the points of an earn or a charge run out.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A transfer that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The transfer.
    pub transfer_id: TransferId,
    /// How many points.
    pub amount: u64,
}

/// Points to be put into a wallet.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The wallet's number.
    pub wallet_no: u64,
    /// How many, 1 to [`POINTS_MAX`].
    pub amount: u64,
    /// Until when they are valid; as the policy says if it is left out.
    pub expires_at: Option<DateTime<Utc>>,
    /// What pays for a charge.
    pub reference: Option<PointReference>,
    /// Why they are granted.
    pub reason: Option<String>,
}

/// Turns away the late write of a holder that was asleep: the lock in Redis that it took is lost,
/// and the wallet has changed since.
#[derive(Clone, Copy)]
pub struct Fence<'f> {
    /// How many entries the wallet had, read before or under that lock.
    pub entries: u64,
    /// Whether the lock is lost. Asked when the wallet's row is locked: from then on nobody else
    /// can change it.
    pub is_lost: &'f (dyn Fn() -> bool + Sync),
}

/// Locks a wallet.
async fn lock(transaction: Tx<'_, '_>, wallet_no: u64, fence: Option<Fence<'_>>) -> Result<Wallet, Error> {
    let wallet = store::lock(transaction, wallet_no).await?;
    if fence.is_some_and(|fence| fence.entries != wallet.entries && (fence.is_lost)()) {
        return Err(Refusal::Busy.into());
    }
    Ok(wallet)
}

/// Posts, and writes the events.
async fn write(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    postings: Vec<Posting>,
) -> Result<Vec<Moved>, Error> {
    let (moved, rows) = post(transaction, change, postings).await?;
    EventWriter::write(transaction, &rows).await?;
    Ok(moved)
}

/// Posts one, and writes its event.
async fn write_one(transaction: Tx<'_, '_>, change: Change<'_>, posting: Posting) -> Result<Moved, Error> {
    let moved = write(transaction, change, vec![posting]).await?;
    moved.first().copied().ok_or_else(|| Error::Corrupt {
        what: "posting",
        why: "nothing was posted".to_owned(),
    })
}

/// Grants points.
pub async fn earn(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    grant: &Grant,
    policy: &Policy,
    fence: Option<Fence<'_>>,
) -> Result<Moved, Error> {
    policy.allows_earn(grant.amount)?;
    put_in(transaction, change, EntryKind::Earn, grant, policy, fence).await
}

/// Books points that were paid for: the policy's limits of one earn do not apply.
pub async fn charge(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    grant: &Grant,
    policy: &Policy,
    fence: Option<Fence<'_>>,
) -> Result<Moved, Error> {
    put_in(transaction, change, EntryKind::Charge, grant, policy, fence).await
}

async fn put_in(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    kind: EntryKind,
    grant: &Grant,
    policy: &Policy,
    fence: Option<Fence<'_>>,
) -> Result<Moved, Error> {
    let wallet = lock(transaction, grant.wallet_no, fence).await?;
    let expires_at = grant.expires_at.unwrap_or_else(|| policy.expires_at(change.now));
    let lot = NewLot {
        amount: grant.amount,
        expires_at,
        in_stead_of: None,
    };
    allows(transaction, &wallet, policy, &[lot]).await?;
    let posting = Posting {
        reference: grant.reference.clone(),
        reason: grant.reason.clone(),
        makes: vec![lot],
        ..Posting::new(wallet, kind)
    };
    write_one(transaction, change, posting).await
}

/// May the wallet be given these lots?
async fn allows(
    transaction: Tx<'_, '_>,
    wallet: &Wallet,
    policy: &Policy,
    lots: &[NewLot],
) -> Result<(), Error> {
    let amount = lots.iter().map(|lot| lot.amount).sum();
    policy.allows_balance(wallet.balance, amount)?;
    if store::open_count(transaction, wallet.wallet_no).await? + lots.len() > LOTS_MAX {
        return Err(Refusal::TooManyLots.into());
    }
    Ok(())
}

/// Spends points, those first that run out first.
pub async fn use_points(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    wallet_no: u64,
    amount: u64,
    reference: Option<PointReference>,
    fence: Option<Fence<'_>>,
) -> Result<Moved, Error> {
    let wallet = lock(transaction, wallet_no, fence).await?;
    let lots = store::open_for(transaction, wallet_no, amount, change.now).await?;
    let posting = Posting {
        reference,
        takes: rules::take(&lots, amount, change.now)?,
        ..Posting::new(wallet, EntryKind::Use)
    };
    write_one(transaction, change, posting).await
}

/// Cancels a use or an earn, wholly or in part: so many points, or all that is left to be
/// cancelled.
pub async fn cancel(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    found: FoundEntry,
    amount: Option<u64>,
    policy: &Policy,
) -> Result<Moved, Error> {
    let kind = match found.kind {
        EntryKind::Use => EntryKind::CancelUse,
        EntryKind::Earn => EntryKind::CancelEarn,
        kind => return Err(Refusal::NotCancellable { kind }.into()),
    };
    let wallet = lock(transaction, found.wallet_no, None).await?;
    let mut posting = Posting {
        cancels: Some(found.point_key),
        ..Posting::new(wallet, kind)
    };
    if kind == EntryKind::CancelUse {
        let taken = store::taken_by(transaction, found).await?;
        let back = rules::give_back(&taken, amount, change.now)?;
        let expires_at = policy.expires_at(change.now);
        posting.makes = back
            .in_stead
            .iter()
            .map(|allocation| NewLot {
                amount: allocation.amount,
                expires_at,
                in_stead_of: Some(allocation.lot_no),
            })
            .collect();
        posting.gives = back.to_lots;
    } else {
        let lot = store::of_entry(transaction, found.wallet_no, found.entry_no).await?;
        let lot = lot.ok_or_else(|| Error::Corrupt {
            what: "entry",
            why: format!("the earn {} has no lot", found.point_key),
        })?;
        posting.takes = vec![rules::take_back(&lot, amount, change.now)?];
    }
    write_one(transaction, change, posting).await
}

/// Moves points to another wallet of the same partner. Each lot keeps its expiry.
pub async fn transfer(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    from_no: u64,
    to_no: u64,
    amount: u64,
    policy: &Policy,
) -> Result<Transferred, Error> {
    // The lower number first, whichever way the points go.
    let (first, second) = (from_no.min(to_no), from_no.max(to_no));
    let first = lock(transaction, first, None).await?;
    let second = lock(transaction, second, None).await?;
    let (from, to) = if from_no < to_no {
        (first, second)
    } else {
        (second, first)
    };
    let lots = store::open_for(transaction, from_no, amount, change.now).await?;
    let takes = rules::take(&lots, amount, change.now)?;
    let expiries: HashMap<u64, DateTime<Utc>> = lots.iter().map(|lot| (lot.lot_no, lot.expires_at)).collect();
    let makes: Vec<NewLot> = takes
        .iter()
        .filter_map(|taken| {
            Some(NewLot {
                amount: taken.amount,
                expires_at: *expiries.get(&taken.lot_no)?,
                in_stead_of: None,
            })
        })
        .collect();
    allows(transaction, &to, policy, &makes).await?;
    let transfer_id = TransferId::generate();
    let sent = Posting {
        takes,
        other: Some((transfer_id, to.wallet_no, to.user_id.clone())),
        ..Posting::new(from.clone(), EntryKind::Send)
    };
    let received = Posting {
        makes,
        other: Some((transfer_id, from.wallet_no, from.user_id)),
        ..Posting::new(to, EntryKind::Receive)
    };
    write(transaction, change, vec![sent, received]).await?;
    Ok(Transferred { transfer_id, amount })
}

/// Points that were taken out because their time was up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiredPoints {
    /// Of so many wallets.
    pub wallets: usize,
    /// So many lots.
    pub lots: usize,
    /// So many points.
    pub points: u64,
    /// When the time of the lot was up that had waited longest, whether or not it was taken out.
    pub oldest: Option<DateTime<Utc>>,
}

/// Takes what has expired out of the wallets of the `lots_max` lots that wait longest, of those whose
/// time was up at `from` or later: MySQL passes slowly over what was taken out just before. Wallets
/// that somebody works on are left for the next time. Where no wallet had any, nothing more can be
/// done now.
pub async fn expire_due(
    transaction: Tx<'_, '_>,
    change: Change<'_>,
    from: DateTime<Utc>,
    lots_max: u32,
) -> Result<ExpiredPoints, Error> {
    let (due, oldest) = store::wallets_due(transaction, from, change.now, lots_max).await?;
    if due.is_empty() {
        return Ok(ExpiredPoints::default());
    }
    let wallets = store::lock_free(transaction, &due).await?;
    let locked: Vec<u64> = wallets.iter().map(|wallet| wallet.wallet_no).collect();
    let mut lots = store::due(transaction, &locked, change.now, lots_max).await?;
    let postings: Vec<Posting> = wallets
        .into_iter()
        .filter_map(|wallet| {
            let takes = lots.remove(&wallet.wallet_no)?;
            Some(Posting {
                takes,
                ..Posting::new(wallet, EntryKind::Expire)
            })
        })
        .collect();
    let lots = postings.iter().map(|posting| posting.takes.len()).sum();
    let expired = write(transaction, change, postings).await?;
    Ok(ExpiredPoints {
        wallets: expired.len(),
        lots,
        points: expired.iter().map(|moved| moved.amount).sum(),
        oldest,
    })
}

const _: () = assert!(POINTS_MAX < i64::MAX as u64 / 2);
