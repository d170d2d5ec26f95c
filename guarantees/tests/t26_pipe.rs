//! T26: the pipe is reconciled by sets of ids. It adds up whatever came twice and while events
//! flow, and each kind of loss that is planted is found and named, by the command and by the
//! gauge, until it is mended.

use std::time::Duration;

use headgate_guarantees::rejected::Rejected;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::{Evidence, settle};
use headgate_testkit::client::named_users;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use headgate_testkit::topic;
use serde_json::{Value, json};
use uuid::Uuid;

const QUOTA: u32 = 400;
/// How far the watch may be behind where nothing happens: some rounds.
const BEHIND_MAX_SECONDS: f64 = 10.0;
const TIMEOUT: Duration = Duration::from_mins(1);
const GROUP: &str = "coupon-issuance";
const ADMITTED: &str = "io.headgate.coupons.ClaimAdmitted";

/// An installation whose operator reconciles all the time.
async fn watched(test: &str) -> Installation {
    Installation::new(test)
        .await
        .with("HEADGATE_RECONCILE__EVERY_MS", "200")
        .with("HEADGATE_RECONCILE__SETTLE_MS", "0")
}

/// Runs `headgate reconcile ...`: its exit code, stdout as JSON, and stderr.
async fn reconcile(installation: &Installation, operator: &Service, more: &[&str]) -> (i32, Value, String) {
    let command = [&["reconcile"], more].concat();
    installation.headgate_any(operator, &command).await
}

async fn gauge(operator: &Service) -> Option<f64> {
    operator.metric("headgate_reconcile_difference", &[]).await
}

async fn number(installation: &Installation, query: &'static str) -> u64 {
    let number: i64 = sqlx::query_scalar(query)
        .fetch_one(installation.environment().pool())
        .await
        .expect("MySQL answers");
    number.unsigned_abs()
}

