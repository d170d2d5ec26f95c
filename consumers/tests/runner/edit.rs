//! Edited letters: the group gets what was edited, once, and what came stays as it came.

use headgate_dead_letters::attempt::{self, Origin};
use headgate_dead_letters::edit::{self, NewEdit};
use headgate_dead_letters::park::{self, AsRead, HeldKey};
use headgate_dead_letters::{
    Difference, Disposition, Error, Letter, LetterFilter, LetterState, Order, Slice, discard, store,
};
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::{ClaimAdmitted, ClaimIssued};
use headgate_schemas::headers::{CE_ID, CE_TYPE, REPLAY_ATTEMPT};
use headgate_schemas::ids::{DeadLetterId, EventId};
use headgate_schemas::topics::COUPONS;
use headgate_testkit::topic::Record;

use crate::replay::{
    ACTOR, actions, mend, rejected, rename, retry_records, retry_topic, send_again, settled, show,
};
use crate::support::campaign::Admitted;
use crate::support::{GROUP, Outgoing, Pipe, tables};

/// Edits a letter, from what it holds now to the event of a claim.
async fn edit_to(pipe: &Pipe, letter_id: DeadLetterId, claim: &ClaimAdmitted) -> Result<u32, Error> {
    let value = pipe.encoder.encode(claim).expect("it fits its schema");
    let difference = Difference::default();
    let edit = NewEdit {
        after: show(pipe, letter_id).await.summary.edit_no,
        event_type: ClaimAdmitted::NAME,
        value: &value,
        reason: "the shop says so",
        difference: &difference,
        audited: &difference,
    };
    edit::edit(pipe.environment.pool(), letter_id, ACTOR, edit)
        .await
        .map(|outcome| outcome.edit_no)
}

/// All letters, oldest first.
async fn letters(pipe: &Pipe) -> Vec<DeadLetterId> {
    let slice = Slice {
        limit: 500,
        order: Order::OldestFirst,
        ..Slice::default()
    };
    let page = store::list(pipe.environment.pool(), &LetterFilter::default(), slice)
        .await
        .expect("a list");
    page.items.iter().map(|letter| letter.letter_id).collect()
}

/// The retry topic's record of a letter's attempt.
async fn retried(pipe: &Pipe, attempt: &str) -> Record {
    let mut records = retry_records(pipe).await.into_iter();
    records
        .find(|record| header(record, REPLAY_ATTEMPT) == Some(attempt))
        .expect("the attempt was sent")
}

fn header<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    let (_, value) = record.headers.iter().rev().find(|(other, _)| other == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_poison_of_every_cause_is_applied_once_it_is_edited_and_stays_as_it_came() {
    let pipe = Pipe::new("edited_poison").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let campaign = pipe.campaign(10).await;
    let admitted = pipe.admit(&campaign, 1..=4).await;
    let mut poison = pipe.records(&admitted);
    let foreign = vec![("x-origin".to_owned(), b"elsewhere".to_vec())];
    poison[0].value = Some(b"\x00garbage \xff".to_vec());
    poison[0].headers.clone_from(&foreign);
    poison[1].value = None;
    for (name, value) in &mut poison[2].headers {
        if name == CE_TYPE {
            *value = ClaimIssued::NAME.as_bytes().to_vec();
        }
    }
    poison[3].value = Some(Vec::new());
    let poison: Vec<Outgoing> = poison.into_iter().map(|record| record.at_partition(1)).collect();
    pipe.publish(&poison).await;
    pipe.caught_up().await;
    let letters = letters(&pipe).await;
    assert_eq!(letters.len(), 4);
    for ((letter_id, claim), came) in letters.into_iter().zip(&admitted).zip(&poison) {
        let before = show(&pipe, letter_id).await;
        assert_eq!(before.summary.disposition, Disposition::Poison);
        assert_eq!(
            edit_to(&pipe, letter_id, &claim.claim).await.expect("it is open"),
            1
        );
        send_again(&pipe, letter_id).await;
        pipe.relay(&retry_topic(&pipe)).await;
        let letter = settled(&pipe, letter_id, LetterState::Resolved).await;
        assert_eq!(
            (&letter.value, &letter.headers),
            (&came.value, &before.headers),
            "byte for byte"
        );
        assert_eq!(
            actions(&letter),
            [
                ("failed", GROUP),
                ("edited", ACTOR),
                ("replayed", ACTOR),
                ("resolved", GROUP)
            ]
        );
        assert_eq!(letter.edits.len(), 1);
        assert_eq!(letter.summary.event_type.as_deref(), Some(ClaimAdmitted::NAME));
    }
    assert_eq!(tables::count(pool, "coupons").await, 4);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (6, 4));
    let sent = retried(&pipe, "1").await;
    assert_eq!(header(&sent, "x-origin"), Some("elsewhere"));
    assert!(header(&sent, CE_ID).is_some_and(|id| id.parse::<EventId>().is_ok()));
    assert_eq!(header(&sent, CE_TYPE), Some(ClaimAdmitted::NAME));
    // The copy for the dead-letter topic is of what came.
    let copied: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT payload FROM outbox WHERE topic = ? ORDER BY id LIMIT 1")
            .bind(pipe.names.dead_letter(&COUPONS, GROUP))
            .fetch_one(pool)
            .await
            .expect("the copy");
    assert_eq!(copied, poison[0].value);
    running.stop().await;
}

