//! G9 and G10: poison neither stalls its partition nor disappears; a replay is applied
//! once and leaves its trace; a discard settles what the event had promised.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::rejected::{Rejected, letters};
use headgate_testkit::checkers::{Evidence, assert_none, settle, violations};
use headgate_testkit::client::Answer;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use headgate_testkit::topic::{self, Record};

/// Until something has come through the pipeline, at most.
const TIMEOUT: Duration = Duration::from_secs(40);
const QUOTA: u32 = 20;

/// The command line, and how it has to end.
async fn refused(operator: &Service, installation: &Installation, arguments: &[&str]) -> String {
    let mut variables = installation.variables().to_vec();
    variables.push(("HEADGATE_OPERATOR_URL".to_owned(), operator.http()));
    let (status, _, stderr) = headgate_testkit::process::run_any("headgate", &variables, arguments).await;
    assert_eq!(
        status.code(),
        Some(4),
        "`headgate {arguments:?}` had to be refused: {stderr}"
    );
    stderr
}

fn foreign(installation: &Installation, partition: i32, key: &str, value: Option<Vec<u8>>) -> Record {
    Record {
        topic: format!("{}headgate.coupons", installation.environment().kafka_prefix()),
        partition,
        offset: 0,
        key: Some(key.as_bytes().to_vec()),
        value,
        headers: vec![("x-origin".to_owned(), Some(b"elsewhere".to_vec()))],
    }
}

#[tokio::test]
async fn g09_poison_becomes_letters_and_the_partition_goes_on() {
    let installation = Installation::new("g09_poison").await;
    let operator = installation.operator();
    let (pipeline, operator) = tokio::join!(installation.start(1), operator.spawn());
    let poison = [
        ("not-wire-format", Some(b"no avro at all".to_vec())),
        ("unknown-schema", Some(vec![0, 0x7f, 0xff, 0xff, 0xff, 1])),
        ("null-value", None),
        ("not-wire-format", Some(vec![0, 0])),
    ];
    for (number, (class, value)) in poison.iter().enumerate() {
        let partition = i32::try_from(number % 4).expect("small");
        let record = foreign(
            &installation,
            partition,
            &format!("{class}-{number}"),
            value.clone(),
        );
        topic::write(installation.environment().kafka_bootstrap(), &record).await;
    }
    // Behind the poison, on all partitions.
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let ledger = pipeline.load(&installation, campaign, 30, 4).run().await;
    assert_all_hold(&installation, campaign, &ledger).await;
    eventually("a letter for each", TIMEOUT, async || {
        (letters(&operator, &installation).await.len() == poison.len()).then_some(())
    })
    .await;
    for letter in letters(&operator, &installation).await {
        let key = letter["key"].as_str().expect("a key");
        let class = letter["error_class"].as_str().expect("a class");
        assert_eq!(letter["disposition"], "poison");
        assert!(key.starts_with(class), "{key} is {class}");
    }
    settle(installation.environment(), TIMEOUT).await;
    let evidence = Evidence::collect(installation.environment()).await;
    let copies: Vec<_> = evidence.dead_records().collect();
    assert_eq!(copies.len(), poison.len());
    for copy in copies {
        assert_eq!(copy.header("dlq-group"), Some("coupon-issuance"));
        assert_eq!(
            copy.header("x-origin"),
            Some("elsewhere"),
            "the headers it came with are kept"
        );
        assert_eq!(copy.header("dlq-disposition"), Some("poison"));
    }
    assert_none(&violations(installation.environment(), campaign, &ledger).await);
    pipeline.stop().await;
}

/// As much as a public topic takes, so that a copy with what we have to say of it is larger.
const LARGEST: usize = 1_048_400;

#[tokio::test]
async fn g09_poison_as_large_as_kafka_takes_is_copied_and_replayed() {
    let installation = Installation::new("g09_large").await;
    let operator = installation.operator();
    let (pipeline, operator) = tokio::join!(installation.start(1), operator.spawn());
    let value = vec![0; LARGEST];
    let record = foreign(&installation, 0, "large", Some(value.clone()));
    topic::write(installation.environment().kafka_bootstrap(), &record).await;
    let letter = eventually("its letter", TIMEOUT, async || {
        letters(&operator, &installation).await.pop()
    })
    .await;
    let id = letter["letter_id"].as_str().expect("an id").to_owned();
    installation
        .headgate(&operator, &["dlq", "replay", &id, "--yes"])
        .await;
    eventually("the replay to fail again", TIMEOUT, async || {
        let shown = letters(&operator, &installation).await.pop()?;
        (shown["state"] == "open" && shown["replay_attempt"] == 1).then_some(())
    })
    .await;
    settle(installation.environment(), TIMEOUT).await;
    let evidence = Evidence::collect(installation.environment()).await;
    let copies: Vec<_> = evidence.dead_records().collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].value.as_ref(), Some(&value), "byte for byte");
    pipeline.stop().await;
}

