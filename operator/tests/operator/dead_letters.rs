//! List, show, replay, discard.

use chrono::{TimeDelta, Utc};
use futures::StreamExt;
use headgate_admission::rebuild;
use headgate_operator::campaigns::show::ShownCampaign;
use headgate_operator::dead_letters::discard::Discarded;
use headgate_operator::dead_letters::list::Letters;
use headgate_operator::dead_letters::record::MASK;
use headgate_operator::dead_letters::replay::Replay;
use headgate_operator::dead_letters::show::ShownLetter;
use headgate_operator::state::Servers;
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::{ClaimAdmitted, ClaimReleased};
use headgate_schemas::ids::DeadLetterId;
use serde_json::json;

use crate::listener::{ADMIN, Listener, OPERATOR, VIEWER};

async fn shown(listener: &Listener, token: &str, letter: DeadLetterId) -> ShownLetter {
    listener
        .get(token, &format!("/v1/dead-letters/{letter}"))
        .await
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_newest_first_by_what_is_asked_for() {
    let listener = Listener::start("list_letters").await;
    let campaign = listener.campaign(10).await;
    let mut letters = Vec::new();
    for ticket in 1..=3 {
        let claim_id = listener.claim(&campaign, ticket).await;
        letters.push((
            claim_id,
            listener.rejected_letter(&campaign, claim_id, ticket).await,
        ));
    }
    let poison = listener.poison_letter(7).await;
    let ids = async |query: &str| -> (Vec<DeadLetterId>, u64) {
        let page: Letters = listener
            .get(VIEWER, &format!("/v1/dead-letters?{query}"))
            .await
            .ok();
        (
            page.items.iter().map(|letter| letter.letter_id).collect(),
            page.total,
        )
    };
    assert_eq!(
        ids("").await,
        (vec![poison, letters[2].1, letters[1].1, letters[0].1], 4)
    );
    assert_eq!(ids("disposition=poison").await, (vec![poison], 1));
    assert_eq!(
        ids("error_class=not-wire-format&group=coupon-issuance&state=open").await,
        (vec![poison], 1)
    );
    let by_type = format!("event_type={}&limit=2", ClaimAdmitted::NAME);
    assert_eq!(ids(&by_type).await, (vec![letters[2].1, letters[1].1], 3));
    assert_eq!(
        ids(&format!("key={}", letters[0].0)).await,
        (vec![letters[0].1], 1)
    );
    for nothing in ["group=other", "state=resolved", "key=x"] {
        assert_eq!(ids(nothing).await, (vec![], 0), "{nothing}");
    }
    let first: Letters = listener.get(VIEWER, "/v1/dead-letters?limit=3").await.ok();
    let cursor = first.next_cursor.expect("there is a second page");
    let second: Letters = listener
        .get(VIEWER, &format!("/v1/dead-letters?limit=3&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(
        (second.items.len(), second.items[0].letter_id, second.next_cursor),
        (1, letters[0].1, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_decoded_and_its_personal_parts_are_hidden_from_viewers() {
    let listener = Listener::start("show_letter").await;
    let campaign = listener.campaign(10).await;
    let claim_id = listener.claim(&campaign, 5).await;
    let letter = listener.rejected_letter(&campaign, claim_id, 5).await;

    let viewed = shown(&listener, VIEWER, letter).await;
    let value = viewed.record.value.expect("it is decoded");
    assert_eq!((&value["user_id"], &value["ticket"]), (&json!(MASK), &json!(5)));
    assert_eq!(value["claim_id"], json!(claim_id));
    assert_eq!(
        (
            viewed.record.raw_value,
            viewed.record.raw_key,
            viewed.record.masked
        ),
        (None, None, true)
    );
    let whole = listener
        .get(VIEWER, &format!("/v1/dead-letters/{letter}"))
        .await
        .text;
    assert!(!whole.contains("u-5"), "{whole}");
    assert_eq!(
        viewed
            .history
            .iter()
            .map(|line| line.action.as_str())
            .collect::<Vec<_>>(),
        ["failed"]
    );

    let seen = shown(&listener, OPERATOR, letter).await.record;
    assert_eq!(seen.value.expect("it is decoded")["user_id"], json!("u-5"));
    assert!(seen.raw_value.is_some() && seen.raw_key.is_some() && !seen.masked);
    let header = seen
        .headers
        .iter()
        .find(|header| header.name == "x-user")
        .expect("the header is there");
    assert_eq!(header.value.as_deref(), Some("u-5"));

    let listed: Letters = listener.get(VIEWER, "/v1/dead-letters").await.ok();
    assert_eq!(listed.items[0].key, Some(claim_id.to_string()));

    let poison = listener.poison_letter(1).await;
    let listed: Letters = listener.get(VIEWER, "/v1/dead-letters").await.ok();
    assert_eq!(
        listed.items[0].key.as_deref(),
        Some(MASK),
        "a foreign key may be anything"
    );
    let record = shown(&listener, ADMIN, poison).await.record;
    assert_eq!(
        (record.value, record.raw_value.as_deref()),
        (None, Some("bm90IGF2cm8="))
    );
    assert!(record.unreadable.expect("it says why").contains("magic byte"));
    let nobody = DeadLetterId::generate();
    listener
        .get(VIEWER, &format!("/v1/dead-letters/{nobody}"))
        .await
        .refused(404, "dead-letter-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_to_the_groups_retry_topic_once_and_is_audited() {
    let listener = Listener::start("replay_letter").await;
    let campaign = listener.campaign(10).await;
    let claim_id = listener.claim(&campaign, 1).await;
    let letter = listener.rejected_letter(&campaign, claim_id, 1).await;
    listener.published().await;
    let path = format!("/v1/dead-letters/{letter}/replay");

    let replay: Replay = listener.post(OPERATOR, &path, &json!({})).await.ok();
    assert_eq!((replay.letter_id, replay.attempt), (letter, 1));
    listener
        .post(OPERATOR, &path, &json!({}))
        .await
        .refused(409, "dead-letter-not-open");

    let viewed = shown(&listener, VIEWER, letter).await;
    assert_eq!(
        (viewed.letter.state.as_str(), viewed.letter.replay_attempt),
        ("replaying", 1)
    );
    assert_eq!(
        viewed
            .history
            .last()
            .map(|line| (line.action.as_str(), line.actor.as_str())),
        Some(("replayed", "olga"))
    );
    let retry = listener
        .config
        .kafka
        .names()
        .retry(&headgate_schemas::topics::COUPONS, "coupon-issuance");
    assert_eq!(listener.unpublished().await, [(retry, viewed.letter.event_id)]);
    let audited = (
        "olga".to_owned(),
        "dead-letter.replay".to_owned(),
        letter.to_string(),
    );
    assert_eq!(listener.audit().await, [audited]);
    let nobody = DeadLetterId::generate();
    listener
        .post(OPERATOR, &format!("/v1/dead-letters/{nobody}/replay"), &json!({}))
        .await
        .refused(404, "dead-letter-not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_not_answered_in_time_is_nobodys_to_overlook() {
    let listener = Listener::start("replay_overdue").await;
    let letter = listener.poison_letter(1).await;
    let replay = format!("/v1/dead-letters/{letter}/replay");
    let _sent: Replay = listener.post(OPERATOR, &replay, &json!({})).await.ok();
    let open = async || -> u64 {
        let open: Letters = listener.get(VIEWER, "/v1/dead-letters?state=open").await.ok();
        open.total
    };
    assert_eq!(open().await, 0);
    sqlx::query("UPDATE dead_letters SET replay_deadline = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
        .execute(listener.environment.pool())
        .await
        .expect("MySQL answers");
    assert_eq!(open().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named() {
    let listener = Listener::start("wrong_fields").await;
    let bodies = [
        (json!({"filter": {"group": 3}}), "filter.group"),
        (json!({"letters": 3}), "letters"),
        (json!([]), "body"),
    ];
    for (body, field) in bodies {
        let problem = listener
            .post(OPERATOR, "/v1/replays", &body)
            .await
            .refused(422, "invalid-body");
        assert_eq!(problem.errors[0].field, field, "{:?}", problem.errors);
    }
    for (query, field) in [("limit=few", "limit"), ("colour=red", "colour")] {
        let problem = listener
            .get(VIEWER, &format!("/v1/dead-letters?{query}"))
            .await
            .refused(400, "invalid-parameter");
        assert_eq!(problem.errors[0].field, field, "{:?}", problem.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_needs_a_reason_and_releases_the_claim() {
    let listener = Listener::start("discard_letter").await;
    let campaign = listener.campaign(10).await;
    let claim_id = listener.claim(&campaign, 1).await;
    let letter = listener.rejected_letter(&campaign, claim_id, 1).await;
    listener.published().await;
    let path = format!("/v1/dead-letters/{letter}/discard");
    for reason in ["", "  ", &"x".repeat(257)] {
        let problem = listener
            .post(OPERATOR, &path, &json!({"reason": reason}))
            .await
            .refused(422, "invalid-body");
        assert_eq!(problem.errors[0].field, "reason");
    }
    listener
        .post(OPERATOR, &path, &json!({}))
        .await
        .refused(422, "invalid-body");

    let discarded: Discarded = listener
        .post(OPERATOR, &path, &json!({"reason": "a test sale"}))
        .await
        .ok();
    assert_eq!(
        (discarded.action.as_str(), discarded.claim_id),
        ("claim-released", Some(claim_id))
    );
    listener
        .post(OPERATOR, &path, &json!({"reason": "again"}))
        .await
        .refused(409, "dead-letter-not-open");
    listener
        .post(OPERATOR, &format!("/v1/dead-letters/{letter}/replay"), &json!({}))
        .await
        .refused(409, "dead-letter-not-open");

    let pool = listener.environment.pool();
    let held: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM claims")
        .fetch_one(pool)
        .await
        .expect("MySQL");
    let released: (String, String) = sqlx::query_as("SELECT reason, released_by FROM released_claims")
        .fetch_one(pool)
        .await
        .expect("the claim was released");
    assert_eq!(
        (held, released),
        (0, ("a test sale".to_owned(), "olga".to_owned()))
    );
    let event: Vec<String> = sqlx::query_scalar("SELECT event_type FROM outbox")
        .fetch_all(pool)
        .await
        .expect("MySQL");
    assert_eq!(event, [ClaimReleased::NAME]);
    let viewed = shown(&listener, VIEWER, letter).await;
    assert_eq!(viewed.letter.state, "discarded");
    let line = viewed.history.last().expect("a line");
    assert_eq!(
        (line.action.as_str(), line.detail.as_deref()),
        ("discarded", Some("a test sale"))
    );
    let audited = (
        "olga".to_owned(),
        "dead-letter.discard".to_owned(),
        letter.to_string(),
    );
    assert_eq!(listener.audit().await, [audited]);
}

#[tokio::test(flavor = "multi_thread")]
async fn discarding_poison_promises_nothing() {
    let listener = Listener::start("discard_poison").await;
    let letter = listener.poison_letter(1).await;
    let path = format!("/v1/dead-letters/{letter}/discard");
    let discarded: Discarded = listener
        .post(ADMIN, &path, &json!({"reason": "garbage"}))
        .await
        .ok();
    assert_eq!((discarded.action.as_str(), discarded.claim_id), ("nothing", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discard_gives_the_ticket_to_the_next_asker_and_tells_who_waits() {
    let listener = Listener::start("discard_ticket").await;
    let campaign = listener.campaign(10).await;
    let claim_id = listener.claim(&campaign, 1).await;
    let letter = listener.rejected_letter(&campaign, claim_id, 1).await;
    let servers = Servers::new(listener.config.clone()).expect("clients");
    let admitted = rebuild::Campaign {
        campaign_no: campaign.no,
        campaign_id: campaign.id,
        quota: 10,
        closes_at: Utc::now() + TimeDelta::hours(1),
    };
    servers
        .admission
        .rebuild(&servers.pool, admitted, None)
        .await
        .expect("Redis answers");
    let redis = redis::Client::open(listener.environment.redis_url()).expect("a client");
    let mut waiting = redis.get_async_pubsub().await.expect("Redis answers");
    waiting
        .subscribe(listener.config.redis.claims_channel())
        .await
        .expect("it subscribes");

    let path = format!("/v1/dead-letters/{letter}/discard");
    let _discarded: Discarded = listener
        .post(OPERATOR, &path, &json!({"reason": "a test sale"}))
        .await
        .ok();
    let state = servers
        .admission
        .outstanding(campaign.id)
        .await
        .expect("Redis answers")
        .expect("a state");
    assert_eq!((state.counter, state.free, state.pending), (1, 1, 0));
    let settled = waiting.on_message().next().await.expect("a message");
    assert_eq!(settled.get_payload_bytes(), claim_id.as_bytes());
    let shown: ShownCampaign = listener
        .get(VIEWER, &format!("/v1/campaigns/{}", campaign.id))
        .await
        .ok();
    let redis = shown.admission.redis.expect("Redis holds the campaign");
    assert_eq!((redis.ticket_highest, redis.tickets_free), (1, 1));
    assert_eq!(
        (
            shown.counts.released,
            shown.counts.claimed,
            shown.differences.len()
        ),
        (1, 0, 0)
    );
}
