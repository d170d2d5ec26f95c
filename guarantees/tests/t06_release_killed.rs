//! T6 and G12: the consumers die by SIGKILL while what was parked behind a letter goes, or
//! before it begins to; nothing stays parked behind nobody, and nothing goes twice.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_guarantees::rejected::Rejected;
use headgate_testkit::checkers::{assert_none, settle, violations};
use headgate_testkit::eventually;
use headgate_testkit::topic::{self, Record};
use uuid::Uuid;

const QUOTA: u32 = 20;
const FOLLOWERS: usize = 200;
/// Of the followers, in one transaction.
const GO_TOGETHER: &str = "64";
const TIMEOUT: Duration = Duration::from_mins(1);

/// Events that come after the rejected one under its key: its record again, as other events.
async fn follow(story: &Rejected) {
    let environment = story.installation.environment();
    let topic = format!("{}headgate.coupons", environment.kafka_prefix());
    let records = topic::read(environment.kafka_bootstrap(), &topic).await;
    let key = story.claim.to_string().into_bytes();
    let first = records
        .into_iter()
        .find(|record| record.key.as_ref() == Some(&key))
        .expect("the claim's event is on its topic");
    let again = (0..FOLLOWERS).map(|_| {
        let headers = first.headers.iter().map(|(name, value)| match name.as_str() {
            "ce_id" => (name.clone(), Some(Uuid::now_v7().to_string().into_bytes())),
            _ => (name.clone(), value.clone()),
        });
        Record {
            headers: headers.collect(),
            ..first.clone()
        }
    });
    let again: Vec<Record> = again.collect();
    topic::write_all(environment.kafka_bootstrap(), &again).await;
    letters(story, "disposition = 'parked' AND state = 'open'", FOLLOWERS).await;
}

/// Waits until so many letters are so.
async fn letters(story: &Rejected, are: &str, count: usize) {
    let query = format!("SELECT COUNT(*) FROM dead_letters WHERE {are}");
    eventually(&format!("{count} letters with {are}"), TIMEOUT, async || {
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()))
            .fetch_one(story.installation.environment().pool())
            .await
            .ok()?;
        (usize::try_from(found) == Ok(count)).then_some(())
    })
    .await;
}

async fn dies_at(test: &str, point: &str) {
    let mut story = Rejected::on(Installation::new(test).await, QUOTA, 30).await;
    follow(&story).await;
    story.pipeline.consumers.stop().await;
    let doomed = story.installation.consumers().crash_at(point);
    let doomed = doomed.variable("HEADGATE_CONSUMER__BATCH_RECORDS_MAX", GO_TOGETHER);
    story.pipeline.consumers = doomed.spawn().await;
    story.repair().await;
    story.replay().await;
    story.pipeline.consumers.assert_died_at_crash_point().await;
    story.pipeline.consumers = story.installation.consumers().spawn().await;
    letters(&story, "state = 'resolved'", FOLLOWERS + 1).await;
    settle(story.installation.environment(), TIMEOUT).await;
    let mut found = violations(story.installation.environment(), story.campaign, &story.ledger).await;
    // Its event was written again and again by this test.
    found.retain(|violation| !violation.starts_with(&format!("G7 {}", story.claim)));
    assert_none(&found);
    story.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_consumers_killed_between_a_replay_and_what_waits_behind_it() {
    dies_at("t06_before_release", "consumer.after-replay-before-release").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t06_consumers_killed_half_way_through_what_waits() {
    dies_at("t06_half_released", "consumer.release-before-commit:2").await;
}
