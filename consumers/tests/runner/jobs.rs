//! The background jobs, each as it runs in the process.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use headgate_admission::release::Pending;
use headgate_admission::reserve::{Answer, Known, Request, Reserved};
use headgate_admission::{Admission, rebuild};
use headgate_consumers::Config;
use headgate_dead_letters::{archive, discard};
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use headgate_testkit::eventually;
use sqlx::AssertSqlSafe;

use crate::replay::{ACTOR, mend, rejected};
use crate::support::{PATIENCE, Pipe, tables};

const SOON: Duration = Duration::from_millis(20);

fn with_jobs(pipe: &Pipe) -> Config {
    let mut config = pipe.config();
    config.jobs.enabled = true;
    config.jobs.campaign_clock_every = SOON;
    config.jobs.expire_every = SOON;
    config.jobs.retain_every = SOON;
    config.jobs.sweep_every = SOON;
    config.jobs.audit_every = SOON;
    config
}

async fn run(pipe: &Pipe, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(pipe.environment.pool())
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn until(pipe: &Pipe, what: &str, from: &str, rows: i64) {
    eventually(what, PATIENCE, async || {
        (tables::count(pipe.environment.pool(), from).await == rows).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coupons_expire_and_campaigns_open_and_end() {
    let pipe = Pipe::new("expiry_and_clock").await;
    let campaign = pipe.campaign(1_500).await;
    let running = pipe.start_with(with_jobs(&pipe)).await;
    pipe.publish(&pipe.records(&pipe.admit(&campaign, 1..=1_200).await))
        .await;
    pipe.caught_up().await;
    // More than one round's worth of coupons runs out at once.
    run(
        &pipe,
        "UPDATE coupons SET expires_at = UTC_TIMESTAMP(6) WHERE ticket <= 1100",
    )
    .await;
    until(
        &pipe,
        "coupons to expire",
        "coupons WHERE state = 'expired'",
        1_100,
    )
    .await;
    until(
        &pipe,
        "their events",
        "outbox WHERE event_type LIKE '%CouponExpired'",
        1_100,
    )
    .await;
    until(
        &pipe,
        "their places",
        "coupons WHERE state = 'expired' AND event_sequence = 3",
        1_100,
    )
    .await;

    run(&pipe, "UPDATE campaigns SET state = 'scheduled'").await;
    until(&pipe, "the campaign to open", "campaigns WHERE state = 'open'", 1).await;
    run(
        &pipe,
        "UPDATE campaigns SET closes_at = opens_at + INTERVAL 1 MICROSECOND",
    )
    .await;
    until(&pipe, "the campaign to end", "campaigns WHERE state = 'ended'", 1).await;
    let events = tables::outbox(pipe.environment.pool()).await;
    assert_eq!(
        (events.get("CampaignOpened"), events.get("CampaignEnded")),
        (Some(&1), Some(&1))
    );
    running.stop().await;
    until(
        &pipe,
        "the leases to be given back",
        "leases WHERE holder IS NOT NULL",
        0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_days_are_dropped_but_not_those_of_open_letters() {
    let pipe = Pipe::new("retention").await;
    let pool = pipe.environment.pool();
    // The first partition is of long ago, the second of a letter that is open.
    run(&pipe, "ALTER TABLE inbox REMOVE PARTITIONING").await;
    run(
        &pipe,
        "ALTER TABLE inbox PARTITION BY RANGE COLUMNS (event_day) (
             PARTITION p20200101 VALUES LESS THAN ('2020-01-02'),
             PARTITION p20200102 VALUES LESS THAN ('2020-01-03'),
             PARTITION p20200103 VALUES LESS THAN ('2020-01-04'),
             PARTITION pmax VALUES LESS THAN (MAXVALUE))",
    )
    .await;
    run(
        &pipe,
        "INSERT INTO consumer_groups (name) VALUES ('coupon-issuance')",
    )
    .await;
    run(
        &pipe,
        "INSERT INTO dead_letters (letter_id, group_no, event_id, event_day, topic, partition_no, kafka_offset,
             kafka_timestamp, record_headers, disposition, error_class, error, fingerprint, attempts, first_failed_at,
             last_failed_at, state)
         SELECT UNHEX(REPEAT('01', 16)), group_no, UNHEX(REPEAT('02', 16)), '2020-01-02', 't', 0, 0, NOW(), '',
             'poison', 'c', 'e', UNHEX(REPEAT('03', 16)), 1, NOW(), NOW(), 'open' FROM consumer_groups",
    )
    .await;
    let partitions = "information_schema.PARTITIONS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'inbox'
        AND PARTITION_NAME LIKE 'p2020%'";
    let running = pipe.start_with(with_jobs(&pipe)).await;
    until(&pipe, "the first day to be dropped", partitions, 2).await;
    run(
        &pipe,
        "UPDATE dead_letters SET state = 'discarded', closed_at = NOW()",
    )
    .await;
    until(&pipe, "the rest to be dropped", partitions, 0).await;
    let today = tables::count(
        pool,
        "information_schema.PARTITIONS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'inbox'
             AND PARTITION_NAME = DATE_FORMAT(UTC_DATE(), 'p%Y%m%d')",
    );
    assert_eq!(today.await, 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_are_removed_when_their_time_is_up() {
    let pipe = Pipe::new("keys").await;
    // More than two batches that are due, answered or not, and one row that is not due.
    run(
        &pipe,
        "INSERT INTO idempotency_keys (scoped_key, fingerprint, state, owner, lease_until, expires_at, status,
             content_type, body)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900),
             m (j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM m WHERE j < 3)
         SELECT UNHEX(SHA2(CONCAT(i, '/', j), 256)), UNHEX(SHA2('', 256)),
             IF(j = 1, 'in_progress', 'answered'), UNHEX(REPEAT('00', 16)),
             UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL IF(i = 1 AND j = 1, 60, 0) SECOND,
             IF(j = 1, NULL, 201), IF(j = 1, NULL, 'application/json'), IF(j = 1, NULL, '{}')
         FROM n JOIN m",
    )
    .await;
    let running = pipe.start_with(with_jobs(&pipe)).await;
    until(&pipe, "what is due to be removed", "idempotency_keys", 1).await;
    running.stop().await;
}

/// How many jobs there are.
const JOBS: i64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_never_run_a_job_both() {
    let pipe = Pipe::new("leases").await;
    let pool = pipe.environment.pool();
    let first = pipe.start_with(with_jobs(&pipe)).await;
    until(
        &pipe,
        "every job to have a holder",
        "leases WHERE holder IS NOT NULL",
        JOBS,
    )
    .await;
    let second = pipe.start_with(with_jobs(&pipe)).await;
    second.wait_joined().await;
    let epochs = tables::count_by(pool, "epoch", "leases").await;
    assert_eq!(
        epochs,
        [("1".to_owned(), JOBS)].into(),
        "nobody took a lease from its holder"
    );
    first.stop().await;
    until(
        &pipe,
        "the second to take over",
        "leases WHERE holder IS NOT NULL AND epoch = 2",
        JOBS,
    )
    .await;
    second.stop().await;
}

/// Asks for a ticket under a new claim id.
async fn ask(admission: &Admission, campaign: CampaignId, user: &str) -> (ClaimId, Answer) {
    let (claim_id, user_id) = (ClaimId::generate(), UserId::new(user).expect("a name"));
    let request = Request {
        claim_id,
        user_id: &user_id,
    };
    let known = Known {
        quota: 1,
        ..Known::default()
    };
    match admission.reserve(campaign, known, &[request]).await {
        Ok(Reserved::Answers { answers, .. }) => (claim_id, answers[0]),
        other => panic!("no answers: {other:?}"),
    }
}

/// A campaign with one ticket, and its state in Redis.
async fn one_ticket(pipe: &Pipe, admission: &Admission) -> CampaignId {
    let campaign = pipe.campaign(1).await;
    let of_campaign = rebuild::Campaign {
        campaign_no: campaign.campaign_no,
        campaign_id: campaign.campaign_id,
        quota: 1,
        closes_at: Utc::now() + TimeDelta::days(1),
    };
    admission
        .rebuild(pipe.environment.pool(), of_campaign, None)
        .await
        .expect("the servers answer");
    campaign.campaign_id
}

fn admission_of(config: &Config) -> Admission {
    let connection = headgate_runtime::redis::connection(&config.redis).expect("the address is readable");
    Admission::new(connection, &config.redis.prefix, config.admission.clone())
}

/// Puts something else where a campaign's state belongs.
async fn damage(config: &Config, campaign: CampaignId) {
    let mut connection = headgate_runtime::redis::connection(&config.redis).expect("the address is readable");
    for key in ["state", "pending"] {
        let key = format!("{}{{{campaign}}}:{key}", config.redis.prefix);
        let _put: () = redis::AsyncCommands::set(&mut connection, key, "damaged")
            .await
            .expect("Redis answers");
    }
}

/// Until the ticket is somebody's who asks.
async fn until_it_comes_back(admission: &Admission, campaign: CampaignId) {
    eventually("the ticket to come back", PATIENCE, async || {
        let (_, answer) = ask(admission, campaign, "second").await;
        matches!(answer, Answer::Reserved { .. }).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g03_a_ticket_in_nobodys_hands_goes_to_the_next_asker() {
    let pipe = Pipe::new("audit").await;
    let config = with_jobs(&pipe);
    let admission = admission_of(&config);
    let damaged = one_ticket(&pipe, &admission).await;
    let campaign = one_ticket(&pipe, &admission).await;
    let (claim_id, first) = ask(&admission, campaign, "first").await;
    let Answer::Reserved { ticket, .. } = first else {
        panic!("not reserved: {first:?}")
    };
    // Redis takes it for a claim, and MySQL does not have it: a release that Redis missed.
    let lost = Pending {
        claim_id,
        ticket,
        user_id: UserId::new("first").expect("a name"),
    };
    admission.confirm(campaign, &[lost]).await.expect("Redis answers");
    let (_, second) = ask(&admission, campaign, "second").await;
    assert!(matches!(second, Answer::SoldOut { .. }), "{second:?}");

    // The audit meets it first.
    damage(&config, damaged).await;
    let running = pipe.start_with(config).await;
    until_it_comes_back(&admission, campaign).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g03_a_damaged_campaign_does_not_keep_others_from_being_swept() {
    let pipe = Pipe::new("sweep").await;
    let mut config = with_jobs(&pipe);
    // Not before the test is over: the sweeper has to do it.
    config.jobs.audit_every = PATIENCE * 2;
    config.admission.pending = SOON;
    let admission = admission_of(&config);
    let damaged = one_ticket(&pipe, &admission).await;
    let campaign = one_ticket(&pipe, &admission).await;
    let running = pipe.start_with(config.clone()).await;
    damage(&config, damaged).await;
    // Whoever reserved it died before the commit.
    let (_, first) = ask(&admission, campaign, "first").await;
    assert!(matches!(first, Answer::Reserved { .. }), "{first:?}");
    until_it_comes_back(&admission, campaign).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_of_long_ago_are_removed_unless_they_are_under_way() {
    let pipe = Pipe::new("old_replays").await;
    for (id, state, age, live) in [
        (1, "planned", 91, "NULL"),
        (2, "completed", 91, "NULL"),
        (3, "completed", 89, "NULL"),
        (4, "paused", 91, "NULL"),
        (5, "cancelled", 91, "1"),
    ] {
        let reason = if state == "paused" { "'operator'" } else { "NULL" };
        let ended = if id == 2 || id == 3 || id == 5 {
            "NOW(6)"
        } else {
            "NULL"
        };
        let replay = format!(
            "INSERT INTO replays (replay_no, replay_id, state, pause_reason, filter, plan, letters, rate_per_second,
                 canary_letters, failures_percent_max, places_allowed, is_live, planned_by, planned_at, ended_at)
             VALUES ({id}, UNHEX(REPEAT('0{id}', 16)), '{state}', {reason}, '{{}}', '{{}}', 3, 1, 0, 0, 3, {live}, 'kim',
                 UTC_TIMESTAMP(6) - INTERVAL {age} DAY, {ended})"
        );
        sqlx::query(sqlx::AssertSqlSafe(replay))
            .execute(pipe.environment.pool())
            .await
            .expect("a replay");
    }
    run(
        &pipe,
        "INSERT INTO replay_letters (replay_no, place, letter_id, outcome)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)
         SELECT replay_no, i, UNHEX(REPEAT('01', 16)), 'sent' FROM n JOIN replays",
    )
    .await;
    run(
        &pipe,
        "INSERT INTO replay_choices (replay_no, first_place, letter_ids)
         SELECT replay_no, 1, UNHEX(REPEAT('01', 48)) FROM replays",
    )
    .await;
    let running = pipe.start_with(with_jobs(&pipe)).await;
    until(&pipe, "the old ones to be removed", "replays", 3).await;
    let left = "replays WHERE replay_no IN (3, 4, 5)";
    assert_eq!(tables::count(pipe.environment.pool(), left).await, 3);
    assert_eq!(tables::count(pipe.environment.pool(), "replay_letters").await, 9);
    assert_eq!(tables::count(pipe.environment.pool(), "replay_choices").await, 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_a_letter_that_was_archived_for_long_is_discarded_and_its_claim_released() {
    let pipe = Pipe::new("archived_for_long").await;
    let pool = pipe.environment.pool();
    let running = pipe.start_with(with_jobs(&pipe)).await;
    let (campaign, admitted, letter_id) = rejected(&pipe).await;
    mend(&pipe, &campaign).await;
    archive::archive(pool, letter_id, ACTOR, "for now")
        .await
        .expect("it is open");
    // Not for long enough, whoever asks.
    let early = discard::begin_expired(pool, &pipe.writer, letter_id, 90, ACTOR, "early").await;
    assert!(early.is_err());
    run(
        &pipe,
        "UPDATE dead_letters SET archived_at = UTC_TIMESTAMP(6) - INTERVAL 91 DAY",
    )
    .await;
    until(
        &pipe,
        "the letter to be discarded",
        "dead_letters WHERE state = 'discarded'",
        1,
    )
    .await;
    assert_eq!(tables::count(pool, "claims").await, 0);
    let released = format!(
        "released_claims WHERE released_by = 'retention' AND claim_id = UUID_TO_BIN('{}')",
        admitted.claim.claim_id
    );
    assert_eq!(tables::count(pool, &released).await, 1);
    assert_eq!(tables::outbox(pool).await.get("ClaimReleased"), Some(&1));
    assert_eq!(tables::count(pool, "inbox WHERE state = 'discarded'").await, 1);
    let audited = "audit_log WHERE actor = 'retention' AND action = 'dead-letter.discard'";
    assert_eq!(tables::count(pool, audited).await, 1);
    running.stop().await;
}
