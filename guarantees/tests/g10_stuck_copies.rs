//! G10: a replay does not wait behind what is stuck in the outbox, be it the letter's copy for
//! the dead-letter topic or an earlier attempt.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_guarantees::rejected::letters;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use headgate_testkit::topic::{self, Record};
use sqlx::AssertSqlSafe;

/// Until something has come through the pipeline, at most.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A letter, and no relay that would send what is written of it.
struct Unsent {
    installation: Installation,
    operator: Service,
    consumers: Service,
    letter: String,
}

impl Unsent {
    async fn new(test: &str) -> Self {
        let installation = Installation::new(test).await;
        let (operator, consumers) = (installation.operator(), installation.consumers());
        let (operator, consumers) = tokio::join!(operator.spawn(), consumers.spawn());
        let poison = Record {
            topic: format!("{}headgate.coupons", installation.environment().kafka_prefix()),
            partition: 0,
            offset: 0,
            key: Some(b"poison".to_vec()),
            value: Some(b"no avro at all".to_vec()),
            headers: Vec::new(),
        };
        topic::write(installation.environment().kafka_bootstrap(), &poison).await;
        let found = eventually("its letter", TIMEOUT, async || {
            letters(&operator, &installation).await.pop()
        })
        .await;
        let letter = found["letter_id"].as_str().expect("an id").to_owned();
        Self {
            installation,
            operator,
            consumers,
            letter,
        }
    }

    async fn replay(&self) {
        let replay = ["dlq", "replay", &self.letter, "--yes"];
        self.installation.headgate(&self.operator, &replay).await;
    }

    /// Sends the one copy for such a topic to where it cannot go. Returns the relay that has set
    /// it aside.
    async fn relay_that_cannot_send_to(&self, kind: &str) -> Service {
        let prefix = self.installation.environment().kafka_prefix();
        let lost = format!("UPDATE outbox SET topic = '{prefix}nowhere' WHERE topic LIKE '%.{kind}'");
        assert_eq!(self.sql(&lost).await, 1, "one copy for the {kind} topic");
        let relay = self.installation.relay().spawn().await;
        eventually("the copy to be set aside", TIMEOUT, async || {
            (self.set_aside().await == ["failed"]).then_some(())
        })
        .await;
        relay
    }

    /// The replay arrived: it was tried, and failed once more.
    async fn tried(&self, attempt: u32) {
        eventually("the replay to be tried", TIMEOUT, async || {
            let shown = letters(&self.operator, &self.installation).await.pop()?;
            (shown["state"] == "open" && shown["replay_attempt"] == attempt).then_some(())
        })
        .await;
        assert_eq!(
            self.set_aside().await,
            ["failed"],
            "what was stuck is stuck still, and alone"
        );
    }

    async fn set_aside(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT CAST(status AS CHAR) FROM outbox_blocked ORDER BY bucket, id")
            .fetch_all(self.installation.environment().pool())
            .await
            .expect("MySQL answers")
    }

    async fn sql(&self, statement: &str) -> u64 {
        sqlx::query(AssertSqlSafe(statement))
            .execute(self.installation.environment().pool())
            .await
            .expect("a statement")
            .rows_affected()
    }

    async fn stop(mut self, mut relay: Service) {
        relay.stop().await;
        self.consumers.stop().await;
    }
}

#[tokio::test]
async fn g10_a_replay_passes_the_letters_stuck_copy() {
    let story = Unsent::new("g10_stuck_copy").await;
    let relay = story.relay_that_cannot_send_to("dlq").await;
    story.replay().await;
    story.tried(1).await;
    story.stop(relay).await;
}

#[tokio::test]
async fn g10_a_replay_passes_an_earlier_attempt_that_is_stuck() {
    let story = Unsent::new("g10_stuck_attempt").await;
    story.replay().await;
    let relay = story.relay_that_cannot_send_to("retry").await;
    // Nobody answers for the first attempt: the operator sends a second.
    story
        .sql("UPDATE dead_letters SET replay_deadline = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
        .await;
    story.replay().await;
    story.tried(2).await;
    story.stop(relay).await;
}
