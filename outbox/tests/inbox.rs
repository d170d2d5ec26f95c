//! The inbox: what a group has met is found again, in whatever number it is asked for.

use headgate_outbox::inbox::{self, InboxState};
use headgate_outbox::partitions;
use headgate_schemas::ids::EventId;
use headgate_testkit::Environment;

#[tokio::test]
async fn g08_every_event_that_was_met_is_found_however_many_are_asked_for() {
    let environment = Environment::migrated("inbox_found").await;
    let pool = environment.pool();
    partitions::ensure(pool, 2).await.expect("day partitions");
    let group = inbox::group_no(pool, "g").await.expect("a group");
    for count in [1, 2, 3, 5, 8, 50, 150, 256, 512] {
        let events: Vec<EventId> = (0..count).map(|_| EventId::generate()).collect();
        let mut transaction = pool.begin().await.expect("a transaction");
        inbox::record(&mut transaction, group, &events, InboxState::Applied)
            .await
            .expect("rows");
        transaction.commit().await.expect("a commit");
        let mut transaction = pool.begin().await.expect("a transaction");
        let found = inbox::existing(&mut transaction, group, &events)
            .await
            .expect("rows");
        assert_eq!(found.len(), count, "of {count}");
        let moved = inbox::move_all(
            &mut transaction,
            group,
            &events,
            InboxState::Applied,
            InboxState::Dead,
        )
        .await
        .expect("rows");
        assert_eq!(moved, count, "of {count}");
        let strangers: Vec<EventId> = (0..count).map(|_| EventId::generate()).collect();
        let found = inbox::existing(&mut transaction, group, &strangers)
            .await
            .expect("rows");
        assert_eq!(found.len(), 0, "of {count}");
        transaction.commit().await.expect("a commit");
    }
}

#[tokio::test]
async fn g08_a_batch_with_an_event_that_was_met_is_refused_as_a_whole() {
    let environment = Environment::migrated("inbox_met").await;
    let pool = environment.pool();
    partitions::ensure(pool, 2).await.expect("day partitions");
    let group = inbox::group_no(pool, "g").await.expect("a group");
    let met = EventId::generate();
    let mut transaction = pool.begin().await.expect("a transaction");
    inbox::record(&mut transaction, group, &[met], InboxState::Discarded)
        .await
        .expect("a row");
    transaction.commit().await.expect("a commit");
    let mut transaction = pool.begin().await.expect("a transaction");
    let batch = [EventId::generate(), met];
    let refused = inbox::record(&mut transaction, group, &batch, InboxState::Applied).await;
    let error = refused.expect_err("it was met");
    assert!(
        error
            .as_database_error()
            .is_some_and(sqlx::error::DatabaseError::is_unique_violation),
        "{error}"
    );
    transaction.rollback().await.expect("a rollback");
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox")
        .fetch_one(pool)
        .await
        .expect("MySQL answers");
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_group_that_is_asked_for_again_uses_up_no_number() {
    let environment = Environment::migrated("group_numbers").await;
    let pool = environment.pool();
    let first = inbox::group_no(pool, "first").await.expect("a group");
    for _ in 0..5 {
        assert_eq!(inbox::group_no(pool, "first").await.expect("known"), first);
    }
    inbox::group_no(pool, "second").await.expect("a group");
    let numbers: Vec<u16> = sqlx::query_scalar("SELECT group_no FROM consumer_groups ORDER BY group_no")
        .fetch_all(pool)
        .await
        .expect("MySQL answers");
    assert_eq!(numbers[1], numbers[0] + 1, "{numbers:?}");
}
