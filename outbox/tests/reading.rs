//! Reading on the real MySQL: how much one read returns, and what comes next.

mod support;

use headgate_outbox::bucket::Bucket;
use headgate_outbox::claim::{self, NextRows, ReadLimits};
use headgate_outbox::mark::{Outcome, Removal};
use headgate_outbox::write::OutboxRow;
use headgate_testkit::Environment;
use sqlx::MySqlPool;

const LIMITS: ReadLimits = ReadLimits {
    rows: 100,
    bytes: 1_000,
};

/// A row whose payload has so many bytes. Each is about something else.
fn sized(bucket: Bucket, id: u64, bytes: usize) -> OutboxRow {
    let mut row = support::row(bucket, id, &format!("{}-{id}", bucket.get()), 1);
    row.payload = Some(vec![0; bytes]);
    row
}

async fn next(pool: &MySqlPool, buckets: &[Bucket]) -> NextRows {
    let mut connection = pool.acquire().await.expect("MySQL answers");
    claim::next_rows(&mut connection, buckets, LIMITS, true)
        .await
        .expect("MySQL answers")
}

fn ids(next: &NextRows, bucket: Bucket) -> Vec<u64> {
    let of_bucket = next.rows.iter().filter(|row| row.bucket == bucket);
    of_bucket.map(|row| row.id).collect()
}

#[tokio::test]
async fn g07_each_bucket_is_read_up_to_its_bytes_and_what_is_cut_comes_next() {
    let environment = Environment::migrated("read_bytes").await;
    let pool = support::pool(&environment);
    let (large, small) = (support::bucket(3), support::bucket(8));
    let lease = support::lease(&pool, large, "relay-1").await;
    // The small ones would fit beside the first: they must not pass what is cut.
    for (id, bytes) in [(10, 600), (20, 600), (30, 2_000), (40, 10), (50, 10)] {
        support::write(&pool, &[sized(large, id, bytes)]).await;
    }
    let few: Vec<_> = (1..=3).map(|id| sized(small, id, 300)).collect();
    support::write(&pool, &few).await;

    let rounds = [(&[10, 20][..], true), (&[30], true), (&[40, 50], false)];
    for (expected, cut) in rounds {
        let read = next(&pool, &[large, small]).await;
        assert_eq!((ids(&read, large), read.cut), (expected.to_vec(), cut));
        assert_eq!(
            ids(&read, small),
            [1, 2, 3],
            "a neighbour's bytes are not counted here"
        );
        let rows: Vec<_> = read.rows.into_iter().filter(|row| row.bucket == large).collect();
        let outcome = Outcome {
            lease: &lease,
            bucket: large,
            rows: &rows,
            fates: &support::all_published(&rows),
            removal: Removal::Ids,
        };
        support::mark(&pool, &[outcome], support::PLAIN)
            .await
            .expect("MySQL answers");
    }
}
