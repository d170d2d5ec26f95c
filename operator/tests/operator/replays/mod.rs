//! Replays of many letters: planned, rehearsed, run.

mod plan;
mod rehearse;
mod run;

use std::time::Duration;

use headgate_operator::replays::show::ReplayLetters;
use headgate_operator::replays::{ReplayLetterView, ReplayView};
use headgate_schemas::ids::{DeadLetterId, ReplayId};
use headgate_testkit::eventually;
use serde_json::{Value, json};

use crate::listener::{Answer, Listener, OPERATOR, VIEWER};
use crate::planted::Campaign;

/// Until the runner has taken its steps, at most.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Listener {
    /// A campaign with `letters` rejected events of as many claims.
    async fn rejected_letters(&self, letters: u32) -> (Campaign, Vec<DeadLetterId>) {
        let campaign = self.campaign(100).await;
        let mut ids = Vec::new();
        for ticket in 1..=letters {
            let claim_id = self.claim(&campaign, ticket).await;
            ids.push(self.rejected_letter(&campaign, claim_id, ticket).await);
        }
        (campaign, ids)
    }

    async fn planned(&self, filter: Value, pace: Value) -> ReplayView {
        let asked = json!({"filter": filter, "pace": pace});
        self.post(OPERATOR, "/v1/replays", &asked).await.ok()
    }

    async fn shown(&self, replay_id: ReplayId) -> ReplayView {
        self.get(VIEWER, &format!("/v1/replays/{replay_id}")).await.ok()
    }

    async fn do_to(&self, replay_id: ReplayId, act: &str) -> Answer {
        self.post(OPERATOR, &format!("/v1/replays/{replay_id}/{act}"), &json!({}))
            .await
    }

    async fn letters_of(&self, replay_id: ReplayId) -> Vec<ReplayLetterView> {
        let path = format!("/v1/replays/{replay_id}/letters?limit=500");
        let page: ReplayLetters = self.get(OPERATOR, &path).await.ok();
        page.items
    }

    /// The replay once it is in `state`.
    async fn until(&self, replay_id: ReplayId, state: &str) -> ReplayView {
        eventually(&format!("the replay to be {state}"), TIMEOUT, async || {
            Some(self.shown(replay_id).await).filter(|replay| replay.state == state)
        })
        .await
    }

    /// The replay once `letters` of it are on their way.
    async fn until_sent(&self, replay_id: ReplayId, letters: u64) -> ReplayView {
        eventually("letters to be sent", TIMEOUT, async || {
            Some(self.shown(replay_id).await).filter(|replay| replay.progress.sent == letters)
        })
        .await
    }

    /// What a group does with a letter that is on its way, by its state afterwards.
    async fn answered(&self, letter: DeadLetterId, state: &str) {
        let closed = if state == "resolved" {
            "UTC_TIMESTAMP(6)"
        } else {
            "NULL"
        };
        let answer = format!(
            "UPDATE dead_letters SET state = ?, replay_deadline = NULL, closed_at = {closed},
                 last_failed_at = UTC_TIMESTAMP(6)
             WHERE letter_id = ? AND state = 'replaying'"
        );
        let answered = sqlx::query(sqlx::AssertSqlSafe(answer))
            .bind(state)
            .bind(letter)
            .execute(self.environment.pool())
            .await
            .expect("an update");
        assert_eq!(answered.rows_affected(), 1, "it is on its way");
    }

    async fn change(&self, letter: DeadLetterId, change: &str) {
        let change = format!("UPDATE dead_letters SET {change} WHERE letter_id = ?");
        sqlx::query(sqlx::AssertSqlSafe(change))
            .bind(letter)
            .execute(self.environment.pool())
            .await
            .expect("an update");
    }

    async fn count(&self, rows: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {rows}")))
            .fetch_one(self.environment.pool())
            .await
            .expect("a count")
    }
}
