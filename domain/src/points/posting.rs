//! Posting: the one place where entries, allocations, lots, heads of wallets and events are
//! made, together.

use chrono::{DateTime, Utc};
use headgate_outbox::write::{OutboxRow, Predecessor};
use headgate_schemas::event::Timestamp;
use headgate_schemas::event::points::{
    PointsAccumulated, PointsAccumulationCancelled, PointsCharged, PointsExpired, PointsTransferred,
    PointsUseCancelled, PointsUsed,
};
use headgate_schemas::ids::{PointKey, TransferId};
use headgate_schemas::names::{PointReference, UserId};
use sqlx::{MySql, Transaction};

use super::ledger::Moved;
use super::rules::Allocation;
use super::store::{self, Allocated, Posted};
use super::{EntryKind, Wallet};
use crate::{Change, Error};

/// What an entry is to do. The wallet is locked.
#[derive(Clone, Debug)]
pub(super) struct Posting {
    pub wallet: Wallet,
    pub kind: EntryKind,
    /// Out of lots.
    pub takes: Vec<Allocation>,
    /// Into lots that are there.
    pub gives: Vec<Allocation>,
    /// Into lots that are made.
    pub makes: Vec<NewLot>,
    pub cancels: Option<PointKey>,
    /// Of a transfer: its id, and the other wallet and user.
    pub other: Option<(TransferId, u64, UserId)>,
    pub reference: Option<PointReference>,
    pub reason: Option<String>,
}

/// A lot to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLot {
    pub amount: u64,
    pub expires_at: DateTime<Utc>,
    pub in_stead_of: Option<u64>,
}

impl Posting {
    /// One that does nothing yet.
    pub fn new(wallet: Wallet, kind: EntryKind) -> Self {
        Self {
            wallet,
            kind,
            takes: Vec::new(),
            gives: Vec::new(),
            makes: Vec::new(),
            cancels: None,
            other: None,
            reference: None,
            reason: None,
        }
    }

    fn amount(&self) -> u64 {
        let moved = self.takes.iter().chain(&self.gives).map(|moved| moved.amount);
        moved.chain(self.makes.iter().map(|lot| lot.amount)).sum()
    }
}

