//! Letters that are sent together: they share a transaction, and each still ends as if it had
//! been sent alone.

use std::collections::BTreeMap;

use headgate_dead_letters::LetterState;
use headgate_schemas::ids::{DeadLetterId, EventId};
use headgate_testkit::topic;
use sqlx::Row;

use crate::parking::{ids, is, issued, letters, standing, turn, under};
use crate::replay::{rename, retry_records, retry_topic, send_again, show};
use crate::support::campaign::Admitted;
use crate::support::{GROUP, Pipe, tables};

/// Letters of a test: enough that a runner that takes them one by one stands out.
const LETTERS: i32 = 40;
/// Of them that share a transaction at the least, all in all: the first of a partition may go
/// alone while the others arrive.
const TRANSACTIONS_MAX: i64 = 20;

/// Claims whose events were rejected, with a letter each, and nobody at work.
async fn rejected(pipe: &Pipe) -> Vec<(Admitted, DeadLetterId)> {
    let campaign = pipe.campaign(1_000).await;
    let admitted = pipe.admit(&campaign, 1..=LETTERS).await;
    for claim in &admitted {
        turn(pipe, claim.claim.claim_id).await;
    }
    let running = pipe.start().await;
    pipe.publish(&pipe.records(&admitted)).await;
    pipe.caught_up().await;
    running.stop().await;
    let rows = sqlx::query("SELECT event_id, letter_id FROM dead_letters")
        .fetch_all(pipe.environment.pool())
        .await
        .expect("letters");
    let by_event: BTreeMap<EventId, DeadLetterId> = rows
        .iter()
        .map(|row| (row.get("event_id"), row.get("letter_id")))
        .collect();
    let with_letter = |claim: Admitted| {
        let letter = by_event[&claim.event_id];
        (claim, letter)
    };
    admitted.into_iter().map(with_letter).collect()
}

async fn mend<'r>(pipe: &Pipe, rejected: impl IntoIterator<Item = &'r (Admitted, DeadLetterId)>) {
    for (claim, _) in rejected {
        turn(pipe, claim.claim.claim_id).await;
    }
}

async fn send_all(pipe: &Pipe, rejected: &[(Admitted, DeadLetterId)]) {
    for (_, letter_id) in rejected {
        send_again(pipe, *letter_id).await;
    }
}

