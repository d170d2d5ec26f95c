//! Rate limits: who floods hears 429, nobody else does, and nothing is lost by it.

use std::time::{Duration, Instant};

use headgate_domain::partners::{Rates, Scopes};
use headgate_testkit::eventually;
use headgate_testkit::toxiproxy::{Harm, Stream, Toxiproxy};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Api, Installation};
use crate::partner::{Answer, Partner};

/// A rate at which nothing is refilled while a test runs, and its burst.
const SLOW: u32 = 1;
const BURST: u32 = 30;
/// What a process may keep to itself of [`BURST`].
const UNTOLD: u32 = 3;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// An api here whose users may send [`BURST`] requests, and no more than one a second then.
async fn api(installation: &Installation) -> Api {
    let mut config = installation.config();
    config.rate_limits.user.per_second = SLOW;
    config.rate_limits.user.burst = BURST;
    installation.start_with(config).await
}

/// A key as the settings say.
async fn usual_key(installation: &Installation) -> String {
    let (_, key) = installation
        .partner_with_rates(Scopes::all(), Rates::default())
        .await;
    key.text.reveal().to_owned()
}

/// A key with a rate for all of it; a burst is twice as much.
async fn key_with_rate(installation: &Installation, rate: u32) -> String {
    let rates = Rates {
        key: Some(rate),
        ..Rates::HIGHEST
    };
    let (_, key) = installation.partner_with_rates(Scopes::all(), rates).await;
    key.text.reveal().to_owned()
}

async fn balance(partner: &Partner, user: &str) -> Answer {
    partner.get(&format!("/v1/users/{user}/points")).await
}

/// How many of so many requests for a user pass, sent to each in turn, and in how long. The
/// others are refused by the limit `user`.
async fn passed(partners: &[Partner], user: &str, requests: u32) -> (u32, Duration) {
    let begun = Instant::now();
    let mut passed = 0;
    for (_, partner) in (0..requests).zip(partners.iter().cycle()) {
        let answer = balance(partner, user).await;
        if answer.status == 200 {
            passed += 1;
        } else {
            assert_limited(&answer, "user");
        }
    }
    (passed, begun.elapsed())
}

/// What is refilled in this time.
fn refilled(took: Duration) -> u32 {
    SLOW * (1 + u32::try_from(took.as_secs()).expect("short"))
}

#[track_caller]
fn assert_limited(answer: &Answer, limit: &str) {
    assert_eq!(answer.problem(), (429, "rate-limited"));
    let named = format!("`{limit}`");
    assert!(answer.text("detail").contains(&named), "{answer:?}");
    assert!(retry_after(answer) >= Duration::from_secs(1), "{answer:?}");
}

fn retry_after(answer: &Answer) -> Duration {
    Duration::from_secs(answer.header("retry-after").parse().expect("whole seconds"))
}

/// Lets the time pass that an answer asks for.
async fn obey(refused: &Answer) {
    let (heard, wait) = (Instant::now(), retry_after(refused));
    eventually("the time to pass", LONG, async || {
        (heard.elapsed() >= wait).then_some(())
    })
    .await;
}

#[tokio::test]
async fn i4_all_processes_share_one_limit() {
    let installation = Installation::new("limit_shared").await;
    let apis = [api(&installation).await, api(&installation).await];
    let key = usual_key(&installation).await;
    let partners = [&apis[0], &apis[1]].map(|api| Partner::new(&api.url, &key));
    let (passed, took) = passed(&partners, "u-1", 4 * BURST).await;
    assert!(passed >= BURST, "{passed} passed");
    // The burst, what each process kept to itself, and what came back meanwhile.
    let most = BURST + 2 * UNTOLD + refilled(took);
    assert!(passed <= most, "{passed} passed in {took:?}");
    for api in apis {
        api.stop().await;
    }
}

