//! The commands that go through the operator's listener.

use headgate_operator::dead_letters::export::Export;
use headgate_schemas::ids::DeadLetterId;
use serde_json::json;

use crate::listener::{ADMIN, Listener, OPERATOR, VIEWER};

impl Listener {
    /// So many dead letters of a new campaign.
    pub async fn letters(&self, count: u32) -> Vec<String> {
        let campaign = self.campaign(10).await;
        let mut letters = Vec::new();
        for ticket in 1..=count {
            let claim_id = self.claim(&campaign, ticket).await;
            letters.push(
                self.rejected_letter(&campaign, claim_id, ticket)
                    .await
                    .to_string(),
            );
        }
        letters
    }

    /// Kinds of acts in the audit log, with who did them, oldest first.
    pub async fn acts(&self) -> Vec<String> {
        let audit = self.audit().await.into_iter();
        audit
            .map(|(actor, action, _)| format!("{actor} {action}"))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_shown() {
    let listener = Listener::start("cli_dlq_look").await;
    let letters = listener.letters(3).await;
    let table = listener.run(VIEWER, "dlq list").await;
    assert!(
        letters.iter().all(|letter| table.code(0).stdout.contains(letter)),
        "{}",
        table.stdout
    );
    let listed = listener.json(VIEWER, "dlq list --limit 2 --state any").await;
    assert_eq!(
        (&listed["total"], listed["items"].as_array().map(Vec::len)),
        (&json!(3), Some(2))
    );
    listener
        .run(VIEWER, "dlq list --limit 2")
        .await
        .code(0)
        .says("2 of 3 shown; more with --cursor");

    let show = format!("dlq show {}", letters[0]);
    let masked = listener.run(VIEWER, &show).await;
    assert!(!masked.code(0).stdout.contains("u-1"), "{}", masked.stdout);
    let shown = listener.run(OPERATOR, &show).await;
    assert!(shown.code(0).stdout.contains("u-1"), "{}", shown.stdout);
    let nobody = format!("dlq show {}", DeadLetterId::generate());
    listener
        .fails(OPERATOR, &nobody, 4, "dead-letter-not-found")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_grouped_by_cause_and_replayed_by_it() {
    let listener = Listener::start("cli_dlq_groups").await;
    listener.letters(3).await;
    listener.poison_letter(1).await;
    let groups = listener.json(VIEWER, "dlq groups").await;
    let letters = |at: usize| groups["items"][at]["letters"].clone();
    assert_eq!(
        (letters(0), letters(1), &groups["total"]),
        (json!(3), json!(1), &json!(2))
    );
    let table = listener
        .run(VIEWER, "dlq groups --limit 1 --since 2026-01-01T00:00:00Z")
        .await;
    table
        .code(0)
        .says("4 letters of 2 causes")
        .says("more with --cursor");
    assert!(table.stdout.contains("ticket-above-quota"), "{}", table.stdout);

    let fingerprint = groups["items"][0]["fingerprint"].as_str().expect("text");
    let replay = format!("dlq replay --fingerprint {fingerprint}");
    listener.fails(OPERATOR, &replay, 5, "nothing was done").await;
    let started = listener.json(OPERATOR, &format!("{replay} --yes --detach")).await;
    assert_eq!(
        (&started["plan"]["letters"], &started["state"]),
        (&json!(3), &json!("running"))
    );
    let left = listener.json(VIEWER, "dlq list --text magic").await;
    assert_eq!(left["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed_and_discarded() {
    let listener = Listener::start("cli_dlq_act").await;
    let letters = listener.letters(2).await;
    let replay = format!("dlq replay {}", letters[0]);
    listener.fails(VIEWER, &replay, 4, "role-missing").await;
    assert_eq!(listener.json(OPERATOR, &replay).await["attempt"], 1);
    listener.fails(OPERATOR, &replay, 4, "dead-letter-not-open").await;

    let discard = format!("dlq discard {} --reason test-sale", letters[1]);
    listener.fails(OPERATOR, &discard, 5, "nothing was done").await;
    let discarded = listener.json(OPERATOR, &format!("{discard} --yes")).await;
    assert_eq!(discarded["action"], "claim-released");
    assert_eq!(
        listener.acts().await,
        ["olga dead-letter.replay", "olga dead-letter.discard"]
    );
    let newest = listener.json(VIEWER, "audit list --limit 1").await;
    assert_eq!(newest["items"][0]["detail"]["reason"], "test-sale");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_archived_and_restored() {
    let listener = Listener::start("cli_dlq_archive").await;
    let letter = listener.letters(1).await.remove(0);
    let archive = format!("dlq archive {letter} --reason later");
    listener.fails(VIEWER, &archive, 4, "role-missing").await;
    assert_eq!(listener.json(OPERATOR, &archive).await["state"], "archived");
    for (state, letters) in [("open", 0), ("any", 0), ("archived", 1)] {
        let listed = listener.json(VIEWER, &format!("dlq list --state {state}")).await;
        assert_eq!(listed["total"], letters, "{state}");
    }
    let restore = format!("dlq restore {letter} --reason mended");
    assert_eq!(listener.json(OPERATOR, &restore).await["state"], "open");
    listener
        .fails(OPERATOR, &restore, 4, "dead-letter-not-archived")
        .await;
    assert_eq!(
        listener.acts().await,
        ["olga dead-letter.archive", "olga dead-letter.restore"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_many_letters_is_planned_asked_for_started_and_stopped() {
    let listener = Listener::start("cli_replay").await;
    listener.letters(3).await;
    listener.fails(OPERATOR, "dlq replay", 2, "--group").await;
    listener
        .fails(OPERATOR, "dlq replay --disposition lost", 2, "no disposition")
        .await;
    let class = "--class ticket-above-quota";
    let asked = format!("dlq replay {class}");
    listener.fails(OPERATOR, &asked, 5, "nothing was sent").await;
    assert_eq!(listener.acts().await, ["olga replay.plan"]);
    let planned = listener
        .run(OPERATOR, &format!("dlq plan {class} --rate 50"))
        .await;
    assert!(
        planned.code(0).stdout.contains("50 a second"),
        "{}",
        planned.stdout
    );
    let planned = listener
        .json(OPERATOR, &format!("dlq plan {class} --canary 1"))
        .await;
    assert_eq!(planned["plan"]["letters"], 3);
    let id = planned["replay_id"].as_str().expect("an id");
    let start = format!("dlq replay --plan {id} --yes --detach");
    assert_eq!(listener.json(OPERATOR, &start).await["state"], "running");
    let paused = listener.json(OPERATOR, &format!("dlq pause {id}")).await;
    assert_eq!(
        (&paused["state"], &paused["pause_reason"]),
        (&json!("paused"), &json!("operator"))
    );
    let resumed = listener
        .json(OPERATOR, &format!("dlq resume {id} --rate 7 --detach"))
        .await;
    assert_eq!(
        (&resumed["state"], &resumed["rate_per_second"]),
        (&json!("running"), &json!(7))
    );
    let cancelled = listener.json(OPERATOR, &format!("dlq cancel {id}")).await;
    assert_eq!(cancelled["state"], "cancelled");
    listener
        .fails(OPERATOR, &format!("dlq resume {id}"), 4, "replay-state")
        .await;
    let replays = listener.json(VIEWER, "dlq replays --state cancelled").await;
    assert_eq!(replays["items"][0]["replay_id"], id);
    let letters = listener
        .json(VIEWER, &format!("dlq outcome {id} --limit 2"))
        .await;
    assert_eq!(
        (letters["items"].as_array().map(Vec::len), &letters["next_cursor"]),
        (Some(2), &json!(2))
    );
    let rehearsed = listener
        .json(OPERATOR, &format!("dlq rehearse --plan {id} --letters 1"))
        .await;
    assert_eq!(rehearsed.as_array().map(Vec::len), Some(1));
    listener.fails(OPERATOR, "dlq rehearse", 2, "--plan").await;
    let nothing = listener
        .json(OPERATOR, "dlq replay --class nothing-like-it")
        .await;
    assert_eq!(nothing["plan"]["letters"], 0, "nothing matches, nothing is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_exported_with_their_records_line_by_line() {
    let listener = Listener::start("cli_export").await;
    let letters = listener.letters(3).await;
    listener.poison_letter(1).await;
    let exported = listener
        .run(OPERATOR, "dlq export --class ticket-above-quota")
        .await;
    exported.code(0).says("3 letters");
    let lines = |stdout: &str| -> Vec<serde_json::Value> {
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        lines.collect()
    };
    let exported = lines(&exported.stdout);
    let ids: Vec<_> = exported
        .iter()
        .map(|letter| letter["letter_id"].clone())
        .collect();
    assert_eq!(
        ids,
        letters.iter().map(|letter| json!(letter)).collect::<Vec<_>>(),
        "the oldest first"
    );
    assert_eq!(exported[0]["record"]["value"]["user_id"], "u-1");
    assert!(exported[0]["record"]["raw_value"].is_string());
    // To a viewer the personal parts are masked, and pages of one letter come to the same.
    let masked = lines(
        &listener
            .run(VIEWER, "dlq export --group coupon-issuance")
            .await
            .stdout,
    );
    assert_eq!(
        (masked.len(), &masked[0]["record"]["value"]["user_id"]),
        (4, &json!("***"))
    );
    assert!(
        masked
            .iter()
            .all(|letter| letter["record"]["raw_value"].is_null())
    );
    let path = "/v1/dead-letters/export?limit=3";
    let first: Export = listener.get(VIEWER, path).await.ok();
    let next = first.next_cursor.expect("there is one more");
    let second: Export = listener.get(VIEWER, &format!("{path}&cursor={next}")).await.ok();
    assert_eq!(
        (first.items.len(), second.items.len(), second.next_cursor),
        (3, 1, None)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("letters.jsonl");
    let to_file = format!("dlq export --file {}", file.display());
    listener.run(OPERATOR, &to_file).await.code(0);
    assert_eq!(
        lines(&std::fs::read_to_string(&file).expect("it is written")).len(),
        4
    );
    // Never over a file that is there.
    listener.fails(OPERATOR, &to_file, 4, "cannot be written").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_are_listed_shown_paused_resumed_and_ended() {
    let listener = Listener::start("cli_campaigns").await;
    let campaign = listener.campaign(10).await;
    let claim_id = listener.claim(&campaign, 1).await;
    listener.coupon(&campaign, claim_id, 1, true).await;
    let id = campaign.id.to_string();
    let listed = listener.json(VIEWER, "campaign list").await;
    assert_eq!(
        (&listed["items"][0]["campaign_id"], &listed["items"][0]["issued"]),
        (&json!(id), &json!(1))
    );
    let shown = listener.run(VIEWER, &format!("campaign show {id}")).await;
    assert!(
        shown.code(0).stdout.contains("differences   none"),
        "{}",
        shown.stdout
    );
    listener
        .fails(VIEWER, &format!("campaign pause {id}"), 4, "role-missing")
        .await;
    for (verb, state) in [("pause", "paused"), ("pause", "paused"), ("resume", "open")] {
        assert_eq!(
            listener.json(OPERATOR, &format!("campaign {verb} {id}")).await["state"],
            state
        );
    }
    listener
        .fails(OPERATOR, &format!("campaign end {id}"), 5, "nothing was done")
        .await;
    assert_eq!(
        listener.json(OPERATOR, &format!("campaign end {id} --yes")).await["state"],
        "ended"
    );
    listener
        .fails(OPERATOR, &format!("campaign resume {id}"), 4, "campaign-ended")
        .await;
    let acts = [
        "campaign.pause",
        "campaign.pause",
        "campaign.resume",
        "campaign.end",
    ];
    assert_eq!(listener.acts().await, acts.map(|act| format!("olga {act}")));
    let events: Vec<String> =
        sqlx::query_scalar("SELECT SUBSTRING_INDEX(event_type, '.', -1) FROM outbox ORDER BY id")
            .fetch_all(listener.environment.pool())
            .await
            .expect("MySQL answers");
    assert_eq!(
        events,
        ["CampaignPaused", "CampaignResumed", "CampaignEnded"],
        "a change once, an act twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_exit_code_1() {
    let listener = Listener::start("cli_reconcile").await;
    for _ in 0..3 {
        listener.campaign(10).await;
    }
    let sound = listener.json(VIEWER, "reconcile --page 2").await;
    assert_eq!(
        (&sound["campaigns"], &sound["differences"]),
        (&json!(3), &json!(0))
    );
    listener
        .run(VIEWER, "reconcile")
        .await
        .code(0)
        .says("differences = 0");
    sqlx::query("UPDATE campaign_stock SET remaining = 9 LIMIT 1")
        .execute(listener.environment.pool())
        .await
        .expect("MySQL answers");
    let differs = listener.run(VIEWER, "reconcile").await;
    assert!(
        differs
            .code(1)
            .stdout
            .contains("stock-remaining: 9 instead of 10"),
        "{}",
        differs.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_of_a_point_policy_stays_as_it_is() {
    let listener = Listener::start("cli_point_policy").await;
    let created = listener.json(ADMIN, "partner create shop").await;
    let id = created["partner_id"].as_str().expect("an id");
    listener
        .fails(ADMIN, &format!("point-policy set {id}"), 2, "--earn-min")
        .await;
    let set = format!("point-policy set {id} --earn-max 5000");
    listener.fails(OPERATOR, &set, 4, "admin").await;
    assert_eq!(listener.json(ADMIN, &set).await["earn_max"], json!(5_000));
    let wrong = format!("point-policy set {id} --earn-min 5001");
    listener.fails(ADMIN, &wrong, 4, "earn_max").await;
    let shown = listener.json(VIEWER, &format!("point-policy show {id}")).await;
    assert_eq!(
        (&shown["earn_min"], &shown["earn_max"], &shown["updated_by"]),
        (&json!(1), &json!(5_000), &json!("anna")),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_and_keys_are_made_by_admins() {
    let listener = Listener::start("cli_partner").await;
    listener.fails(OPERATOR, "partner create shop", 4, "admin").await;
    let wrong = "partner create shop --scope everything";
    listener
        .fails(ADMIN, wrong, 4, "scopes: `everything` is no scope")
        .await;
    let created = listener
        .json(ADMIN, "partner create shop --scope claims:write")
        .await;
    assert_eq!(created["scopes"], json!(["claims:read", "claims:write"]));
    let id = created["partner_id"].as_str().expect("an id");
    let key = listener
        .json(
            ADMIN,
            &format!("partner key {id} --rate-key 50 --rate-address 40"),
        )
        .await;
    let shown = listener.json(VIEWER, &format!("partner show {id}")).await;
    let rates: Vec<_> = shown["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| key["rates"].clone())
        .collect();
    assert_eq!(rates, [json!({}), json!({"key": 50, "address": 40})]);
    let still = format!("partner key {id} --rate-user 0");
    listener.fails(ADMIN, &still, 4, "rates.user").await;
    assert_ne!(key["api_key"], created["api_key"]);
    assert_eq!(
        listener.json(VIEWER, "partner list").await["items"][0]["name"],
        "shop"
    );
    assert_eq!(listener.acts().await, ["anna partner.create", "anna key.create"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_revoked_and_never_shown_again() {
    let listener = Listener::start("cli_keys").await;
    let created = listener.json(ADMIN, "partner create shop").await;
    let key = created["key_id"].as_str().expect("a key");
    let rotated = listener
        .json(ADMIN, &format!("partner rotate {key} --overlap-seconds 60"))
        .await;
    assert_ne!(rotated["api_key"], created["api_key"]);
    let forever = format!("partner rotate {key} --overlap-seconds 99999999");
    listener.fails(ADMIN, &forever, 4, "overlap_seconds").await;
    let revoke = format!("partner revoke {key}");
    listener.fails(ADMIN, &revoke, 5, "nothing was done").await;
    listener.run(ADMIN, &format!("{revoke} --yes")).await.code(0);
    listener
        .fails(ADMIN, &format!("{revoke} --yes"), 4, "api-key-not-found")
        .await;
    listener
        .fails(ADMIN, &format!("partner rotate {key}"), 4, "api-key-not-found")
        .await;

    let partner = created["partner_id"].as_str().expect("an id");
    let shown = listener.json(VIEWER, &format!("partner show {partner}")).await;
    let revoked: Vec<_> = shown["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| !key["revoked_at"].is_null())
        .collect();
    assert_eq!(revoked, [true, false]);
    let details: Vec<String> = sqlx::query_scalar("SELECT CAST(detail AS CHAR) FROM audit_log")
        .fetch_all(listener.environment.pool())
        .await
        .expect("MySQL answers");
    assert!(
        !format!("{shown}{details:?}").contains("hgk_"),
        "a key's text is shown once: {shown}{details:?}"
    );
    assert_eq!(
        listener.acts().await,
        ["anna partner.create", "anna key.rotate", "anna key.revoke"]
    );
}