/// In how many transactions letters were settled: a statement has one time.
async fn transactions(pipe: &Pipe) -> i64 {
    let distinct = "SELECT COUNT(DISTINCT closed_at) FROM dead_letters";
    sqlx::query_scalar(distinct)
        .fetch_one(pipe.environment.pool())
        .await
        .expect("letters")
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_letters_that_come_together_are_applied_in_one_transaction() {
    let pipe = Pipe::new("together").await;
    let pool = pipe.environment.pool();
    let rejected = rejected(&pipe).await;
    mend(&pipe, &rejected).await;
    send_all(&pipe, &rejected).await;
    pipe.relay(&retry_topic(&pipe)).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    for (_, letter_id) in &rejected {
        let letter = show(&pipe, *letter_id).await;
        assert_eq!(letter.summary.state, LetterState::Resolved);
        let last = letter.history.last().expect("a history");
        assert_eq!(
            (last.action.as_str(), last.actor.as_str(), last.detail.as_deref()),
            ("resolved", GROUP, Some("attempt 1"))
        );
    }
    assert_eq!(tables::count(pool, "coupons").await, i64::from(LETTERS));
    assert_eq!(
        tables::count(pool, "inbox WHERE state = 'applied'").await,
        i64::from(LETTERS)
    );
    let transactions = transactions(&pipe).await;
    assert!(
        transactions <= TRANSACTIONS_MAX,
        "{LETTERS} letters in {transactions} transactions"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_of_letters_that_come_together_only_those_that_fail_return() {
    let pipe = Pipe::new("together_fail").await;
    let pool = pipe.environment.pool();
    let rejected = rejected(&pipe).await;
    let is_mended = |number: usize| number % 9 != 4;
    let mended = rejected
        .iter()
        .enumerate()
        .filter(|(number, _)| is_mended(*number));
    mend(&pipe, mended.map(|(_, one)| one)).await;
    send_all(&pipe, &rejected).await;
    pipe.relay(&retry_topic(&pipe)).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    for (number, (_, letter_id)) in rejected.iter().enumerate() {
        let letter = show(&pipe, *letter_id).await;
        let (state, tried) = if is_mended(number) {
            (LetterState::Resolved, 1)
        } else {
            (LetterState::Open, 2)
        };
        let history: Vec<&str> = letter.history.iter().map(|line| line.action.as_str()).collect();
        assert_eq!(
            (letter.summary.state, letter.summary.attempts),
            (state, tried),
            "letter {number}: {history:?}"
        );
    }
    let failing = (0..rejected.len()).filter(|number| !is_mended(*number)).count();
    let failing = i64::try_from(failing).expect("a few");
    assert_eq!(tables::count(pool, "coupons").await, i64::from(LETTERS) - failing);
    assert_eq!(tables::count(pool, "inbox WHERE state = 'dead'").await, failing);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t21_of_letters_that_come_together_only_current_attempts_are_applied() {
    let pipe = Pipe::new("together_stale").await;
    let pool = pipe.environment.pool();
    let rejected = rejected(&pipe).await;
    mend(&pipe, &rejected).await;
    send_all(&pipe, &rejected).await;
    // Half of the first attempts are on their way for so long that they are sent anew; both come.
    let overdue = &rejected[..rejected.len() / 2];
    for (_, letter_id) in overdue {
        sqlx::query("UPDATE dead_letters SET replay_deadline = UTC_TIMESTAMP(6) WHERE letter_id = ?")
            .bind(letter_id)
            .execute(pool)
            .await
            .expect("an update");
    }
    let retry = retry_topic(&pipe);
    rename(&pipe, &retry, "first").await;
    send_all(&pipe, overdue).await;
    rename(&pipe, &retry, "second").await;
    // The old ones last.
    for topic in ["second", "first"] {
        rename(&pipe, topic, &retry).await;
        pipe.relay(&retry).await;
    }
    // And each record a second time.
    let records = retry_records(&pipe).await;
    assert_eq!(records.len(), rejected.len() + overdue.len());
    topic::write_all(pipe.environment.kafka_bootstrap(), &records).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    for (number, (_, letter_id)) in rejected.iter().enumerate() {
        let letter = show(&pipe, *letter_id).await;
        let attempt = if number < overdue.len() { 2 } else { 1 };
        let resolved = letter.history.iter().filter(|line| line.action == "resolved");
        let details: Vec<&str> = resolved.filter_map(|line| line.detail.as_deref()).collect();
        assert_eq!(details, [format!("attempt {attempt}")], "letter {number}");
    }
    assert_eq!(tables::count(pool, "coupons").await, i64::from(LETTERS));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_letters_that_come_together_take_their_followers_along() {
    let pipe = Pipe::new("together_behind").await;
    let campaign = pipe.campaign(1_000).await;
    let keys: Vec<String> = (0..8).map(|key| format!("key-{key}")).collect();
    let admitted = pipe.admit(&campaign, 1..=24).await;
    let of_key = |key: usize| &admitted[key * 3..key * 3 + 3];
    let running = pipe.start().await;
    for key in 0..keys.len() {
        turn(&pipe, of_key(key)[0].claim.claim_id).await;
    }
    for (key, name) in keys.iter().enumerate() {
        let records: Vec<_> = of_key(key)
            .iter()
            .map(|claim| under(&pipe, name, claim))
            .collect();
        pipe.publish(&records).await;
    }
    pipe.caught_up().await;
    running.stop().await;
    for (key, name) in keys.iter().enumerate() {
        turn(&pipe, of_key(key)[0].claim.claim_id).await;
        let head = letters(&pipe, name).await[0].letter_id;
        send_again(&pipe, head).await;
    }
    pipe.relay(&retry_topic(&pipe)).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    let said = issued(&pipe).await;
    assert_eq!(said.len(), admitted.len());
    for (key, name) in keys.iter().enumerate() {
        let mut settled = vec![is("rejected", "resolved", "applied")];
        settled.extend((0..2).map(|_| is("parked", "resolved", "applied")));
        assert_eq!(standing(&pipe, name).await, settled);
        let own = ids(of_key(key));
        let in_order: Vec<&String> = said.iter().filter(|claim| own.contains(claim)).collect();
        assert_eq!(in_order, own.iter().collect::<Vec<_>>(), "{name}");
    }
    running.stop().await;
}
