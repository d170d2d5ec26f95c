//! A sale with one event that a rule rejects: its letter waits for an operator.

use std::time::Duration;

use headgate_testkit::client::Ledger;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use serde_json::Value;
use uuid::Uuid;

use crate::{Installation, Pipeline};

/// Until something has come through the pipeline, at most.
const TIMEOUT: Duration = Duration::from_secs(40);

/// The dead letters as the command line lists them.
pub async fn letters(operator: &Service, installation: &Installation) -> Vec<Value> {
    let listed = installation
        .headgate(operator, &["--output", "json", "dlq", "list"])
        .await;
    let listed: Value = serde_json::from_str(&listed).expect("`dlq list --output json` writes JSON");
    listed["items"].as_array().expect("a list of items").clone()
}

/// A sale in which one claim's row was changed behind the product's back, so that its
/// event is rejected.
#[derive(Debug)]
pub struct Rejected {
    /// Its processes.
    pub pipeline: Pipeline,
    /// Its operator listener.
    pub operator: Service,
    /// Where it happens.
    pub installation: Installation,
    /// The sale.
    pub campaign: Uuid,
    /// What users were told.
    pub ledger: Ledger,
    /// The claim whose event was rejected.
    pub claim: Uuid,
    /// The letter's id.
    pub letter: String,
}

impl Rejected {
    /// Sells `quota` coupons to `users`, and spoils one claim's row before its event is
    /// read.
    pub async fn on(installation: Installation, quota: u32, users: usize) -> Self {
        let operator = installation.operator();
        let (mut pipeline, operator) = tokio::join!(installation.start(1), operator.spawn());
        pipeline.consumers.stop().await;
        let campaign = pipeline.partner(&installation).open_campaign(quota).await;
        let ledger = pipeline.load(&installation, campaign, users, 4).run().await;
        let (claim, _) = ledger
            .promises()
            .into_iter()
            .next()
            .expect("somebody was admitted");
        change_user(&installation, claim, "CONCAT(user_id, '-changed')").await;
        pipeline.consumers = installation.consumers().spawn().await;
        let found = eventually("the rejected event's letter", TIMEOUT, async || {
            letters(&operator, &installation).await.into_iter().next()
        })
        .await;
        assert_eq!(found["disposition"], "rejected");
        assert_eq!(found["error_class"], "claim-mismatch");
        assert_eq!(found["key"], claim.to_string());
        let letter = found["letter_id"].as_str().expect("an id").to_owned();
        Self {
            pipeline,
            operator,
            installation,
            campaign,
            ledger,
            claim,
            letter,
        }
    }

    /// Takes the cause away.
    pub async fn repair(&self) {
        change_user(&self.installation, self.claim, "REPLACE(user_id, '-changed', '')").await;
    }

    /// Replays the letter.
    pub async fn replay(&self) {
        self.installation
            .headgate(&self.operator, &["dlq", "replay", &self.letter, "--yes"])
            .await;
    }

    /// Gives the letter up.
    pub async fn discard(&self, reason: &str) {
        let discard = ["dlq", "discard", &self.letter, "--reason", reason, "--yes"];
        self.installation.headgate(&self.operator, &discard).await;
    }

    /// The letter as the command line shows it.
    pub async fn state(&self) -> Value {
        let shown = ["--output", "json", "dlq", "show", &self.letter];
        let shown = self.installation.headgate(&self.operator, &shown).await;
        serde_json::from_str(&shown).expect("`dlq show --output json` writes JSON")
    }
}

async fn change_user(installation: &Installation, claim: Uuid, to: &str) {
    let change = format!("UPDATE claims SET user_id = {to} WHERE claim_id = ?");
    sqlx::query(sqlx::AssertSqlSafe(change))
        .bind(claim)
        .execute(installation.environment().pool())
        .await
        .expect("the row can be changed");
}
