//! Rounds of a publisher, stepped by hand.

mod support;

use headgate_outbox::blocked::{self, BlockedStatus, Position};
use headgate_outbox::bucket::Bucket;
use headgate_outbox::write::CopiedRecord;
use headgate_relay::ownership::HeldBucket;
use headgate_runtime::lease;
use headgate_schemas::headers::RawHeaders;
use headgate_schemas::topics::COUPONS;
use headgate_testkit::topic;
use sqlx::Row;
use support::{World, first_occurrences, sequences};

#[tokio::test]
async fn g07_events_reach_kafka_in_order_with_all_that_readers_need() {
    let world = World::new("relay_order").await;
    let mut publisher = world.publisher();
    let (a, b) = ("a", "b");
    let held = [world.hold(Bucket::of(a)).await, world.hold(Bucket::of(b)).await];
    for sequence in 1..=3 {
        let mut rows = [world.event(a, sequence), world.event(b, sequence)];
        rows[0].traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".to_owned());
        world.write(&rows).await;
    }
    let first = world.event(a, 4);
    world.write(std::slice::from_ref(&first)).await;
    let rounds = world.drain(&mut publisher, &held).await;
    assert_eq!((rounds[0].read, rounds[0].published), (7, 7));

    let records = world.records().await;
    assert_eq!(sequences(&records, a), [1, 2, 3, 4]);
    assert_eq!(sequences(&records, b), [1, 2, 3]);
    let last = records
        .iter()
        .find(|record| record.header("ce_id") == Some(first.event_id.to_string().as_str()))
        .expect("it was published");
    assert_eq!(last.value, first.payload);
    let names: Vec<_> = last.headers.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_subject",
        "ce_time",
        "ce_sequence",
        "content-type",
    ];
    assert_eq!(names, expected);
    assert_eq!(last.header("ce_type"), Some("io.headgate.coupons.CouponUsed"));
    assert_eq!(last.header("ce_subject"), Some(a));
    assert_eq!(last.header("ce_specversion"), Some("1.0"));
    assert_eq!(last.header("ce_source"), Some("/headgate"));
    assert_eq!(
        last.header("content-type"),
        Some("application/vnd.confluent.avro")
    );
    let time =
        chrono::DateTime::parse_from_rfc3339(last.header("ce_time").expect("a time")).expect("RFC 3339");
    assert_eq!(time.timestamp_micros(), first.created_at.timestamp_micros());
    let traced = records
        .iter()
        .filter(|record| record.header("traceparent").is_some());
    assert_eq!(traced.count(), 3);
    assert_eq!(world.count("outbox").await, 0);
}

#[tokio::test]
async fn the_archive_names_the_place_of_every_record() {
    let world = World::new("relay_archive").await;
    let mut publisher = world.publisher();
    let held = [world.hold(Bucket::of("a")).await];
    let rows: Vec<_> = (1..=20).map(|sequence| world.event("a", sequence)).collect();
    world.write(&rows).await;
    world.drain(&mut publisher, &held).await;
    let archived =
        sqlx::query("SELECT event_id, kafka_partition, kafka_offset, published_by FROM outbox_archive")
            .fetch_all(&world.pool)
            .await
            .expect("MySQL answers");
    let records = world.records().await;
    assert_eq!(archived.len(), 20);
    for row in archived {
        let id: headgate_schemas::ids::EventId = row.get(0);
        let record = records
            .iter()
            .find(|record| record.partition == row.get::<i32, _>(1) && record.offset == row.get::<i64, _>(2))
            .expect("a record lies there");
        assert_eq!(record.header("ce_id"), Some(id.to_string().as_str()));
        assert_eq!(row.get::<u32, _>(3), 1);
    }
}

