//! A walk along the pipe, a step at a time. Each step judges one page in one snapshot, so
//! that nothing that is committed meanwhile looks like a difference.

use headgate_outbox::ledger::{self, Entry};
use headgate_runtime::mysql;
use sqlx::{MySql, Transaction};

use super::committed;
use super::cursor::{Cursor, Plan};
use super::finding::{Example, Finding, Kind};
use super::ground::Ground;
use super::published;
use super::records::{self, Proof};
use super::tally::Tally;
use crate::Error;
use crate::state::Servers;

/// Rows that are looked at together.
pub(super) const ROWS_AT_ONCE: u32 = 500;

/// Looks at the next rows behind `cursor`, at most `limit`. Returns what it saw and where to
/// go on; `None` at the end.
pub(super) async fn step(
    servers: &Servers,
    ground: &mut Ground,
    plan: &Plan,
    cursor: Cursor,
    limit: u32,
    proof: &mut Proof,
) -> Result<(Tally, Option<Cursor>), Error> {
    let mut tally = Tally::default();
    let mut connection = servers.pool.acquire().await?;
    let mut snapshot = mysql::snapshot(&mut connection).await?;
    let judged = judge(&mut snapshot, ground, plan, cursor, limit, &mut tally).await;
    snapshot.rollback().await?;
    drop(connection);
    let (entries, next) = judged?;
    miss_records(servers, ground, &entries, proof, &mut tally).await?;
    Ok((tally, next))
}

/// Everything that MySQL tells. Returns the published events of the page, and where to go on.
async fn judge(
    snapshot: &mut Transaction<'_, MySql>,
    ground: &Ground,
    plan: &Plan,
    cursor: Cursor,
    limit: u32,
    tally: &mut Tally,
) -> Result<(Vec<Entry>, Option<Cursor>), Error> {
    let mut entries = Vec::new();
    let next = match cursor {
        Cursor::Archive(position) => {
            entries = ledger::entries(&mut **snapshot, &ground.topics, position, limit).await?;
            published::judge(snapshot, ground, &entries, tally).await?;
            let is_full = u32::try_from(entries.len()).is_ok_and(|rows| rows >= limit);
            match entries.last().filter(|_| is_full) {
                Some(last) => Some(Cursor::Archive(last.position)),
                None => plan.next_bucket(position, ground.today()),
            }
        }
        Cursor::Letters(group, after) => {
            committed::judge_letters(snapshot, ground, (group, after), limit, tally).await?
        }
        _ => committed::judge(snapshot, ground, cursor, limit, tally).await?,
    };
    let next = next.or_else(|| plan.next_stage(cursor, ground.places.len()));
    Ok((entries, next))
}

/// Compares published events with Kafka: each with where its partition ends, and some, or all,
/// with the record.
async fn miss_records(
    servers: &Servers,
    ground: &mut Ground,
    entries: &[Entry],
    proof: &mut Proof,
    tally: &mut Tally,
) -> Result<(), Error> {
    let is_beyond =
        |ground: &Ground, entry: &Entry| ground.is_beyond(&entry.topic, entry.partition, entry.offset);
    // The archive was read after the ends, and may be ahead of them.
    if entries.iter().any(|entry| is_beyond(ground, entry)) {
        ground.read_ends(servers).await?;
    }
    for entry in entries.iter().filter(|entry| is_beyond(ground, entry)) {
        let detail = "the partition ends before it".to_owned();
        tally.findings.push(missing(entry, detail));
    }
    let chosen: Vec<&Entry> = proof
        .choose(entries)
        .iter()
        .filter(|entry| !is_beyond(ground, entry))
        .filter(|entry| !ground.is_dropped(&entry.topic, entry.partition, entry.offset))
        .collect();
    let strange = records::strange(&servers.kafka, &chosen).await?;
    if strange.is_empty() {
        return Ok(());
    }
    // Kafka's retention may have passed it meanwhile.
    ground.read_ends(servers).await?;
    for (entry, instead) in strange {
        if !ground.is_dropped(&entry.topic, entry.partition, entry.offset) {
            let detail = match instead {
                Some(event_id) => format!("event {event_id} lies there"),
                None => "no event lies there".to_owned(),
            };
            tally.findings.push(missing(entry, detail));
        }
    }
    Ok(())
}

fn missing(entry: &Entry, detail: String) -> Finding {
    let example = Example {
        detail,
        ..published::example(entry)
    };
    published::finding(Kind::RecordMissing, example, entry)
}
