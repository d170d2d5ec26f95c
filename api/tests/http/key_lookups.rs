//! What keys cost MySQL, by MySQL's own count. Each test has a MySQL of its own; like the tests
//! that break servers, they run one at a time.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use headgate_domain::partners::Scopes;
use headgate_testkit::eventually;
use headgate_testkit::stack::PrivateStack;
use sqlx::{Connection, MySqlConnection};

use crate::harness::{Api, Installation};

/// Connections at once.
const CONNECTIONS: usize = 100;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// How long an unknown key is remembered, in seconds.
const UNKNOWN_SECONDS: u64 = 5;

/// An installation whose MySQL counts statements. Nobody else uses that server.
struct Counted {
    installation: Installation,
    stack: PrivateStack,
}

impl Counted {
    async fn new(test: &str) -> Self {
        let stack = PrivateStack::up_counting().await;
        let installation = Installation::on(stack.servers().clone(), test).await;
        Self { installation, stack }
    }

    /// How often a key was looked up.
    async fn lookups(&self) -> u64 {
        let others = &self.stack.servers().others;
        let admin = others.get("MYSQL_ADMIN_URL").expect("the stack says it");
        let mut connection = MySqlConnection::connect(admin).await.expect("mysql");
        let counted: Option<u64> = sqlx::query_scalar(
            "SELECT CAST(SUM(COUNT_STAR) AS UNSIGNED) FROM performance_schema.events_statements_summary_by_digest
             WHERE DIGEST_TEXT LIKE '%SELECT%`key_hash` = ?%' AND DIGEST_TEXT NOT LIKE 'PREPARE %'",
        )
        .fetch_one(&mut connection)
        .await
        .expect("the performance schema");
        counted.unwrap_or_default()
    }
}

/// Asks once under each of these keys, over many connections; how often each status was heard.
async fn ask(url: &str, keys: impl IntoIterator<Item = String>) -> Heard {
    let http = reqwest::Client::new();
    let url = format!("{url}/v1/users/u-1/points");
    let requests = keys.into_iter().map(|key| {
        let request = http.get(&url).header("X-API-KEY", key);
        async move { request.send().await.expect("an answer").status().as_u16() }
    });
    let mut heard = Heard::default();
    let mut answers = stream::iter(requests).buffer_unordered(CONNECTIONS);
    while let Some(status) = answers.next().await {
        match status {
            200 => heard.served += 1,
            401 => heard.unknown += 1,
            429 => heard.limited += 1,
            503 => heard.overloaded += 1,
            other => panic!("{other}"),
        }
    }
    heard
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    served: u64,
    unknown: u64,
    limited: u64,
    overloaded: u64,
}

fn made_up(number: usize) -> String {
    format!("hgk_{number:064x}")
}

