//! What cannot be applied becomes a dead letter, whole and with its class, and the rest
//! of the partition goes on.

use std::collections::BTreeMap;

use headgate_dead_letters::store::OpenLetters;
use headgate_dead_letters::{Disposition, LetterFilter, LetterState, Slice, store};
use headgate_schemas::event::DomainEvent;
use headgate_schemas::event::coupons::{ClaimAdmitted, ClaimIssued};
use headgate_schemas::ids::EventId;
use headgate_schemas::topics::COUPONS;
use sqlx::Row;

use crate::support::campaign::Admitted;
use crate::support::{GROUP, Outgoing, Pipe, tables};

/// A schema that is registered, but is no event of ours.
async fn foreign_schema(pipe: &Pipe) -> u32 {
    let url = format!(
        "{}/subjects/{}-other/versions",
        pipe.environment.registry_url(),
        pipe.topic()
    );
    let body = serde_json::json!({"schema": r#"{"type": "record", "name": "Other", "fields": []}"#});
    let answer: serde_json::Value = reqwest::Client::new()
        .post(url)
        .json(&body)
        .send()
        .await
        .expect("the registry answers")
        .json()
        .await
        .expect("in JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("a small id")
}

fn wire(schema_id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0][..], &schema_id.to_be_bytes(), datum].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_poison_has_a_class_and_the_partition_goes_on() {
    let pipe = Pipe::new("poison_has_a_class").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let admitted = pipe.admit(&campaign, 1..=40).await;
    let good = pipe.records(&admitted);
    let good_value = good[0].value.clone().expect("a value");
    let bad: Vec<(&str, Option<Vec<u8>>)> = vec![
        ("not-wire-format", Some(b"{\"not\": \"avro\"}".to_vec())),
        ("not-wire-format", Some(Vec::new())),
        ("null-value", None),
        ("unknown-schema", Some(wire(4_000_000, b"datum"))),
        ("unknown-event", Some(wire(foreign_schema(&pipe).await, b""))),
        (
            "malformed-avro",
            Some(good_value[..good_value.len() - 3].to_vec()),
        ),
    ];
    let mut records = good[..20].to_vec();
    for (_, value) in &bad {
        records.push(Outgoing {
            value: value.clone(),
            ..Outgoing::default()
        });
    }
    // The headers say one thing, the value another.
    records.push(Outgoing::of_event(
        EventId::generate(),
        ClaimIssued::NAME,
        "key",
        good_value,
    ));
    records.extend_from_slice(&good[20..]);
    let running = pipe.start().await;
    pipe.publish(
        records
            .iter()
            .map(|record| record.clone().at_partition(1))
            .collect::<Vec<_>>()
            .iter(),
    )
    .await;
    pipe.caught_up().await;
    let classes = tables::count_by(pool, "error_class", "dead_letters").await;
    let expected: BTreeMap<String, i64> = [
        ("malformed-avro", 1),
        ("not-wire-format", 2),
        ("null-value", 1),
        ("type-mismatch", 1),
        ("unknown-event", 1),
        ("unknown-schema", 1),
    ]
    .map(|(class, letters)| (class.to_owned(), letters))
    .into();
    assert_eq!(classes, expected);
    assert_eq!(
        tables::count(
            pool,
            "dead_letters WHERE disposition = 'poison' AND state = 'open'"
        )
        .await,
        7
    );
    assert_eq!(tables::count(pool, "inbox WHERE state = 'dead'").await, 7);
    assert_eq!(tables::count(pool, "coupons").await, 40);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_a_letter_keeps_the_record_byte_for_byte() {
    let pipe = Pipe::new("byte_for_byte").await;
    let pool = pipe.environment.pool();
    let key = vec![0xff; 3_000];
    let value = vec![0xfe, 0, 1, 2, 0xff];
    let record = Outgoing {
        key: Some(key.clone()),
        value: Some(value.clone()),
        headers: vec![
            ("one".to_owned(), vec![0, 0xff]),
            ("one".to_owned(), Vec::new()),
            ("ce_type".to_owned(), "x".repeat(500).into_bytes()),
            ("traceparent".to_owned(), b"nonsense".to_vec()),
        ],
        partition: Some(2),
    };
    let running = pipe.start().await;
    pipe.publish([&record]).await;
    pipe.caught_up().await;
    let page = store::list(pool, &LetterFilter::default(), Slice::default())
        .await
        .expect("a list");
    assert_eq!((page.items.len(), page.total), (1, 1));
    let letter = store::show(pool, page.items[0].letter_id)
        .await
        .expect("a letter");
    assert_eq!(
        (letter.key.as_ref(), letter.value.as_ref()),
        (Some(&key), Some(&value))
    );
    let headers: Vec<(String, Option<Vec<u8>>)> = record
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Some(value.clone())))
        .collect();
    assert_eq!(letter.headers.0, headers);
    let summary = &letter.summary;
    assert_eq!((summary.partition, summary.offset), (2, 0));
    assert_eq!((summary.disposition, summary.attempts), (Disposition::Poison, 1));
    assert_eq!(letter.history.len(), 1);

    // The copy for the dead-letter topic, with what the headers add.
    let row = sqlx::query("SELECT topic, raw_key, raw_headers, payload FROM outbox")
        .fetch_one(pool)
        .await
        .expect("one row");
    assert_eq!(
        row.get::<String, _>("topic"),
        pipe.names.dead_letter(&COUPONS, GROUP)
    );
    assert_eq!(
        (row.get::<Vec<u8>, _>("raw_key"), row.get::<Vec<u8>, _>("payload")),
        (key, value)
    );
    let stored = headgate_schemas::headers::RawHeaders::from_bytes(&row.get::<Vec<u8>, _>("raw_headers"))
        .expect("headers");
    assert_eq!(stored.0[..headers.len()], headers);
    let said = |name| {
        stored
            .last(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(said("dlq-original-partition").as_deref(), Some("2"));
    assert_eq!(said("dlq-original-offset").as_deref(), Some("0"));
    assert_eq!(said("dlq-disposition").as_deref(), Some("poison"));
    assert_eq!(said("dlq-group").as_deref(), Some(GROUP));
    assert_eq!(
        said("dlq-fingerprint").as_deref(),
        Some(summary.fingerprint.to_string().as_str())
    );
    assert_eq!(said("dlq-letter-id"), Some(summary.letter_id.to_string()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_rejected_claims_are_set_aside_and_said_to_have_failed() {
    let pipe = Pipe::new("rejected").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(100).await;
    let other = pipe.campaign(100).await;
    let mut admitted = pipe.admit(&campaign, 1..=10).await;
    admitted[3].claim.ticket = 99;
    admitted[4].claim.user_id = "U-5".to_owned();
    admitted[5].claim.campaign_id = other.campaign_id;
    // Never became durable.
    admitted.push(Admitted {
        event_id: EventId::generate(),
        claim: campaign.claim(11),
    });
    let running = pipe.start().await;
    pipe.publish(&pipe.records(&admitted)).await;
    pipe.caught_up().await;
    let classes = tables::count_by(pool, "error_class", "dead_letters WHERE disposition = 'rejected'").await;
    let expected: BTreeMap<String, i64> = [
        ("claim-mismatch".to_owned(), 3),
        ("claim-not-found".to_owned(), 1),
    ]
    .into();
    assert_eq!(classes, expected);
    assert_eq!(tables::count(pool, "coupons").await, 7);
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (93, 7));
    let events = tables::outbox(pool).await;
    // A claim that does not exist cannot fail.
    assert_eq!(
        (events.get("ClaimFailed"), events.get("ClaimIssued")),
        (Some(&3), Some(&7))
    );
    assert_eq!(
        tables::count(pool, "claims WHERE event_sequence = 2 AND last_outbox_id > 1").await,
        3
    );
    let filter = LetterFilter {
        group: Some(GROUP.to_owned()),
        state: Some(LetterState::Open),
        disposition: Some(Disposition::Rejected),
        error_class: Some("claim-mismatch".to_owned()),
        event_type: Some(ClaimAdmitted::NAME.to_owned()),
        ..LetterFilter::default()
    };
    let slice = Slice {
        limit: 2,
        ..Slice::default()
    };
    let first = store::list(pool, &filter, slice).await.expect("a page");
    assert_eq!((first.items.len(), first.total), (2, 3));
    let rest = store::list(
        pool,
        &filter,
        Slice {
            cursor: first.next_cursor,
            ..slice
        },
    )
    .await
    .expect("a page");
    assert_eq!((rest.items.len(), rest.total, rest.next_cursor), (1, 3, None));
    let mut counts = store::open_by_group(pool).await.expect("counts");
    counts.retain(|count| count.group == GROUP);
    assert_eq!(
        counts,
        [OpenLetters {
            group: GROUP.to_owned(),
            open: 4,
            parked: 0,
            quarantined: 0,
        }]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_one_event_that_breaks_its_batch_is_found_by_halving() {
    let pipe = Pipe::new("halving").await;
    let pool = pipe.environment.pool();
    // The stock refuses the last two of seven, and with them every batch they are in.
    let campaign = pipe.campaign(5).await;
    let roomy = pipe.campaign(500).await;
    let mut records = pipe.records(&pipe.admit(&roomy, 1..=100).await);
    records.extend(pipe.records(&pipe.admit(&campaign, 1..=7).await));
    records.extend(pipe.records(&pipe.admit(&roomy, 101..=200).await));
    let records: Vec<_> = records.into_iter().map(|record| record.at_partition(0)).collect();
    pipe.publish(&records).await;
    let running = pipe.start().await;
    pipe.caught_up().await;
    assert_eq!(tables::stock(pool, campaign.campaign_no).await, (0, 5));
    assert_eq!(tables::stock(pool, roomy.campaign_no).await, (300, 200));
    assert_eq!(tables::count(pool, "coupons").await, 205);
    assert_eq!(
        tables::count(
            pool,
            "dead_letters WHERE disposition = 'exhausted' AND attempts = 3 AND error_class = 'apply-failed'"
        )
        .await,
        2
    );
    assert_eq!(tables::outbox(pool).await.get("ClaimFailed"), Some(&2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_a_released_claim_gets_no_coupon() {
    let pipe = Pipe::new("released").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(5).await;
    let admitted = pipe.admit(&campaign, 1..=2).await;
    let mut transaction = pool.begin().await.expect("a transaction");
    headgate_domain::claims::release::release(
        &mut transaction,
        &pipe.writer,
        admitted[0].claim.claim_id,
        "test",
        "tester",
        chrono::Utc::now(),
    )
    .await
    .expect("a release")
    .expect("the claim is admitted");
    transaction.commit().await.expect("a commit");
    let running = pipe.start().await;
    pipe.publish(&pipe.records(&admitted)).await;
    pipe.caught_up().await;
    let classes = tables::count_by(pool, "error_class", "dead_letters").await;
    assert_eq!(classes, [("claim-released".to_owned(), 1)].into());
    assert_eq!(tables::count(pool, "coupons").await, 1);
    assert_eq!(tables::outbox(pool).await.get("ClaimFailed"), None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_poison_that_the_inbox_forgot_keeps_its_letter_and_holds_nobody_up() {
    let pipe = Pipe::new("poison_again").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let admitted = pipe.admit(&campaign, 1..=2).await;
    let good = pipe.records(&admitted[..1]);
    let (key, junk) = (admitted[1].claim.claim_id.to_string(), b"junk".to_vec());
    let poison = Outgoing::of_event(EventId::generate(), ClaimAdmitted::NAME, &key, junk).at_partition(1);
    let running = pipe.start().await;
    pipe.publish([&poison]).await;
    pipe.caught_up().await;
    assert_eq!(tables::count(pool, "dead_letters").await, 1);
    // As after the retention of the inbox.
    sqlx::query("DELETE FROM inbox")
        .execute(pool)
        .await
        .expect("MySQL answers");
    pipe.publish([&poison, &good[0].clone().at_partition(1)]).await;
    pipe.caught_up().await;
    assert_eq!(
        (
            tables::count(pool, "dead_letters").await,
            tables::count(pool, "inbox WHERE state = 'dead'").await,
            tables::count(pool, "coupons").await
        ),
        (1, 1, 1)
    );
    assert_eq!(
        tables::outbox(pool).await.get("ClaimFailed"),
        Some(&1),
        "it is said once"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_a_rejected_event_that_the_inbox_forgot_keeps_its_letter() {
    let pipe = Pipe::new("rejected_again").await;
    let pool = pipe.environment.pool();
    let campaign = pipe.campaign(10).await;
    let good = pipe.records(&pipe.admit(&campaign, [1]).await);
    // Never became durable.
    let rejected = pipe.record(&Admitted {
        event_id: EventId::generate(),
        claim: campaign.claim(2),
    });
    let rejected = rejected.at_partition(1);
    let running = pipe.start().await;
    pipe.publish([&rejected]).await;
    pipe.caught_up().await;
    // As after the retention of the inbox, and with a letter that holds nothing any more.
    for forget in [
        "DELETE FROM inbox",
        "UPDATE dead_letters SET state = 'discarded', closed_at = UTC_TIMESTAMP(6)",
    ] {
        sqlx::query(forget).execute(pool).await.expect("MySQL answers");
    }
    pipe.publish([&rejected, &good[0].clone().at_partition(1)]).await;
    pipe.caught_up().await;
    assert_eq!(
        (
            tables::count(pool, "dead_letters").await,
            tables::count(pool, "coupons").await
        ),
        (1, 1)
    );
    running.stop().await;
}
