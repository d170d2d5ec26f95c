//! The consumer group: real processes that come, go, die, and lose MySQL.

use std::time::{Duration, Instant};

use futures::future::join_all;
use headgate_guarantees::Installation;
use headgate_testkit::eventually;
use headgate_testkit::process::Service;
use headgate_testkit::topic;
use headgate_testkit::toxiproxy::{Harm, Proxy, Stream, Toxiproxy};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use sqlx::MySqlPool;

use super::operator::{GROUP, PUBLIC};
use super::world::World;

/// Until the group has shared out the partitions of one that died, and gone on.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Processes while the stream runs.
const INSTANCES_MIN: usize = 2;
const INSTANCES_MAX: usize = 3;
/// Where a process dies by itself, at one of its first passages.
const CRASH_POINTS: [&str; 7] = [
    "consumer.before-batch",
    "consumer.after-handler-before-commit",
    "consumer.after-commit-before-offset",
    "consumer.inside-dead-letter",
    "consumer.release-before-commit",
    "consumer.replay-before-commit",
    "consumer.after-replay-before-release",
];
const PASSAGES_MAX: usize = 3;
/// Records of one transaction: what goes together and what does not is drawn.
const BATCHES: [&str; 3] = ["2", "16", "128"];
/// How often the group waited for a dependency.
const RETRIES: &str = "headgate_consumer_retries_total";
/// How long answers are swallowed before the connection is closed.
const SWALLOWED: Duration = Duration::from_millis(300);
/// What a connection carries before it is closed: some statements of a transaction.
const CUT_AFTER_BYTES: std::ops::Range<u64> = 1_000..20_000;

/// What befalls the group.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// One more process, or one fewer.
    Rebalance,
    /// One process dies, wherever it is.
    Kill,
    /// One process dies at a point of its work.
    Crash,
    /// MySQL refuses everybody.
    Cut,
    /// MySQL takes what is asked, and its answers are lost.
    Swallow,
    /// Connections break in the middle of a transaction.
    Break,
    /// The group reads everything again.
    Rewind,
}

impl Fault {
    pub const ALL: [Self; 8] = [
        Self::Rebalance,
        Self::Kill,
        Self::Crash,
        Self::Crash,
        Self::Cut,
        Self::Swallow,
        Self::Break,
        Self::Rewind,
    ];
}

struct Instance {
    service: Service,
    /// It dies at a crash point, sooner or later.
    is_doomed: bool,
}

/// The processes of the group, with MySQL at the end of a line that can be harmed.
pub struct Group<'t> {
    installation: &'t Installation,
    proxy: Proxy<'t>,
    instances: Vec<Instance>,
    begun: Instant,
}

impl<'t> Group<'t> {
    pub async fn new(installation: &'t Installation, toxiproxy: &'t Toxiproxy) -> Self {
        let upstream = mysql(installation);
        Self {
            installation,
            proxy: toxiproxy.proxy("mysql", &upstream).await,
            instances: Vec::new(),
            begun: Instant::now(),
        }
    }

    async fn launch(&mut self, random: &mut StdRng, crash_point: Option<&str>) {
        let direct = self.installation.environment().mysql_url();
        let through = direct.replace(&mysql(self.installation), &self.proxy.address().to_string());
        let batch = *BATCHES.choose(random).expect("there are some");
        let mut start = self
            .installation
            .consumers()
            .variable("MYSQL_URL", through)
            .variable("HEADGATE_CONSUMER__BATCH_RECORDS_MAX", batch)
            .variable("HEADGATE_CONSUMER__PAUSE_SHORTEST_MS", "10")
            .variable("HEADGATE_CONSUMER__PAUSE_LONGEST_MS", "500")
            // Poison is replayed again and again.
            .variable("HEADGATE_CONSUMER__REPLAYS_MAX", "1000000");
        if let Some(point) = crash_point {
            start = start.crash_at(point);
        }
        self.instances.push(Instance {
            service: start.launch().await,
            is_doomed: crash_point.is_some(),
        });
    }

    /// Takes away those that died, nobody dies who was not to, and lets there be enough.
    pub async fn man(&mut self, random: &mut StdRng) {
        self.reap().await;
        while self.instances.len() < INSTANCES_MIN || self.instances.iter().all(|instance| instance.is_doomed)
        {
            self.launch(random, None).await;
        }
    }

