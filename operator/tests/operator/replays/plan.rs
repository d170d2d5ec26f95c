//! A plan says what a replay will meet, exactly, and changes nothing.

use headgate_operator::replays::ReplayView;
use headgate_operator::replays::show::{ReplayLetters, Replays};
use headgate_schemas::ids::ReplayId;
use serde_json::json;

use crate::listener::{Listener, OPERATOR, VIEWER};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_letters_keys_causes_followers_conflicts_and_what_is_superseded() {
    let listener = Listener::start("replay_plan").await;
    let (campaign, letters) = listener.rejected_letters(4).await;
    // One has its coupon by now, and one more letter waits behind it.
    let second = listener.claim(&campaign, 9).await;
    let superseded = listener.rejected_letter(&campaign, second, 9).await;
    listener.coupon(&campaign, second, 9, true).await;
    let behind = listener.rejected_letter(&campaign, second, 9).await;
    let head = listener.poison_letter(1).await;
    let (follower, other) = (listener.poison_letter(2).await, listener.poison_letter(3).await);
    for parked in [behind, follower, other] {
        listener.change(parked, "disposition = 'parked'").await;
    }
    let everything = json!({"group": "coupon-issuance"});
    let planned = listener.planned(everything, json!({})).await;
    let plan = &planned.plan;
    assert_eq!((plan.letters, plan.keys), (6, 6));
    assert_eq!((plan.followers, plan.conflicts, plan.superseded), (3, 0, 1));
    let causes: Vec<_> = plan
        .causes
        .iter()
        .map(|cause| (cause.letters, cause.error_class.as_str(), cause.example))
        .collect();
    assert_eq!(
        causes,
        [
            (5, "ticket-above-quota", superseded),
            (1, "not-wire-format", head)
        ]
    );
    assert_eq!(plan.causes_total, 2);
    let pace = (
        planned.rate_per_second,
        planned.canary_letters,
        planned.failures_percent_max,
    );
    assert_eq!(pace, (200, 10, 20), "as configured");
    let chosen: Vec<_> = listener
        .letters_of(planned.replay_id)
        .await
        .iter()
        .map(|letter| (letter.place, letter.letter_id, letter.outcome.clone()))
        .collect();
    let expected = letters.iter().copied().chain([superseded, head]);
    let expected: Vec<_> = (1..)
        .zip(expected)
        .map(|(place, letter)| (place, letter, "waiting".to_owned()))
        .collect();
    assert_eq!(chosen, expected, "the oldest first");

    // Of one cause: what waits behind letters of another stays.
    let poison = json!({"error_class": "not-wire-format", "since": "2020-01-01T00:00:00Z"});
    let planned = listener.planned(poison, json!({"canary_letters": 0})).await;
    let plan = &planned.plan;
    assert_eq!((plan.letters, plan.followers, plan.conflicts), (1, 2, 0));
    let parked = listener
        .planned(json!({"disposition": "parked"}), json!({}))
        .await
        .plan;
    assert_eq!((parked.letters, parked.followers, parked.conflicts), (0, 0, 3));
    assert_eq!(listener.count("dead_letters WHERE state <> 'open'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_is_fixed_and_shown_as_it_was_asked() {
    let listener = Listener::start("replay_fixed").await;
    let (campaign, letters) = listener.rejected_letters(2).await;
    let key = "kim@shop.example";
    let planned = listener
        .planned(json!({"key": key}), json!({"rate_per_second": 7}))
        .await;
    assert_eq!((planned.plan.letters, planned.rate_per_second), (0, 7));
    let filter = json!({"group": "coupon-issuance", "text": "above"});
    let planned = listener.planned(filter.clone(), json!({})).await;
    let claim = listener.claim(&campaign, 3).await;
    listener.rejected_letter(&campaign, claim, 3).await;
    assert_eq!(planned.filter, filter);
    let chosen: Vec<_> = listener
        .letters_of(planned.replay_id)
        .await
        .iter()
        .map(|letter| letter.letter_id)
        .collect();
    assert_eq!(chosen, letters, "what came later is not among them");

    let page: Replays = listener.get(VIEWER, "/v1/replays?limit=1").await.ok();
    assert_eq!(page.items[0].replay_id, planned.replay_id, "the newest first");
    let next = page.next_cursor.expect("there is another");
    let page: Replays = listener
        .get(VIEWER, &format!("/v1/replays?state=planned&cursor={next}"))
        .await
        .ok();
    assert_eq!((page.items.len(), page.next_cursor), (1, None));
    // A record's key may be a person's address.
    assert_eq!(page.items[0].filter, json!({"key": "***"}));
    let page: Replays = listener.get(VIEWER, "/v1/replays?state=running").await.ok();
    assert_eq!(page.items.len(), 0);
    let path = format!("/v1/replays/{}/letters", planned.replay_id);
    let first: ReplayLetters = listener.get(VIEWER, &format!("{path}?limit=1")).await.ok();
    assert_eq!(first.next_cursor, Some(1));
    let second: ReplayLetters = listener
        .get(VIEWER, &format!("{path}?limit=1&cursor=1&outcome=waiting"))
        .await
        .ok();
    assert_eq!(
        (second.items[0].letter_id, second.next_cursor),
        (letters[1], None)
    );
    let failed: ReplayLetters = listener.get(VIEWER, &format!("{path}?outcome=failed")).await.ok();
    assert_eq!(failed.items, []);
    // Nor in the audit log, which everyone reads.
    let keys = "audit_log WHERE action = 'replay.plan' AND detail LIKE '%kim@shop%'";
    assert_eq!(listener.count(keys).await, 0);
    let audited = |replay: ReplayId| ("olga".to_owned(), "replay.plan".to_owned(), replay.to_string());
    assert_eq!(listener.audit().await.last(), Some(&audited(planned.replay_id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_too_much_or_of_nothing_in_particular_is_refused() {
    let listener = Listener::start_with("replay_too_large", |config| config.replay.letters_max = 2).await;
    listener.rejected_letters(3).await;
    let all = json!({"filter": {"group": "coupon-issuance"}});
    let problem = listener
        .post(OPERATOR, "/v1/replays", &all)
        .await
        .refused(422, "replay-too-large");
    assert!(
        problem.detail.contains("more than 2 letters"),
        "{}",
        problem.detail
    );
    listener
        .post(VIEWER, "/v1/replays", &all)
        .await
        .refused(403, "role-missing");
    let nothing = json!({"filter": {}, "pace": {"rate_per_second": 5}});
    let problem = listener
        .post(OPERATOR, "/v1/replays", &nothing)
        .await
        .refused(422, "invalid-body");
    assert_eq!(problem.errors[0].field, "filter");
    let fast = json!({"filter": {"group": "g"}, "pace": {"rate_per_second": 5001}});
    listener
        .post(OPERATOR, "/v1/replays", &fast)
        .await
        .refused(422, "invalid-body");
    let nobody = ReplayId::generate();
    listener
        .get(VIEWER, &format!("/v1/replays/{nobody}"))
        .await
        .refused(404, "replay-not-found");
    listener
        .do_to(nobody, "start")
        .await
        .refused(404, "replay-not-found");
    assert_eq!(listener.count("replays").await, 0);
    assert_eq!(listener.audit().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_that_its_state_does_not_allow_changes_nothing() {
    let listener = Listener::start("replay_acts").await;
    let planned = listener
        .planned(json!({"group": "coupon-issuance"}), json!({}))
        .await;
    let id = planned.replay_id;
    for act in ["pause", "resume"] {
        listener.do_to(id, act).await.refused(409, "replay-state");
    }
    let path = format!("/v1/replays/{id}/cancel");
    listener
        .post(VIEWER, &path, &json!({}))
        .await
        .refused(403, "role-missing");
    let cancelled: ReplayView = listener.do_to(id, "cancel").await.ok();
    assert_eq!(cancelled.state, "cancelled");
    for act in ["start", "pause", "resume", "cancel"] {
        let problem = listener.do_to(id, act).await.refused(409, "replay-state");
        assert!(problem.detail.contains("is cancelled"), "{}", problem.detail);
    }
    assert_eq!(listener.audit().await.len(), 2);
}
