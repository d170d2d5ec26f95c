//! Replay and discard: a letter is applied once, by its current attempt alone, and
//! whatever is done with it is written down.

use headgate_dead_letters::{Error, Letter, LetterFilter, LetterState, Slice, discard, replay, store};
use headgate_groups::{Context, DeadEvent, Group, TerminalAction};
use headgate_outbox::audit;
use headgate_schemas::ids::DeadLetterId;
use headgate_schemas::topics::COUPONS;
use headgate_testkit::topic::{self, Record};

use crate::support::campaign::{Admitted, Campaign};
use crate::support::{GROUP, Pipe, tables};

pub const ACTOR: &str = "kim";

/// A campaign and a claim whose event was rejected, because its row was not there.
pub async fn rejected(pipe: &Pipe) -> (Campaign, Admitted, DeadLetterId) {
    let campaign = pipe.campaign(10).await;
    let admitted = pipe.admit(&campaign, [1]).await.remove(0);
    hide(pipe, &campaign).await;
    pipe.publish([&pipe.record(&admitted)]).await;
    pipe.caught_up().await;
    let page = store::list(
        pipe.environment.pool(),
        &LetterFilter::default(),
        Slice::default(),
    )
    .await
    .expect("a list");
    (campaign, admitted, page.items[0].letter_id)
}

/// Takes the claims' rows away: what the group sees when it looks too early.
async fn hide(pipe: &Pipe, campaign: &Campaign) {
    move_claims(pipe, campaign.campaign_no, campaign.campaign_no + 1_000).await;
    // The id is what the group looks by.
    sqlx::query("UPDATE claims SET claim_id = REVERSE(claim_id)")
        .execute(pipe.environment.pool())
        .await
        .expect("an update");
}

/// Brings them back: the cause of the rejection is mended.
pub async fn mend(pipe: &Pipe, campaign: &Campaign) {
    sqlx::query("UPDATE claims SET claim_id = REVERSE(claim_id)")
        .execute(pipe.environment.pool())
        .await
        .expect("an update");
    move_claims(pipe, campaign.campaign_no + 1_000, campaign.campaign_no).await;
}

async fn move_claims(pipe: &Pipe, from: u32, to: u32) {
    sqlx::query("UPDATE claims SET campaign_no = ? WHERE campaign_no = ?")
        .bind(to)
        .bind(from)
        .execute(pipe.environment.pool())
        .await
        .expect("an update");
}

pub async fn show(pipe: &Pipe, letter_id: DeadLetterId) -> Letter {
    store::show(pipe.environment.pool(), letter_id)
        .await
        .expect("a letter")
}

/// The letter once its replay is settled, which is before its offset is committed.
pub async fn settled(pipe: &Pipe, letter_id: DeadLetterId, state: LetterState) -> Letter {
    pipe.caught_up().await;
    let letter = show(pipe, letter_id).await;
    assert_eq!(letter.summary.state, state);
    letter
}

pub fn retry_topic(pipe: &Pipe) -> String {
    pipe.names.retry(&COUPONS, GROUP)
}

pub async fn send_again(pipe: &Pipe, letter_id: DeadLetterId) -> u32 {
    replay::replay(pipe.environment.pool(), &pipe.writer, letter_id, ACTOR)
        .await
        .expect("the letter is open")
        .attempt
}

/// The records of the retry topic, to be written again.
pub async fn retry_records(pipe: &Pipe) -> Vec<Record> {
    topic::read(pipe.environment.kafka_bootstrap(), &retry_topic(pipe)).await
}