    /// Meets a fault; `numbers` are published while MySQL is harmed, and before anything else.
    pub async fn meet(&mut self, fault: Fault, random: &mut StdRng, world: &World, numbers: &[usize]) {
        let begun = self.begun.elapsed().as_secs();
        println!("  after {begun} s: {fault:?}, {} instances", self.instances.len());
        match fault {
            Fault::Cut => self.proxy.cut().await,
            Fault::Swallow => self.proxy.harm(Stream::Answers, Harm::Swallow(SWALLOWED)).await,
            Fault::Break => {
                let harm = Harm::CutAfterBytes(random.random_range(CUT_AFTER_BYTES));
                let stream = if random.random() {
                    Stream::Answers
                } else {
                    Stream::Requests
                };
                self.proxy.harm(stream, harm).await;
            }
            _ => {}
        }
        let retries = self.retries().await;
        world.publish(numbers).await;
        match fault {
            Fault::Rebalance if self.instances.len() < INSTANCES_MAX => self.launch(random, None).await,
            Fault::Rebalance => self.let_go(random).await,
            Fault::Kill => {
                let victim = self.draw(random);
                kill(victim).await;
            }
            Fault::Crash => {
                let point = CRASH_POINTS.choose(random).expect("there are some");
                let passage = random.random_range(1..=PASSAGES_MAX);
                self.launch(random, Some(&format!("{point}:{passage}"))).await;
            }
            Fault::Cut => {
                self.missed(retries, world.published()).await;
                self.proxy.restore().await;
            }
            Fault::Swallow | Fault::Break => {
                self.missed(retries, world.published()).await;
                self.proxy.heal().await;
            }
            Fault::Rewind => self.rewind().await,
        }
    }

    fn draw(&mut self, random: &mut StdRng) -> Instance {
        let which = random.random_range(0..self.instances.len());
        self.instances.swap_remove(which)
    }

    async fn let_go(&mut self, random: &mut StdRng) {
        let leaving = self.draw(random);
        leave(leaving).await;
    }

    /// Waits until it shows that MySQL is harmed; or until all that was published is settled
    /// in spite of it: a connection that breaks between two transactions is replaced, and
    /// nobody notices.
    async fn missed(&mut self, retries_before: f64, events: usize) {
        let pool = self.installation.environment().pool();
        eventually("MySQL to be missed, or not to be needed", TIMEOUT, async || {
            for instance in &mut self.instances {
                if !instance.service.is_running() || !instance.service.ready().await {
                    return Some(());
                }
            }
            let was_retried = self.retries().await > retries_before;
            (was_retried || settled(pool).await? >= events).then_some(())
        })
        .await;
    }

    /// How often those of the group that live have waited for a dependency.
    async fn retries(&self) -> f64 {
        let instances = self.instances.iter();
        let counted = instances.map(|instance| instance.service.metric_if_alive(RETRIES, &[]));
        join_all(counted).await.into_iter().flatten().sum()
    }

    async fn rewind(&mut self) {
        self.stop().await;
        let environment = self.installation.environment();
        let group = format!("{}{GROUP}", environment.kafka_prefix());
        for topic in [PUBLIC.to_owned(), format!("{PUBLIC}.{GROUP}.retry")] {
            let topic = format!("{}{topic}", environment.kafka_prefix());
            topic::rewind(environment.kafka_bootstrap(), &group, &topic).await;
        }
    }

    async fn reap(&mut self) {
        let mut alive = Vec::new();
        for mut instance in std::mem::take(&mut self.instances) {
            if instance.service.is_running() {
                alive.push(instance);
            } else {
                assert!(
                    instance.is_doomed,
                    "a consumer ended by itself:\n{}",
                    instance.service.log()
                );
                instance.service.assert_died_at_crash_point().await;
            }
        }
        self.instances = alive;
    }

    /// Waits until the group has settled so many events, one way or the other.
    pub async fn settled(&mut self, events: usize) {
        let what = format!("{events} events to be settled");
        let pool = self.installation.environment().pool();
        eventually(&what, TIMEOUT, async || {
            // All of them may have died meanwhile.
            if !self
                .instances
                .iter_mut()
                .any(|instance| instance.service.is_running())
            {
                return Some(());
            }
            (settled(pool).await? >= events).then_some(())
        })
        .await;
    }

    /// Stops them all.
    pub async fn stop(&mut self) {
        for instance in std::mem::take(&mut self.instances) {
            leave(instance).await;
        }
    }
}

/// Events that the group has settled, one way or the other.
async fn settled(pool: &MySqlPool) -> Option<usize> {
    let settled: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM inbox")
        .fetch_one(pool)
        .await
        .ok()?;
    usize::try_from(settled).ok()
}

/// A process goes; one that is doomed would perhaps die on the way, and is killed instead.
async fn leave(mut instance: Instance) {
    if instance.is_doomed {
        kill(instance).await;
    } else {
        instance.service.stop().await;
    }
}

/// A process dies, if it has not done so by itself.
async fn kill(mut instance: Instance) {
    if instance.service.is_running() {
        instance.service.kill9().await;
    }
}

/// `host:port` of MySQL.
fn mysql(installation: &Installation) -> String {
    let url = installation.environment().mysql_url();
    let server = url.split('@').next_back().and_then(|rest| rest.split('/').next());
    server.expect("the address names a server").to_owned()
}
