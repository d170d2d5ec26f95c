//! Tells that points will expire soon, once: before, while they can still be spent.

use chrono::{DateTime, TimeDelta, Utc};
use headgate_outbox::write::{EventWriter, OutboxRow, Predecessor};
use headgate_schemas::event::Timestamp;
use headgate_schemas::event::points::PointsExpiring;
use sqlx::{MySql, Transaction};

use super::Wallet;
use super::store::{self, Unnoticed};
use crate::{Change, Error};

/// What of a wallet expires within a day after the first of it is told of with it: who earns a little
/// every day hears of it once a day at most.
const TOLD_TOGETHER: TimeDelta = TimeDelta::days(1);

/// Points whose users were told that they expire soon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticedPoints {
    /// Of so many wallets.
    pub wallets: usize,
    /// So many lots.
    pub lots: usize,
}

/// Tells of what expires until `until`, of the wallets of the `lots_max` lots that expire first: an event
/// for each wallet. Wallets that somebody works on are left for the next time. Where no wallet had any,
/// nothing more can be done now.
pub async fn notice_due(
    transaction: &mut Transaction<'_, MySql>,
    change: Change<'_>,
    until: DateTime<Utc>,
    lots_max: u32,
) -> Result<NoticedPoints, Error> {
    let due = store::wallets_unnoticed(transaction, change.now, until, lots_max).await?;
    if due.is_empty() {
        return Ok(NoticedPoints::default());
    }
    let mut wallets = store::lock_free(transaction, &due).await?;
    let locked: Vec<u64> = wallets.iter().map(|wallet| wallet.wallet_no).collect();
    let together = until + TOLD_TOGETHER;
    let lots = store::unnoticed(transaction, &locked, change.now, together, lots_max).await?;
    wallets.retain(|wallet| lots.iter().any(|lot| lot.wallet_no == wallet.wallet_no));
    let rows = tell(change, &mut wallets, &lots)?;
    let numbers: Vec<u64> = lots.iter().map(|lot| lot.lot_no).collect();
    store::notice(transaction, &numbers, change.now).await?;
    store::update_wallets(transaction, &wallets.iter().collect::<Vec<_>>()).await?;
    EventWriter::write(transaction, &rows).await?;
    Ok(NoticedPoints {
        wallets: wallets.len(),
        lots: lots.len(),
    })
}

/// The rows of the events, one for each wallet; they become its last ones.
fn tell(change: Change<'_>, wallets: &mut [Wallet], lots: &[Unnoticed]) -> Result<Vec<OutboxRow>, Error> {
    let mut rows = Vec::with_capacity(wallets.len());
    for wallet in wallets {
        let own = || lots.iter().filter(|lot| lot.wallet_no == wallet.wallet_no);
        let amount: u64 = own().map(|lot| lot.remaining).sum();
        let expires_at = own().map(|lot| lot.expires_at).min().unwrap_or(change.now);
        let event = PointsExpiring {
            wallet_id: wallet.wallet_id,
            partner_id: wallet.partner_id,
            user_id: wallet.user_id.as_str().to_owned(),
            amount: i64::try_from(amount).unwrap_or(i64::MAX),
            expires_at: Timestamp::from(expires_at),
            balance: i64::try_from(wallet.balance).unwrap_or(i64::MAX),
            noticed_at: Timestamp::from(change.now),
        };
        let traceparent = change.traceparent.map(str::to_owned);
        let row = change
            .writer
            .row(&event, wallet.last_event, change.now, traceparent)?;
        wallet.last_event = Predecessor {
            sequence: row.sequence,
            outbox_id: row.id,
        };
        rows.push(row);
    }
    Ok(rows)
}
