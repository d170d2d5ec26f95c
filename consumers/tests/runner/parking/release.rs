//! Who may ask for a release, how much goes at once, and keys in any number.

use headgate_dead_letters::park::{self, HeldKey, Home, Parked};
use headgate_outbox::inbox;
use headgate_schemas::headers::{DLQ_LETTER_ID, RELEASE};
use headgate_schemas::topics::COUPONS;

use super::{PARTITION, discard, ids, is, issued, junk, letters, standing, under};
use crate::support::{GROUP, Pipe, tables};

/// Keys of one batch: more than are looked up at once, and more than twice as many.
const KEYS: i32 = 300;

/// The letters that could go at once from the queue of a key.
async fn releasable(pipe: &Pipe, key: &str, bytes_max: usize) -> Vec<Parked> {
    let pool = pipe.environment.pool();
    let group = inbox::group_no(pool, GROUP).await.expect("the group");
    let home = Home {
        group,
        topic: &pipe.topic(),
        partition: PARTITION,
    };
    park::releasable(pool, home, HeldKey::of(key.as_bytes()), 100, bytes_max)
        .await
        .expect("MySQL answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_release_is_asked_for_on_the_retry_topic_alone() {
    let pipe = Pipe::new("asked_in_public").await;
    let campaign = pipe.campaign(10).await;
    let admitted = pipe.admit(&campaign, 1..=3).await;
    let running = pipe.start().await;
    let of_key = admitted.iter().map(|claim| under(&pipe, "a", claim));
    let records: Vec<_> = [junk("a")].into_iter().chain(of_key).collect();
    pipe.publish(&records).await;
    pipe.caught_up().await;
    // Given up, and the request to release is still on its way.
    let head = letters(&pipe, "a").await[0].letter_id;
    discard(&pipe, head).await;
    let mut foreign = junk("a");
    foreign.headers.extend([
        (DLQ_LETTER_ID.to_owned(), head.to_string().into_bytes()),
        (RELEASE.to_owned(), b"1".to_vec()),
    ]);
    pipe.publish(&[foreign]).await;
    pipe.caught_up().await;
    assert_eq!(issued(&pipe).await, Vec::<String>::new());
    let mut expected = vec![is("poison", "discarded", "discarded")];
    expected.extend(vec![is("parked", "open", "parked"); 4]);
    assert_eq!(standing(&pipe, "a").await, expected);
    // As many go as fit, and the first in any case.
    assert_eq!(releasable(&pipe, "a", usize::MAX).await.len(), 4);
    let first = &releasable(&pipe, "a", 1).await;
    assert_eq!(first.len(), 1);
    let bytes = first[0].value.as_ref().map_or(0, Vec::len) + first[0].headers.to_bytes().len();
    assert_eq!(releasable(&pipe, "a", bytes).await.len(), 1);
    assert_eq!(releasable(&pipe, "a", bytes + 1).await.len(), 2);
    pipe.relay(&pipe.names.retry(&COUPONS, GROUP)).await;
    pipe.caught_up().await;
    assert_eq!(issued(&pipe).await, ids(&admitted));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_more_keys_than_are_looked_up_at_once_are_all_held() {
    let pipe = Pipe::new("many_keys").await;
    let campaign = pipe.campaign(500).await;
    let admitted = pipe.admit(&campaign, 1..=KEYS).await;
    let heads: Vec<_> = (0..KEYS).map(|key| junk(&format!("key-{key}"))).collect();
    let running = pipe.start().await;
    pipe.publish(&heads).await;
    pipe.caught_up().await;
    running.stop().await;
    // All of them in one batch.
    let later: Vec<_> = (0..KEYS)
        .zip(&admitted)
        .map(|(key, claim)| under(&pipe, &format!("key-{key}"), claim))
        .collect();
    pipe.publish(&later).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(issued(&pipe).await, Vec::<String>::new());
    let pool = pipe.environment.pool();
    let parked = tables::count(pool, "dead_letters WHERE is_parked = 1").await;
    assert_eq!(parked, i64::from(KEYS));
    running.stop().await;
}
