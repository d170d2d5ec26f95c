//! A standard client reads the topic: the examples that users start from are run as
//! they are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::Evidence;
use headgate_testkit::servers::workspace_root;
use serde_json::Value;
use tokio::process::Command;

const QUOTA: u32 = 20;
const USERS: usize = 30;
/// Longest run of an example.
const EXAMPLE_TIMEOUT: Duration = Duration::from_mins(1);

/// A small sale, at rest, with every kind of event that a sale has.
async fn sold(test: &str) -> (Installation, Pipeline, Evidence) {
    let installation = Installation::new(test).await;
    let pipeline = installation.start(1).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let ledger = pipeline.load(&installation, campaign, USERS, 4).run().await;
    assert_all_hold(&installation, campaign, &ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    (installation, pipeline, evidence)
}

async fn output(command: &mut Command) -> String {
    let ran = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let ran = tokio::time::timeout(EXAMPLE_TIMEOUT, ran)
        .await
        .expect("the example ends")
        .expect("it can be started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[tokio::test]
async fn python_reads_the_topic() {
    let (installation, pipeline, evidence) = sold("python_reads").await;
    let environment = installation.environment();
    let printed = output(
        Command::new(environment.servers().tool("HEADGATE_PYTHON"))
            .arg(workspace_root().join("examples/consumers/python/read_coupons.py"))
            .args(["--bootstrap", environment.kafka_bootstrap()])
            .args(["--registry", environment.registry_url()])
            .args(["--topic", &evidence.public_topic()])
            .args(["--group", &format!("{}example", environment.kafka_prefix())])
            .arg("--until-end"),
    )
    .await;
    let events: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();

    let read: BTreeSet<_> = events
        .iter()
        .filter_map(|event| event["id"].as_str().map(str::to_owned))
        .collect();
    let committed: BTreeSet<_> = evidence
        .events
        .iter()
        .map(|event| event.event_id.to_string())
        .collect();
    assert_eq!(
        read, committed,
        "every event that was committed, and nothing else"
    );
    assert_eq!(events.len(), committed.len(), "each once");
    let tickets: BTreeMap<_, _> = events
        .iter()
        .filter(|event| event["type"] == "io.headgate.coupons.ClaimAdmitted")
        .map(|event| {
            (
                event["value"]["claim_id"].to_string(),
                event["value"]["ticket"].as_u64(),
            )
        })
        .collect();
    let stored: BTreeMap<_, _> = evidence
        .claims
        .iter()
        .map(|claim| (format!("\"{}\"", claim.claim_id), Some(u64::from(claim.ticket))))
        .collect();
    assert_eq!(tickets, stored);
    pipeline.stop().await;
}

#[tokio::test]
async fn kcat_reads_the_topic() {
    let (installation, pipeline, evidence) = sold("kcat_reads").await;
    let environment = installation.environment();
    let printed = output(
        Command::new(workspace_root().join("examples/consumers/kcat/read_coupons.sh"))
            .env("KCAT", environment.servers().tool("HEADGATE_KCAT"))
            .args([environment.kafka_bootstrap(), &evidence.public_topic()]),
    )
    .await;
    assert_eq!(printed.lines().count(), evidence.public_records().count());
    for claim in &evidence.claims {
        let id = claim.claim_id.to_string();
        for event in ["ClaimAdmitted", "ClaimIssued"] {
            let told = printed
                .lines()
                .any(|line| line.starts_with(&id) && line.contains(event));
            assert!(told, "kcat shows no {event} of claim {id}");
        }
    }
    pipeline.stop().await;
}
