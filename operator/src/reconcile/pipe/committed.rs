//! What business rows say was committed, and what letters say was set aside.

use chrono::Days;
use headgate_dead_letters::store::unsettled;
use headgate_domain::{LastEvent, campaigns, claims, coupons, points};
use headgate_outbox::bucket::Bucket;
use headgate_outbox::ledger::{self, Place as OutboxPlace};
use headgate_schemas::ids::{ClaimId, DeadLetterId, EventId};
use headgate_schemas::topics::{COUPONS, POINTS};
use sqlx::{MySql, Transaction};

use super::cursor::{Cursor, below};
use super::finding::{Example, Finding, Kind};
use super::ground::Ground;
use super::tally::Tally;
use crate::Error;

type Snapshot<'t, 'c> = &'t mut Transaction<'c, MySql>;

/// The next rows behind a cursor, of whatever aggregate. Returns where the last one lies if
/// there may be more.
pub(super) async fn judge(
    snapshot: Snapshot<'_, '_>,
    ground: &Ground,
    cursor: Cursor,
    limit: u32,
    tally: &mut Tally,
) -> Result<Option<Cursor>, Error> {
    let rows: Vec<(Cursor, LastEvent<Cursor>)> = match cursor {
        Cursor::Claims(after) => {
            let rows = claims::store::last::of_claims(&mut **snapshot, after, limit).await?;
            placed(rows, Cursor::Claims)
        }
        Cursor::Coupons(after) => {
            let rows = coupons::store::last_events(&mut **snapshot, after, limit).await?;
            placed(rows, Cursor::Coupons)
        }
        Cursor::Released(after) => {
            let rows = claims::store::last::of_released(&mut **snapshot, after, limit).await?;
            placed(rows, Cursor::Released)
        }
        Cursor::Campaigns(after) => campaigns::store::last_events(&mut **snapshot, after, limit)
            .await?
            .into_iter()
            .map(|row| {
                let before = Cursor::Campaigns(row.row - 1);
                (Cursor::Campaigns(row.row), at(row, before))
            })
            .collect(),
        Cursor::Wallets(after) => points::store::last_events(&mut **snapshot, after, limit)
            .await?
            .into_iter()
            .map(|row| {
                let before = Cursor::Wallets(row.row - 1);
                (Cursor::Wallets(row.row), at(row, before))
            })
            .collect(),
        Cursor::Archive(_) | Cursor::Letters(..) => Vec::new(),
    };
    tally.looked_at += rows.len() as u64;
    let next = is_full(rows.len(), limit).then(|| rows.last().map(|(place, _)| *place));
    miss_last_events(snapshot, ground, rows.into_iter().map(|(_, row)| row), tally).await?;
    Ok(next.flatten())
}

/// The rows, each with its own cursor and the one before it.
fn placed(rows: Vec<LastEvent<ClaimId>>, stage: fn(ClaimId) -> Cursor) -> Vec<(Cursor, LastEvent<Cursor>)> {
    rows.into_iter()
        .map(|row| {
            let before = stage(ClaimId::from_bytes(below(*row.row.as_bytes())));
            (stage(row.row), at(row, before))
        })
        .collect()
}

fn at<R>(row: LastEvent<R>, before: Cursor) -> LastEvent<Cursor> {
    LastEvent {
        row: before,
        aggregate_id: row.aggregate_id,
        last: row.last,
    }
}

fn is_full(rows: usize, limit: u32) -> bool {
    u32::try_from(rows).is_ok_and(|rows| rows >= limit)
}

/// The last event that each row tells of must be somewhere.
async fn miss_last_events(
    snapshot: Snapshot<'_, '_>,
    ground: &Ground,
    rows: impl Iterator<Item = LastEvent<Cursor>>,
    tally: &mut Tally,
) -> Result<(), Error> {
    let told: Vec<_> = rows
        .filter_map(|row| {
            let last = row.last.filter(|last| ground.is_kept(last.outbox_id))?;
            let place: OutboxPlace = (Bucket::of(&row.aggregate_id), last.outbox_id);
            Some((row, last, place))
        })
        .collect();
    let places: Vec<OutboxPlace> = told.iter().map(|(_, _, place)| *place).collect();
    // One day more: it may have begun since.
    let known = ledger::known(snapshot, &places, ground.today() + Days::new(1)).await?;
    for (row, last, place) in told {
        if known.contains(&place) {
            continue;
        }
        let topic = ground.named(match row.row {
            Cursor::Wallets(_) => &POINTS,
            _ => &COUPONS,
        });
        let example = Example {
            key: Some(row.aggregate_id),
            sequence: Some(last.sequence),
            topic: Some(topic.clone()),
            detail: format!("its row tells of it; it had outbox id {}", last.outbox_id),
            ..Example::default()
        };
        let finding = Finding {
            kind: Kind::OutboxLost,
            example,
            at: row.row,
        };
        tally.lose(&topic, finding);
    }
    Ok(())
}

/// Unsettled letters of a group: the inbox must say of their events what they say. Returns
/// where the last one lies if there may be more.
pub(super) async fn judge_letters(
    snapshot: Snapshot<'_, '_>,
    ground: &Ground,
    (group, after): (u16, DeadLetterId),
    limit: u32,
    tally: &mut Tally,
) -> Result<Option<Cursor>, Error> {
    let Some(place) = ground.places.get(usize::from(group)) else {
        return Ok(None);
    };
    let letters = unsettled(snapshot, place.group_no, after, limit).await?;
    tally.looked_at += letters.len() as u64;
    let next = is_full(letters.len(), limit).then(|| letters.last().map(|letter| letter.letter_id));
    let events: Vec<EventId> = letters.iter().map(|letter| letter.event_id).collect();
    let found = place.settled(snapshot, &events).await?;
    for letter in letters {
        let said = found.get(&letter.event_id);
        let is_forgotten = said.is_none() && !place.remembers(letter.event_id);
        if said == Some(&letter.expected) || is_forgotten {
            continue;
        }
        let said = said.map_or_else(
            || "nothing".to_owned(),
            |state| format!("{state:?}").to_lowercase(),
        );
        let expected = format!("{:?}", letter.expected).to_lowercase();
        let example = Example {
            event_id: Some(letter.event_id),
            group: Some(place.group.name().to_owned()),
            letter_id: Some(letter.letter_id),
            topic: Some(letter.topic),
            partition: Some(letter.partition),
            offset: Some(letter.offset),
            detail: format!("the inbox says {said}, by its letter it is {expected}"),
            ..Example::default()
        };
        let before = DeadLetterId::from_bytes(below(*letter.letter_id.as_bytes()));
        tally.findings.push(Finding {
            kind: Kind::LetterDisagrees,
            example,
            at: Cursor::Letters(group, before),
        });
    }
    Ok(next.flatten().map(|letter_id| Cursor::Letters(group, letter_id)))
}
