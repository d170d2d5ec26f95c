//! G1: a campaign never issues more than its quota, and a user never gets two.

use std::time::Duration;

use headgate_guarantees::Installation;
use headgate_guarantees::pipeline::{SETTLE_TIMEOUT, assert_all_hold};
use headgate_testkit::checkers::{Evidence, assert_none, order, settle};
use headgate_testkit::client::{Answer, Ledger, Load, named_users, rush, users};
use headgate_testkit::eventually;

const REQUESTS: usize = 10_000;
const QUOTA: u32 = 100;

/// Everybody at once, over so many api processes.
async fn rush_through(test: &str, apis: usize) {
    // The requests are held back on purpose, and an unoptimised api shares its cores with
    // client and servers: how long a claim, or Redis, may take is not what this is about.
    let installation = Installation::new(test)
        .await
        .with("HEADGATE_HTTP__REQUEST_TIMEOUT_MS", "120000")
        .with("HEADGATE_HTTP__BODY_TIMEOUT_MS", "110000")
        .with("HEADGATE_IDEMPOTENCY__LEASE_MS", "130000")
        .with("HEADGATE_CLAIMS__TIMEOUT_MS", "60000")
        .with("HEADGATE_CLAIMS__REDIS_TIMEOUT_MS", "20000")
        .with("HEADGATE_REDIS__RESPONSE_TIMEOUT_MS", "20000");
    let pipeline = installation.start(apis).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let caller = pipeline.caller(&installation);
    let everybody = users(REQUESTS);

    let ledger = rush(&caller, campaign, &everybody, async || {
        // It counts only if the processes themselves hold all of them.
        eventually(
            "the api to hold all requests",
            Duration::from_secs(30),
            async || {
                let mut held = 0.0;
                for api in &pipeline.apis {
                    held += api
                        .metric("headgate_http_in_flight", &[])
                        .await
                        .unwrap_or_default();
                }
                #[expect(clippy::cast_precision_loss, reason = "10,000 is exact")]
                (held >= REQUESTS as f64).then_some(())
            },
        )
        .await;
    })
    .await;

    println!("{}", ledger.summary());
    assert_none(&ledger.faults(false));
    assert_eq!(ledger.count("202 admitted"), 100, "{}", ledger.summary());
    let sold_out = ledger.count("409 coupon-sold-out") + ledger.count("409 coupon-sold-out, not final");
    assert_eq!(sold_out, REQUESTS - 100, "{}", ledger.summary());
    let mut tickets: Vec<_> = ledger
        .promises()
        .values()
        .map(|(_, claim)| claim.ticket)
        .collect();
    tickets.sort_unstable();
    assert!(tickets.into_iter().eq(1..=QUOTA), "tickets are 1 to the quota");

    assert_winners_hear_their_claim(&caller, campaign, &ledger).await;
    assert_all_hold(&installation, campaign, &ledger).await;
    let evidence = Evidence::collect(installation.environment()).await;
    assert_none(&order::tickets_follow(&evidence));
    assert_eq!(evidence.coupons.len(), 100);
    pipeline.stop().await;
}

/// A winner who asks again hears `already claimed`, with his claim, never `sold out`.
async fn assert_winners_hear_their_claim(
    caller: &headgate_testkit::client::Caller,
    campaign: uuid::Uuid,
    ledger: &Ledger,
) {
    for (claim_id, (user, claim)) in ledger.promises() {
        match caller.claim(campaign, &user).await {
            Answer::AlreadyClaimed(earlier) => {
                assert_eq!(
                    (earlier.claim_id, earlier.ticket),
                    (claim_id, claim.ticket),
                    "{user}"
                );
            }
            other => panic!("{user} holds claim {claim_id}, but hears {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g01_exactly_quota_with_10_000_requests_in_flight() {
    rush_through("g01_in_flight", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn g01_four_api_processes() {
    rush_through("g01_four", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g01_one_user_over_four_processes_gets_one() {
    let installation = Installation::new("g01_one_user").await;
    let pipeline = installation.start(4).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let one = vec!["u-1".to_owned(); 400];
    let ledger = rush(&pipeline.caller(&installation), campaign, &one, async || {}).await;
    println!("{}", ledger.summary());
    assert_none(&ledger.faults(false));
    assert_eq!(ledger.count("202 admitted"), 1, "{}", ledger.summary());
    assert_eq!(ledger.promises().len(), 1, "one claim, whoever is told of it");
    assert_all_hold(&installation, campaign, &ledger).await;
}

#[tokio::test]
async fn t07_users_are_compared_byte_for_byte() {
    let installation = Installation::new("t07_bytes").await;
    let pipeline = installation.start(1).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let caller = pipeline.caller(&installation);
    // MySQL's usual collations call each of these the same as its neighbour.
    let look_alikes = ["u-a", "U-A", "u-á", "u-a ", "ｕ-a", "u-ß", "u-ss", "u-е"];
    let ledger = Ledger::default();
    for user in look_alikes {
        let asked_at = std::time::Instant::now();
        let answer = caller.claim(campaign, user).await;
        let answered_at = std::time::Instant::now();
        assert!(matches!(answer, Answer::Admitted(_)), "{user}: {answer:?}");
        let user = user.to_owned();
        ledger.add(headgate_testkit::client::Asked {
            user,
            asked_at,
            answered_at,
            answer,
        });
    }
    assert_all_hold(&installation, campaign, &ledger).await;
}

/// Redis comes back with what it knew long ago, and nobody can tell: the api is new, too.
async fn set_back(installation: &Installation, campaign: uuid::Uuid, counter: u32) {
    let environment = installation.environment();
    let tag = format!("{}{{{campaign}}}:", environment.redis_prefix());
    let client = redis::Client::open(environment.redis_url()).expect("an address");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis answers");
    let users: Vec<Vec<u8>> = redis::cmd("HKEYS")
        .arg(format!("{tag}users"))
        .query_async(&mut connection)
        .await
        .expect("Redis answers");
    let mut pipe = redis::pipe();
    pipe.hset(format!("{tag}state"), "counter", counter);
    // What keeps the key alive stays.
    for user in users.iter().filter(|user| user.starts_with(b"u-")) {
        pipe.hdel(format!("{tag}users"), user);
    }
    let _done: () = pipe.query_async(&mut connection).await.expect("Redis answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g01_mysql_refuses_what_redis_gives_twice() {
    let installation = Installation::new("g01_twice").await;
    let mut pipeline = installation.start(1).await;
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let ledger = pipeline.load(&installation, campaign, 60, 4).run().await;
    assert_eq!(ledger.promises().len(), 60);
    settle(installation.environment(), SETTLE_TIMEOUT).await;
    pipeline.apis[0].stop().await;
    set_back(&installation, campaign, 20).await;
    pipeline.apis[0] = installation.api().spawn().await;

    // The same users, and new ones: tickets 21 to 60 are handed out once more.
    let again = pipeline.load(&installation, campaign, 60, 4).run().await;
    assert_eq!(again.promises().len(), 60);
    for (claim_id, (user, claim)) in again.promises() {
        let before = ledger.promises();
        let (holder, earlier) = &before[&claim_id];
        assert_eq!(
            (holder, earlier.ticket),
            (&user, claim.ticket),
            "another claim than before"
        );
    }
    let others = Load {
        users: named_users("other", 80),
        ..pipeline.load(&installation, campaign, 0, 4)
    };
    ledger.extend(&again);
    ledger.extend(&others.run().await);
    println!("{}", ledger.summary());
    assert_none(&ledger.faults(false));
    assert_all_hold(&installation, campaign, &ledger).await;
    pipeline.stop().await;
}
