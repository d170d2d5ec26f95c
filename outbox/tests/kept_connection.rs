//! A connection that a task keeps: the relay's workers and the api's writers have one each.

mod support;

use std::time::Duration;

use headgate_runtime::mysql::{Fault, KeptConnection, fault};
use headgate_testkit::Environment;

use support::LIMIT;

async fn number(kept: &mut KeptConnection) -> u64 {
    kept.within(LIMIT, async |connection| {
        sqlx::query_scalar("SELECT CONNECTION_ID()")
            .fetch_one(connection)
            .await
    })
    .await
    .expect("MySQL answers")
}

#[tokio::test]
async fn g13_a_connection_on_which_time_ran_out_is_never_used_again() {
    let environment = Environment::migrated("kept").await;
    let mut kept = KeptConnection::new(support::pool(&environment));
    let first = number(&mut kept).await;
    assert_eq!(number(&mut kept).await, first, "it is kept");
    let late = kept.within(Duration::from_millis(20), async |connection| {
        sqlx::query_scalar::<_, i64>("SELECT SLEEP(5)")
            .fetch_one(connection)
            .await
    });
    let late = late.await.expect_err("time runs out");
    assert_eq!(fault(&late), Fault::Unavailable, "{late}");
    // The late answer is nobody's.
    assert_ne!(number(&mut kept).await, first);
}