#[tokio::test]
async fn i4_retry_after_is_true_and_a_refusal_is_not_kept_under_a_key() {
    let installation = Installation::new("limit_retry").await;
    let api = api(&installation).await;
    let partner = Partner::new(&api.url, &usual_key(&installation).await);
    let path = "/v1/users/u-1/points/earn";
    let mut refused = None;
    for number in 0..3 * BURST {
        let answer = partner
            .post_keyed(path, &format!("k-{number}"), &json!({"amount": 1}))
            .await;
        if answer.status == 429 {
            refused = Some((number, answer));
            break;
        }
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let (number, refused) = refused.expect("a limit");
    assert!(number >= BURST, "{number}");
    assert_limited(&refused, "user");
    assert_eq!(retry_after(&refused), Duration::from_secs(1));
    obey(&refused).await;
    let again = partner
        .post_keyed(path, &format!("k-{number}"), &json!({"amount": 1}))
        .await;
    assert_eq!((again.status, again.is_replayed()), (201, false), "{again:?}");
    api.stop().await;
}

#[tokio::test]
async fn i4_a_user_who_floods_takes_nothing_from_the_key() {
    let installation = Installation::new("limit_all_or_none").await;
    let api = api(&installation).await;
    // Room for one user's burst and some more.
    let key = key_with_rate(&installation, BURST).await;
    let rates = format!("UPDATE api_keys SET rate_user = NULL, rate_key = {BURST}");
    installation.sql(&rates).await;
    let partner = Partner::new(&api.url, &key);
    let (first, took) = passed(std::slice::from_ref(&partner), "in-path", 6 * BURST).await;
    assert!(
        (BURST..=BURST + refilled(took)).contains(&first),
        "{first} passed"
    );
    for other in 0..10 {
        assert_eq!(balance(&partner, &format!("other-{other}")).await.status, 200);
    }
    api.stop().await;

    // And a user that only the body names.
    let api = self::api(&installation).await;
    let partner = Partner::new(&api.url, &key);
    let campaign = {
        let (_, key) = installation.partner_and_key(Scopes::all()).await;
        Partner::new(&api.url, key.text.reveal()).campaign(5).await
    };
    // The campaign is another's: what counts here is who is let through to hear it.
    let mut answered = 0;
    for _ in 0..6 * BURST {
        let answer = partner.claim(&campaign, "in-body").await;
        if answer.status == 404 {
            answered += 1;
        } else {
            assert_limited(&answer, "user");
        }
    }
    assert!(answered >= BURST, "{answered}");
    for other in 0..10 {
        let answer = partner.claim(&campaign, &format!("other-{other}")).await;
        assert_eq!(answer.problem(), (404, "campaign-not-found"));
    }
    api.stop().await;
}

#[tokio::test]
async fn i4_a_key_that_floods_takes_nothing_from_another() {
    let installation = Installation::new("limit_keys").await;
    let api = installation.start().await;
    let flooding = Partner::new(&api.url, &key_with_rate(&installation, 5).await);
    let quiet = Partner::new(&api.url, &key_with_rate(&installation, 5).await);
    let mut refused = 0;
    for user in 0..60 {
        let answer = balance(&flooding, &format!("u-{user}")).await;
        if answer.status == 429 {
            assert_limited(&answer, "key");
            refused += 1;
        }
    }
    assert!(refused >= 20, "{refused}");
    for user in 0..8 {
        assert_eq!(balance(&quiet, &format!("u-{user}")).await.status, 200);
    }
    api.stop().await;
}

#[tokio::test]
async fn i4_a_rotated_key_keeps_its_rates() {
    let installation = Installation::new("limit_rotated").await;
    let rates = Rates {
        key: Some(7),
        user: None,
        address: Some(9),
    };
    let (partner_no, key) = installation.partner_with_rates(Scopes::all(), rates).await;
    let mut transaction = installation.pool().begin().await.expect("a transaction");
    headgate_domain::partners::store::rotate_key(&mut transaction, key.key_id, LONG)
        .await
        .expect("mysql")
        .expect("a key");
    transaction.commit().await.expect("committed");
    let keys = headgate_domain::partners::store::list_keys(installation.pool(), partner_no, 10).await;
    let kept: Vec<_> = keys.expect("mysql").iter().map(|key| key.rates).collect();
    assert_eq!(kept, [rates, rates]);
}

/// Asks with a made-up key, for somebody behind a proxy.
async fn stranger(partner: &Partner, forwarded_for: &str) -> Answer {
    let request = partner
        .anonymous(Method::GET, "/v1/campaigns")
        .header("X-API-KEY", format!("hgk_{}", "ab".repeat(32)))
        .header("X-Forwarded-For", forwarded_for);
    Answer::of(request).await
}

/// An api whose strangers may send [`BURST`] requests, behind this proxy.
async fn guarded_api(installation: &Installation, proxy: &str) -> Api {
    let mut config = installation.config();
    config.rate_limits.stranger.per_second = SLOW;
    config.rate_limits.stranger.burst = BURST;
    config.http.trusted_proxies = serde_json::from_value(json!([proxy])).expect("a network");
    installation.start_with(config).await
}

#[tokio::test]
async fn i4_strangers_are_limited_by_address_and_others_are_served() {
    let installation = Installation::new("limit_strangers").await;
    let api = guarded_api(&installation, "127.0.0.0/8").await;
    let partner = installation.partner(&api).await;
    let known = partner.get("/v1/campaigns").await;
    assert_eq!(known.status, 200);
    let flooded = flood(&partner, |_| "192.0.2.1".to_owned()).await;
    assert!((BURST..2 * BURST).contains(&flooded), "{flooded} heard 401");
    let other = stranger(&partner, "192.0.2.2").await;
    assert_eq!(other.problem(), (401, "unauthenticated"));
    // A key in use is served from the flooding address, too.
    let request = partner
        .request(Method::GET, "/v1/campaigns")
        .header("X-Forwarded-For", "192.0.2.1");
    assert_eq!(Answer::of(request).await.status, 200);
    // Nor does somebody who invents addresses in front of his own get further.
    let invented = flood(&partner, |number| format!("198.51.100.{number}, 192.0.2.3")).await;
    assert!((BURST..2 * BURST).contains(&invented), "{invented} heard 401");
    api.stop().await;
}

#[tokio::test]
async fn i4_forwarded_addresses_of_anybody_else_are_not_believed() {
    let installation = Installation::new("limit_forwarded").await;
    let api = guarded_api(&installation, "192.0.2.9").await;
    let partner = installation.partner(&api).await;
    let flooded = flood(&partner, |number| format!("198.51.100.{number}")).await;
    assert!((BURST..2 * BURST).contains(&flooded), "{flooded} heard 401");
    api.stop().await;
}

/// How many of a flood without a key hear 401; the others are refused by address.
async fn flood(partner: &Partner, forwarded_for: impl Fn(u32) -> String) -> u32 {
    let mut heard = 0;
    for number in 0..3 * BURST {
        let answer = stranger(partner, &forwarded_for(number)).await;
        if answer.status == 401 {
            heard += 1;
        } else {
            assert_limited(&answer, "address");
        }
    }
    heard
}

/// What two processes let through of a user nobody has heard of: less than this, they share.
const APART: u32 = 2 * BURST;

async fn limits_hold_without_redis(harm: Option<Harm>) {
    let installation = Installation::new("limit_no_redis").await;
    let toxiproxy = Toxiproxy::start(installation.environment.servers()).await;
    let (_, upstream) = installation
        .environment
        .redis_url()
        .split_once("://")
        .expect("a url");
    let upstream = upstream.split('/').next().expect("an address");
    let proxy = toxiproxy.proxy("redis", upstream).await;
    let mut config = installation.config();
    config.rate_limits.user.per_second = SLOW;
    config.rate_limits.user.burst = BURST;
    config.redis.url = format!("redis://{}", proxy.address());
    let apis = [
        installation.start_with(config.clone()).await,
        installation.start_with(config).await,
    ];
    let key = usual_key(&installation).await;
    let partners = [&apis[0], &apis[1]].map(|api| Partner::new(&api.url, &key));
    assert!(passed(&partners, "before", 4).await.0 == 4);

    match harm {
        Some(harm) => proxy.harm(Stream::Answers, harm).await,
        None => proxy.cut().await,
    }
    let (alone, took) = passed(&partners, "during", 4 * BURST).await;
    // Nobody is refused for want of Redis, and each process holds the limit by itself.
    let each = BURST..=BURST + refilled(took);
    assert!(
        (2 * each.start()..=2 * each.end()).contains(&alone),
        "{alone} passed in {took:?}"
    );

    match harm {
        Some(_) => proxy.heal().await,
        None => proxy.restore().await,
    }
    let mut user = 0;
    eventually("the limit to be shared again", LONG, async || {
        user += 1;
        let (together, took) = passed(&partners, &format!("after-{user}"), 3 * BURST).await;
        (together + refilled(took) < APART).then_some(())
    })
    .await;
    for api in apis {
        api.stop().await;
    }
}

#[tokio::test]
async fn fault_i4_limits_hold_while_redis_is_gone() {
    limits_hold_without_redis(None).await;
}

#[tokio::test]
async fn fault_i4_limits_hold_while_redis_hangs() {
    limits_hold_without_redis(Some(Harm::Swallow(Duration::from_mins(10)))).await;
}