pub fn actions(letter: &Letter) -> Vec<(&str, &str)> {
    letter
        .history
        .iter()
        .map(|line| (line.action.as_str(), line.actor.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_replayed_letter_is_applied_once_and_audited() {
    let pipe = Pipe::new("replayed_once").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (campaign, admitted, letter_id) = rejected(&pipe).await;
    mend(&pipe, &campaign).await;
    assert_eq!(send_again(&pipe, letter_id).await, 1);
    let twice = replay::replay(pool, &pipe.writer, letter_id, ACTOR).await;
    assert!(matches!(
        twice,
        Err(Error::NotOpen {
            state: LetterState::Replaying,
            ..
        })
    ));
    assert_eq!(pipe.relay(&retry_topic(&pipe)).await, 1);
    let letter = settled(&pipe, letter_id, LetterState::Resolved).await;
    assert_eq!(
        actions(&letter),
        [("failed", GROUP), ("replayed", ACTOR), ("resolved", GROUP)]
    );
    assert!(letter.summary.closed_at.is_some());
    assert_eq!(tables::count(pool, "coupons").await, 1);
    assert_eq!(tables::count(pool, "inbox WHERE state = 'applied'").await, 1);
    let audited = tables::count_by(pool, "CONCAT(action, ' ', actor)", "audit_log").await;
    assert_eq!(audited, [(format!("dead-letter.replay {ACTOR}"), 1)].into());

    // The same record again, and the first one, change nothing.
    let again = retry_records(&pipe).await;
    topic::write_all(pipe.environment.kafka_bootstrap(), &again).await;
    pipe.publish([&pipe.record(&admitted)]).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 1);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (9, 1));
    assert_eq!(show(&pipe, letter_id).await.history.len(), 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_replay_that_fails_returns_the_letter() {
    let pipe = Pipe::new("replay_fails").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (campaign, _, letter_id) = rejected(&pipe).await;
    send_again(&pipe, letter_id).await;
    pipe.relay(&retry_topic(&pipe)).await;
    let letter = settled(&pipe, letter_id, LetterState::Open).await;
    assert_eq!((letter.summary.attempts, letter.summary.replay_attempt), (2, 1));
    assert_eq!(
        actions(&letter),
        [("failed", GROUP), ("replayed", ACTOR), ("failed", GROUP)]
    );
    assert_eq!(tables::count(pool, "inbox WHERE state = 'dead'").await, 1);
    // Mended, it goes through.
    mend(&pipe, &campaign).await;
    assert_eq!(send_again(&pipe, letter_id).await, 2);
    pipe.relay(&retry_topic(&pipe)).await;
    settled(&pipe, letter_id, LetterState::Resolved).await;
    assert_eq!(tables::count(pool, "coupons").await, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g08_the_event_of_an_open_letter_is_skipped_when_it_comes_again() {
    let pipe = Pipe::new("open_letter").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (campaign, admitted, letter_id) = rejected(&pipe).await;
    // Now it could be applied, but that is for the replay alone to do.
    mend(&pipe, &campaign).await;
    let again = pipe.record(&admitted);
    pipe.publish([&again, &again]).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 0);
    assert_eq!(tables::count(pool, "dead_letters").await, 1);
    assert_eq!(tables::count(pool, "inbox WHERE state = 'dead'").await, 1);
    assert_eq!(show(&pipe, letter_id).await.summary.state, LetterState::Open);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t21_only_the_current_attempt_is_applied() {
    let pipe = Pipe::new("current_attempt").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (campaign, _, letter_id) = rejected(&pipe).await;
    mend(&pipe, &campaign).await;
    // The first attempt is on its way for so long that the operator sends a second.
    send_again(&pipe, letter_id).await;
    let retry = retry_topic(&pipe);
    rename(&pipe, &retry, "first").await;
    sqlx::query("UPDATE dead_letters SET replay_deadline = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
        .execute(pool)
        .await
        .expect("an update");
    assert_eq!(send_again(&pipe, letter_id).await, 2);
    rename(&pipe, &retry, "second").await;
    // Now the first arrives, and must not be applied.
    rename(&pipe, "first", &retry).await;
    assert_eq!(pipe.relay(&retry).await, 1);
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 0);
    assert_eq!(show(&pipe, letter_id).await.summary.state, LetterState::Replaying);
    rename(&pipe, "second", &retry).await;
    assert_eq!(pipe.relay(&retry).await, 1);
    settled(&pipe, letter_id, LetterState::Resolved).await;
    assert_eq!(tables::count(pool, "coupons").await, 1);
    running.stop().await;
}

/// Gives rows of the outbox another topic: what is withheld, and what is sent after all.
pub async fn rename(pipe: &Pipe, from: &str, to: &str) {
    sqlx::query("UPDATE outbox SET topic = ? WHERE topic = ?")
        .bind(to)
        .bind(from)
        .execute(pipe.environment.pool())
        .await
        .expect("an update");
}

async fn give_up(pipe: &Pipe, letter_id: DeadLetterId) -> TerminalAction {
    let pool = pipe.environment.pool();
    let mut discarding = discard::begin(pool, &pipe.writer, letter_id, ACTOR, "cannot be mended")
        .await
        .expect("the letter is open");
    let context = Context::new(pipe.writer.clone(), chrono::Utc::now());
    let (letter, transaction) = discarding.parts();
    let event = DeadEvent::new(
        letter.summary.event_type.as_deref(),
        letter.key.as_deref(),
        &letter.headers,
    );
    let action = Group::CouponIssuance
        .discard(transaction, &context, &event, ACTOR, "cannot be mended")
        .await
        .expect("the terminal action");
    // Until it is committed nobody else's act waits for it.
    let mut other = pool.begin().await.expect("MySQL answers");
    audit::record(&mut other, ACTOR, "test.act", "o", &serde_json::json!({}))
        .await
        .expect("the audit log is free");
    other.rollback().await.expect("MySQL answers");
    discarding.commit().await.expect("a commit");
    action
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_a_discarded_letter_releases_its_claim() {
    let pipe = Pipe::new("discarded").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (campaign, admitted, letter_id) = rejected(&pipe).await;
    mend(&pipe, &campaign).await;
    let TerminalAction::Released(released) = give_up(&pipe, letter_id).await else {
        panic!("the claim is admitted, so it is released");
    };
    assert_eq!(released.claim_id, admitted.claim.claim_id);
    assert_eq!(released.ticket.get(), 1);
    let letter = show(&pipe, letter_id).await;
    assert_eq!(letter.summary.state, LetterState::Discarded);
    assert_eq!(actions(&letter), [("failed", GROUP), ("discarded", ACTOR)]);
    assert_eq!(tables::count(pool, "claims").await, 0);
    assert_eq!(
        tables::count(pool, "released_claims WHERE released_by = 'kim'").await,
        1
    );
    assert_eq!(tables::count(pool, "inbox WHERE state = 'discarded'").await, 1);
    assert_eq!(tables::outbox(pool).await.get("ClaimReleased"), Some(&1));
    assert_eq!(
        tables::count(pool, "audit_log WHERE action = 'dead-letter.discard'").await,
        1
    );
    // Neither the record nor a replay brings it back.
    pipe.publish([&pipe.record(&admitted)]).await;
    pipe.caught_up().await;
    let again = replay::replay(pool, &pipe.writer, letter_id, ACTOR).await;
    assert!(matches!(
        again,
        Err(Error::NotOpen {
            state: LetterState::Discarded,
            ..
        })
    ));
    assert_eq!(tables::count(pool, "coupons").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_what_the_inbox_forgot_can_only_be_discarded_and_with_a_reason() {
    let pipe = Pipe::new("forgotten_letter").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (_, _, letter_id) = rejected(&pipe).await;
    running.stop().await;
    sqlx::query("DELETE FROM inbox")
        .execute(pool)
        .await
        .expect("the inbox forgets");
    let replayed = replay::replay(pool, &pipe.writer, letter_id, ACTOR).await;
    assert!(matches!(replayed, Err(Error::TooOld(_))));
    let discarded = discard::begin(pool, &pipe.writer, letter_id, ACTOR, "  ").await;
    assert!(matches!(discarded, Err(Error::Reason)));
    assert_eq!(tables::count(pool, "audit_log").await, 0);
    assert_eq!(give_up(&pipe, letter_id).await, TerminalAction::Nothing);
    assert_eq!(show(&pipe, letter_id).await.summary.state, LetterState::Discarded);
}

#[tokio::test(flavor = "multi_thread")]
async fn t19_events_that_are_fed_again_through_the_retry_topic_are_applied_once() {
    let pipe = Pipe::new("fed_again").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let records = pipe.records(&pipe.admit(&campaign, 1..=6).await);
    let running = pipe.start().await;
    pipe.publish(&records[..3]).await;
    pipe.caught_up().await;
    let again = [0, 1].iter().cycle().zip(&records);
    let again = again.map(|(partition, record)| Record {
        topic: retry_topic(&pipe),
        partition: *partition,
        offset: 0,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect(),
    });
    topic::write_all(pipe.environment.kafka_bootstrap(), &again.collect::<Vec<_>>()).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 6);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (4, 6));
    assert_eq!(tables::count(pool, "dead_letters").await, 0);
    running.stop().await;
}
