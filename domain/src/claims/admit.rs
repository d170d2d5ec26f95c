//! Making reservations durable: claims and their events in one transaction.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use headgate_outbox::write::{EventWriter, Predecessor};
use headgate_schemas::event::coupons::ClaimAdmitted;
use sqlx::{MySql, Transaction};

use super::{Reservation, store};
use crate::Error;

/// What a campaign says of admission at the moment of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Tickets above it are refused.
    pub quota: u32,
    /// Whether its state lets claims in.
    pub passable: bool,
    /// Reservations of another epoch are refused: whoever raises it waits for the
    /// transactions that hold this row, so it is an exact border between two orders.
    pub epoch: u32,
    /// Whether Redis hands out the tickets in this epoch.
    pub by_redis: bool,
}

impl Gate {
    /// Whether a reservation made in Redis may become a claim.
    pub fn lets_in(&self, reservation: &Reservation) -> bool {
        self.passable && self.is_of(reservation) && reservation.ticket.get() <= self.quota
    }

    /// Whether the reservation was made in this epoch.
    pub fn is_of(&self, reservation: &Reservation) -> bool {
        self.by_redis && reservation.epoch.get() == self.epoch
    }
}

/// The campaigns that `reservations` name, locked FOR SHARE until the transaction
/// ends: whoever pauses, ends or enlarges one waits, and so nothing is admitted
/// against a state that is no more.
pub async fn lock_gates(
    transaction: &mut Transaction<'_, MySql>,
    reservations: &[&Reservation],
) -> Result<HashMap<u32, Gate>, Error> {
    let mut campaigns: Vec<u32> = reservations
        .iter()
        .map(|reservation| reservation.campaign_no)
        .collect();
    campaigns.sort_unstable();
    campaigns.dedup();
    Ok(store::lock_gates_for_share(transaction, &campaigns).await?)
}

/// Inserts claims and their events. The reservations must have passed their gates.
/// A ticket or user that is taken fails the whole batch with a duplicate.
pub async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    writer: &EventWriter,
    reservations: &[&Reservation],
    gates: &HashMap<u32, Gate>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut rows = Vec::with_capacity(reservations.len());
    for reservation in reservations {
        let quota = gates.get(&reservation.campaign_no).map_or(0, |gate| gate.quota);
        let event = event(reservation, quota, now);
        rows.push(writer.row(
            &event,
            Predecessor::default(),
            now,
            reservation.traceparent.clone(),
        )?);
    }
    let claims: Vec<_> = reservations
        .iter()
        .copied()
        .zip(rows.iter().map(|row| row.id))
        .collect();
    store::insert(transaction, &claims, now).await?;
    // In the order of the clustered index: neighbours share a page.
    rows.sort_unstable_by_key(|row| (row.bucket, row.id));
    EventWriter::write(transaction, &rows).await?;
    Ok(())
}

fn event(reservation: &Reservation, quota: u32, now: DateTime<Utc>) -> ClaimAdmitted {
    ClaimAdmitted {
        claim_id: reservation.claim_id,
        campaign_id: reservation.campaign_id,
        partner_id: reservation.partner_id,
        user_id: reservation.user_id.as_str().to_owned(),
        ticket: reservation.ticket.get().cast_signed(),
        admission_epoch: reservation.epoch.get().cast_signed(),
        sequence: reservation.sequence.cast_signed(),
        quota: quota.cast_signed(),
        stock_left: reservation.stock_left.cast_signed(),
        admitted_at: now.into(),
    }
}