/// Floods under one key: MySQL hears of it once, whomever they come to.
async fn one_key(test: &str, requests: usize) {
    let counted = Counted::new(test).await;
    let installation = &counted.installation;
    let apis = [installation.start().await, installation.start().await];
    let new_key = async || {
        let (_, key) = installation.partner_and_key(Scopes::all()).await;
        key.text.reveal().to_owned()
    };
    let flood = async |api: &Api, key: &str| {
        let heard = ask(&api.url, std::iter::repeat_n(key.to_owned(), requests)).await;
        assert_eq!(heard.served, u64::try_from(requests).expect("few"), "{heard:?}");
    };
    let before = counted.lookups().await;
    // Nobody has met it when they all come.
    flood(&apis[0], &new_key().await).await;
    assert_eq!(counted.lookups().await - before, 1);

    // One process has met it, in peace: the other finds it in Redis.
    let key = new_key().await;
    for api in &apis {
        let heard = ask(&api.url, [key.clone()]).await;
        assert_eq!(heard.served, 1, "{heard:?}");
    }
    for api in &apis {
        flood(api, &key).await;
    }
    assert_eq!(counted.lookups().await - before, 2);
    for api in apis {
        api.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_i1_a_flood_under_one_key_is_one_lookup_for_all_processes() {
    one_key("one_key", 2_000).await;
}

/// 60,000 requests under one key to two processes: a minute of a thousand a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_fault_i1_a_minute_under_one_key_is_one_lookup() {
    one_key("one_key_long", 30_000).await;
}

/// Asks under one key over all connections, none of which is answered before all have asked;
/// `stranger` is how many strangers may come at once, 0 for any number.
async fn all_at_once(counted: &Counted, key: String, stranger: &str) -> Heard {
    let mut api = counted
        .installation
        .spawn(&[
            ("HEADGATE_RATE_LIMITS__STRANGER__PER_SECOND", stranger),
            ("HEADGATE_RATE_LIMITS__STRANGER__BURST", "1"),
        ])
        .await;
    // Whoever looks it up waits, until all of them are there.
    let mut holder = counted.installation.pool().acquire().await.expect("mysql");
    sqlx::raw_sql("LOCK TABLES api_keys WRITE, partners WRITE")
        .execute(&mut *holder)
        .await
        .expect("locked");
    let url = api.http();
    let asking = tokio::spawn(async move { ask(&url, std::iter::repeat_n(key, CONNECTIONS)).await });
    eventually("requests in work", LONG, async || {
        let now = api.metric("headgate_http_in_flight", &[]).await;
        (now == Some(100.0)).then_some(())
    })
    .await;
    sqlx::raw_sql("UNLOCK TABLES")
        .execute(&mut *holder)
        .await
        .expect("unlocked");
    let heard = asking.await.expect("no panic");
    api.stop().await;
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_i1_many_at_once_under_one_key_are_one_lookup() {
    let counted = Counted::new("at_once").await;
    let before = counted.lookups().await;
    let heard = all_at_once(&counted, made_up(1), "0").await;
    assert_eq!(heard.unknown, 100, "{heard:?}");
    assert_eq!(counted.lookups().await - before, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_i4_a_key_that_a_new_process_has_yet_to_meet_is_no_flood_of_strangers() {
    let counted = Counted::new("restarted").await;
    let (_, key) = counted.installation.partner_and_key(Scopes::all()).await;
    let heard = all_at_once(&counted, key.text.reveal().to_owned(), "1").await;
    assert_eq!(heard.served, 100, "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_i1_the_same_unknown_key_is_one_lookup_in_five_seconds() {
    let counted = Counted::new("one_unknown").await;
    let api = counted.installation.start().await;
    let before = counted.lookups().await;
    let begun = Instant::now();
    let heard = ask(&api.url, std::iter::repeat_n(made_up(1), 1_000)).await;
    let windows = 1 + begun.elapsed().as_secs() / UNKNOWN_SECONDS;
    assert_eq!(heard.unknown, 1_000, "{heard:?}");
    let lookups = counted.lookups().await - before;
    assert!((1..=windows).contains(&lookups), "{lookups} in {windows} windows");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_i1_unknown_keys_cost_mysql_what_their_address_may_send() {
    let counted = Counted::new("many_unknown").await;
    let mut config = counted.installation.config();
    config.rate_limits.stranger.per_second = 5;
    config.rate_limits.stranger.burst = 50;
    let api = counted.installation.start_with(config).await;
    let known = counted.installation.partner(&api).await;
    assert_eq!(known.get("/v1/campaigns").await.status, 200);
    let before = counted.lookups().await;
    let begun = Instant::now();
    let heard = ask(&api.url, (0..10_000).map(made_up)).await;
    let allowed = 50 + 5 * (1 + begun.elapsed().as_secs());
    let lookups = counted.lookups().await - before;
    assert!(lookups <= allowed, "{lookups} of {allowed}: {heard:?}");
    assert!(heard.limited >= 10_000 - allowed, "{heard:?}");
    assert_eq!(known.get("/v1/campaigns").await.status, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_i1_a_key_in_use_does_not_queue_behind_strangers() {
    let counted = Counted::new("in_use").await;
    let mut config = counted.installation.config();
    // Looked up anew all the time, and from everywhere.
    config.keys.remembered = Duration::from_millis(1);
    config.keys.revocations_every = Duration::from_millis(1);
    let api = counted.installation.start_with(config).await;
    let known = counted.installation.partner(&api).await;
    assert_eq!(known.get("/v1/campaigns").await.status, 200);
    let flood = tokio::spawn({
        let url = api.url.clone();
        async move { ask(&url, (0..5_000).map(made_up)).await }
    });
    let mut asked = 0;
    while !flood.is_finished() {
        assert_eq!(known.get("/v1/campaigns").await.status, 200);
        asked += 1;
    }
    let heard = flood.await.expect("no panic");
    assert!(asked > 0 && heard.unknown > 0, "{asked}, {heard:?}");
    api.stop().await;
}
