//! G10: many letters replayed as one object. What was planned goes once, whoever dies
//! meanwhile; a replay whose cause is not mended stops by itself; and the tables end as if
//! nothing had been rejected.

use std::time::Duration;

use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::{assert_none, settle, violations};
use headgate_testkit::client::Ledger;
use headgate_testkit::eventually;
use headgate_testkit::process::{Service, run_any};
use serde_json::Value;
use uuid::Uuid;

const QUOTA: u32 = 40;
const TIMEOUT: Duration = Duration::from_mins(1);

/// A sale of which every event was rejected.
struct Rejected {
    installation: Installation,
    pipeline: Pipeline,
    operator: Service,
    campaign: Uuid,
    ledger: Ledger,
}

impl Rejected {
    async fn on(test: &str) -> Self {
        let installation = Installation::new(test).await;
        let operator = installation.operator();
        let (mut pipeline, operator) = tokio::join!(installation.start(1), operator.spawn());
        pipeline.consumers.stop().await;
        let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
        let ledger = pipeline.load(&installation, campaign, 60, 4).run().await;
        assert_eq!(ledger.promises().len(), QUOTA as usize);
        let mut story = Self {
            installation,
            pipeline,
            operator,
            campaign,
            ledger,
        };
        story.change_users("CONCAT(user_id, '-changed')").await;
        story.pipeline.consumers = story.installation.consumers().spawn().await;
        story.letters("state = 'open'", i64::from(QUOTA)).await;
        story
    }

    async fn change_users(&self, to: &str) {
        sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE claims SET user_id = {to}")))
            .execute(self.installation.environment().pool())
            .await
            .expect("the rows can be changed");
    }

    async fn mend(&self) {
        self.change_users("REPLACE(user_id, '-changed', '')").await;
    }

