//! Who is admitted, and what the others hear.

use crate::claiming::{Claiming, FLAG, claim_at_once, user};
use headgate_admission::rebuild::MYSQL_HOLDS;
use headgate_api::admit::{Admitter, ClaimAnswer};
use headgate_domain::campaigns::Campaign;
use headgate_runtime::shutdown::CancellationToken;
use headgate_testkit::eventually;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn g01_of_ten_thousand_at_once_exactly_the_quota_is_admitted() {
    let claiming = Claiming::new("exactly", 100).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    let tally = claim_at_once(&admitter, &campaign, 0..10_000).await;
    assert_eq!(tally.admitted, (1..=100).collect::<Vec<_>>());
    assert_eq!(
        (tally.already_claimed, tally.sold_out, tally.other),
        (0, 9_900, 0)
    );
    let winner: Vec<u8> = sqlx::query_scalar("SELECT user_id FROM claims WHERE ticket = 7")
        .fetch_one(claiming.environment.pool())
        .await
        .expect("ticket 7");
    let winner = headgate_schemas::names::UserId::from_stored(winner);
    let again = admitter.claim(&campaign, winner, None).await;
    assert!(
        matches!(&again, ClaimAnswer::AlreadyClaimed(claim) if claim.ticket.get() == 7),
        "{again:?}"
    );
    assert_eq!(
        (claiming.count("claims").await, claiming.count("outbox").await),
        (100, 100)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn g01_four_processes_share_one_quota() {
    let claiming = Claiming::new("four", 300).await;
    let campaign = claiming.campaign().await;
    let admitters: Vec<_> = (0..4).map(|_| claiming.admitter()).collect();
    // Every user asks every process.
    let tallies = futures::future::join_all(
        admitters
            .iter()
            .map(|admitter| claim_at_once(admitter, &campaign, 0..1_000)),
    )
    .await;
    let mut tickets: Vec<u32> = tallies.iter().flat_map(|tally| tally.admitted.clone()).collect();
    let already: usize = tallies.iter().map(|tally| tally.already_claimed).sum();
    // Who was turned away by one process may hear of his claim at another.
    let holding = tickets.len() + already;
    tickets.sort_unstable();
    tickets.dedup();
    assert_eq!(tickets, (1..=300).collect::<Vec<_>>());
    let sold_out: usize = tallies.iter().map(|tally| tally.sold_out).sum();
    let other: usize = tallies.iter().map(|tally| tally.other).sum();
    assert_eq!((holding, sold_out, other), (1_200, 2_800, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn g01_a_lost_state_issues_nothing_twice() {
    let claiming = Claiming::new("lost", 200).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    let claims = claim_at_once(&admitter, &campaign, 0..2_000);
    let losses = async {
        for _ in 0..5 {
            claiming.lose_redis_state().await;
            tokio::task::yield_now().await;
        }
    };
    let (first, ()) = tokio::join!(claims, losses);
    // Who was turned away asks again, until the quota is used up.
    eventually("the whole quota", Duration::from_secs(20), || async {
        let _more = claim_at_once(&admitter, &claiming.campaign().await, 0..2_000).await;
        (claiming.count("claims").await == 200).then_some(())
    })
    .await;
    assert!(first.admitted.len() <= 200);
    assert_eq!(claiming.count("outbox").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn g01_a_ticket_that_mysql_has_given_is_not_given_again() {
    let claiming = Claiming::new("given", 3).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    assert_eq!(claim_at_once(&admitter, &campaign, 0..1).await.admitted, [1]);
    claiming.hold_in_mysql(2, "stranger").await;
    // Nothing but the ticket is in this claim's way.
    assert_eq!(claim_at_once(&admitter, &campaign, 1..2).await.admitted, [3]);
    assert_eq!(claiming.count("claims").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn g04_a_reservation_of_an_older_epoch_takes_its_place_in_the_new_order() {
    let claiming = Claiming::new("older_epoch", 10).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    assert_eq!(claim_at_once(&admitter, &campaign, 0..1).await.admitted, [1]);
    let before = claiming.campaign().await.admission_epoch;
    let take_over = "UPDATE campaigns SET admission_epoch = admission_epoch + 1";
    let (sequence, epoch) = claim_during(&claiming, &admitter, take_over).await;
    // The epoch, counted from 0, is what a sequence begins with.
    assert!(sequence >> 32 >= u64::from(before), "{sequence}");
    assert!(epoch > before, "{epoch} after {before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_a_reservation_of_redis_is_none_of_the_epoch_of_mysql_with_its_number() {
    let claiming = Claiming::new("same_number", 10).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    assert_eq!(claim_at_once(&admitter, &campaign, 0..1).await.admitted, [1]);
    // MySQL was put back by an epoch, and comes to its number again: now it is its own.
    let of_mysql = claiming.campaign().await.admission_epoch + 1;
    claiming.advance_redis_epoch(of_mysql).await;
    let take_over = "UPDATE campaigns SET admission_epoch = admission_epoch + 1, admission_source = 'mysql'";
    let (_sequence, epoch) = claim_during(&claiming, &admitter, take_over).await;
    assert!(epoch > of_mysql, "{epoch}: in the order of MySQL's tickets");
}

/// The sequence and the epoch of a claim whose campaign changes while its reservation is on
/// its way from Redis to MySQL.
async fn claim_during(claiming: &Claiming, admitter: &Admitter, change: &'static str) -> (u64, u32) {
    let pool = claiming.environment.pool();
    let campaign = claiming.campaign().await;
    let mut changing = pool.begin().await.expect("mysql");
    sqlx::query(change).execute(&mut *changing).await.expect("mysql");
    let commit = async {
        eventually(
            "Redis to hand out a ticket",
            Duration::from_secs(20),
            async || (claiming.tickets_of_redis().await == 2).then_some(()),
        )
        .await;
        changing.commit().await.expect("mysql");
    };
    let (answer, ()) = tokio::join!(admitter.claim(&campaign, user(1), None), commit);
    let ClaimAnswer::Admitted(claim) = answer else {
        panic!("{answer:?}");
    };
    let epoch = sqlx::query_scalar("SELECT admission_epoch FROM claims WHERE user_id = 'u-1'")
        .fetch_one(pool)
        .await
        .expect("the claim");
    (claim.sequence, epoch)
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_redis_ahead_of_a_restored_mysql_is_rebuilt() {
    let claiming = Claiming::new("restored", 10).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    let before = claim_at_once(&admitter, &campaign, 0..3).await;
    assert_eq!(before.admitted.len(), 3);
    claiming.advance_redis_epoch(1_000_000).await;
    sqlx::query("DELETE FROM claims WHERE ticket > 1")
        .execute(claiming.environment.pool())
        .await
        .expect("mysql");
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    let tally = claim_at_once(&admitter, &campaign, 3..20).await;
    assert_eq!(tally.admitted, (2..=10).collect::<Vec<_>>());
    let epoch = claiming.campaign().await.admission_epoch;
    assert!(epoch > 1_000_000, "{epoch}: an epoch that Redis had before");
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_a_redis_that_was_started_again_is_not_believed() {
    let claiming = Claiming::new("again", 3).await;
    let admitter = claiming.admitter();
    let _stale = sold_out(&claiming, &admitter).await;
    claiming.start_redis_again_without(&user(1)).await;
    // Another process, so that no flag of before answers.
    let answer = claiming
        .admitter()
        .claim(&claiming.campaign().await, user(1), None)
        .await;
    assert!(matches!(answer, ClaimAnswer::AlreadyClaimed(_)), "{answer:?}");
}

/// Long enough to see that one is still there, short enough to wait for its end.
const LONG_FLAG: Duration = Duration::from_secs(2);

/// Sold out at `with_redis`, which says so again and again, while one more is admitted at
/// `elsewhere`. Whoever holds a yes never hears a no.
async fn the_winner_is_known_everywhere(
    claiming: &Claiming,
    (with_redis, stale): (&Admitter, &Arc<Campaign>),
    elsewhere: &Admitter,
) {
    let (winner, loser) = (user(3), user(4));
    let admitted = CancellationToken::new();
    let flag_is_renewed = async {
        while !admitted.is_cancelled() {
            let _any = with_redis.claim(stale, loser.clone(), None).await;
            tokio::task::yield_now().await;
        }
    };
    let admission = async {
        let enlarged = claiming.campaign().await;
        // At once, or when the larger quota has rested: who has not heard of it may have made
        // the state.
        eventually("the winner's yes", Duration::from_secs(20), async || {
            let answer = elsewhere.claim(&enlarged, winner.clone(), None).await;
            matches!(answer, ClaimAnswer::Admitted(_)).then_some(())
        })
        .await;
        admitted.cancel();
        with_redis.claim(stale, winner.clone(), None).await
    };
    let ((), answer) = tokio::join!(flag_is_renewed, admission);
    assert!(matches!(answer, ClaimAnswer::AlreadyClaimed(_)), "{answer:?}");
}

/// The campaign as it was when it was sold out.
async fn sold_out(claiming: &Claiming, admitter: &Admitter) -> Arc<Campaign> {
    // One by one at the end, until this process has its flag.
    let campaign = claiming.campaign().await;
    let tally = claim_at_once(admitter, &campaign, 0..3).await;
    assert_eq!(tally.admitted.len(), 3);
    for _ in 0..20 {
        let answer = admitter.claim(&campaign, user(9), None).await;
        assert!(matches!(answer, ClaimAnswer::SoldOut { .. }), "{answer:?}");
    }
    campaign
}

#[tokio::test(flavor = "multi_thread")]
async fn t11_a_winner_of_mysql_never_hears_sold_out_of_a_stale_redis() {
    let claiming = Claiming::with_flag("double", 3, LONG_FLAG).await;
    let with_redis = claiming.admitter();
    let stale = sold_out(&claiming, &with_redis).await;
    claiming.raise_quota(5).await;
    let without = claiming.admitter_without_redis();
    the_winner_is_known_everywhere(&claiming, (&with_redis, &stale), &without).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t11_a_winner_of_a_state_made_anew_never_hears_sold_out_of_a_flag() {
    let claiming = Claiming::with_flag("anew", 3, LONG_FLAG).await;
    let with_redis = claiming.admitter();
    let stale = sold_out(&claiming, &with_redis).await;
    claiming.raise_quota(5).await;
    claiming.lose_redis_state().await;
    the_winner_is_known_everywhere(&claiming, (&with_redis, &stale), &claiming.admitter()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t13_a_ticket_that_another_holds_is_exchanged_and_a_user_mysql_knows_hears_so() {
    let claiming = Claiming::new("exchange", 10).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    // Redis begins at ticket 1, and MySQL learns of other holders behind its back.
    let first = claim_at_once(&admitter, &campaign, 0..1).await;
    assert_eq!(first.admitted, [1]);
    claiming.hold_in_mysql(2, "stranger").await;
    claiming.hold_in_mysql(3, "u-1").await;
    let answers = claim_at_once(&admitter, &campaign, 1..5).await;
    assert_eq!(
        (answers.admitted.len(), answers.already_claimed, answers.other),
        (3, 1, 0),
        "{answers:?}"
    );
    assert_eq!(claiming.count("claims").await, 6);
    let stranger = admitter.claim(
        &campaign,
        headgate_schemas::names::UserId::new("stranger").expect("a name"),
        None,
    );
    assert!(matches!(stranger.await, ClaimAnswer::AlreadyClaimed(claim) if claim.ticket.get() == 2));
    // The four tickets that are left, the exchanged and the returned ones among them.
    let rest = eventually("the rest of the quota", FLAG * 50, || async {
        let _more = claim_at_once(&admitter, &campaign, 5..20).await;
        (claiming.count("claims").await == 10).then_some(())
    });
    rest.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t03_a_deadlock_is_answered_by_the_whole_transaction_anew() {
    let claiming = Claiming::new("deadlock", 10).await;
    let (admitter, campaign) = (claiming.admitter(), claiming.campaign().await);
    let pool = claiming.environment.pool();
    assert_eq!(claim_at_once(&admitter, &campaign, 0..1).await.admitted, [1]);
    // It holds the next ticket, and has written so much that MySQL gives up the other.
    let mut heavy = pool.begin().await.expect("mysql");
    sqlx::query(
        "INSERT INTO claims (campaign_no, ticket, claim_id, user_id, admission_epoch, sequence, admitted_at,
             last_outbox_id)
         WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < 500)
         SELECT IF(i = 1, ?, 1000), i + 1, UUID_TO_BIN(UUID()), CONCAT('heavy-', i), 1, i, NOW(6), 1 FROM number",
    )
    .bind(campaign.campaign_no)
    .execute(&mut *heavy)
    .await
    .expect("claims");
    let lock = "SELECT campaign_no FROM campaigns WHERE campaign_no = ? FOR UPDATE";
    let circle = async {
        // The claim has its campaign, and waits for the ticket or is about to.
        eventually("the campaign to be locked", Duration::from_secs(20), async || {
            let free = sqlx::query(sqlx::AssertSqlSafe(format!("{lock} NOWAIT")));
            free.bind(campaign.campaign_no).execute(pool).await.err()
        })
        .await;
        let locked = sqlx::query(lock).bind(campaign.campaign_no);
        locked
            .execute(&mut *heavy)
            .await
            .expect("the other one gives way");
        heavy.rollback().await.expect("mysql");
    };
    let (answer, ()) = tokio::join!(admitter.claim(&campaign, user(1), None), circle);
    assert!(
        matches!(&answer, ClaimAnswer::Admitted(claim) if claim.ticket.get() == 2),
        "{answer:?}"
    );
    assert_eq!(
        (claiming.count("claims").await, claiming.count("outbox").await),
        (2, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_without_redis_mysql_admits_exactly_the_quota() {
    let claiming = Claiming::new("fallback", 500).await;
    let campaign = claiming.campaign().await;
    let admitter = claiming.admitter_without_redis();
    let tally = claim_at_once(&admitter, &campaign, 0..1_500).await;
    assert_eq!(tally.admitted, (1..=500).collect::<Vec<_>>());
    assert_eq!((tally.sold_out, tally.other), (1_000, 0));
    let again = admitter.claim(&campaign, user(0), None).await;
    assert!(
        matches!(
            again,
            ClaimAnswer::AlreadyClaimed(_) | ClaimAnswer::SoldOut { .. }
        ),
        "{again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_redis_takes_over_again_after_mysql_admitted() {
    let claiming = Claiming::new("handback", 100).await;
    let with_redis = claiming.admitter();
    let before = claim_at_once(&with_redis, &claiming.campaign().await, 0..30).await;
    assert_eq!(before.admitted.len(), 30);
    let without = claiming.admitter_without_redis();
    let meanwhile = claim_at_once(&without, &claiming.campaign().await, 20..60).await;
    assert_eq!(
        (meanwhile.admitted.len(), meanwhile.already_claimed),
        (30, 10),
        "{meanwhile:?}"
    );
    // The campaign is read anew, as the api does every second: its epoch is higher, so
    // the state in Redis is cold and made anew.
    let after = claim_at_once(&with_redis, &claiming.campaign().await, 50..200).await;
    assert_eq!(
        (after.admitted.len(), after.already_claimed, after.other),
        (40, 10, 0),
        "{after:?}"
    );
    let sequences: i64 = sqlx::query_scalar("SELECT COUNT(DISTINCT sequence) FROM claims")
        .fetch_one(claiming.environment.pool())
        .await
        .expect("mysql");
    assert_eq!((claiming.count("claims").await, sequences), (100, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_one_process_cut_off_from_redis_and_one_that_is_not_both_go_on() {
    let claiming = Claiming::new("cut_off", 100_000).await;
    let (with_redis, without) = (claiming.admitter(), claiming.admitter_without_redis());
    let done = CancellationToken::new();
    let others = async {
        let mut admitted = 0;
        while !done.is_cancelled() {
            let next = 50_000 + admitted;
            let tally = claim_at_once(&with_redis, &claiming.campaign().await, next..next + 10).await;
            admitted += tally.admitted.len();
        }
        admitted
    };
    let begun = Instant::now();
    let cut_off = async {
        let mut number = 0;
        while begun.elapsed() < 2 * MYSQL_HOLDS {
            let tally = claim_at_once(&without, &claiming.campaign().await, number..number + 1).await;
            assert_eq!(tally.admitted.len(), 1, "{tally:?}");
            number += 1;
        }
        done.cancel();
        number
    };
    let (admitted, cut_off) = tokio::join!(others, cut_off);
    assert!(admitted > 0, "nobody at the other one");
    // To MySQL, and then back and forth each time that it has gone on for so long.
    let changes = 1 + 2 * (begun.elapsed().as_secs() / MYSQL_HOLDS.as_secs());
    let epoch = claiming.campaign().await.admission_epoch;
    assert!(
        u64::from(epoch) <= 1 + changes,
        "{epoch} epochs in {:?}",
        begun.elapsed()
    );
    assert_eq!(
        claiming.count("claims").await,
        i64::try_from(cut_off + admitted).expect("few")
    );
}