#[tokio::test]
async fn without_an_archive_nothing_is_kept() {
    let mut world = World::new("relay_no_archive").await;
    world.config.relay.archive = false;
    let mut publisher = world.publisher();
    let held = [world.hold(Bucket::of("a")).await];
    world.write(&[world.event("a", 1)]).await;
    world.drain(&mut publisher, &held).await;
    assert_eq!(world.records().await.len(), 1);
    assert_eq!(
        (world.count("outbox").await, world.count("outbox_archive").await),
        (0, 0)
    );
}

#[tokio::test]
async fn copied_records_travel_byte_for_byte() {
    let world = World::new("relay_copies").await;
    let mut publisher = world.publisher();
    let held = [world.hold(Bucket::of("letter")).await];
    let mut headers = RawHeaders(vec![
        ("twice".to_owned(), None),
        ("twice".to_owned(), Some(vec![])),
        ("bytes".to_owned(), Some(vec![0, 255])),
    ]);
    headers.push("dlq-group", "g");
    let bodies = [
        (Some(vec![0, 200, 1]), Some(b"no avro at all".to_vec())),
        (None, None),
    ];
    let rows: Vec<_> = bodies
        .iter()
        .map(|(key, payload)| {
            let copied = CopiedRecord {
                key: key.clone(),
                headers: headers.clone(),
            };
            let topic = world.topic();
            world.writer.copy(
                topic,
                "letter",
                support::event_id(),
                "any".to_owned(),
                copied,
                payload.clone(),
            )
        })
        .collect();
    world.write(&rows).await;
    world.drain(&mut publisher, &held).await;
    let mut records = world.records().await;
    records.sort_by_key(|record| record.key.is_none());
    let seen: Vec<_> = records
        .iter()
        .map(|record| (record.key.clone(), record.value.clone()))
        .collect();
    assert_eq!(seen, bodies);
    assert!(records.iter().all(|record| record.headers == headers.0));
}

#[tokio::test]
async fn a_late_commit_inside_a_published_range_is_published_too() {
    let mut world = World::new("relay_late").await;
    world.config.relay.batch_rows = 3;
    let mut publisher = world.publisher();
    let bucket = Bucket::of("a");
    let held = [world.hold(bucket).await];
    let mut late = world.event("late", 1);
    late.bucket = bucket;
    let rows: Vec<_> = (1..=3).map(|sequence| world.event("a", sequence)).collect();
    // It took its id before the others and commits while they are being published: the
    // full batch is deleted as a range, which waits for this transaction.
    late.id = rows[0].id + 1;
    world.write(&rows).await;
    let mut open = world.pool.begin().await.expect("MySQL answers");
    headgate_outbox::write::EventWriter::write(&mut open, &[late])
        .await
        .expect("it is new");
    let commit = async {
        headgate_testkit::eventually("the first round to be published", support::LIMIT, async || {
            (world.records().await.len() == 3).then_some(())
        })
        .await;
        open.commit().await.expect("the commit is answered");
    };
    let (round, ()) = tokio::join!(publisher.step(&held), commit);
    assert_eq!(round.expect("the servers answer").published, 3);
    assert_eq!(world.count("outbox").await, 1);
    world.drain(&mut publisher, &held).await;
    let records = world.records().await;
    assert_eq!(sequences(&records, "late"), [1]);
    assert_eq!(sequences(&records, "a"), [1, 2, 3]);
}

