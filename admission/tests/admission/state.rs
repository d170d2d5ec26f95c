//! The admission state in a real Redis, over claims in a real MySQL.

use crate::campaign::{AT_ONCE, Campaign, LONG, ticket, ticket_number, user_id};
use headgate_admission::Held;
use headgate_admission::rebuild::Rebuilt;
use headgate_admission::release::{Pending, TicketIs};
use headgate_admission::reserve::{Answer, Known, Request, Reserved};
use headgate_schemas::ids::ClaimId;
use headgate_testkit::eventually;
use std::time::{Duration, Instant};

/// Long enough to see that a ticket rests, short enough to wait for.
const REST: Duration = Duration::from_millis(500);

fn pending(claim_id: ClaimId, user: &str, number: u32) -> Pending {
    Pending {
        claim_id,
        ticket: ticket_number(number),
        user_id: user_id(user),
    }
}

/// Asks until the user is admitted: a returned ticket rests for a moment.
async fn ask_until_admitted(campaign: &Campaign, epoch: u32, user: &str) -> u32 {
    let claim_id = ClaimId::generate();
    eventually("a ticket", Duration::from_secs(5), || async {
        match campaign.ask(epoch, claim_id, user).await {
            Answer::Reserved { ticket, .. } => Some(ticket.get()),
            _ => None,
        }
    })
    .await
}

#[tokio::test]
async fn a_state_that_somebody_else_has_rebuilt_meanwhile_is_left_as_it_is() {
    let campaign = Campaign::new("rebuilt_meanwhile", 3, LONG, LONG).await;
    // Two instances heard that the state is cold; the second comes when the first is done.
    let nothing = campaign.known(0);
    let Rebuilt::Installed(epoch) = campaign.rebuild_if_cold(nothing).await else {
        panic!("the first rebuilds")
    };
    let first = campaign.ask(epoch.get(), ClaimId::generate(), "a").await;
    assert_eq!(ticket(first), 1);
    assert_eq!(campaign.rebuild_if_cold(nothing).await, Rebuilt::Elsewhere);
    let second = campaign.ask(epoch.get(), ClaimId::generate(), "b").await;
    assert_eq!(ticket(second), 2, "the first ticket is nobody else's to free");
    // To somebody who knows of more it is cold.
    let newer = Known {
        highest_ticket: 3,
        ..campaign.known(epoch.get())
    };
    let Rebuilt::Installed(next) = campaign.rebuild_if_cold(newer).await else {
        panic!("it is stale")
    };
    assert!(next > epoch);
}

#[tokio::test]
async fn tickets_follow_arrival_and_end_at_the_quota() {
    let campaign = Campaign::new("quota", 3, LONG, LONG).await;
    let epoch = campaign.rebuild().await;
    let users = ["a", "b", "c", "d", "A"].map(user_id);
    let requests: Vec<Request<'_>> = users
        .iter()
        .map(|user_id| Request {
            claim_id: ClaimId::generate(),
            user_id,
        })
        .collect();
    let known = campaign.known(epoch);
    let Reserved::Answers { answers, .. } = campaign
        .admission
        .reserve(campaign.campaign_id, known, &requests)
        .await
        .expect("redis answers")
    else {
        panic!("the state is there")
    };
    let left: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Answer::Reserved {
                ticket,
                sequence,
                stock_left,
            } => (ticket.get(), *sequence, *stock_left),
            _ => (0, 0, 0),
        })
        .collect();
    assert_eq!(left, [(1, 1, 2), (2, 2, 1), (3, 3, 0), (0, 0, 0), (0, 0, 0)]);
    assert_eq!(
        answers[3],
        Answer::SoldOut { is_final: false },
        "tickets are still pending"
    );
}

#[tokio::test]
async fn t12_the_same_claim_id_gets_the_same_ticket_and_another_hears_who_holds_it() {
    let campaign = Campaign::new("same", 10, LONG, LONG).await;
    let epoch = campaign.rebuild().await;
    let (mine, other) = (ClaimId::generate(), ClaimId::generate());
    let first = campaign.ask(epoch, mine, "u").await;
    assert_eq!(ticket(campaign.ask(epoch, mine, "u").await), ticket(first));
    let Answer::Held(held) = campaign.ask(epoch, other, "u").await else {
        panic!("the user holds a claim")
    };
    assert_eq!((held.claim_id, held.ticket.get()), (mine, ticket(first)));
    assert_eq!(
        ticket(campaign.ask(epoch, other, "v").await),
        2,
        "a duplicate reserved nothing"
    );
}

