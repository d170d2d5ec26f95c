//! Servers that are away: the consumer waits for them, sets nothing aside, and goes on.

use std::time::Duration;

use headgate_testkit::eventually;
use headgate_testkit::stack::{PrivateStack, Server};
use headgate_testkit::toxiproxy::Toxiproxy;

use crate::support::{PATIENCE, Pipe, tables};

#[tokio::test(flavor = "multi_thread")]
async fn fault_g13_mysql_that_freezes_or_dies_is_waited_for() {
    let stack = PrivateStack::up(&[Server::MySql]).await;
    let pipe = Pipe::on(stack.servers().clone(), "mysql_away").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(4_000).await;
    let records = pipe.records(&pipe.admit(&campaign, 1..=4_000).await);
    let mut config = pipe.config();
    config.consumer.transaction_timeout = Duration::from_secs(2);
    config.mysql.acquire_timeout = Duration::from_secs(1);
    let running = pipe.start_with(config).await;
    running.wait_joined().await;
    pipe.publish(&records[..500]).await;

    // Frozen: connections stay, answers do not come.
    stack.pause(Server::MySql).await;
    pipe.publish(&records[500..2_000]).await;
    eventually(
        "readiness to say that MySQL does not answer",
        PATIENCE,
        async || (running.says("mysql").await != "ok").then_some(()),
    )
    .await;
    stack.resume(Server::MySql).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 2_000);

    // Dead, and started again.
    pipe.publish(&records[2_000..3_000]).await;
    stack.kill(Server::MySql).await;
    pipe.publish(&records[3_000..]).await;
    stack.start(Server::MySql).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 4_000);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (0, 4_000));
    assert_eq!(tables::count(pool, "dead_letters").await, 0);
    assert_eq!(tables::outbox(pool).await.get("ClaimIssued"), Some(&4_000));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_registry_that_is_away_makes_no_dead_letters() {
    let pipe = Pipe::new("registry_away").await;
    let pool = pipe.environment.pool();
    let toxiproxy = Toxiproxy::start(pipe.environment.servers()).await;
    let registry_url = pipe.environment.registry_url();
    let (_, rest) = registry_url.split_once("://").expect("an address");
    let (upstream, path) = rest.split_once('/').expect("an address with a path");
    let proxy = toxiproxy.proxy("registry", upstream).await;
    let mut config = pipe.config();
    config.registry.url = format!("http://{}/{path}", proxy.address());
    config.registry.timeout = Duration::from_millis(500);
    let running = pipe.start_with(config).await;
    running.wait_joined().await;

    // Schemas are fetched when a record first names them: now.
    proxy.cut().await;
    let campaign = pipe.campaign(10).await;
    pipe.publish(&pipe.records(&pipe.admit(&campaign, 1..=10).await))
        .await;
    pipe.waiting().await;
    assert_eq!(tables::count(pool, "inbox").await, 0);
    proxy.restore().await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 10);
    assert_eq!(tables::count(pool, "dead_letters").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_missing_table_is_waited_for_as_well() {
    let pipe = Pipe::new("missing_table").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let records = pipe.records(&pipe.admit(&campaign, 1..=10).await);
    let rename = async |from: &str, to: &str| {
        sqlx::query(sqlx::AssertSqlSafe(format!("RENAME TABLE {from} TO {to}")))
            .execute(pool)
            .await
            .expect("the table is renamed");
    };
    rename("coupons", "coupons_elsewhere").await;
    let running = pipe.start().await;
    running.wait_joined().await;
    pipe.publish(&records).await;
    pipe.waiting().await;
    assert_eq!(tables::count(pool, "inbox").await, 0);
    rename("coupons_elsewhere", "coupons").await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "coupons").await, 10);
    assert_eq!(tables::count(pool, "dead_letters").await, 0);
    running.stop().await;
}