/// Writes the entries of different wallets. Returns what they did and the rows of their events,
/// in the same order, for the caller to write.
pub(super) async fn post(
    transaction: &mut Transaction<'_, MySql>,
    change: Change<'_>,
    mut postings: Vec<Posting>,
) -> Result<(Vec<Moved>, Vec<OutboxRow>), Error> {
    let (mut entries, mut moved, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for posting in &mut postings {
        let entry = entry(posting, change.now)?;
        let row = event(posting, &entry, change)?;
        posting.wallet.last_event = Predecessor {
            sequence: row.sequence,
            outbox_id: row.id,
        };
        moved.push(Moved {
            point_key: entry.point_key,
            amount: posting.amount(),
            balance: entry.balance_after,
            expires_at: posting.makes.first().map(|lot| lot.expires_at),
        });
        entries.push(entry);
        rows.push(row);
    }
    let allocations = allocate(transaction, &postings).await?;
    store::insert_entries(transaction, &entries).await?;
    store::insert_allocations(transaction, &allocations).await?;
    let wallets: Vec<&Wallet> = postings.iter().map(|posting| &posting.wallet).collect();
    store::update_wallets(transaction, &wallets).await?;
    Ok((moved, rows))
}

/// The entry, which becomes the head of its wallet's ledger.
fn entry(posting: &mut Posting, now: DateTime<Utc>) -> Result<Posted, Error> {
    let (amount, adds) = (posting.amount(), posting.kind.adds());
    let wallet = &mut posting.wallet;
    let balance = if adds {
        wallet.balance.checked_add(amount)
    } else {
        wallet.balance.checked_sub(amount)
    };
    let (Some(balance), Ok(signed)) = (balance, i64::try_from(amount)) else {
        return Err(Error::Corrupt {
            what: "wallet",
            why: format!("its lots hold {amount} points more or less than its balance can"),
        });
    };
    wallet.balance = balance;
    wallet.entries += 1;
    Ok(Posted {
        wallet_no: wallet.wallet_no,
        entry_no: wallet.entries,
        point_key: PointKey::generate(),
        kind: posting.kind,
        amount: if adds { signed } else { -signed },
        balance_after: balance,
        cancels: posting.cancels,
        transfer_id: posting.other.as_ref().map(|(transfer_id, ..)| *transfer_id),
        other_wallet_no: posting.other.as_ref().map(|(_, wallet_no, _)| *wallet_no),
        reference: posting.reference.clone(),
        reason: posting.reason.clone(),
        made_at: now,
    })
}

/// Makes and changes the lots; returns what each entry did to each.
async fn allocate(
    transaction: &mut Transaction<'_, MySql>,
    postings: &[Posting],
) -> Result<Vec<Allocated>, Error> {
    let (mut allocations, mut made, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for posting in postings {
        let (wallet_no, entry_no) = (posting.wallet.wallet_no, posting.wallet.entries);
        let takes = posting
            .takes
            .iter()
            .map(|taken| (taken.lot_no, -points(taken.amount)));
        let gives = posting
            .gives
            .iter()
            .map(|given| (given.lot_no, points(given.amount)));
        for (lot_no, amount) in takes.chain(gives) {
            changes.push((lot_no, amount));
            allocations.push(Allocated {
                wallet_no,
                entry_no,
                lot_no,
                amount,
            });
        }
        made.extend(posting.makes.iter().map(|lot| store::NewLot {
            wallet_no,
            entry_no,
            in_stead_of: lot.in_stead_of,
            amount: lot.amount,
            expires_at: lot.expires_at,
        }));
    }
    store::change_lots(transaction, &changes).await?;
    let numbers = store::insert_lots(transaction, &made).await?;
    allocations.extend(made.iter().zip(numbers).map(|(lot, lot_no)| Allocated {
        wallet_no: lot.wallet_no,
        entry_no: lot.entry_no,
        lot_no,
        amount: points(lot.amount),
    }));
    Ok(allocations)
}

/// With a sign. No amount is above [`POINTS_MAX`](super::POINTS_MAX).
fn points(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// The row of the entry's event.
fn event(posting: &Posting, entry: &Posted, change: Change<'_>) -> Result<OutboxRow, Error> {
    let wallet = &posting.wallet;
    /// An event of an entry: what all have, and what it has beside that.
    macro_rules! of_entry {
        ($event:ident { $($field:ident $(: $value:expr)?),* $(,)? }) => {
            change.writer.row(
                &$event {
                    wallet_id: wallet.wallet_id,
                    partner_id: wallet.partner_id,
                    user_id: wallet.user_id.as_str().to_owned(),
                    point_key: entry.point_key,
                    amount: entry.amount.abs(),
                    balance: points(entry.balance_after),
                    entry_no: points(entry.entry_no),
                    $($field $(: $value)?,)*
                },
                wallet.last_event,
                change.now,
                change.traceparent.map(str::to_owned),
            )
        };
    }
    let now = Timestamp::from(change.now);
    let expires_at = Timestamp::from(posting.makes.first().map_or(change.now, |lot| lot.expires_at));
    let reference = || {
        entry
            .reference
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let cancels = entry.cancels.unwrap_or(entry.point_key);
    Ok(match entry.kind {
        EntryKind::Earn => of_entry!(PointsAccumulated {
            expires_at,
            reason: entry.reason.clone().unwrap_or_default(),
            accumulated_at: now,
        }),
        EntryKind::Charge => of_entry!(PointsCharged {
            expires_at,
            reference: reference(),
            charged_at: now,
        }),
        EntryKind::Use => of_entry!(PointsUsed {
            reference: reference(),
            used_at: now,
        }),
        EntryKind::CancelUse => of_entry!(PointsUseCancelled {
            cancels,
            cancelled_at: now,
        }),
        EntryKind::CancelEarn => of_entry!(PointsAccumulationCancelled {
            cancels,
            cancelled_at: now,
        }),
        EntryKind::Send | EntryKind::Receive => {
            let (transfer_id, other) = transfer(posting)?;
            of_entry!(PointsTransferred {
                transfer_id,
                direction: if entry.kind == EntryKind::Send {
                    "sent"
                } else {
                    "received"
                }
                .to_owned(),
                other_user_id: other,
                transferred_at: now,
            })
        }
        EntryKind::Expire => of_entry!(PointsExpired { expired_at: now }),
    }?)
}

fn transfer(posting: &Posting) -> Result<(TransferId, String), Error> {
    let other = posting.other.as_ref();
    let named = other.map(|(transfer_id, _, user_id)| (*transfer_id, user_id.to_string()));
    named.ok_or_else(|| Error::Corrupt {
        what: "transfer",
        why: "it has no other side".to_owned(),
    })
}