#[tokio::test]
async fn t10_a_stale_or_lost_state_is_cold() {
    let campaign = Campaign::new("stale", 10, LONG, LONG).await;
    let known = |epoch, highest_ticket| Known {
        epoch,
        quota: 10,
        highest_ticket,
    };
    let id = ClaimId::generate();
    assert_eq!(
        campaign.ask_knowing(known(0, 0), id, "u").await,
        Reserved::Cold,
        "nothing is there"
    );
    let epoch = campaign.rebuild().await;
    assert_eq!(
        campaign.ask_knowing(known(epoch + 1, 0), id, "u").await,
        Reserved::Cold,
        "an older epoch"
    );
    assert_eq!(
        campaign.ask_knowing(known(epoch, 1), id, "u").await,
        Reserved::Cold,
        "a lower counter"
    );
    assert_eq!(ticket(campaign.ask(epoch, id, "u").await), 1);
    let mut connection = campaign.redis().await;
    for name in ["free", "pending", "users", "state"] {
        campaign.rebuild().await;
        let removed: u64 = redis::AsyncCommands::del(&mut connection, campaign.key(name))
            .await
            .expect("redis");
        assert_eq!(removed, 1, "{name}");
        assert_eq!(
            campaign.ask_knowing(known(epoch, 0), id, "u").await,
            Reserved::Cold,
            "{name} is lost"
        );
    }
}

#[tokio::test]
async fn t09_a_rebuild_keeps_the_holders_and_finds_the_holes() {
    let campaign = Campaign::new("holes", 6, LONG, REST).await;
    for (user, number) in [("a", 1), ("c", 3), ("e", 5)] {
        campaign.plant(ClaimId::generate(), user, number).await;
    }
    let epoch = campaign.rebuild().await;
    assert!(matches!(
        campaign.ask(epoch, ClaimId::generate(), "c").await,
        Answer::Held(_)
    ));
    // The holes first: nobody was told "sold out" in a state before this one.
    for (user, number) in [("n1", 2), ("n2", 4), ("n3", 6)] {
        assert_eq!(
            ticket(campaign.ask(epoch, ClaimId::generate(), user).await),
            number
        );
    }
    let after = campaign.ask(epoch, ClaimId::generate(), "n4").await;
    assert!(matches!(after, Answer::SoldOut { .. }), "{after:?}");
}

#[tokio::test]
async fn t09_sequences_of_epochs_never_meet() {
    let campaign = Campaign::new("sequences", 10, LONG, AT_ONCE).await;
    let mut sequences = Vec::new();
    for user in ["a", "b", "c"] {
        let epoch = campaign.rebuild().await;
        let Answer::Reserved { sequence, .. } = campaign.ask(epoch, ClaimId::generate(), user).await else {
            panic!("a ticket")
        };
        sequences.push(sequence);
    }
    assert_eq!(sequences, [1, (1 << 32) + 1, (2 << 32) + 1]);
}

#[tokio::test]
async fn t11_a_state_made_anew_rests_for_one_flag() {
    let rest = Duration::from_millis(300);
    let campaign = Campaign::new("anew", 2, LONG, rest).await;
    let first = campaign.rebuild().await;
    campaign.plant(ClaimId::generate(), "a", 1).await;
    let begun = Instant::now();
    let epoch = campaign.rebuild().await;
    assert_eq!(epoch, first + 1, "nothing rested before the first one");
    assert!(matches!(
        campaign.ask(epoch, ClaimId::generate(), "a").await,
        Answer::Held(_)
    ));
    let known = campaign.known(epoch);
    let early = campaign.ask_knowing(known, ClaimId::generate(), "b").await;
    assert!(
        matches!(early, Reserved::Resting(left) if left <= rest + rest / 10),
        "{early:?}"
    );
    eventually("a ticket", Duration::from_secs(5), || async {
        let asked = campaign.ask_knowing(known, ClaimId::generate(), "b").await;
        matches!(asked, Reserved::Answers { .. }).then_some(())
    })
    .await;
    assert!(begun.elapsed() >= rest, "after {:?}", begun.elapsed());
    // There is nothing to wait for when nothing is left.
    campaign.plant(ClaimId::generate(), "b", 2).await;
    let epoch = campaign.rebuild().await;
    let late = campaign.ask(epoch, ClaimId::generate(), "c").await;
    assert!(matches!(late, Answer::SoldOut { .. }), "{late:?}");
    // But nobody keeps that for later: the next state would not rest for it.
    let flag = || {
        campaign
            .admission
            .sold_out(campaign.campaign_id, campaign.known(epoch))
    };
    assert!(flag().await.expect("redis").is_none(), "it is not open yet");
    eventually("a flag", Duration::from_secs(5), || async {
        flag().await.expect("redis")
    })
    .await;
}