#[tokio::test]
async fn t16_a_poison_head_is_set_aside_with_its_successors_and_neighbours_go_on() {
    let world = World::new("relay_poison").await;
    let mut publisher = world.publisher();
    let bucket = Bucket::of("bad");
    let held = [world.hold(bucket).await];
    let mut good = world.event("good", 1);
    good.bucket = bucket;
    let mut poison = world.event("bad", 1);
    poison.payload = Some(b"{}".to_vec());
    world.write(&[poison, world.event("bad", 2), good]).await;

    let round = publisher.step(&held).await.expect("the servers answer");
    assert_eq!(
        (round.published, round.blocked, round.left),
        (1, 0, 2),
        "the neighbour goes on at once"
    );
    let round = publisher.step(&held).await.expect("the servers answer");
    assert_eq!((round.published, round.blocked, round.left), (0, 0, 2));
    let round = publisher.step(&held).await.expect("the servers answer");
    assert_eq!(
        (round.published, round.blocked, round.left),
        (0, 2, 0),
        "after three attempts"
    );

    // A newcomer joins them.
    world.write(&[world.event("bad", 3)]).await;
    let round = publisher.step(&held).await.expect("the servers answer");
    assert_eq!((round.published, round.blocked), (0, 1));
    let listed = blocked::list(&world.pool, Position::default(), 10)
        .await
        .expect("MySQL answers");
    let listed: Vec<_> = listed
        .iter()
        .map(|row| (row.sequence, row.status, row.attempts))
        .collect();
    let expected = [
        (1, BlockedStatus::Failed, 3),
        (2, BlockedStatus::Waiting, 0),
        (3, BlockedStatus::Waiting, 0),
    ];
    assert_eq!(listed, expected);
    let records = world.records().await;
    assert_eq!(
        (sequences(&records, "good"), sequences(&records, "bad")),
        (vec![1], vec![])
    );
}

#[tokio::test]
async fn a_retry_restores_the_order_once_the_cause_is_gone() {
    let world = World::new("relay_retry").await;
    let mut publisher = world.publisher();
    let held = [world.hold(Bucket::of("a")).await];
    let elsewhere = format!("{}elsewhere", world.environment.kafka_prefix());
    let mut rows: Vec<_> = (1..=3).map(|sequence| world.event("a", sequence)).collect();
    for row in &mut rows {
        row.topic.clone_from(&elsewhere);
    }
    world.write(&rows).await;
    world.drain(&mut publisher, &held).await;
    assert_eq!(world.count("outbox_blocked").await, 3);
    let listed = blocked::list(&world.pool, Position::default(), 1)
        .await
        .expect("MySQL answers");
    assert_eq!(
        listed[0].last_error,
        Some(format!("Kafka knows no topic {elsewhere}"))
    );

    topic::create(world.environment.kafka_bootstrap(), &elsewhere, 1).await;
    let mut newcomer = world.event("a", 4);
    newcomer.topic.clone_from(&elsewhere);
    world.write(&[newcomer]).await;
    assert_eq!(
        blocked::retry(&world.pool, "claim", "a", "ops")
            .await
            .expect("MySQL answers"),
        3
    );
    world.drain(&mut publisher, &held).await;
    let records = topic::read(world.environment.kafka_bootstrap(), &elsewhere).await;
    assert_eq!(sequences(&records, "a"), [1, 2, 3, 4]);
    assert_eq!(
        (world.count("outbox").await, world.count("outbox_blocked").await),
        (0, 0)
    );
}

#[tokio::test]
async fn a_record_that_the_broker_refuses_is_not_overtaken() {
    let mut world = World::new("relay_refused").await;
    // Small requests, several of them under way at once.
    world
        .config
        .kafka
        .client
        .insert("batch.num.messages".to_owned(), "10".to_owned());
    let mut publisher = world.publisher();
    let bucket = Bucket::of("big");
    let held = [world.hold(bucket).await];
    let narrow = format!("{}narrow", world.environment.kafka_prefix());
    support::create_with(&world, &narrow, &[("max.message.bytes", "20000")]).await;
    let mut rows = Vec::new();
    for sequence in 1..=60 {
        for aggregate in ["before", "big", "after"] {
            let mut row = world.event(aggregate, sequence);
            row.bucket = bucket;
            row.topic.clone_from(&narrow);
            if (aggregate, sequence) == ("big", 30) {
                // Nothing that compression could make small.
                let noise = rand::random_iter::<u8>().take(40_000);
                row.payload.as_mut().expect("a value").extend(noise);
            }
            rows.push(row);
        }
    }
    world.write(&rows).await;
    world.drain(&mut publisher, &held).await;
    let records = topic::read(world.environment.kafka_bootstrap(), &narrow).await;
    for aggregate in ["before", "after"] {
        let seen = sequences(&records, aggregate);
        assert_eq!(
            first_occurrences(&seen),
            (1..=60).collect::<Vec<_>>(),
            "{aggregate}"
        );
    }
    assert_eq!(
        first_occurrences(&sequences(&records, "big")),
        (1..30).collect::<Vec<_>>()
    );
    assert_eq!(
        (world.count("outbox").await, world.count("outbox_blocked").await),
        (0, 31)
    );
    let listed = blocked::list(&world.pool, Position::default(), 1)
        .await
        .expect("MySQL answers");
    assert_eq!((listed[0].sequence, listed[0].attempts), (30, 3));
}

