//! Redis may lose everything at any moment: nothing false may follow, only slower
//! answers. Each test has a Redis of its own. Answers are 202, 409 or 503 and nothing
//! else, and in the end issued = min(quota, users who kept asking).

use std::time::Duration;

use headgate_guarantees::pipeline::assert_all_hold;
use headgate_guarantees::rejected::Rejected;
use headgate_guarantees::{Installation, Pipeline};
use headgate_testkit::checkers::{Evidence, assert_none};
use headgate_testkit::client::{Ledger, Load, named_users};
use headgate_testkit::eventually;
use headgate_testkit::stack::{PrivateStack, Server};
use headgate_testkit::toxiproxy::{Harm, Stream, Toxiproxy};
use uuid::Uuid;

const QUOTA: u32 = 4_000;
const USERS: usize = 4_500;
const CONNECTIONS: usize = 64;
/// Slow enough that a server can be restarted in the middle of the sale.
const USERS_PER_SECOND: u32 = 700;
/// Promises that are out before something is broken.
const PROMISES_BEFORE: usize = 500;
/// Until a reservation that came to nothing can be claimed again, at most.
const LEAK_TIMEOUT: Duration = Duration::from_secs(30);

/// A sale that goes on while its Redis is harmed.
///
/// Dropped in this order: the processes before what they work with.
struct Sale {
    pipeline: Pipeline,
    installation: Installation,
    stack: PrivateStack,
    campaign: Uuid,
}

impl Sale {
    async fn open(test: &str) -> Self {
        let stack = PrivateStack::up(&[Server::Redis]).await;
        let installation = Installation::on(stack.servers().clone(), test).await;
        let pipeline = installation.start(2).await;
        let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
        Self {
            pipeline,
            installation,
            stack,
            campaign,
        }
    }

    fn load(&self) -> Load {
        Load {
            users_per_second: Some(USERS_PER_SECOND),
            ..self
                .pipeline
                .load(&self.installation, self.campaign, USERS, CONNECTIONS)
        }
    }

    /// Late users take what is left, if anything is: within the stated time no ticket
    /// is lost. Then everything has to hold.
    async fn close(self, ledger: Ledger) {
        let late = Load {
            users: named_users("late", 200),
            users_per_second: None,
            ..self.load()
        };
        ledger.extend(&late.run().await);
        println!("{}", ledger.summary());
        assert_none(&ledger.faults(false));
        eventually("the whole quota to be claimed", LEAK_TIMEOUT, async || {
            let claims: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM claims")
                .fetch_one(self.installation.environment().pool())
                .await
                .ok()?;
            (claims == i64::from(QUOTA)).then_some(())
        })
        .await;
        assert_all_hold(&self.installation, self.campaign, &ledger).await;
        self.pipeline.stop().await;
    }
}

/// What was done has to have been done in the middle of the sale.
fn assert_goes_on(ledger: &Ledger) {
    let quota = usize::try_from(QUOTA).expect("small");
    assert!(
        ledger.promises().len() < quota,
        "the sale was over before the fault was"
    );
}

