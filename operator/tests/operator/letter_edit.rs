//! Editing what a letter sends to its group.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use headgate_operator::dead_letters::LetterView;
use headgate_operator::dead_letters::discard::Discarded;
use headgate_operator::dead_letters::edit::Edited;
use headgate_operator::dead_letters::record::MASK;
use headgate_operator::dead_letters::replay::Replay;
use headgate_operator::dead_letters::show::ShownLetter;
use headgate_operator::replays::{Rehearsed, Would};
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::{ClaimAdmitted, ClaimIssued};
use headgate_schemas::ids::{ClaimId, DeadLetterId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::listener::{Answer, Listener, OPERATOR, VIEWER};

impl Listener {
    /// A rejected letter of a claim with ticket 1, and its value.
    async fn to_edit(&self) -> (DeadLetterId, Value) {
        let campaign = self.campaign(10).await;
        let claim_id = self.claim(&campaign, 1).await;
        let letter = self.rejected_letter(&campaign, claim_id, 1).await;
        let value = self.letter_of(OPERATOR, letter).await.record.value;
        (letter, value.expect("it can be read"))
    }

    async fn letter_of(&self, token: &str, letter: DeadLetterId) -> ShownLetter {
        self.get(token, &format!("/v1/dead-letters/{letter}")).await.ok()
    }

    async fn put(&self, token: &str, letter: DeadLetterId, body: &Value) -> Answer {
        let path = format!("/v1/dead-letters/{letter}/value");
        self.send(self.request(Method::PUT, &path).bearer_auth(token).json(body))
            .await
    }

    /// Fields that an edit is refused for.
    async fn wrong_fields(&self, letter: DeadLetterId, body: &Value) -> Vec<String> {
        let problem = self
            .put(OPERATOR, letter, body)
            .await
            .refused(422, "invalid-body");
        problem.errors.into_iter().map(|wrong| wrong.field).collect()
    }

    async fn rows(&self, table: &str) -> i64 {
        let select = format!("SELECT COUNT(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(select))
            .fetch_one(self.environment.pool())
            .await
            .expect("it can be counted")
    }

    async fn set(&self, letter: DeadLetterId, assignments: &str) {
        let update = format!("UPDATE dead_letters SET {assignments} WHERE letter_id = ?");
        sqlx::query(sqlx::AssertSqlSafe(update))
            .bind(letter)
            .execute(self.environment.pool())
            .await
            .expect("an update");
    }
}

/// `value` with some fields replaced.
fn with(value: &Value, fields: &Value) -> Value {
    let mut value = value.clone();
    for (name, field) in fields.as_object().expect("an object") {
        value[name] = field.clone();
    }
    value
}

fn body(value: &Value) -> Value {
    json!({"value": value, "reason": "the shop says so"})
}

fn of_type(value: &Value, event_type: &str) -> Value {
    json!({"value": value, "reason": "the shop says so", "event_type": event_type})
}

/// Path, before and after of what the first edit changed.
fn changed(shown: &ShownLetter) -> Vec<Value> {
    let changes = shown.edits[0].difference.changes.iter();
    changes
        .map(|change| json!([change.path, change.before, change.after]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_an_edit_is_kept_beside_what_came_and_is_what_a_replay_sends() {
    let listener = Listener::start("edit_letter").await;
    let (letter, value) = listener.to_edit().await;
    let came = listener.letter_of(OPERATOR, letter).await.record;
    let corrected = with(&value, &json!({"user_id": "u-9", "ticket": 2}));
    let edited: Edited = listener.put(OPERATOR, letter, &body(&corrected)).await.ok();
    assert_eq!(
        (edited.edit_no, edited.event_type.as_str()),
        (1, ClaimAdmitted::NAME)
    );
    let mended = [
        "ce_type",
        "content-type",
        "ce_specversion",
        "ce_source",
        "ce_subject",
        "ce_time",
    ];
    assert_eq!(edited.headers, mended);

    let shown = listener.letter_of(OPERATOR, letter).await;
    assert_eq!((shown.letter.edit_no, shown.letter.state.as_str()), (1, "open"));
    assert_eq!(
        (&shown.record.raw_value, &shown.record.headers),
        (&came.raw_value, &came.headers)
    );
    assert_eq!(
        changed(&shown),
        [json!(["/ticket", 1, 2]), json!(["/user_id", "u-1", "u-9"])]
    );
    assert_eq!((shown.edits.len(), shown.edits[0].actor.as_str()), (1, "olga"));
    let line = shown.history.last().expect("a line");
    assert_eq!((line.action.as_str(), line.actor.as_str()), ("edited", "olga"));
    let detail = line.detail.as_deref().expect("it says what");
    assert!(
        detail.contains("/ticket, /user_id") && detail.contains("the shop says so"),
        "{detail}"
    );
    let effective = shown.effective.expect("it was edited");
    assert_eq!(effective.value.as_ref(), Some(&corrected));

    listener.published().await;
    let _replay: Replay = listener
        .post(OPERATOR, &format!("/v1/dead-letters/{letter}/replay"), &json!({}))
        .await
        .ok();
    let payload: Vec<u8> = sqlx::query_scalar("SELECT payload FROM outbox")
        .fetch_one(listener.environment.pool())
        .await
        .expect("the copy for the retry topic");
    assert_eq!(Some(BASE64_STANDARD.encode(payload)), effective.raw_value);
}

#[tokio::test(flavor = "multi_thread")]
async fn g14_viewers_and_the_audit_log_see_which_fields_an_edit_changed_but_not_whose() {
    let listener = Listener::start("edit_masked").await;
    let (letter, value) = listener.to_edit().await;
    let corrected = with(&value, &json!({"user_id": "u-9", "ticket": 2}));
    let _edited: Edited = listener.put(OPERATOR, letter, &body(&corrected)).await.ok();
    let viewed = listener.letter_of(VIEWER, letter).await;
    assert_eq!(
        changed(&viewed),
        [json!(["/ticket", 1, 2]), json!(["/user_id", MASK, MASK])]
    );
    let effective = viewed.effective.expect("it was edited");
    assert_eq!((effective.masked, effective.raw_value), (true, None));
    for path in [format!("/v1/dead-letters/{letter}"), "/v1/audit".to_owned()] {
        let text = listener.get(VIEWER, &path).await.text;
        assert!(!text.contains("u-1") && !text.contains("u-9"), "{text}");
    }
    let audit: Value = listener.get(VIEWER, "/v1/audit").await.ok();
    let (action, detail) = (&audit["items"][0]["action"], &audit["items"][0]["detail"]);
    assert_eq!(
        (action, &detail["edit_no"], &detail["reason"]),
        (&json!("dead-letter.edit"), &json!(1), &json!("the shop says so"))
    );
    let hash = |when: &str| detail[when].as_str().map(str::len);
    assert_eq!(
        (hash("before_sha256"), hash("after_sha256")),
        (Some(64), Some(64))
    );
    assert_ne!(detail["before_sha256"], detail["after_sha256"]);
    assert_eq!(
        detail["difference"]["changes"],
        json!([
            {"path": "/ticket", "before": 1, "after": 2},
            {"path": "/user_id", "before": MASK, "after": MASK},
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_what_breaks_the_schema_is_refused_field_by_field_and_changes_nothing() {
    let listener = Listener::start("edit_wrong").await;
    let (letter, value) = listener.to_edit().await;
    let before = listener.letter_of(OPERATOR, letter).await;
    let wrong = with(
        &value,
        &json!({"ticket": "seven", "quota": null, "colour": "red"}),
    );
    let mut fields = listener.wrong_fields(letter, &body(&wrong)).await;
    fields.sort();
    assert_eq!(fields, ["value.colour", "value.quota", "value.ticket"]);
    let other = ClaimId::generate();
    let refusals = [
        (
            body(&with(&value, &json!({"campaign_id": "autumn"}))),
            "value.campaign_id",
        ),
        (body(&with(&value, &json!({"user_id": MASK}))), "value.user_id"),
        (body(&with(&value, &json!({"claim_id": other}))), "value.claim_id"),
        (body(&json!([])), "value"),
        (of_type(&value, ClaimIssued::NAME), "event_type"),
        (of_type(&value, "io.headgate.coupons.Lost"), "event_type"),
        (
            json!({"value": with(&value, &json!({"ticket": 2})), "reason": " "}),
            "reason",
        ),
        (json!({"reason": "no value"}), "body"),
        (json!({"value": value, "reason": "r", "colour": "red"}), "colour"),
    ];
    for (refused, field) in refusals {
        assert_eq!(
            listener.wrong_fields(letter, &refused).await,
            [field],
            "{refused}"
        );
    }
    listener
        .put(VIEWER, letter, &body(&with(&value, &json!({"ticket": 2}))))
        .await
        .refused(403, "role-missing");
    listener
        .put(OPERATOR, DeadLetterId::generate(), &body(&value))
        .await
        .refused(404, "dead-letter-not-found");
    let after = listener.letter_of(OPERATOR, letter).await;
    assert_eq!(
        (after.letter.edit_no, after.history.len()),
        (0, before.history.len())
    );
    assert_eq!(listener.rows("dead_letter_edits").await, 0);
    assert_eq!(listener.audit().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_changes_nothing_is_refused_and_one_of_the_headers_alone_is_not() {
    let listener = Listener::start("edit_nothing").await;
    let (letter, value) = listener.to_edit().await;
    // The record came without most headers.
    let edited: Edited = listener.put(OPERATOR, letter, &body(&value)).await.ok();
    assert!(edited.difference.changes.is_empty() && !edited.headers.is_empty());
    assert_eq!(listener.wrong_fields(letter, &body(&value)).await, ["value"]);
    assert_eq!(listener.rows("dead_letter_edits").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_of_edits_made_at_once_one_counts_and_the_others_hear_of_it() {
    let listener = Listener::start("edit_at_once").await;
    let (letter, value) = listener.to_edit().await;
    let edit = async |ticket: u32, expected: Option<u32>| {
        let mut body = body(&with(&value, &json!({"ticket": ticket})));
        body["expected_edit_no"] = json!(expected);
        listener.put(OPERATOR, letter, &body).await
    };
    let (one, two, three) = tokio::join!(edit(2, Some(0)), edit(3, Some(0)), edit(4, Some(0)));
    let mut counted = 0;
    for answer in [one, two, three] {
        if answer.status.is_success() {
            counted += 1;
        } else {
            answer.refused(409, "dead-letter-edited");
        }
    }
    assert_eq!((counted, listener.rows("dead_letter_edits").await), (1, 1));
    let problem = edit(5, Some(0)).await.refused(409, "dead-letter-edited");
    assert!(problem.detail.ends_with("newest edit is 1"), "{}", problem.detail);
    let second: Edited = edit(5, Some(1)).await.ok();
    let third: Edited = edit(6, None).await.ok();
    assert_eq!((second.edit_no, third.edit_no), (2, 3));
    // From the edit before, not from what came.
    assert_eq!(third.difference.changes[0].before, json!(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_only_letters_that_wait_for_an_operator_are_edited() {
    let listener = Listener::start("edit_states").await;
    let (letter, value) = listener.to_edit().await;
    let edit = async |ticket: u32| {
        let body = body(&with(&value, &json!({"ticket": ticket})));
        listener.put(OPERATOR, letter, &body).await
    };
    let states = [
        "state = 'replaying', replay_deadline = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR",
        "state = 'archived', replay_deadline = NULL, archived_at = UTC_TIMESTAMP(6)",
        "state = 'discarded', archived_at = NULL, closed_at = UTC_TIMESTAMP(6)",
        "state = 'resolved'",
    ];
    for state in states {
        listener.set(letter, state).await;
        edit(2).await.refused(409, "dead-letter-not-open");
    }
    assert_eq!(listener.rows("dead_letter_edits").await, 0);
    // A quarantined letter stays so: to send it is another decision.
    listener
        .set(
            letter,
            "state = 'quarantined', closed_at = NULL, replays_failed = 5",
        )
        .await;
    let _edited: Edited = edit(3).await.ok();
    assert_eq!(
        listener.letter_of(VIEWER, letter).await.letter.state,
        "quarantined"
    );
    listener.set(letter, "state = 'open'").await;
    let _edited: Edited = edit(4).await.ok();
    // As often as this.
    let last =
        "INSERT INTO dead_letter_edits SELECT letter_id, 50, record_value, record_headers, difference, actor,
                    reason, edited_at FROM dead_letter_edits WHERE edit_no = 2";
    sqlx::query(last)
        .execute(listener.environment.pool())
        .await
        .expect("an edit");
    listener.set(letter, "edit_no = 50").await;
    edit(5).await.refused(409, "dead-letter-edits-spent");
    let archived: LetterView = listener
        .post(
            OPERATOR,
            &format!("/v1/dead-letters/{letter}/archive"),
            &json!({"reason": "later"}),
        )
        .await
        .ok();
    assert_eq!(archived.edit_no, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_what_nobody_can_read_is_edited_into_an_event() {
    let listener = Listener::start("edit_poison").await;
    let (_, value) = listener.to_edit().await;
    let letter = listener.poison_letter(1).await;
    let key = value["claim_id"].as_str().expect("an id").to_owned();
    // Foreign headers, no type, bytes that are not Avro, and another's key.
    assert_eq!(listener.wrong_fields(letter, &body(&value)).await, ["event_type"]);
    let named = of_type(&value, ClaimAdmitted::NAME);
    assert_eq!(listener.wrong_fields(letter, &named).await, ["value.claim_id"]);
    listener.set(letter, &format!("record_key = '{key}'")).await;
    let edited: Edited = listener.put(OPERATOR, letter, &named).await.ok();
    assert!(edited.difference.original_unreadable);
    assert!(
        edited
            .difference
            .changes
            .iter()
            .all(|change| change.before.is_null())
    );
    let shown = listener.letter_of(OPERATOR, letter).await;
    assert_eq!(
        shown.record.raw_value.as_deref(),
        Some("bm90IGF2cm8="),
        "as it came"
    );
    assert_eq!(shown.record.headers, []);
    assert_eq!(shown.letter.event_type.as_deref(), Some(ClaimAdmitted::NAME));
    let effective = shown.effective.expect("it was edited");
    assert_eq!(effective.value, Some(value));
    let id = effective.headers.iter().find(|header| header.name == "ce_id");
    assert_eq!(
        id.and_then(|header| header.value.clone()),
        Some(shown.letter.event_id.to_string())
    );
    // A rehearsal reads what a replay would send.
    let rehearse = format!("/v1/dead-letters/{letter}/rehearse");
    let rehearsed: Rehearsed = listener.post(OPERATOR, &rehearse, &json!({})).await.ok();
    assert_eq!(rehearsed.would, Would::Apply, "{:?}", rehearsed.error);
    // By now it is known what the event had promised.
    let discarded: Discarded = listener
        .post(
            OPERATOR,
            &format!("/v1/dead-letters/{letter}/discard"),
            &json!({"reason": "given up"}),
        )
        .await
        .ok();
    assert_eq!(discarded.claim_id.map(|claim| claim.to_string()), Some(key));
}