    /// Waits until so many letters are so.
    async fn letters(&self, are: &str, count: i64) {
        let query = format!("SELECT COUNT(*) FROM dead_letters WHERE {are}");
        eventually(&format!("{count} letters with {are}"), TIMEOUT, async || {
            let found: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(query.clone()))
                .fetch_one(self.installation.environment().pool())
                .await
                .ok();
            (found? == count).then_some(())
        })
        .await;
    }

    async fn headgate(&self, arguments: &[&str]) -> Value {
        let arguments = [&["--output", "json"], arguments].concat();
        let said = self.installation.headgate(&self.operator, &arguments).await;
        serde_json::from_str(&said).expect("JSON")
    }

    /// The exit code and what was said, where it need not be well.
    async fn tried(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut variables = self.installation.variables().to_vec();
        variables.push(("HEADGATE_OPERATOR_URL".to_owned(), self.operator.http()));
        let arguments = [&["--output", "json"], arguments].concat();
        let (status, said, _) = run_any("headgate", &variables, &arguments).await;
        (status.code(), serde_json::from_str(&said).expect("JSON"))
    }

    async fn plan(&self, arguments: &[&str]) -> String {
        let plan = [&["dlq", "plan", "--class", "claim-mismatch"], arguments].concat();
        let planned = self.headgate(&plan).await;
        assert_eq!(planned["plan"]["letters"], QUOTA);
        planned["replay_id"].as_str().expect("an id").to_owned()
    }

    async fn assert_all_well(self, replay: &str) {
        let shown = self.headgate(&["dlq", "watch", replay]).await;
        assert_eq!(shown["state"], "completed");
        assert_eq!(shown["progress"]["resolved"], QUOTA);
        self.letters("state = 'resolved' AND replay_attempt = 1", i64::from(QUOTA))
            .await;
        settle(self.installation.environment(), TIMEOUT).await;
        assert_none(&violations(self.installation.environment(), self.campaign, &self.ledger).await);
        self.pipeline.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_replay_is_planned_rehearsed_and_run_to_its_end() {
    let story = Rejected::on("g10_replay_object").await;
    let replay = story.plan(&["--rate", "500", "--canary", "5"]).await;
    let rehearse = ["dlq", "rehearse", "--plan", &replay, "--all"];
    let would = async |what: &str| {
        let rehearsed = story.headgate(&rehearse).await;
        let letters = rehearsed.as_array().expect("a list").clone();
        assert_eq!(letters.len(), QUOTA as usize);
        assert!(
            letters.iter().all(|letter| letter["would"] == what),
            "{letters:?}"
        );
    };
    would("fail").await;
    story.mend().await;
    would("apply").await;
    story
        .letters("state = 'open' AND replay_attempt = 0", i64::from(QUOTA))
        .await;
    let done = story
        .headgate(&["dlq", "replay", "--plan", &replay, "--yes"])
        .await;
    assert_eq!(done["canary_letters"], 5);
    let audited = story.headgate(&["audit", "list"]).await;
    let acts: Vec<&str> = audited["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|line| line["action"].as_str())
        .collect();
    // The newest first: after its canary it paused by itself.
    assert_eq!(
        acts[..4],
        ["replay.resume", "replay.pause", "replay.start", "replay.plan"]
    );
    story.assert_all_well(&replay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_replay_whose_cause_is_not_mended_pauses_and_can_be_resumed() {
    let story = Rejected::on("g10_replay_paused").await;
    let replay = story
        .plan(&["--rate", "20", "--canary", "0", "--failures-max", "0"])
        .await;
    let (code, paused) = story.tried(&["dlq", "replay", "--plan", &replay, "--yes"]).await;
    assert_eq!((code, paused["state"].as_str()), (Some(4), Some("paused")));
    assert_eq!(paused["pause_reason"], "failures");
    let failed = paused["progress"]["failed"].as_u64().expect("a number");
    let waiting = paused["progress"]["waiting"].as_u64().expect("a number");
    assert!(failed > 0 && waiting > 0, "{paused}");
    assert_eq!(failed + waiting, u64::from(QUOTA));
    story.mend().await;
    // What failed is open again, and not sent twice by the same replay.
    let (code, rest) = story.tried(&["dlq", "resume", &replay, "--rate", "500"]).await;
    assert_eq!((code, rest["state"].as_str()), (Some(4), Some("completed")));
    assert_eq!(rest["progress"]["resolved"], waiting);
    let outcome = story
        .headgate(&["dlq", "outcome", &replay, "--outcome", "failed"])
        .await;
    assert_eq!(outcome["items"][0]["error_class"], "claim-mismatch");
    let again = ["dlq", "replay", "--class", "claim-mismatch", "--yes"];
    let again = story.headgate(&again).await;
    assert_eq!(again["progress"]["resolved"], failed);
    story.letters("state = 'resolved'", i64::from(QUOTA)).await;
    settle(story.installation.environment(), TIMEOUT).await;
    assert_none(&violations(story.installation.environment(), story.campaign, &story.ledger).await);
    story.pipeline.stop().await;
}

/// The operator dies at a point of its first step; the next one goes on.
async fn dies_at(test: &str, point: &str) {
    let mut story = Rejected::on(test).await;
    story.mend().await;
    let replay = story.plan(&["--rate", "20", "--canary", "0"]).await;
    story.operator.stop().await;
    let doomed = story.installation.operator().crash_at(point);
    story.operator = doomed.spawn().await;
    let start = ["dlq", "replay", "--plan", &replay, "--yes", "--detach"];
    // It may die before it has answered.
    let mut variables = story.installation.variables().to_vec();
    variables.push(("HEADGATE_OPERATOR_URL".to_owned(), story.operator.http()));
    let _status = run_any("headgate", &variables, &start).await;
    story.operator.assert_died_at_crash_point().await;
    story.operator = story.installation.operator().spawn().await;
    story.assert_all_well(&replay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_operator_killed_before_a_step_commits() {
    dies_at("g10_step", "replay.step-before-commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_operator_killed_after_a_step_before_the_relay_is_woken() {
    dies_at("g10_stepped", "operator.after-step-before-wake").await;
}

/// The consumers die while letters that came together are settled; the next ones meet the same
/// records again.
async fn consumers_die_at(test: &str, point: &str) {
    let mut story = Rejected::on(test).await;
    story.mend().await;
    story.pipeline.consumers.stop().await;
    let replay = story.plan(&["--rate", "500", "--canary", "0"]).await;
    story
        .headgate(&["dlq", "replay", "--plan", &replay, "--yes", "--detach"])
        .await;
    story.letters("state = 'replaying'", i64::from(QUOTA)).await;
    eventually("all of them to be published", TIMEOUT, async || {
        (story.installation.waiting_events().await == Some(0)).then_some(())
    })
    .await;
    story.pipeline.consumers = story.installation.consumers().crash_at(point).launch().await;
    story.pipeline.consumers.assert_died_at_crash_point().await;
    story.pipeline.consumers = story.installation.consumers().spawn().await;
    story.assert_all_well(&replay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_consumers_killed_before_replayed_letters_are_committed() {
    consumers_die_at("g10_uncommitted", "consumer.replay-before-commit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_consumers_killed_after_replayed_letters_are_committed() {
    consumers_die_at("g10_committed", "consumer.after-replay-before-release").await;
}
