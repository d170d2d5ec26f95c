//! A rehearsal says what a replay would do, and leaves no trace.

use headgate_operator::replays::rehearse::Rehearsal;
use headgate_operator::replays::{Rehearsed, Would};
use headgate_outbox::audit;
use headgate_schemas::ids::DeadLetterId;
use serde_json::json;

use crate::listener::{Listener, OPERATOR, VIEWER};

impl Listener {
    async fn rehearsed(&self, letter: DeadLetterId) -> Rehearsed {
        let path = format!("/v1/dead-letters/{letter}/rehearse");
        self.post(OPERATOR, &path, &json!({})).await.ok()
    }

    /// Everything that a replay would change.
    async fn traces(&self) -> Vec<i64> {
        let mut traces = Vec::new();
        for rows in [
            "coupons",
            "outbox",
            "dead_letters WHERE state <> 'open' OR replay_attempt > 0",
            "dead_letter_history",
            "inbox WHERE state = 'applied'",
            "campaign_stock WHERE issued > 0",
            "claims WHERE event_sequence > 1",
        ] {
            traces.push(self.count(rows).await);
        }
        traces
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_says_what_each_letter_would_do_and_changes_nothing() {
    let listener = Listener::start("rehearse").await;
    let (campaign, letters) = listener.rejected_letters(3).await;
    let poison = listener.poison_letter(1).await;
    let pool = listener.environment.pool();
    // The second is not what its event says, the third has its coupon.
    let claims: Vec<headgate_schemas::ids::ClaimId> =
        sqlx::query_scalar("SELECT claim_id FROM claims ORDER BY ticket")
            .fetch_all(pool)
            .await
            .expect("claims");
    sqlx::query("UPDATE claims SET user_id = 'somebody-else' WHERE claim_id = ?")
        .bind(claims[1])
        .execute(pool)
        .await
        .expect("an update");
    listener.coupon(&campaign, claims[2], 3, true).await;
    sqlx::query("UPDATE campaign_stock SET issued = 0")
        .execute(pool)
        .await
        .expect("an update");
    listener.published().await;
    let before = listener.traces().await;

    let applied = listener.rehearsed(letters[0]).await;
    assert_eq!((applied.would, applied.changes_nothing), (Would::Apply, false));
    let effects: Vec<_> = applied
        .effects
        .iter()
        .map(|effect| {
            (
                effect.kind.as_str(),
                effect.event_type.as_deref(),
                effect.key.clone(),
            )
        })
        .collect();
    let claim = claims[0].to_string();
    assert_eq!(
        effects,
        [
            ("event", Some("io.headgate.coupons.ClaimIssued"), claim.clone()),
            ("notification", None, claim)
        ]
    );
    let failing = listener.rehearsed(letters[1]).await;
    assert_eq!(failing.would, Would::Fail);
    assert_eq!(failing.error_class.as_deref(), Some("claim-mismatch"));
    assert_eq!(failing.effects, []);
    let superseded = listener.rehearsed(letters[2]).await;
    assert_eq!(
        (superseded.would, superseded.changes_nothing),
        (Would::Apply, true)
    );
    let unreadable = listener.rehearsed(poison).await;
    assert_eq!(
        (unreadable.would, unreadable.error_class.as_deref()),
        (Would::Fail, Some("not-wire-format"))
    );
    assert_eq!(listener.traces().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_would_not_go_is_rehearsed_as_staying() {
    let listener = Listener::start("rehearse_staying").await;
    let (_, letters) = listener.rejected_letters(1).await;
    let path = format!("/v1/dead-letters/{}/rehearse", letters[0]);
    listener
        .post(VIEWER, &path, &json!({}))
        .await
        .refused(403, "role-missing");
    let nobody = DeadLetterId::generate();
    let path = format!("/v1/dead-letters/{nobody}/rehearse");
    listener
        .post(OPERATOR, &path, &json!({}))
        .await
        .refused(404, "dead-letter-not-found");
    listener.change(letters[0], "state = 'quarantined'").await;
    let stays = listener.rehearsed(letters[0]).await;
    assert_eq!(
        (stays.would, stays.error_class.as_deref()),
        (Would::Stay, Some("dead-letter-not-open"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_goes_on_with_what_is_parked_until_one_fails() {
    let listener = Listener::start("rehearse_parked").await;
    let campaign = listener.campaign(10).await;
    let claim = listener.claim(&campaign, 1).await;
    let head = listener.rejected_letter(&campaign, claim, 1).await;
    let mut behind = Vec::new();
    // Its second event says another ticket, and nothing behind that would be reached.
    for ticket in [1, 2, 1] {
        let letter = listener.rejected_letter(&campaign, claim, ticket).await;
        listener.change(letter, "disposition = 'parked'").await;
        behind.push(letter);
    }
    sqlx::query("UPDATE inbox i JOIN dead_letters l ON l.event_id = i.event_id SET i.state = 'parked' WHERE l.is_parked = 1")
        .execute(listener.environment.pool())
        .await
        .expect("an update");
    let before = listener.traces().await;
    let rehearsed = listener.rehearsed(head).await;
    assert_eq!(rehearsed.would, Would::Apply);
    let followers: Vec<_> = rehearsed
        .followers
        .iter()
        .map(|follower| (follower.letter_id, follower.would, follower.changes_nothing))
        .collect();
    assert_eq!(
        followers,
        [(behind[0], Would::Apply, true), (behind[1], Would::Fail, false)]
    );
    let parked = listener.rehearsed(behind[0]).await;
    assert_eq!(
        (parked.would, parked.error_class.as_deref()),
        (Would::Stay, Some("dead-letter-parked"))
    );
    assert_eq!(listener.traces().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_rehearsed_in_its_order_and_goes_on_behind_the_cursor() {
    let listener = Listener::start("rehearse_replay").await;
    let (_, letters) = listener.rejected_letters(3).await;
    let id = listener
        .planned(json!({"group": "coupon-issuance"}), json!({}))
        .await
        .replay_id;
    let path = format!("/v1/replays/{id}/rehearse");
    let before = listener.traces().await;
    let first: Rehearsal = listener
        .post(OPERATOR, &path, &json!({"letters_max": 2}))
        .await
        .ok();
    let ids =
        |rehearsal: &Rehearsal| -> Vec<_> { rehearsal.items.iter().map(|letter| letter.letter_id).collect() };
    assert_eq!((ids(&first), first.next_cursor), (letters[..2].to_vec(), Some(2)));
    let second: Rehearsal = listener.post(OPERATOR, &path, &json!({"cursor": 2})).await.ok();
    assert_eq!((ids(&second), second.next_cursor), (letters[2..].to_vec(), None));
    assert!(first.items.iter().all(|letter| letter.would == Would::Apply));
    assert_eq!(listener.traces().await, before);
    for wrong in [
        json!({"letters_max": 0}),
        json!({"letters_max": 501}),
        json!({"from": 1}),
    ] {
        listener
            .post(OPERATOR, &path, &wrong)
            .await
            .refused(422, "invalid-body");
    }
    listener
        .post(VIEWER, &path, &json!({}))
        .await
        .refused(403, "role-missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_neither_waits_for_the_audit_log_nor_writes_to_it() {
    let listener = Listener::start("rehearse_unaudited").await;
    let (_, letters) = listener.rejected_letters(1).await;
    let mut acting = listener.environment.pool().begin().await.expect("MySQL answers");
    audit::record(&mut acting, "kim", "test.act", "o", &json!({}))
        .await
        .expect("the line is written");
    assert_eq!(listener.rehearsed(letters[0]).await.would, Would::Apply);
    acting.rollback().await.expect("MySQL answers");
    assert_eq!(listener.count("audit_log").await, 0);
}