#[tokio::test]
async fn t04_a_zombie_is_fenced() {
    let world = World::new("relay_zombie").await;
    let (mut zombie, mut next) = (world.publisher(), world.publisher_with(&world.config, 2));
    let bucket = Bucket::of("a");
    let lost = [world.hold_as(bucket, "zombie", support::FOR_LONG).await];
    lease::release(&world.pool, &lost[0].lease)
        .await
        .expect("MySQL answers");
    let held = [world.hold_as(bucket, "next", support::FOR_LONG).await];
    world.write(&[world.event("a", 1), world.event("a", 2)]).await;
    let round = zombie.step(&lost).await.expect("the servers answer");
    assert_eq!((round.published, round.lost), (0, vec![bucket]));
    assert_eq!(world.count("outbox").await, 2);
    world.drain(&mut next, &held).await;
    let records = world.records().await;
    // At least once: the zombie's records are there, too.
    assert_eq!(sequences(&records, "a"), [1, 2, 1, 2]);
    assert_eq!(world.count("outbox").await, 0);
}

#[tokio::test]
async fn what_was_published_but_not_marked_is_marked_before_anything_else() {
    let mut world = World::new("relay_unmarked").await;
    world.config.relay.database_timeout = std::time::Duration::from_millis(300);
    let mut publisher = world.publisher();
    let held: [HeldBucket; 1] = [world.hold(Bucket::of("a")).await];
    world.write(&[world.event("a", 1)]).await;
    // Somebody sits on the lease's row: the mark is not answered in time.
    let mut sitting = world.pool.begin().await.expect("MySQL answers");
    assert!(
        lease::fence(&mut sitting, &held[0].lease)
            .await
            .expect("MySQL answers")
    );
    publisher.step(&held).await.expect_err("no answer in time");
    assert_eq!(world.count("outbox").await, 1);
    sitting.rollback().await.expect("MySQL answers");
    let round = publisher.step(&held).await.expect("the servers answer");
    assert_eq!((round.published, round.read), (1, 0));
    assert_eq!(
        sequences(&world.records().await, "a"),
        [1],
        "it was not sent again"
    );
}

#[tokio::test]
async fn events_wait_for_a_topic_of_the_catalogue_that_is_missing() {
    let world = World::new("relay_topic").await;
    let mut publisher = world.publisher();
    let held = [world.hold(Bucket::of("a")).await];
    // The topic of a group that nobody has created here.
    let missing = world.writer.names().dead_letter(&COUPONS, "coupon-issuance");
    let mut row = world.event("a", 1);
    row.topic.clone_from(&missing);
    world.write(&[row]).await;
    // More rounds than a row has attempts before it is set aside.
    for _ in 0..=world.config.relay.max_attempts {
        let round = publisher.step(&held).await.expect("the servers answer");
        assert_eq!((round.read, round.left, round.blocked), (1, 1, 0));
    }
    topic::create(world.environment.kafka_bootstrap(), &missing, 1).await;
    world.drain(&mut publisher, &held).await;
    let records = topic::read(world.environment.kafka_bootstrap(), &missing).await;
    assert_eq!(sequences(&records, "a"), [1]);
    assert_eq!(world.count("outbox_blocked").await, 0);
}