/// An edit after a first attempt that nobody answered in time, and that waits under the topic
/// `first`.
async fn two_attempts(pipe: &Pipe) -> DeadLetterId {
    let pool = pipe.environment.pool();
    // Mended: what came could be applied by now, and must not be.
    let (campaign, admitted, letter_id) = rejected(pipe).await;
    mend(pipe, &campaign).await;
    assert_eq!(send_again(pipe, letter_id).await, 1);
    let retry = retry_topic(pipe);
    let edited = ClaimAdmitted {
        stock_left: 7,
        ..admitted.claim.clone()
    };
    let too_early = edit_to(pipe, letter_id, &edited).await;
    assert!(
        matches!(
            too_early,
            Err(Error::NotOpen {
                state: LetterState::Replaying,
                ..
            })
        ),
        "{too_early:?}"
    );
    rename(pipe, &retry, "first").await;
    sqlx::query("UPDATE dead_letters SET replay_deadline = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
        .execute(pool)
        .await
        .expect("an update");
    assert_eq!(edit_to(pipe, letter_id, &edited).await.expect("it is overdue"), 1);
    assert_eq!(show(pipe, letter_id).await.summary.state, LetterState::Open);
    letter_id
}

async fn second_attempt(pipe: &Pipe, letter_id: DeadLetterId) {
    assert_eq!(send_again(pipe, letter_id).await, 2);
    rename(pipe, &retry_topic(pipe), "second").await;
}

/// Lets a withheld attempt arrive.
async fn arrive(pipe: &Pipe, withheld: &str) {
    let retry = retry_topic(pipe);
    rename(pipe, withheld, &retry).await;
    assert_eq!(pipe.relay(&retry).await, 1);
    pipe.caught_up().await;
}

/// Requires that the second attempt, and it alone, was applied, with the edit.
async fn assert_second_alone(pipe: &Pipe, letter_id: DeadLetterId) {
    let letter = settled(pipe, letter_id, LetterState::Resolved).await;
    let resolved: Vec<_> = letter
        .history
        .iter()
        .filter(|line| line.action == "resolved")
        .collect();
    assert_eq!(resolved.len(), 1);
    assert_eq!(resolved[0].detail.as_deref(), Some("attempt 2"));
    assert_eq!(
        letter
            .history
            .iter()
            .filter(|line| line.action == "failed")
            .count(),
        1
    );
    assert_eq!(tables::count(pipe.environment.pool(), "coupons").await, 1);
    let edited = letter.edited.expect("it was edited").value;
    assert_eq!(retried(pipe, "2").await.value, edited);
    assert_eq!(retried(pipe, "1").await.value, letter.value);
    assert_ne!(letter.value, edited);
}

#[tokio::test(flavor = "multi_thread")]
async fn t21_an_attempt_believed_dead_is_not_applied_after_an_edit() {
    let pipe = Pipe::new("edit_old_first").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let letter_id = two_attempts(&pipe).await;
    // Already before there is a second attempt.
    arrive(&pipe, "first").await;
    assert_eq!(tables::count(pool, "coupons").await, 0);
    assert_eq!(show(&pipe, letter_id).await.summary.state, LetterState::Open);
    second_attempt(&pipe, letter_id).await;
    let again = retried(&pipe, "1").await;
    headgate_testkit::topic::write(pipe.environment.kafka_bootstrap(), &again).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 0);
    assert_eq!(show(&pipe, letter_id).await.summary.state, LetterState::Replaying);
    arrive(&pipe, "second").await;
    assert_second_alone(&pipe, letter_id).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t21_an_attempt_believed_dead_changes_nothing_behind_the_edited_one() {
    let pipe = Pipe::new("edit_new_first").await;
    let running = pipe.start().await;
    let letter_id = two_attempts(&pipe).await;
    second_attempt(&pipe, letter_id).await;
    arrive(&pipe, "second").await;
    arrive(&pipe, "first").await;
    assert_second_alone(&pipe, letter_id).await;
    running.stop().await;
}

/// A letter that nobody can read, and one that is parked behind it, whose value names another
/// user than its claim has.
async fn one_behind_another(pipe: &Pipe) -> (Vec<Admitted>, DeadLetterId, DeadLetterId) {
    let campaign = pipe.campaign(10).await;
    let admitted = pipe.admit(&campaign, [1, 2]).await;
    let head = Outgoing {
        value: Some(b"junk".to_vec()),
        ..pipe.record(&admitted[0])
    };
    let mut wrong = admitted[1].clone();
    "nobody".clone_into(&mut wrong.claim.user_id);
    let behind = Outgoing {
        key: head.key.clone(),
        ..pipe.record(&wrong)
    };
    pipe.publish([&head, &behind]).await;
    pipe.caught_up().await;
    let letters = letters(pipe).await;
    assert_eq!(letters.len(), 2);
    assert_eq!(
        show(pipe, letters[1]).await.summary.disposition,
        Disposition::Parked
    );
    (admitted, letters[0], letters[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_an_edit_of_a_parked_letter_is_what_its_release_applies() {
    let pipe = Pipe::new("edited_parked").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (admitted, head, behind) = one_behind_another(&pipe).await;
    edit_to(&pipe, behind, &admitted[1].claim)
        .await
        .expect("it is parked");
    edit_to(&pipe, head, &admitted[0].claim)
        .await
        .expect("it is open");
    send_again(&pipe, head).await;
    pipe.relay(&retry_topic(&pipe)).await;
    settled(&pipe, head, LetterState::Resolved).await;
    let letter = settled(&pipe, behind, LetterState::Resolved).await;
    assert_eq!(
        actions(&letter),
        [("failed", GROUP), ("edited", ACTOR), ("released", GROUP)]
    );
    assert_eq!(tables::count(pool, "coupons").await, 2);
    running.stop().await;
}

async fn releasable(
    pipe: &Pipe,
    origin: &Origin,
    letter: &Letter,
) -> (HeldKey, Vec<AsRead>, Option<Vec<u8>>) {
    let key = HeldKey::of(letter.key.as_deref().expect("a key"));
    let mut parked = park::releasable(pipe.environment.pool(), origin.home(), key, 10, 1_000_000)
        .await
        .expect("the queue");
    let read = parked.iter().map(|parked| parked.read).collect();
    (key, read, parked.pop().and_then(|parked| parked.value))
}

async fn taken(pipe: &Pipe, origin: &Origin, key: HeldKey, letters: &[AsRead]) -> usize {
    let mut transaction = pipe.environment.pool().begin().await.expect("a transaction");
    park::take(&mut transaction, origin.home(), key, letters)
        .await
        .expect("the queue")
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_letter_that_is_edited_while_its_release_is_under_way_is_read_anew() {
    let pipe = Pipe::new("edited_in_release").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (admitted, head, behind) = one_behind_another(&pipe).await;
    running.stop().await;
    discard::begin(pool, &pipe.writer, head, ACTOR, "cannot be mended")
        .await
        .expect("it is open")
        .commit()
        .await
        .expect("a commit");
    let origin = attempt::origin(pool, behind)
        .await
        .expect("MySQL")
        .expect("a letter");
    let letter = show(&pipe, behind).await;
    let (key, read, value) = releasable(&pipe, &origin, &letter).await;
    assert_eq!((read.len(), &value), (1, &letter.value));
    edit_to(&pipe, behind, &admitted[1].claim)
        .await
        .expect("it is parked");
    assert_eq!(
        taken(&pipe, &origin, key, &read).await,
        0,
        "it was read before the edit"
    );
    let (key, read, value) = releasable(&pipe, &origin, &letter).await;
    assert_eq!(
        value,
        Some(pipe.encoder.encode(&admitted[1].claim).expect("it fits"))
    );
    assert_eq!(taken(&pipe, &origin, key, &read).await, 1);
}
