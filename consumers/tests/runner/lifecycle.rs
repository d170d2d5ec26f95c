//! Letters that leave the list of open ones without being settled.

use headgate_consumers::Config;
use headgate_dead_letters::store::OpenLetters;
use headgate_dead_letters::{Error, LetterFilter, LetterState, Slice, archive, replay, store};
use sqlx::MySqlPool;

use crate::replay::{ACTOR, actions, mend, rejected, retry_topic, send_again, settled};
use crate::support::campaign::Admitted;
use crate::support::{GROUP, Outgoing, Pipe, tables};

/// Letters that a filter of open ones finds.
async fn open(pool: &MySqlPool) -> u64 {
    let filter = LetterFilter {
        state: Some(LetterState::Open),
        ..LetterFilter::default()
    };
    store::list(pool, &filter, Slice::default())
        .await
        .expect("a list")
        .total
}

/// A later event under the key of another.
fn behind(pipe: &Pipe, first: &Admitted, later: &Admitted) -> Outgoing {
    Outgoing {
        key: pipe.record(first).key,
        ..pipe.record(later)
    }
}

fn twice_at_most(pipe: &Pipe) -> Config {
    let mut config = pipe.config();
    config.consumer.replays_max = 2;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_letter_whose_replays_keep_failing_is_quarantined_and_holds_its_key() {
    let pipe = Pipe::new("quarantined").await;
    let pool = pipe.environment.pool();
    let running = pipe.start_with(twice_at_most(&pipe)).await;
    let (campaign, admitted, letter_id) = rejected(&pipe).await;
    for state in [LetterState::Open, LetterState::Quarantined] {
        send_again(&pipe, letter_id).await;
        pipe.relay(&retry_topic(&pipe)).await;
        settled(&pipe, letter_id, state).await;
    }
    let letter = settled(&pipe, letter_id, LetterState::Quarantined).await;
    assert_eq!(
        actions(&letter)[2..],
        [
            ("failed", GROUP),
            ("replayed", ACTOR),
            ("failed", GROUP),
            ("quarantined", GROUP)
        ]
    );
    assert_eq!(open(pool).await, 0);
    let mut counts = store::open_by_group(pool).await.expect("counts");
    counts.retain(|count| count.group == GROUP);
    assert_eq!(
        counts,
        [OpenLetters {
            group: GROUP.to_owned(),
            open: 0,
            parked: 0,
            quarantined: 1
        }]
    );
    // Mended or not, it is for an operator to bring it back first.
    mend(&pipe, &campaign).await;
    let replayed = replay::replay(pool, &pipe.writer, letter_id, ACTOR).await;
    assert!(matches!(
        replayed,
        Err(Error::NotOpen {
            state: LetterState::Quarantined,
            ..
        })
    ));
    // Its key waits for it.
    let later = pipe.admit(&campaign, [2]).await.remove(0);
    pipe.publish([&behind(&pipe, &admitted, &later)]).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "dead_letters WHERE is_parked = 1").await, 1);
    assert_eq!(tables::count(pool, "coupons").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_restored_letter_is_counted_anew() {
    let pipe = Pipe::new("counted_anew").await;
    let pool = pipe.environment.pool();
    let running = pipe.start_with(twice_at_most(&pipe)).await;
    let (campaign, _, letter_id) = rejected(&pipe).await;
    for state in [LetterState::Open, LetterState::Quarantined, LetterState::Open] {
        if state == LetterState::Open && open(pool).await == 0 {
            archive::restore(pool, letter_id, ACTOR, "it is mended, I think")
                .await
                .expect("it is quarantined");
        }
        send_again(&pipe, letter_id).await;
        pipe.relay(&retry_topic(&pipe)).await;
        settled(&pipe, letter_id, state).await;
    }
    mend(&pipe, &campaign).await;
    send_again(&pipe, letter_id).await;
    pipe.relay(&retry_topic(&pipe)).await;
    settled(&pipe, letter_id, LetterState::Resolved).await;
    assert_eq!(tables::count(pool, "coupons").await, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_what_comes_behind_an_archived_letter_waits_and_goes_once_it_is_applied() {
    let pipe = Pipe::new("archived_holds").await;
    let pool = pipe.environment.pool();
    let running = pipe.start().await;
    let (campaign, admitted, letter_id) = rejected(&pipe).await;
    mend(&pipe, &campaign).await;
    archive::archive(pool, letter_id, ACTOR, "for now")
        .await
        .expect("it is open");
    let later = pipe.admit(&campaign, [2]).await.remove(0);
    pipe.publish([&behind(&pipe, &admitted, &later)]).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "dead_letters WHERE is_parked = 1").await, 1);
    assert_eq!(tables::count(pool, "coupons").await, 0);
    archive::restore(pool, letter_id, ACTOR, "now")
        .await
        .expect("it is archived");
    send_again(&pipe, letter_id).await;
    pipe.relay(&retry_topic(&pipe)).await;
    settled(&pipe, letter_id, LetterState::Resolved).await;
    assert_eq!(tables::count(pool, "coupons").await, 2);
    assert_eq!(
        tables::count(pool, "dead_letters WHERE state = 'resolved'").await,
        2
    );
    running.stop().await;
}
