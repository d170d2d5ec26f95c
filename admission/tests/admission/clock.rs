//! A clock of Redis that was set back: a moment that lay close ahead is far away.

use crate::campaign::{Campaign, LONG, ticket};
use chrono::{TimeDelta, Utc};
use headgate_admission::reserve::{Answer, Known, Reserved};
use headgate_schemas::ids::ClaimId;
use redis::AsyncCommands;

#[tokio::test]
async fn t11_a_clock_set_back_lengthens_no_rest_of_a_state() {
    let campaign = Campaign::new("set_back", 10, LONG, LONG).await;
    let epoch = campaign.rebuild().await;
    let (mut redis, state) = (campaign.redis().await, campaign.key("state"));
    let _known: u64 = redis.hset(&state, "opens_at", tomorrow()).await.expect("redis");
    let mut openings = Vec::new();
    for _ in 0..2 {
        let asked = campaign.ask_knowing(campaign.known(epoch), ClaimId::generate(), "u");
        let asked = asked.await;
        assert!(
            matches!(asked, Reserved::Resting(left) if left <= campaign.admission.settings().rest()),
            "{asked:?}"
        );
        let opens_at: i64 = redis.hget(&state, "opens_at").await.expect("redis");
        openings.push(opens_at);
    }
    assert_eq!(openings[0], openings[1], "asking again puts it off");
}

/// Long past what any test waits for, as a clock that was set back sees it.
fn tomorrow() -> i64 {
    (Utc::now() + TimeDelta::days(1)).timestamp_millis()
}

#[tokio::test]
async fn t11_a_clock_set_back_lengthens_no_rest_of_a_returned_ticket() {
    let campaign = Campaign::new("set_back_ticket", 1, LONG, LONG).await;
    let epoch = campaign.rebuild().await;
    let (mut redis, free) = (campaign.redis().await, campaign.key("free"));
    let claim_id = ClaimId::generate();
    assert_eq!(ticket(campaign.ask(epoch, claim_id, "u-1").await), 1);
    let returned: u64 = redis.zadd(&free, "1", tomorrow()).await.expect("redis");
    assert_eq!(returned, 1);
    let mut rests_until = Vec::new();
    for user in ["u-2", "u-3"] {
        let sold_out = campaign.ask(epoch, ClaimId::generate(), user).await;
        assert!(matches!(sold_out, Answer::SoldOut { .. }), "{sold_out:?}");
        rests_until.push(redis.zscore::<_, _, i64>(&free, "1").await.expect("redis"));
    }
    let longest = campaign.admission.settings().rest();
    assert!(rests_until[0] <= (Utc::now() + longest).timestamp_millis());
    assert_eq!(rests_until[0], rests_until[1], "asking again puts it off");
}

#[tokio::test]
async fn t11_a_clock_set_back_lengthens_no_rest_of_a_larger_quota() {
    let campaign = Campaign::new("set_back_quota", 1, LONG, LONG).await;
    let epoch = campaign.rebuild().await;
    let (mut redis, state) = (campaign.redis().await, campaign.key("state"));
    assert_eq!(ticket(campaign.ask(epoch, ClaimId::generate(), "u-1").await), 1);
    let raised = Known {
        quota: 2,
        ..campaign.known(epoch)
    };
    let ask = async |user| campaign.ask_knowing(raised, ClaimId::generate(), user).await;
    ask("u-2").await;
    let _known: u64 = redis
        .hset(&state, "quota_next_at", tomorrow())
        .await
        .expect("redis");
    let mut rests_until = Vec::new();
    for user in ["u-3", "u-4"] {
        ask(user).await;
        rests_until.push(
            redis
                .hget::<_, _, i64>(&state, "quota_next_at")
                .await
                .expect("redis"),
        );
    }
    let longest = campaign.admission.settings().rest();
    assert!(rests_until[0] <= (Utc::now() + longest).timestamp_millis());
    assert_eq!(rests_until[0], rests_until[1], "asking again puts it off");
}
