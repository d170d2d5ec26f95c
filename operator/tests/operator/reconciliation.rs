//! Counts and differences of campaigns, each of the latter planted.

use headgate_operator::reconcile::pipe::PipeReconciliation;
use headgate_operator::reconcile::{Counts, Reconciled, Reconciliation};
use headgate_schemas::ids::EventId;

use crate::listener::{Listener, VIEWER};
use crate::planted::Campaign;

async fn reconcile(listener: &Listener) -> Reconciliation {
    listener.get(VIEWER, "/v1/reconciliation").await.ok()
}

async fn only(listener: &Listener) -> Reconciled {
    let mut reconciliation = reconcile(listener).await;
    assert_eq!(reconciliation.items.len(), 1);
    reconciliation.items.remove(0)
}

fn kinds(reconciled: &Reconciled) -> Vec<&str> {
    reconciled
        .differences
        .iter()
        .map(|difference| difference.kind.as_str())
        .collect()
}

/// A campaign of ten: ticket 1 and 2 issued, 3 dead.
async fn sound(listener: &Listener) -> Campaign {
    let campaign = listener.campaign(10).await;
    for ticket in [1, 2] {
        let claim_id = listener.claim(&campaign, ticket).await;
        listener.coupon(&campaign, claim_id, ticket, true).await;
    }
    let claim_id = listener.claim(&campaign, 3).await;
    listener.rejected_letter(&campaign, claim_id, 3).await;
    listener.poison_letter(1).await;
    listener.published().await;
    campaign
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_campaign_adds_up() {
    let listener = Listener::start("sound_campaign").await;
    let campaign = sound(&listener).await;
    let reconciled = only(&listener).await;
    assert_eq!(reconciled.campaign_id, campaign.id);
    let counts = Counts {
        quota: 10,
        claimed: 3,
        issued: 2,
        remaining: 8,
        dead_letters: 1,
        released: 0,
        in_flight: 0,
    };
    assert_eq!((reconciled.counts, reconciled.differences), (counts, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_on_its_way_is_in_flight_and_one_that_nothing_carries_is_stuck() {
    let listener = Listener::start("stuck_claim").await;
    let campaign = sound(&listener).await;
    listener.claim(&campaign, 4).await;
    listener.poison_letter(2).await; // leaves a row in the outbox
    let reconciliation = reconcile(&listener).await;
    assert!(!reconciliation.quiet);
    assert_eq!(
        (
            reconciliation.items[0].counts.in_flight,
            kinds(&reconciliation.items[0])
        ),
        (1, vec![])
    );
    listener.published().await;
    let reconciliation = reconcile(&listener).await;
    assert!(reconciliation.quiet);
    assert_eq!(kinds(&reconciliation.items[0]), ["claims-stuck"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_planted_fault_is_found() {
    let listener = Listener::start("planted_faults").await;
    let campaign = sound(&listener).await;
    for (kind, plant, undo) in [
        (
            "stock-issued",
            "UPDATE campaign_stock SET issued = issued + 1",
            "UPDATE campaign_stock SET issued = issued - 1",
        ),
        (
            "stock-remaining",
            "UPDATE campaign_stock SET remaining = 0",
            "UPDATE campaign_stock SET remaining = 8",
        ),
        (
            "ticket-above-quota",
            "UPDATE claims SET ticket = 11 WHERE ticket = 3",
            "UPDATE claims SET ticket = 3 WHERE ticket = 11",
        ),
        (
            "coupon-unlike-claim",
            "UPDATE coupons SET user_id = 'other' WHERE ticket = 2",
            "UPDATE coupons SET user_id = 'u-2' WHERE ticket = 2",
        ),
    ] {
        let pool = listener.environment.pool();
        sqlx::query(plant).execute(pool).await.expect("it is planted");
        assert_eq!(kinds(&only(&listener).await), [kind]);
        sqlx::query(undo).execute(pool).await.expect("it is taken out");
        assert_eq!(kinds(&only(&listener).await), Vec::<&str>::new());
    }
    // What a key of the table forbids: the counting finds it nevertheless.
    let pool = listener.environment.pool();
    sqlx::query("ALTER TABLE claims DROP PRIMARY KEY")
        .execute(pool)
        .await
        .expect("the key goes");
    let twin = listener.claim(&campaign, 4).await;
    sqlx::query("UPDATE claims SET ticket = 3 WHERE claim_id = ?")
        .bind(twin)
        .execute(pool)
        .await
        .expect("planted");
    assert!(kinds(&only(&listener).await).contains(&"tickets-unique"));
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_come_in_pages() {
    let listener = Listener::start("campaign_pages").await;
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(listener.campaign(1).await.id);
    }
    let first: Reconciliation = listener.get(VIEWER, "/v1/reconciliation?limit=2").await.ok();
    let cursor = first.next_cursor.expect("a second page");
    let second: Reconciliation = listener
        .get(VIEWER, &format!("/v1/reconciliation?limit=2&cursor={cursor}"))
        .await
        .ok();
    let seen: Vec<_> = first
        .items
        .iter()
        .chain(&second.items)
        .map(|item| item.campaign_id)
        .collect();
    assert_eq!((seen, second.next_cursor), (all, None));
    for limit in [0, 101] {
        listener
            .get(VIEWER, &format!("/v1/reconciliation?limit={limit}"))
            .await
            .refused(400, "invalid-parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_along_the_pipe_goes_on_where_a_cursor_says() {
    let listener = Listener::start("pipe_cursor").await;
    sound(&listener).await;
    let path = "/v1/reconciliation/pipe";
    let all: PipeReconciliation = listener.get(VIEWER, path).await.ok();
    assert_eq!((all.next_cursor, all.steps_done), (None, all.steps));
    assert_eq!(all.differences, vec![]);
    assert_eq!(all.topics.len(), 2, "{:?}", all.topics);

    // An archived event of today, which no partition of Kafka has: seen from before it, and
    // not from behind it.
    let today = all.as_of.date_naive();
    sqlx::query(
        "INSERT INTO outbox_archive (published_day, bucket, id, event_id, aggregate_type, aggregate_id, event_type,
             sequence, topic, created_at, kafka_partition, kafka_offset, published_at, published_by)
         VALUES (?, 3, 77, ?, 'claim', 'c-1', 'T', 1, ?, NOW(6), 0, 5, NOW(6), 1)",
    )
    .bind(today)
    .bind(EventId::generate())
    .bind(&all.topics[0].topic)
    .execute(listener.environment.pool())
    .await
    .expect("it is planted");
    for (cursor, found) in [
        (format!("archive.{today}_3_76"), 1),
        (format!("archive.{today}_3_77"), 0),
    ] {
        let page: PipeReconciliation = listener
            .get(VIEWER, &format!("{path}?cursor={cursor}"))
            .await
            .ok();
        assert_eq!(
            (page.looked_at, page.differences.len()),
            (found, usize::from(found > 0)),
            "{cursor}"
        );
        assert!(
            page.differences
                .iter()
                .all(|difference| difference.kind == "record-missing")
        );
    }
    for wrong in [
        "cursor=x",
        "cursor=archive.2020-01-01_0_1",
        "cursor=letters.9.0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77",
        "since=yesterday",
    ] {
        listener
            .get(VIEWER, &format!("{path}?{wrong}"))
            .await
            .refused(400, "invalid-parameter");
    }
}
