//! Published events: is the one before each there, and what has each group made of it?

use std::collections::{HashMap, HashSet};

use chrono::Days;
use headgate_dead_letters::park;
use headgate_outbox::archive::Position;
use headgate_outbox::bucket::Bucket;
use headgate_outbox::inbox::InboxState;
use headgate_outbox::ledger::{self, Entry, Place as OutboxPlace};
use headgate_schemas::ids::EventId;
use sqlx::{MySql, Transaction};

use super::cursor::Cursor;
use super::finding::{Example, Finding, Kind};
use super::ground::Ground;
use super::tally::Tally;
use crate::Error;
use crate::passed::{Passing, Place, Whereabouts};

type Snapshot<'t, 'c> = &'t mut Transaction<'c, MySql>;

/// Judges a page of the archive, all in one snapshot.
pub(super) async fn judge(
    snapshot: Snapshot<'_, '_>,
    ground: &Ground,
    entries: &[Entry],
    tally: &mut Tally,
) -> Result<(), Error> {
    tally.looked_at += entries.len() as u64;
    for entry in entries {
        tally.publish(&entry.topic);
    }
    miss_predecessors(snapshot, ground, entries, tally).await?;
    for place in &ground.places {
        judge_group(snapshot, place, entries, tally).await?;
    }
    Ok(())
}

/// An event of an aggregate is published only behind the one before it, which it names.
async fn miss_predecessors(
    snapshot: Snapshot<'_, '_>,
    ground: &Ground,
    entries: &[Entry],
    tally: &mut Tally,
) -> Result<(), Error> {
    let named: Vec<(&Entry, OutboxPlace)> = entries
        .iter()
        .filter(|entry| entry.sequence > 1 && entry.after_id > 0 && ground.is_kept(entry.after_id))
        .map(|entry| (entry, (Bucket::of(&entry.aggregate_id), entry.after_id)))
        .collect();
    let places: Vec<OutboxPlace> = named.iter().map(|(_, place)| *place).collect();
    // One day more: it may have begun since.
    let until = ground.today() + Days::new(1);
    let known = ledger::known(snapshot, &places, until).await?;
    for (entry, place) in named {
        if !known.contains(&place) {
            let example = Example {
                key: Some(entry.aggregate_id.clone()),
                sequence: Some(entry.sequence - 1),
                topic: Some(entry.topic.clone()),
                detail: format!(
                    "event {} (sequence {}) came after it; it had outbox id {}",
                    entry.event_id, entry.sequence, entry.after_id
                ),
                ..Example::default()
            };
            tally.lose(&entry.topic, finding(Kind::OutboxLost, example, entry));
        }
    }
    Ok(())
}

async fn judge_group(
    snapshot: Snapshot<'_, '_>,
    place: &Place,
    entries: &[Entry],
    tally: &mut Tally,
) -> Result<(), Error> {
    let group = place.group;
    let read: Vec<&Entry> = entries.iter().filter(|entry| place.reads(&entry.topic)).collect();
    let passing: Vec<Passing<'_>> = read.iter().map(|entry| Passing::from(*entry)).collect();
    let found = place.whereabouts(snapshot, &passing).await?;
    let (mut applied, mut held) = (Vec::new(), Vec::new());
    for (entry, whereabouts) in read.iter().copied().zip(found) {
        tally.arrive(group.name(), &entry.topic, whereabouts);
        match whereabouts {
            Whereabouts::Settled(InboxState::Applied) => applied.push(entry),
            Whereabouts::Settled(state @ (InboxState::Dead | InboxState::Parked)) => {
                held.push((entry, state));
            }
            Whereabouts::PassedBy => {
                let detail = "the group's place is behind it, its inbox does not have it".to_owned();
                tally
                    .findings
                    .push(of_group(Kind::PassedBy, place, entry, detail));
            }
            _ => {}
        }
    }
    miss_effects(snapshot, place, &applied, tally).await?;
    miss_letters(snapshot, place, &held, tally).await
}

async fn miss_effects(
    snapshot: Snapshot<'_, '_>,
    place: &Place,
    applied: &[&Entry],
    tally: &mut Tally,
) -> Result<(), Error> {
    let events: Vec<(EventId, &str)> = applied
        .iter()
        .map(|entry| (entry.event_id, entry.aggregate_id.as_str()))
        .collect();
    let without: HashSet<EventId> = place
        .group
        .without_effect(snapshot, &events)
        .await?
        .into_iter()
        .collect();
    for entry in applied.iter().filter(|entry| without.contains(&entry.event_id)) {
        let detail = "the inbox says applied, what that made is not there".to_owned();
        tally
            .findings
            .push(of_group(Kind::WithoutEffect, place, entry, detail));
    }
    Ok(())
}

/// What the inbox says is dead or parked has a letter that says so too.
async fn miss_letters(
    snapshot: Snapshot<'_, '_>,
    place: &Place,
    held: &[(&Entry, InboxState)],
    tally: &mut Tally,
) -> Result<(), Error> {
    let events: Vec<EventId> = held.iter().map(|(entry, _)| entry.event_id).collect();
    let expected: HashMap<EventId, InboxState> = park::known(snapshot, place.group_no, &events).await?;
    for (entry, state) in held {
        let expected = expected.get(&entry.event_id);
        if expected != Some(state) {
            let detail = match expected {
                None => format!("the inbox says {state:?}, there is no letter").to_lowercase(),
                Some(expected) => {
                    format!("the inbox says {state:?}, by its letter it is {expected:?}").to_lowercase()
                }
            };
            tally
                .findings
                .push(of_group(Kind::LetterDisagrees, place, entry, detail));
        }
    }
    Ok(())
}

fn of_group(kind: Kind, place: &Place, entry: &Entry, detail: String) -> Finding {
    let example = Example {
        group: Some(place.group.name().to_owned()),
        detail,
        ..example(entry)
    };
    finding(kind, example, entry)
}

/// A published event, as differences show it.
pub(super) fn example(entry: &Entry) -> Example {
    Example {
        event_id: Some(entry.event_id),
        key: Some(entry.aggregate_id.clone()),
        sequence: Some(entry.sequence),
        topic: Some(entry.topic.clone()),
        partition: Some(entry.partition),
        offset: Some(entry.offset),
        ..Example::default()
    }
}

/// What was found at an entry.
pub(super) fn finding(kind: Kind, example: Example, entry: &Entry) -> Finding {
    let before = Position {
        id: entry.position.id - 1,
        ..entry.position
    };
    Finding {
        kind,
        example,
        at: Cursor::Archive(before),
    }
}

impl<'e> From<&'e Entry> for Passing<'e> {
    fn from(entry: &'e Entry) -> Self {
        Self {
            event_id: entry.event_id,
            event_type: &entry.event_type,
            topic: &entry.topic,
            partition: entry.partition,
            offset: entry.offset,
        }
    }
}