/// Redis forgets everything.
async fn flush(stack: &PrivateStack) {
    let client = redis::Client::open(stack.servers().redis_url.as_str()).expect("an address");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("Redis answers");
    let _done: redis::Value = redis::cmd("FLUSHALL")
        .query_async(&mut connection)
        .await
        .expect("Redis answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_flushed_mid_sale() {
    let sale = Sale::open("redis_flushed").await;
    let load = sale.load().start();
    load.wait_for_promises(PROMISES_BEFORE).await;
    flush(&sale.stack).await;
    load.wait_for_promises(2 * PROMISES_BEFORE).await;
    flush(&sale.stack).await;
    assert_goes_on(load.ledger());
    let ledger = load.finish().await;
    sale.close(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_restarted_with_an_older_snapshot() {
    let sale = Sale::open("redis_older").await;
    let load = sale.load().start();
    load.wait_for_promises(PROMISES_BEFORE).await;
    sale.stack.save_redis("early").await;
    load.wait_for_promises(2 * PROMISES_BEFORE).await;
    sale.stack.restore_redis("early").await;
    assert_goes_on(load.ledger());
    let ledger = load.finish().await;
    sale.close(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_back_with_its_own_file() {
    let sale = Sale::open("redis_killed").await;
    let load = sale.load().start();
    load.wait_for_promises(PROMISES_BEFORE).await;
    // The last second of the append-only file may be missing.
    sale.stack.kill(Server::Redis).await;
    sale.stack.start(Server::Redis).await;
    assert_goes_on(load.ledger());
    let ledger = load.finish().await;
    sale.close(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_gone_claims_go_on_through_mysql() {
    let sale = Sale::open("redis_gone").await;
    let load = sale.load().start();
    load.wait_for_promises(PROMISES_BEFORE).await;
    sale.stack.stop(Server::Redis).await;
    let gone = std::time::Instant::now();
    let before = load.ledger().promises().len();
    // The rate through MySQL stays above zero.
    load.wait_for_promises(before + PROMISES_BEFORE).await;
    let rate = f64::from(u32::try_from(PROMISES_BEFORE).expect("small")) / gone.elapsed().as_secs_f64();
    println!("without Redis: {rate:.0} claims a second");
    sale.stack.start(Server::Redis).await;
    assert_goes_on(load.ledger());
    let ledger = load.finish().await;
    // And it hands back: late users are admitted through Redis again.
    eventually("admission to be handed back to Redis", LEAK_TIMEOUT, async || {
        let partner = sale.pipeline.partner(&sale.installation);
        partner.claim(sale.campaign, "one-more").await;
        let source: String = sqlx::query_scalar("SELECT CAST(admission_source AS CHAR) FROM campaigns")
            .fetch_one(sale.installation.environment().pool())
            .await
            .ok()?;
        (source == "redis").then_some(())
    })
    .await;
    sale.close(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_frozen_mid_sale() {
    let sale = Sale::open("redis_frozen").await;
    let load = sale.load().start();
    load.wait_for_promises(PROMISES_BEFORE).await;
    sale.stack.pause(Server::Redis).await;
    let before = load.ledger().promises().len();
    load.wait_for_promises(before + PROMISES_BEFORE / 2).await;
    sale.stack.resume(Server::Redis).await;
    assert_goes_on(load.ledger());
    let ledger = load.finish().await;
    sale.close(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn script_answer_lost() {
    let stack = PrivateStack::up(&[Server::Redis]).await;
    let toxiproxy = Toxiproxy::start(stack.servers()).await;
    let upstream = stack
        .servers()
        .redis_url
        .trim_start_matches("redis://")
        .trim_end_matches('/')
        .to_owned();
    let proxy = toxiproxy.proxy("redis", &upstream).await;
    let installation = Installation::on(stack.servers().clone(), "script_answer_lost").await;
    // Only the api goes through the proxy: the sweeper has to see what really happened.
    let consumers = installation.consumers().spawn().await;
    let relay = installation.relay().spawn().await;
    let through = installation
        .api()
        .variable("REDIS_URL", format!("redis://{}/", proxy.address()));
    let pipeline = Pipeline {
        apis: vec![through.spawn().await, through.spawn().await],
        relay,
        consumers,
    };
    let campaign = pipeline.partner(&installation).open_campaign(QUOTA).await;
    let sale = Sale {
        pipeline,
        installation,
        stack,
        campaign,
    };
    let load = sale.load().start();
    for lost in 1..=3 {
        load.wait_for_promises(lost * PROMISES_BEFORE).await;
        // Scripts take effect, their answers never arrive.
        proxy
            .harm(Stream::Answers, Harm::Swallow(Duration::from_millis(20)))
            .await;
        let asked = load.ledger().len();
        eventually("requests to have met the harm", LEAK_TIMEOUT, async || {
            (load.ledger().len() >= asked + CONNECTIONS).then_some(())
        })
        .await;
        proxy.heal().await;
    }
    assert_goes_on(load.ledger());
    let ledger = load.finish().await;
    sale.close(ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t09_rebuild_finds_the_holes() {
    const TICKETS: u32 = 40;
    let stack = PrivateStack::up(&[Server::Redis]).await;
    let installation = Installation::on(stack.servers().clone(), "t09_holes").await;
    // 30 of 40 are sold; one of the 30 is given up, and nobody has taken its ticket yet.
    let story = Rejected::on(installation, TICKETS, 30).await;
    story.repair().await;
    story.discard("a hole for the test").await;
    flush(&stack).await;
    let late = Load {
        users: named_users("late", 20),
        ..story.pipeline.load(&story.installation, story.campaign, 0, 4)
    };
    story.ledger.extend(&late.run().await);
    println!("{}", story.ledger.summary());
    assert_all_hold(&story.installation, story.campaign, &story.ledger).await;
    let evidence = Evidence::collect(story.installation.environment()).await;
    let mut tickets: Vec<_> = evidence.claims.iter().map(|claim| claim.ticket).collect();
    tickets.sort_unstable();
    assert!(
        tickets.iter().copied().eq(1..=TICKETS),
        "the hole was found: {tickets:?}"
    );
    story.pipeline.stop().await;
}
