//! G9 and T6: what comes later under the key of a dead letter waits behind it and goes in
//! order; other keys flow.

mod bounds;
mod order;
mod release;
mod stream;

use headgate_dead_letters::replay;
use headgate_groups::{Context, DeadEvent, Group};
use headgate_schemas::ids::{ClaimId, DeadLetterId, EventId};
use headgate_schemas::topics::COUPONS;
use sqlx::Row;

use crate::support::campaign::Admitted;
use crate::support::{GROUP, Outgoing, Pipe};

const ACTOR: &str = "kim";
/// The partition that the tests' records are written to.
const PARTITION: i32 = 1;

/// A letter as these tests look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub letter_id: DeadLetterId,
    pub event_id: EventId,
    disposition: String,
    state: String,
    inbox: String,
}

/// The letters of a key, in the order in which they were buried.
pub async fn letters(pipe: &Pipe, key: &str) -> Vec<Seen> {
    let rows = sqlx::query(
        "SELECT l.letter_id, l.event_id, CAST(l.disposition AS CHAR) AS disposition,
             CAST(l.state AS CHAR) AS state, CAST(i.state AS CHAR) AS inbox
         FROM dead_letters l LEFT JOIN inbox i USING (group_no, event_id, event_day)
         WHERE l.record_key = ? ORDER BY l.letter_no",
    )
    .bind(key.as_bytes())
    .fetch_all(pipe.environment.pool())
    .await
    .expect("letters");
    rows.iter()
        .map(|row| Seen {
            letter_id: row.get("letter_id"),
            event_id: row.get("event_id"),
            disposition: row.get("disposition"),
            state: row.get("state"),
            inbox: row.get("inbox"),
        })
        .collect()
}

/// Disposition, state and inbox of each letter of a key.
pub async fn standing(pipe: &Pipe, key: &str) -> Vec<(String, String, String)> {
    let letters = letters(pipe, key).await;
    letters
        .into_iter()
        .map(|seen| (seen.disposition, seen.state, seen.inbox))
        .collect()
}

pub fn is(disposition: &str, state: &str, inbox: &str) -> (String, String, String) {
    (disposition.to_owned(), state.to_owned(), inbox.to_owned())
}

/// The record of a claim under a key of the test's choice.
pub fn under(pipe: &Pipe, key: &str, admitted: &Admitted) -> Outgoing {
    Outgoing {
        key: Some(key.as_bytes().to_vec()),
        ..pipe.record(admitted)
    }
    .at_partition(PARTITION)
}

/// A record that nobody can read.
fn junk(key: &str) -> Outgoing {
    let name = "io.headgate.coupons.ClaimAdmitted";
    Outgoing::of_event(EventId::generate(), name, key, b"junk".to_vec()).at_partition(PARTITION)
}

/// Takes a claim's row away, or brings it back: the group rejects its event meanwhile.
pub async fn turn(pipe: &Pipe, claim_id: ClaimId) {
    let mut reversed = *claim_id.as_uuid().as_bytes();
    reversed.reverse();
    let turned = sqlx::query("UPDATE claims SET claim_id = REVERSE(claim_id) WHERE claim_id IN (?, ?)")
        .bind(claim_id.as_uuid().as_bytes().as_slice())
        .bind(reversed.as_slice())
        .execute(pipe.environment.pool())
        .await
        .expect("an update");
    assert_eq!(turned.rows_affected(), 1);
}

/// The claims that were issued, in the order in which it was said.
pub async fn issued(pipe: &Pipe) -> Vec<String> {
    let rows = sqlx::query(
        "SELECT CAST(aggregate_id AS CHAR) AS claim FROM outbox
         WHERE event_type LIKE '%.ClaimIssued' AND raw_headers IS NULL ORDER BY id",
    )
    .fetch_all(pipe.environment.pool())
    .await
    .expect("the outbox");
    rows.iter().map(|row| row.get("claim")).collect()
}

pub fn ids(admitted: &[Admitted]) -> Vec<String> {
    admitted
        .iter()
        .map(|admitted| admitted.claim.claim_id.to_string())
        .collect()
}

async fn send_again(pipe: &Pipe, letter_id: DeadLetterId) {
    replay::replay(pipe.environment.pool(), &pipe.writer, letter_id, ACTOR)
        .await
        .expect("the letter can be replayed");
    pipe.relay(&pipe.names.retry(&COUPONS, GROUP)).await;
    pipe.caught_up().await;
}

async fn give_up(pipe: &Pipe, letter_id: DeadLetterId) {
    discard(pipe, letter_id).await;
    pipe.relay(&pipe.names.retry(&COUPONS, GROUP)).await;
    pipe.caught_up().await;
}

/// Discards a letter; the request to release what waits behind it stays in the outbox.
async fn discard(pipe: &Pipe, letter_id: DeadLetterId) {
    let pool = pipe.environment.pool();
    let mut discarding =
        headgate_dead_letters::discard::begin(pool, &pipe.writer, letter_id, ACTOR, "cannot be mended")
            .await
            .expect("the letter is open");
    let context = Context::new(pipe.writer.clone(), chrono::Utc::now());
    let (letter, transaction) = discarding.parts();
    let event = DeadEvent::new(
        letter.summary.event_type.as_deref(),
        letter.key.as_deref(),
        &letter.headers,
    );
    Group::CouponIssuance
        .discard(transaction, &context, &event, ACTOR, "cannot be mended")
        .await
        .expect("the terminal action");
    discarding.commit().await.expect("a commit");
}