async fn rejected(test: &str) -> Rejected {
    Rejected::on(Installation::new(test).await, QUOTA, 30).await
}

#[tokio::test]
async fn g10_a_replayed_letter_is_applied_once_and_audited() {
    let story = rejected("g10_replay").await;
    let (installation, operator) = (&story.installation, &story.operator);
    // The cause is still there: a replay fails again, and says so.
    story.replay().await;
    eventually("the first replay to fail", TIMEOUT, async || {
        let shown = story.state().await;
        (shown["state"] == "open" && shown["replay_attempt"] == 1).then_some(())
    })
    .await;
    story.repair().await;
    story.replay().await;
    eventually("the letter to be resolved", TIMEOUT, async || {
        (story.state().await["state"] == "resolved").then_some(())
    })
    .await;
    refused(operator, installation, &["dlq", "replay", &story.letter, "--yes"]).await;
    refused(
        operator,
        installation,
        &["dlq", "discard", &story.letter, "--reason", "late", "--yes"],
    )
    .await;

    assert_all_hold(installation, story.campaign, &story.ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    assert!(
        evidence
            .coupons
            .iter()
            .any(|coupon| coupon.coupon_id == story.claim)
    );
    let replays = evidence
        .audit
        .iter()
        .filter(|(object, action)| object.contains(&story.letter) && action.contains("replay"));
    assert_eq!(replays.count(), 2, "{:?}", evidence.audit);
    let event = evidence.letters[0].event_id.to_string();
    let public = evidence
        .public_records()
        .filter(|record| record.header("ce_id") == Some(&event))
        .count();
    assert_eq!(public, 1, "a replay never goes to the public topic");
    story.pipeline.stop().await;
}

#[tokio::test]
async fn t14_a_discarded_claim_is_released_and_its_ticket_claimed_again() {
    let story = rejected("t14_discard").await;
    let installation = &story.installation;
    story.repair().await;
    let reason = "the customer asked for it";
    story.discard(reason).await;
    // The ticket goes to the next asker, and the user himself may ask again.
    let caller = story.pipeline.caller(installation);
    let next = eventually(
        "the ticket to be claimable again",
        Duration::from_secs(30),
        async || {
            let asked_at = std::time::Instant::now();
            let answer = caller.claim(story.campaign, "next-one").await;
            let answered_at = std::time::Instant::now();
            let user = "next-one".to_owned();
            story.ledger.add(headgate_testkit::client::Asked {
                user,
                asked_at,
                answered_at,
                answer: answer.clone(),
            });
            match answer {
                Answer::Admitted(claim) => Some(claim),
                _ => None,
            }
        },
    )
    .await;
    assert_all_hold(installation, story.campaign, &story.ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    let released = evidence
        .released
        .iter()
        .find(|claim| claim.claim_id == story.claim)
        .expect("it was released");
    assert_eq!(
        (released.ticket, released.reason.contains(reason)),
        (next.ticket, true)
    );
    let discarded = evidence
        .audit
        .iter()
        .any(|(object, action)| object.contains(&story.letter) && action.contains("discard"));
    assert!(discarded, "{:?}", evidence.audit);
    story.pipeline.stop().await;
}

#[tokio::test]
async fn t21_only_the_current_attempt_of_a_replay_applies() {
    let story = rejected("t21_attempt").await;
    let installation = &story.installation;
    story.replay().await;
    eventually("the first replay to fail", TIMEOUT, async || {
        let shown = story.state().await;
        (shown["state"] == "open" && shown["replay_attempt"] == 1).then_some(())
    })
    .await;
    settle(installation.environment(), TIMEOUT).await;
    // The cause is gone, and the record of the failed attempt arrives once more.
    story.repair().await;
    let evidence = Evidence::collect(installation.environment()).await;
    let retry_topic = format!("{}.coupon-issuance.retry", evidence.public_topic());
    let late = evidence
        .records
        .iter()
        .find(|record| record.topic == retry_topic)
        .expect("the first attempt went to the retry topic");
    topic::write(installation.environment().kafka_bootstrap(), late).await;
    // A second letter's replay behind it shows that it was read: here the same letter's.
    story.replay().await;
    eventually("the letter to be resolved", TIMEOUT, async || {
        (story.state().await["state"] == "resolved").then_some(())
    })
    .await;
    assert_all_hold(installation, story.campaign, &story.ledger).await;
    let shown = story.state().await;
    assert_eq!(shown["replay_attempt"], 2, "the second attempt did it: {shown}");
    story.pipeline.stop().await;
}