#[tokio::test]
async fn t08_a_reservation_is_given_back_once_and_only_by_its_own_claim() {
    let campaign = Campaign::new("release", 1, LONG, AT_ONCE).await;
    let epoch = campaign.rebuild().await;
    let mine = ClaimId::generate();
    let number = ticket(campaign.ask(epoch, mine, "u").await);
    let release = |pending: Pending, ticket| {
        let campaign = &campaign;
        async move {
            campaign
                .admission
                .release(campaign.campaign_id, &pending, ticket, None)
                .await
                .expect("redis answers")
        }
    };
    let foreign = pending(ClaimId::generate(), "u", number);
    assert!(
        !release(foreign, TicketIs::Free).await,
        "another claim gives nothing back"
    );
    assert!(release(pending(mine, "u", number), TicketIs::Free).await);
    assert!(
        !release(pending(mine, "u", number), TicketIs::Free).await,
        "the second time changes nothing"
    );
    assert_eq!(ask_until_admitted(&campaign, epoch, "v").await, number);
    assert!(
        !release(pending(mine, "u", number), TicketIs::Free).await,
        "nor does a late one"
    );
    let sold_out = campaign.ask(epoch, ClaimId::generate(), "w").await;
    assert!(matches!(sold_out, Answer::SoldOut { .. }));
}

#[tokio::test]
async fn t08_a_user_whom_mysql_knows_gives_the_fresh_ticket_back_and_redis_learns() {
    let campaign = Campaign::new("learns", 5, LONG, AT_ONCE).await;
    let epoch = campaign.rebuild().await;
    let (earlier, fresh) = (ClaimId::generate(), ClaimId::generate());
    campaign.plant(earlier, "u", 4).await;
    let number = ticket(campaign.ask(epoch, fresh, "u").await);
    let holds = Held {
        claim_id: earlier,
        ticket: ticket_number(4),
        sequence: 4,
    };
    let freed = campaign
        .admission
        .release(
            campaign.campaign_id,
            &pending(fresh, "u", number),
            TicketIs::Free,
            Some(holds),
        )
        .await
        .expect("redis answers");
    assert!(freed, "nobody holds ticket {number}");
    assert_eq!(
        campaign.ask(epoch, ClaimId::generate(), "u").await,
        Answer::Held(holds)
    );
}

#[tokio::test]
async fn t08_the_sweeper_asks_by_claim_and_ticket() {
    let campaign = Campaign::new("sweep", 4, AT_ONCE, AT_ONCE).await;
    let epoch = campaign.rebuild().await;
    let claims: Vec<ClaimId> = (0..4).map(|_| ClaimId::generate()).collect();
    for (claim, user) in claims.iter().zip(["committed", "died", "taken", "moved"]) {
        campaign.ask(epoch, *claim, user).await;
    }
    campaign.plant(claims[0], "committed", 1).await;
    // Ticket 3 went to somebody else through MySQL; the claim of "moved" became durable
    // under another ticket than the reserved 4.
    campaign.plant(ClaimId::generate(), "somebody", 3).await;
    campaign.plant(claims[3], "moved", 2).await;
    let swept = campaign
        .admission
        .sweep(
            campaign.environment.pool(),
            campaign.campaign_no,
            campaign.campaign_id,
        )
        .await
        .expect("a sweep");
    assert_eq!((swept.confirmed, swept.released), (1, 3));
    let outstanding = campaign
        .admission
        .outstanding(campaign.campaign_id)
        .await
        .expect("redis")
        .expect("a state");
    assert_eq!(
        (outstanding.pending, outstanding.free),
        (0, 1),
        "only ticket 4 is nobody's"
    );
    assert!(
        matches!(campaign.ask(epoch, ClaimId::generate(), "moved").await, Answer::Held(held) if held.ticket.get() == 2)
    );
    assert_eq!(ask_until_admitted(&campaign, epoch, "taken").await, 4);
}

