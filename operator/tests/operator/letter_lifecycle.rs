//! Archive and restore, and what may be done with a quarantined letter.

use headgate_operator::dead_letters::LetterView;
use headgate_operator::dead_letters::discard::Discarded;
use headgate_operator::dead_letters::list::Letters;
use headgate_operator::dead_letters::show::ShownLetter;
use headgate_operator::replays::ReplayView;
use headgate_schemas::ids::{ClaimId, DeadLetterId};
use serde_json::json;

use crate::listener::{Answer, Listener, OPERATOR, VIEWER};

impl Listener {
    async fn one_letter(&self) -> (ClaimId, DeadLetterId) {
        let campaign = self.campaign(10).await;
        let claim_id = self.claim(&campaign, 1).await;
        (claim_id, self.rejected_letter(&campaign, claim_id, 1).await)
    }

    async fn act(&self, letter: DeadLetterId, act: &str) -> Answer {
        let path = format!("/v1/dead-letters/{letter}/{act}");
        self.post(OPERATOR, &path, &json!({"reason": "for now"})).await
    }

    /// How many letters a list shows.
    async fn listed(&self, query: &str) -> u64 {
        let page: Letters = self.get(VIEWER, &format!("/v1/dead-letters?{query}")).await.ok();
        page.total
    }

    async fn quarantined(&self, letter: DeadLetterId) {
        sqlx::query("UPDATE dead_letters SET state = 'quarantined', replays_failed = 5 WHERE letter_id = ?")
            .bind(letter)
            .execute(self.environment.pool())
            .await
            .expect("an update");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_an_archived_letter_is_out_of_lists_and_replays_until_it_is_restored() {
    let listener = Listener::start("archive_letter").await;
    let (_, letter) = listener.one_letter().await;
    for reason in ["", " ", &"x".repeat(257)] {
        let problem = listener
            .post(
                OPERATOR,
                &format!("/v1/dead-letters/{letter}/archive"),
                &json!({"reason": reason}),
            )
            .await
            .refused(422, "invalid-body");
        assert_eq!(problem.errors[0].field, "reason");
    }
    let archived: LetterView = listener.act(letter, "archive").await.ok();
    assert_eq!(
        (archived.state.as_str(), archived.archived_at.is_some()),
        ("archived", true)
    );
    for (query, letters) in [("", 0), ("state=open", 0), ("state=archived", 1)] {
        assert_eq!(listener.listed(query).await, letters, "{query}");
    }
    let filter = json!({"filter": {"group": "coupon-issuance"}});
    let planned: ReplayView = listener.post(OPERATOR, "/v1/replays", &filter).await.ok();
    assert_eq!(planned.plan.letters, 0);
    let plan = (
        "olga".to_owned(),
        "replay.plan".to_owned(),
        planned.replay_id.to_string(),
    );
    for act in ["replay", "archive"] {
        listener
            .act(letter, act)
            .await
            .refused(409, "dead-letter-not-open");
    }

    let restored: LetterView = listener.act(letter, "restore").await.ok();
    assert_eq!((restored.state.as_str(), restored.archived_at), ("open", None));
    assert_eq!(listener.listed("state=open").await, 1);
    listener
        .act(letter, "restore")
        .await
        .refused(409, "dead-letter-not-archived");
    let shown: ShownLetter = listener
        .get(VIEWER, &format!("/v1/dead-letters/{letter}"))
        .await
        .ok();
    let lines = shown.history[1..].iter();
    let lines: Vec<_> = lines
        .map(|line| (line.action.as_str(), line.actor.as_str(), line.detail.as_deref()))
        .collect();
    assert_eq!(
        lines,
        [
            ("archived", "olga", Some("for now")),
            ("restored", "olga", Some("for now"))
        ]
    );
    let audited = |action: &str| ("olga".to_owned(), action.to_owned(), letter.to_string());
    assert_eq!(
        listener.audit().await,
        [
            audited("dead-letter.archive"),
            plan,
            audited("dead-letter.restore")
        ]
    );
    listener
        .act(DeadLetterId::generate(), "archive")
        .await
        .refused(404, "dead-letter-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_letter_is_not_archived() {
    let listener = Listener::start("archive_parked").await;
    let (first, behind) = (listener.poison_letter(1).await, listener.poison_letter(2).await);
    sqlx::query("UPDATE dead_letters SET disposition = 'parked' WHERE letter_id = ?")
        .bind(behind)
        .execute(listener.environment.pool())
        .await
        .expect("an update");
    let problem = listener
        .act(behind, "archive")
        .await
        .refused(409, "dead-letter-parked");
    assert!(problem.detail.contains(&first.to_string()), "{}", problem.detail);
    let archived: LetterView = listener.act(first, "archive").await.ok();
    assert_eq!(archived.state, "archived");
    // The archived letter goes on holding the key.
    listener
        .act(behind, "replay")
        .await
        .refused(409, "dead-letter-parked");
    assert_eq!(listener.audit().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_letter_is_restored_archived_or_discarded() {
    let listener = Listener::start("quarantine_letter").await;
    let (claim_id, letter) = listener.one_letter().await;
    listener.quarantined(letter).await;
    assert_eq!(listener.listed("state=open").await, 0);
    listener
        .act(letter, "replay")
        .await
        .refused(409, "dead-letter-not-open");
    let restored: LetterView = listener.act(letter, "restore").await.ok();
    assert_eq!((restored.state.as_str(), restored.replays_failed), ("open", 0));

    listener.quarantined(letter).await;
    let archived: LetterView = listener.act(letter, "archive").await.ok();
    assert_eq!(archived.state, "archived");
    let discarded: Discarded = listener.act(letter, "discard").await.ok();
    assert_eq!(discarded.claim_id, Some(claim_id));
    for act in ["archive", "discard"] {
        listener
            .act(letter, act)
            .await
            .refused(409, "dead-letter-not-open");
    }
}
