//! G13: a dependency that is down costs answers, not truth. Each test has servers of
//! its own.

use std::time::Duration;

use headgate_guarantees::pipeline::{SETTLE_TIMEOUT, assert_all_hold};
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::{Evidence, assert_none, settle};
use headgate_testkit::client::{Load, Running};
use headgate_testkit::eventually;
use headgate_testkit::process::Start;
use headgate_testkit::stack::{PrivateStack, Server};
use headgate_testkit::toxiproxy::{Harm, Stream, Toxiproxy};

const QUOTA: u32 = 4_000;
const USERS: usize = 4_200;
const CONNECTIONS: usize = 32;
/// Slow enough that a server can be restarted in the middle of the sale.
const USERS_PER_SECOND: u32 = 700;
const PROMISES_BEFORE: usize = 300;
/// Events in the outbox that show that Kafka is gone.
const EVENTS_WAITING: i64 = 200;
/// Until everything goes on by itself, at most.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(1);

/// A sale with servers of its own, in the middle of which a server is harmed. Whether
/// the harm heals the server again or `afterwards` has to, is the test's.
async fn harmed(
    test: &str,
    own: &[Server],
    harm: impl AsyncFnOnce(&PrivateStack, &Installation, &Pipeline),
    afterwards: impl AsyncFnOnce(&PrivateStack),
) {
    let stack = PrivateStack::up(own).await;
    let installation = Installation::on(stack.servers().clone(), test).await;
    let pipeline = installation.start(1).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let load = Load {
        users_per_second: Some(USERS_PER_SECOND),
        ..pipeline.load(&installation, campaign, USERS, CONNECTIONS)
    }
    .start();
    load.wait_for_promises(PROMISES_BEFORE).await;
    let before = load.ledger().promises().len();
    assert!(
        before < usize::try_from(QUOTA).expect("small"),
        "the sale was over before the harm"
    );
    harm(&stack, &installation, &pipeline).await;
    let ledger = load.finish().await;
    println!("{test}: {}", ledger.summary());
    settle(installation.environment(), SETTLE_TIMEOUT).await;
    afterwards(&stack).await;
    assert_none(&ledger.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    assert_eq!(
        evidence.letters.len(),
        0,
        "a server that is away is no reason for a dead letter"
    );
    pipeline.stop().await;
}

/// Where the harm itself makes the server well again.
async fn nothing(_: &PrivateStack) {}

/// Kills a server in the middle of a sale, and starts it again once it was missed.
async fn killed(test: &str, server: Server) {
    let harm = async |stack: &PrivateStack, installation: &Installation, pipeline: &Pipeline| {
        stack.kill(server).await;
        missed(server, installation, pipeline).await;
        stack.start(server).await;
        eventually("the api to be ready again", RECOVERY_TIMEOUT, async || {
            pipeline.apis[0].ready().await.then_some(())
        })
        .await;
    };
    harmed(test, &[server], harm, nothing).await;
}

/// Freezes a server in the middle of a sale, and lets it go on once it was missed.
async fn frozen(test: &str, server: Server) {
    let harm = async |stack: &PrivateStack, installation: &Installation, pipeline: &Pipeline| {
        stack.pause(server).await;
        missed(server, installation, pipeline).await;
        stack.resume(server).await;
    };
    harmed(test, &[server], harm, nothing).await;
}

/// Waits until it shows that a server is gone.
async fn missed(server: Server, installation: &Installation, pipeline: &Pipeline) {
    if server == Server::Kafka {
        // Claims go on; their events wait in the outbox.
        eventually("events to wait", RECOVERY_TIMEOUT, async || {
            let waiting = installation.waiting_events().await?;
            (waiting > EVENTS_WAITING).then_some(())
        })
        .await;
    } else {
        eventually(
            "the api to say that it is not ready",
            RECOVERY_TIMEOUT,
            async || (!pipeline.apis[0].ready().await).then_some(()),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_mysql_killed_and_back() {
    killed("g13_mysql_killed", Server::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_mysql_frozen_and_back() {
    frozen("g13_mysql_frozen", Server::MySql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_kafka_killed_and_back() {
    killed("g13_kafka_killed", Server::Kafka).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_kafka_frozen_and_back() {
    frozen("g13_kafka_frozen", Server::Kafka).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_the_registry_away_stops_nothing() {
    harmed(
        "g13_registry",
        &[Server::Registry],
        async |stack, _, _| {
            stack.kill(Server::Registry).await;
        },
        async |stack| stack.start(Server::Registry).await,
    )
    .await;
}

/// Which process meets MySQL through a bad network.
enum Victim {
    Api,
    Relay,
}

/// A sale in which the answers of MySQL get lost on their way to one process, three
/// times: each time until `met`.
async fn answers_lost(
    test: &str,
    own: &[Server],
    victim: Victim,
    swallowed: Duration,
    met: impl AsyncFn(&Running),
) {
    let stack = PrivateStack::up(own).await;
    let toxiproxy = Toxiproxy::start(stack.servers()).await;
    let upstream = mysql_address(&stack);
    let proxy = toxiproxy.proxy("mysql", &upstream).await;
    let installation = Installation::on(stack.servers().clone(), test).await;
    let direct = installation.environment().mysql_url();
    let through = direct.replace(&upstream, &proxy.address().to_string());
    let harmed = |start: Start| start.variable("MYSQL_URL", through.clone());
    let (mut api, mut relay) = (installation.api(), installation.relay());
    match victim {
        Victim::Api => api = harmed(api),
        Victim::Relay => relay = harmed(relay),
    }
    let consumers = installation.consumers();
    let (relay, consumers, api) = tokio::join!(relay.spawn(), consumers.spawn(), api.spawn());
    let pipeline = Pipeline {
        apis: vec![api],
        relay,
        consumers,
    };
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let load = Load {
        users_per_second: Some(USERS_PER_SECOND),
        ..pipeline.load(&installation, campaign, USERS, CONNECTIONS)
    }
    .start();
    for round in 1..=3 {
        load.wait_for_promises(round * PROMISES_BEFORE).await;
        proxy.harm(Stream::Answers, Harm::Swallow(swallowed)).await;
        met(&load).await;
        proxy.heal().await;
    }
    let ledger = load.finish().await;
    println!("{test}: {}", ledger.summary());
    assert_none(&ledger.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t18_a_delayed_and_cut_network_keeps_the_order() {
    // The relay's marks get lost after they took effect.
    let (own, swallowed) = (&[Server::Kafka], Duration::from_millis(100));
    answers_lost("t18_network", own, Victim::Relay, swallowed, async |load| {
        let before = load.ledger().promises().len();
        load.wait_for_promises(before + PROMISES_BEFORE / 3).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t13_commit_answers_lost() {
    // Commits take effect, and the api does not hear of it.
    let (own, swallowed) = (&[Server::Redis], Duration::from_millis(50));
    answers_lost("t13_commit", own, Victim::Api, swallowed, async |load| {
        let asked = load.ledger().len();
        eventually("requests to have met the harm", RECOVERY_TIMEOUT, async || {
            (load.ledger().len() >= asked + CONNECTIONS).then_some(())
        })
        .await;
    })
    .await;
}

/// `host:port` of MySQL.
fn mysql_address(stack: &PrivateStack) -> String {
    let url = &stack.servers().mysql_url;
    let address = url.rsplit_once('@').and_then(|(_, rest)| rest.split('/').next());
    address
        .expect("MYSQL_URL names user, host and database")
        .to_owned()
}
