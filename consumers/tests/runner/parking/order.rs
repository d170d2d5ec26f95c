//! Who waits, who goes, and in which order.

use headgate_dead_letters::{Error, replay};

use super::{ACTOR, give_up, ids, is, issued, junk, letters, send_again, standing, turn, under};
use crate::support::{Outgoing, Pipe, tables};

#[tokio::test(flavor = "multi_thread")]
async fn g09_what_comes_behind_poison_parks_and_other_keys_flow() {
    let pipe = Pipe::new("parks").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=6).await;
    let running = pipe.start().await;
    // All in one batch, and once more when the letter is there.
    let of = |key: &str, claim: usize| under(&pipe, key, &admitted[claim]);
    pipe.publish(&[junk("a"), of("a", 0), of("b", 1), of("a", 2)])
        .await;
    pipe.caught_up().await;
    pipe.publish(&[of("a", 3), of("c", 4), junk("a")]).await;
    pipe.caught_up().await;
    let mut expected = vec![is("poison", "open", "dead")];
    expected.extend((0..4).map(|_| is("parked", "open", "parked")));
    assert_eq!(standing(&pipe, "a").await, expected);
    assert_eq!(tables::count(pool, "dead_letters").await, 5);
    let flowed = ids(&[admitted[1].clone(), admitted[4].clone()]);
    assert_eq!(issued(&pipe).await, flowed);
    // A record without a key has no successors.
    let keyless = Outgoing {
        key: None,
        ..of("", 5)
    };
    let poison = Outgoing {
        key: None,
        ..junk("")
    };
    pipe.publish(&[poison, keyless]).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_replayed_head_takes_its_followers_along_in_order() {
    let pipe = Pipe::new("followers").await;
    let campaign = pipe.campaign(500).await;
    let admitted = pipe.admit(&campaign, 1..=300).await;
    turn(&pipe, admitted[0].claim.claim_id).await;
    // They are released in several transactions.
    let mut config = pipe.config();
    config.consumer.batch_records_max = 128;
    let running = pipe.start_with(config).await;
    let records: Vec<_> = admitted.iter().map(|claim| under(&pipe, "a", claim)).collect();
    pipe.publish(&records).await;
    pipe.caught_up().await;
    let parked = letters(&pipe, "a").await;
    assert_eq!(parked.len(), 300);
    assert_eq!(issued(&pipe).await, Vec::<String>::new());
    let behind = replay::replay(pipe.environment.pool(), &pipe.writer, parked[7].letter_id, ACTOR).await;
    assert!(
        matches!(behind, Err(Error::Parked { first, .. }) if first == parked[0].letter_id),
        "{behind:?}"
    );
    turn(&pipe, admitted[0].claim.claim_id).await;
    send_again(&pipe, parked[0].letter_id).await;
    assert_eq!(issued(&pipe).await, ids(&admitted));
    let mut expected = vec![is("rejected", "resolved", "applied")];
    expected.extend((1..300).map(|_| is("parked", "resolved", "applied")));
    assert_eq!(standing(&pipe, "a").await, expected);
    // Nothing holds the key any more.
    let newcomer = pipe.admit(&campaign, [301]).await;
    pipe.publish(&[under(&pipe, "a", &newcomer[0])]).await;
    pipe.caught_up().await;
    assert_eq!(issued(&pipe).await.last(), ids(&newcomer).last());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_rejected_event_is_not_overtaken_within_its_batch() {
    let pipe = Pipe::new("overtaken").await;
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=40).await;
    turn(&pipe, admitted[20].claim.claim_id).await;
    let records: Vec<_> = admitted.iter().map(|claim| under(&pipe, "a", claim)).collect();
    pipe.publish(&records).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(issued(&pipe).await, ids(&admitted[..20]));
    let mut expected = vec![is("rejected", "open", "dead")];
    expected.extend((21..40).map(|_| is("parked", "open", "parked")));
    assert_eq!(standing(&pipe, "a").await, expected);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_follower_that_fails_is_the_new_head() {
    let pipe = Pipe::new("new_head").await;
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=6).await;
    let (rejected, later) = (admitted[2].claim.claim_id, &admitted[3..]);
    turn(&pipe, rejected).await;
    let running = pipe.start().await;
    let of = |claim: usize| under(&pipe, "a", &admitted[claim]);
    pipe.publish(&[junk("a"), of(0), of(1), of(2), of(3), junk("a"), of(4), of(5)])
        .await;
    pipe.caught_up().await;
    // The first poison is given up: two follow, the third is rejected and stands first now.
    give_up(&pipe, letters(&pipe, "a").await[0].letter_id).await;
    assert_eq!(issued(&pipe).await, ids(&admitted[..2]));
    let now = standing(&pipe, "a").await;
    assert_eq!(now[0], is("poison", "discarded", "discarded"));
    assert_eq!(now[3], is("rejected", "open", "dead"));
    assert_eq!(now[4..], vec![is("parked", "open", "parked"); 4]);
    // Mended and replayed, it takes one along; the next is poison.
    turn(&pipe, rejected).await;
    send_again(&pipe, letters(&pipe, "a").await[3].letter_id).await;
    assert_eq!(issued(&pipe).await, ids(&admitted[..4]));
    let now = standing(&pipe, "a").await;
    assert_eq!(now[5], is("poison", "open", "dead"));
    assert_eq!(now[6..], vec![is("parked", "open", "parked"); 2]);
    // One that waits can be given up alone; the rest goes with the head.
    let seen = letters(&pipe, "a").await;
    give_up(&pipe, seen[6].letter_id).await;
    assert_eq!(standing(&pipe, "a").await[7], is("parked", "open", "parked"));
    give_up(&pipe, seen[5].letter_id).await;
    let mut expected = ids(&admitted[..4]);
    expected.extend(ids(&later[2..]));
    assert_eq!(issued(&pipe).await, expected);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_poison_that_was_given_up_long_ago_holds_nothing_when_it_comes_again() {
    let pipe = Pipe::new("given_up_again").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=2).await;
    let running = pipe.start().await;
    let poison = junk("a");
    pipe.publish([&poison]).await;
    pipe.caught_up().await;
    give_up(&pipe, letters(&pipe, "a").await[0].letter_id).await;
    // As after the retention of the inbox.
    sqlx::query("DELETE FROM inbox")
        .execute(pool)
        .await
        .expect("MySQL answers");
    let records: Vec<_> = admitted.iter().map(|claim| under(&pipe, "a", claim)).collect();
    pipe.publish([&poison, &records[0]]).await;
    pipe.publish([&records[1]]).await;
    pipe.caught_up().await;
    assert_eq!(issued(&pipe).await, ids(&admitted));
    assert_eq!(
        standing(&pipe, "a").await,
        [is("poison", "discarded", "discarded")]
    );
    running.stop().await;
}