async fn execute(installation: &Installation, statement: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(installation.environment().pool())
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// A sale of 50 coupons with a watching operator.
struct World {
    installation: Installation,
    operator: Service,
    pipeline: Pipeline,
    campaign: Uuid,
}

impl World {
    async fn sold(test: &str) -> Self {
        let installation = watched(test).await;
        let operator = installation.operator();
        let (pipeline, operator) = tokio::join!(installation.start(1), operator.spawn());
        let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
        pipeline.load(&installation, campaign, 50, 4).run().await;
        settle(installation.environment(), TIMEOUT).await;
        Self {
            installation,
            operator,
            pipeline,
            campaign,
        }
    }

    async fn execute(&self, statement: &str) {
        execute(&self.installation, statement).await;
    }

    /// Some admission that was published: its event and its claim.
    async fn admission(&self) -> (Uuid, Uuid) {
        let (event_id, claim): (Uuid, String) = sqlx::query_as(
            "SELECT event_id, CAST(aggregate_id AS CHAR) FROM outbox_archive WHERE event_type = ? LIMIT 1",
        )
        .bind(ADMITTED)
        .fetch_one(self.installation.environment().pool())
        .await
        .expect("somebody was admitted");
        (event_id, claim.parse().expect("a claim"))
    }

    /// Takes rows of a table away, to be put back.
    async fn take(&self, table: &str, rows: &str) {
        self.execute(&format!(
            "CREATE TABLE taken AS SELECT * FROM {table} WHERE {rows}"
        ))
        .await;
        self.execute(&format!("DELETE FROM {table} WHERE {rows}")).await;
    }

    async fn put_back(&self, table: &str) {
        self.execute(&format!("INSERT INTO {table} SELECT * FROM taken"))
            .await;
        self.execute("DROP TABLE taken").await;
    }

    /// Requires that the command and the watch find this one difference, and returns it.
    async fn found(&self, kind: &str, member: &str, is: &str, more: &[&str]) -> Value {
        let (code, said, stderr) =
            reconcile(&self.installation, &self.operator, &[&["pipe"], more].concat()).await;
        assert_eq!((code, &said["differences"]), (1, &json!(1)), "{said:#} {stderr}");
        let found = &said["found"][0];
        assert_eq!(
            (&found["kind"], &found["examples"][0][member]),
            (&json!(kind), &json!(is)),
            "{said:#}"
        );
        eventually(
            "the gauge to show it, and the log to name it",
            TIMEOUT,
            async || {
                let is_named = self
                    .operator
                    .log()
                    .lines()
                    .any(|line| line.contains(kind) && line.contains(is));
                (is_named && gauge(&self.operator).await > Some(0.0)).then_some(())
            },
        )
        .await;
        found["examples"][0].clone()
    }

    /// Requires that nothing is found any more.
    async fn mended(&self) {
        eventually("the gauge to be 0 again", TIMEOUT, async || {
            (gauge(&self.operator).await == Some(0.0)).then_some(())
        })
        .await;
        let (code, said, stderr) = reconcile(&self.installation, &self.operator, &["pipe", "--deep"]).await;
        assert_eq!((code, &said["differences"]), (0, &json!(0)), "{said:#} {stderr}");
    }

    async fn refeed(&self) {
        let today = chrono::Utc::now().date_naive().to_string();
        let command = ["offsets", "refeed", GROUP, "--since", &today, "--yes"];
        self.installation.headgate(&self.operator, &command).await;
    }

    /// A claim while no relay runs: its id.
    async fn claim_unpublished(&mut self, user: &str) -> Uuid {
        self.pipeline.relay.stop().await;
        let partner = self.pipeline.partner(&self.installation);
        let reply = partner.claim(self.campaign, user).await;
        let claim = reply.body["claim_id"].as_str().and_then(|id| id.parse().ok());
        claim.unwrap_or_else(|| panic!("no claim in {}", reply.body))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_the_pipe_adds_up_although_records_come_again() {
    let mut sale = Rejected::on(watched("t26_adds_up").await, QUOTA, 60).await;
    let environment = sale.installation.environment();
    settle(environment, TIMEOUT).await;
    // Everything once more in Kafka, and once more to the group.
    let evidence = Evidence::collect(environment).await;
    let again: Vec<topic::Record> = evidence.public_records().cloned().collect();
    topic::write_all(environment.kafka_bootstrap(), &again).await;
    sale.pipeline.consumers.stop().await;
    let group = format!("{}{GROUP}", environment.kafka_prefix());
    topic::rewind(environment.kafka_bootstrap(), &group, &evidence.public_topic()).await;
    sale.pipeline.consumers = sale.installation.consumers().spawn().await;
    settle(environment, TIMEOUT).await;

    let (code, said, stderr) = reconcile(&sale.installation, &sale.operator, &["pipe", "--deep"]).await;
    assert_eq!((code, &said["differences"]), (0, &json!(0)), "{said:#} {stderr}");
    // What the aggregates' rows say they have told.
    let committed = number(
        &sale.installation,
        "SELECT CAST((SELECT SUM(event_sequence) FROM campaign_stock) + (SELECT SUM(event_sequence) FROM coupons)
             + (SELECT SUM(c.event_sequence) FROM claims c
                WHERE NOT EXISTS (SELECT 1 FROM coupons p WHERE p.coupon_id = c.claim_id)) AS SIGNED)",
    )
    .await;
    let counts = &said["topics"][0];
    assert_eq!(
        (
            &counts["committed"],
            &counts["published"],
            &counts["waiting"],
            &counts["lost"]
        ),
        (&json!(committed), &json!(committed), &json!(0), &json!(0))
    );
    let coupons = number(&sale.installation, "SELECT COUNT(*) FROM coupons").await;
    let counts = &said["groups"][0];
    let stages = [
        "persisted",
        "dead",
        "skipped",
        "parked",
        "discarded",
        "in_flight",
        "passed_by",
        "forgotten",
    ];
    assert_eq!(
        stages.map(|stage| counts[stage].as_u64().expect("a number")),
        [coupons, 1, committed - coupons - 1, 0, 0, 0, 0, 0],
        "{counts}"
    );
    assert_eq!(counts["published"], committed);

    let (code, both, stderr) = reconcile(&sale.installation, &sale.operator, &[]).await;
    assert_eq!(
        (code, &both["differences"], &both["pipe"]["differences"]),
        (0, &json!(0), &json!(0)),
        "{stderr}"
    );
    assert!(stderr.contains("1 campaigns, differences = 0"), "{stderr}");
    sale.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_an_event_that_leaves_the_outbox_unpublished_is_named() {
    let mut world = World::sold("t26_outbox_lost").await;
    // The first event of a claim: its row tells of it.
    let claim = world.claim_unpublished("unlucky").await.to_string();
    world.take("outbox", &format!("aggregate_id = '{claim}'")).await;
    world.pipeline.relay = world.installation.relay().spawn().await;
    let example = world.found("outbox-lost", "key", &claim, &[]).await;
    assert_eq!(example["sequence"], 1, "{example}");
    world.put_back("outbox").await;
    settle(world.installation.environment(), TIMEOUT).await;
    world.mended().await;

    // One with events behind it: the next one names it.
    world.pipeline.relay.stop().await;
    let partner = world.pipeline.partner(&world.installation);
    let body = json!({"order_reference": "order-1"});
    for act in ["use", "restore"] {
        let reply = partner.post(&format!("/v1/coupons/{claim}/{act}"), &body).await;
        assert!(reply.status.is_success(), "{}", reply.body);
    }
    let used = format!("aggregate_id = '{claim}' AND event_type LIKE '%CouponUsed'");
    world.take("outbox", &used).await;
    world.pipeline.relay = world.installation.relay().spawn().await;
    settle(world.installation.environment(), TIMEOUT).await;
    let example = world.found("outbox-lost", "key", &claim, &[]).await;
    assert_eq!(example["sequence"], 3, "{example}");
    world.put_back("outbox").await;
    settle(world.installation.environment(), TIMEOUT).await;
    world.mended().await;
    world.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_a_record_that_kafka_does_not_have_is_named() {
    let world = World::sold("t26_record_missing").await;
    let (event_id, _) = world.admission().await;
    let row = format!("event_id = UUID_TO_BIN('{event_id}')");
    let event_id = event_id.to_string();
    // Behind the end of the partition.
    let shift = async |by: i64| {
        let moved = format!("UPDATE outbox_archive SET kafka_offset = kafka_offset + {by} WHERE {row}");
        world.execute(&moved).await;
    };
    shift(100_000).await;
    let example = world.found("record-missing", "event_id", &event_id, &[]).await;
    assert_eq!(example["detail"], "the partition ends before it");
    shift(-100_000).await;
    world.mended().await;
    // Another event lies there: as after a topic was made anew. Only reading it tells.
    let found_elsewhere: i64 = sqlx::query_scalar(
        "SELECT CAST(o.kafka_offset AS SIGNED) - CAST(e.kafka_offset AS SIGNED) FROM outbox_archive e
             JOIN outbox_archive o ON o.kafka_partition = e.kafka_partition AND o.event_id <> e.event_id
         WHERE e.event_id = UUID_TO_BIN(?) LIMIT 1",
    )
    .bind(&event_id)
    .fetch_one(world.installation.environment().pool())
    .await
    .expect("another event of its partition");
    shift(found_elsewhere).await;
    let (code, said, _) = reconcile(&world.installation, &world.operator, &["pipe", "--deep"]).await;
    let found = &said["found"][0];
    assert_eq!(
        (
            code,
            &found["kind"],
            &found["count"],
            &found["examples"][0]["event_id"]
        ),
        (1, &json!("record-missing"), &json!(1), &json!(event_id)),
        "{said:#}"
    );
    shift(-found_elsewhere).await;
    world.mended().await;
    world.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_what_a_group_has_not_done_is_named() {
    let world = World::sold("t26_group").await;
    let (event_id, claim) = world.admission().await;
    let event_id = event_id.to_string();
    // Below the group's place, and not in its inbox.
    world
        .execute(&format!(
            "DELETE i FROM inbox i JOIN consumer_groups g ON g.group_no = i.group_no
             WHERE g.name = '{GROUP}' AND i.event_id = UUID_TO_BIN('{event_id}')"
        ))
        .await;
    let example = world.found("passed-by", "event_id", &event_id, &[]).await;
    assert_eq!(
        (&example["group"], &example["key"]),
        (&json!(GROUP), &json!(claim))
    );
    world.refeed().await;
    world.mended().await;
    // Applied, and nothing to show for it.
    world
        .take("coupons", &format!("coupon_id = UUID_TO_BIN('{claim}')"))
        .await;
    world.found("without-effect", "event_id", &event_id, &[]).await;
    world.put_back("coupons").await;
    world.mended().await;
    world.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_a_letter_and_an_inbox_that_disagree_are_named() {
    let sale = Rejected::on(watched("t26_letter").await, QUOTA, 20).await;
    settle(sale.installation.environment(), TIMEOUT).await;
    let letter = sale.state().await;
    let event_id = letter["event_id"].as_str().expect("an event").to_owned();
    let world = World {
        installation: sale.installation,
        operator: sale.operator,
        pipeline: sale.pipeline,
        campaign: sale.campaign,
    };
    let say = async |state: &str| {
        let said = format!(
            "UPDATE inbox i JOIN consumer_groups g ON g.group_no = i.group_no SET i.state = '{state}'
             WHERE g.name = '{GROUP}' AND i.event_id = UUID_TO_BIN('{event_id}')"
        );
        world.execute(&said).await;
    };
    // The letter waits, the inbox says otherwise.
    say("discarded").await;
    let example = world.found("letter-disagrees", "event_id", &event_id, &[]).await;
    assert_eq!(example["letter_id"], sale.letter, "{example}");
    say("dead").await;
    world.mended().await;
    // The inbox says dead, and there is no letter.
    world
        .execute("CREATE TABLE taken AS SELECT state, closed_at FROM dead_letters")
        .await;
    world
        .execute("UPDATE dead_letters SET state = 'resolved', closed_at = NOW(6)")
        .await;
    world.found("letter-disagrees", "event_id", &event_id, &[]).await;
    world
        .execute("UPDATE dead_letters SET state = 'open', closed_at = NULL")
        .await;
    world.mended().await;
    world.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_nothing_is_called_lost_while_a_sale_runs() {
    let world = World::sold("t26_traffic").await;
    let mut load = world.pipeline.load(&world.installation, world.campaign, 0, 16);
    load.users = named_users("more", 300);
    let selling = tokio::spawn(async move { load.run().await });
    let mut rounds = 0;
    while rounds < 3 || !selling.is_finished() {
        rounds += 1;
        let (code, said, stderr) = reconcile(&world.installation, &world.operator, &["pipe", "--deep"]).await;
        assert_eq!((code, &said["differences"]), (0, &json!(0)), "{said:#} {stderr}");
        assert_eq!(gauge(&world.operator).await, Some(0.0));
    }
    selling.await.expect("the sale ends well");
    settle(world.installation.environment(), TIMEOUT).await;
    world.mended().await;
    let looked_at = world
        .operator
        .metric("headgate_reconcile_events_total", &[])
        .await;
    assert!(looked_at > Some(0.0), "{looked_at:?}");
    eventually("the watch to have looked at all of it", TIMEOUT, async || {
        let behind = world
            .operator
            .metric("headgate_reconcile_behind_seconds", &[])
            .await?;
        // A round looks at what was there when the one before it began.
        (behind > 0.0 && behind < BEHIND_MAX_SECONDS).then_some(())
    })
    .await;
    let log = world.operator.log();
    assert!(!log.contains("does not add up"), "{log}");
    world.pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_without_an_archive_nothing_is_said_to_be_well() {
    let installation = watched("t26_archive_off").await;
    let (relay, api, operator) = (installation.relay(), installation.api(), installation.operator());
    let relay = relay.variable("HEADGATE_RELAY__ARCHIVE", "false");
    let (mut relay, mut api, operator) = tokio::join!(relay.spawn(), api.spawn(), operator.spawn());
    let (code, _, stderr) = reconcile(&installation, &operator, &["pipe"]).await;
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("archive-off"), "{stderr}");
    eventually("the gauge to say so", TIMEOUT, async || {
        let watched = operator.metric("headgate_reconcile_pipe_watched", &[]).await;
        (watched == Some(0.0)).then_some(())
    })
    .await;
    // Published without a trace.
    installation.partner(&api).open_campaign(10).await;
    eventually("the campaign's event to be published", TIMEOUT, async || {
        (installation.waiting_events().await == Some(0)).then_some(())
    })
    .await;
    // Campaigns are reconciled nevertheless.
    let (code, both, stderr) = reconcile(&installation, &operator, &[]).await;
    assert_eq!((code, &both["pipe"]), (0, &Value::Null), "{stderr}");
    assert!(stderr.contains("the pipe was not reconciled"), "{stderr}");
    api.stop().await;
    relay.stop().await;

    // Later, an event of that time is not judged. Had the archive been kept, it would be lost.
    let two_minutes_older = "UPDATE campaign_stock SET last_outbox_id = last_outbox_id - (120000000 << 12)";
    execute(&installation, two_minutes_older).await;
    for (seconds_ago, code, differences) in [(90, 0, 0), (600, 1, 1)] {
        let last_at = format!("UTC_TIMESTAMP(6) - INTERVAL {seconds_ago} SECOND");
        execute(
            &installation,
            &format!("UPDATE outbox_unarchived SET last_at = {last_at}"),
        )
        .await;
        let (ended, said, stderr) = reconcile(&installation, &operator, &["pipe"]).await;
        assert_eq!(
            (ended, &said["differences"]),
            (code, &json!(differences)),
            "{said:#} {stderr}"
        );
    }
}
