//! G12 and G3: the api dies by SIGKILL at each step of a claim, under load, and nothing
//! that was answered is lost, nor any quota.

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::assert_none;
use headgate_testkit::client::{Load, named_users};

const QUOTA: u32 = 1_500;
const USERS: usize = 2_000;
const CONNECTIONS: usize = 64;

/// Lets one of the installation's api processes die at `point`, in the middle of a
/// sale, and another one take its place.
async fn dies_at(test: &str, point: &str) {
    let installation = Installation::new(test).await;
    let (relay, consumers) = (installation.relay(), installation.consumers());
    let (relay, consumers) = tokio::join!(relay.spawn(), consumers.spawn());
    let mut doomed = installation.api().crash_at(point).spawn().await;
    let campaign = installation.partner(&doomed).open_campaign(QUOTA).await;
    let caller = headgate_testkit::client::Caller::new(vec![doomed.http()], installation.api_key());
    let load = Load {
        caller: caller.clone(),
        campaign,
        users: headgate_testkit::client::users(USERS),
        connections: CONNECTIONS,
        users_per_second: None,
    }
    .start();

    doomed.assert_died_at_crash_point().await;
    let promised = load.ledger().promises().len();
    assert!(
        promised > 0,
        "nothing was answered before the process died at {point}"
    );

    let successor = installation.api().spawn().await;
    caller.redirect(vec![successor.http()]);
    let ledger = load.finish().await;
    assert!(
        ledger.count("lost") > 0,
        "nothing was in flight when the process died at {point}"
    );
    assert!(
        ledger.promises().len() > promised,
        "nothing was left to be claimed after the crash"
    );

    // Who comes late takes what the dead process had reserved and never committed.
    let pipeline = Pipeline {
        apis: vec![successor],
        relay,
        consumers,
    };
    let late = Load {
        users: named_users("late", 100),
        ..pipeline.load(&installation, campaign, 0, CONNECTIONS)
    };
    ledger.extend(&late.run().await);
    println!("{point}: {promised} promises before, {}", ledger.summary());
    assert_none(&ledger.faults(true));
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_api_killed_before_redis() {
    dies_at("g12_api_redis", "api.before-redis:400").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_api_killed_after_redis_before_the_commit() {
    dies_at("g03_api_reserved", "api.after-redis-before-commit:12").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_api_killed_before_commit() {
    dies_at("g12_api_commit", "api.before-commit:12").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t13_api_killed_after_the_commit_before_the_answer() {
    dies_at("t13_api_answer", "api.after-commit-before-answer:12").await;
}
