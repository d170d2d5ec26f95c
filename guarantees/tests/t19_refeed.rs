//! T19: a group was away for longer than Kafka keeps records. It stands still, is fed again
//! from the archive, and goes on; every promise is kept.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_testkit::checkers::settle;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use headgate_testkit::topic;
use serde_json::Value;

const QUOTA: u32 = 400;
const TIMEOUT: Duration = Duration::from_mins(1);
/// Of the public topic.
const PARTITIONS: i32 = 4;
const GROUP: &str = "coupon-issuance";

/// Kafka's retention: everything that is in the public topic goes.
async fn drop_all_records(installation: &Installation) {
    let environment = installation.environment();
    let topic = format!("{}headgate.coupons", environment.kafka_prefix());
    topic::drop_all(environment.kafka_bootstrap(), &topic, 0..PARTITIONS).await;
}

async fn published(installation: &Installation) {
    eventually("everything to be published", TIMEOUT, async || {
        (installation.waiting_events().await == Some(0)).then_some(())
    })
    .await;
}

async fn coupons(installation: &Installation) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM coupons")
        .fetch_one(installation.environment().pool())
        .await
        .expect("coupons can be counted")
}

/// `headgate offsets refeed`, as it answers in JSON.
async fn refeed(installation: &Installation, operator: &Service, more: &str) -> Value {
    let today = chrono::Utc::now().date_naive().to_string();
    let command = [
        "--output", "json", "offsets", "refeed", GROUP, "--since", &today, more,
    ];
    let said = installation.headgate(operator, &command).await;
    serde_json::from_str(&said).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t19_a_group_that_was_away_too_long_is_fed_from_the_archive() {
    // Each group is fed by itself; one is enough to show it.
    let installation = Installation::new("t19_refeed")
        .await
        .with("HEADGATE_GROUPS__NOTIFICATIONS", "false");
    let operator = installation.operator();
    let (mut pipeline, operator) = tokio::join!(installation.start(1), operator.spawn());
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let before = pipeline.load(&installation, campaign, 50, 4).run().await;
    settle(installation.environment(), TIMEOUT).await;
    assert_eq!(coupons(&installation).await, 50);

    // The sale goes on without the group, and Kafka forgets it.
    pipeline.consumers.stop().await;
    let mut load = pipeline.load(&installation, campaign, 0, 4);
    load.users = headgate_testkit::client::named_users("late", 100);
    let meanwhile = load.run().await;
    published(&installation).await;
    drop_all_records(&installation).await;
    pipeline.consumers = installation.consumers().launch().await;
    let told = refeed(&installation, &operator, "--dry-run").await;
    assert_eq!(
        (&told["missing"], &told["refed"]),
        (&100.into(), &0.into()),
        "{told}"
    );
    assert_eq!(coupons(&installation).await, 50, "it stands still");

    let fed = refeed(&installation, &operator, "--yes").await;
    assert_eq!(
        (&fed["missing"], &fed["refed"]),
        (&100.into(), &100.into()),
        "{fed}"
    );
    eventually("what was missed to be issued", TIMEOUT, async || {
        (coupons(&installation).await == 150).then_some(())
    })
    .await;
    // Asked again, there is nothing to feed.
    assert_eq!(refeed(&installation, &operator, "--yes").await["missing"], 0);

    pipeline.consumers.stop().await;
    let now = chrono::Utc::now().to_rfc3339();
    eventually("the group to be empty, and moved on", TIMEOUT, async || {
        let mut variables = installation.variables().to_vec();
        variables.push(("HEADGATE_OPERATOR_URL".to_owned(), operator.http()));
        let command = ["offsets", "reset", GROUP, "--to", &now, "--yes"];
        let (status, _, _) = headgate_testkit::process::run_any("headgate", &variables, &command).await;
        status.success().then_some(())
    })
    .await;
    pipeline.consumers = installation.consumers().spawn().await;
    let mut load = pipeline.load(&installation, campaign, 0, 4);
    load.users = headgate_testkit::client::named_users("later", 50);
    let ledger = load.run().await;
    ledger.extend(&before);
    ledger.extend(&meanwhile);
    eventually("the rest to be issued", TIMEOUT, async || {
        (coupons(&installation).await == 200).then_some(())
    })
    .await;
    assert_eq!(ledger.promises().len(), 200);
    pipeline.stop().await;
}