#[tokio::test]
async fn t09_the_audit_frees_what_is_in_nobodys_hands() {
    let campaign = Campaign::new("audit", 4, LONG, AT_ONCE).await;
    let epoch = campaign.rebuild().await;
    let claims: Vec<ClaimId> = (0..4).map(|_| ClaimId::generate()).collect();
    for (claim, user) in claims.iter().zip(["a", "b", "c", "d"]) {
        campaign.ask(epoch, *claim, user).await;
    }
    campaign.plant(claims[0], "a", 1).await;
    // Confirmed though never committed: the state forgets them, as after a lost write.
    let forgotten = [
        pending(claims[0], "a", 1),
        pending(claims[1], "b", 2),
        pending(claims[3], "d", 4),
    ];
    campaign
        .admission
        .confirm(campaign.campaign_id, &forgotten)
        .await
        .expect("redis");
    let audit = || {
        campaign.admission.audit(
            campaign.environment.pool(),
            campaign.campaign_no,
            campaign.campaign_id,
        )
    };
    assert_eq!(
        audit().await.expect("an audit"),
        2,
        "tickets 2 and 4; 3 is pending"
    );
    assert_eq!(audit().await.expect("an audit"), 0);
    let mut again = vec![ask_until_admitted(&campaign, epoch, "n1").await];
    again.push(ask_until_admitted(&campaign, epoch, "n2").await);
    again.sort_unstable();
    assert_eq!(again, [2, 4]);
}

#[tokio::test]
async fn t11_the_local_flag_never_answers_a_holder_and_never_lives_longer() {
    let campaign = Campaign::new("flag", 2, LONG, LONG).await;
    let epoch = campaign.rebuild().await;
    let known = campaign.known(epoch);
    let ask = || campaign.admission.sold_out(campaign.campaign_id, known);
    assert!(ask().await.expect("redis").is_none(), "tickets are left");
    for user in ["a", "b"] {
        campaign.ask(epoch, ClaimId::generate(), user).await;
    }
    let sent = Instant::now();
    let flag = ask().await.expect("redis").expect("sold out");
    assert_eq!(flag.answer(&user_id("a"), 2, sent), None, "a holder is asked for");
    assert_eq!(
        flag.answer(&user_id("x"), 2, sent),
        Some(false),
        "tickets are pending"
    );
    assert_eq!(flag.answer(&user_id("x"), 3, sent), None, "the quota was raised");
    assert_eq!(
        flag.answer(&user_id("x"), 2, Instant::now() + LONG),
        None,
        "it has run out"
    );
}

#[tokio::test]
async fn t11_a_returned_ticket_and_a_raised_quota_rest_for_one_flag() {
    let rest = Duration::from_millis(300);
    let mut campaign = Campaign::new("rest", 1, LONG, rest).await;
    let epoch = campaign.rebuild().await;
    let first = ClaimId::generate();
    campaign.ask(epoch, first, "a").await;
    let returned = Instant::now();
    campaign
        .admission
        .release(
            campaign.campaign_id,
            &pending(first, "a", 1),
            TicketIs::Free,
            None,
        )
        .await
        .expect("redis");
    assert!(matches!(
        campaign.ask(epoch, ClaimId::generate(), "b").await,
        Answer::SoldOut { is_final: false }
    ));
    let early = campaign
        .admission
        .sold_out(campaign.campaign_id, campaign.known(epoch))
        .await;
    assert!(early.expect("redis").is_none(), "it would outlive the rest");
    assert_eq!(ask_until_admitted(&campaign, epoch, "b").await, 1);
    assert!(
        returned.elapsed() >= rest,
        "claimed after {:?}",
        returned.elapsed()
    );
    campaign.quota = 2;
    let raised = Instant::now();
    assert!(matches!(
        campaign.ask(epoch, ClaimId::generate(), "c").await,
        Answer::SoldOut { is_final: false }
    ));
    let known = Known {
        quota: 1,
        ..campaign.known(epoch)
    };
    let late = campaign.admission.sold_out(campaign.campaign_id, known).await;
    assert!(late.expect("redis").is_none(), "a larger quota is on its way");
    assert_eq!(ask_until_admitted(&campaign, epoch, "c").await, 2);
    assert!(raised.elapsed() >= rest, "raised after {:?}", raised.elapsed());
}
