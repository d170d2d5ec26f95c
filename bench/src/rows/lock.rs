//! The lock in Redis beside the least that any lock there does: a SET NX and a DEL, one after the
//! other over one connection.

use std::time::{Duration, Instant};

use headgate_runtime::lock::{Acquisition, Config, LockKey, Locks};
use redis::aio::ConnectionManager;
use uuid::Uuid;

use crate::bench::Bench;
use crate::report::{Beside, Row};

/// Not counted.
const WARM_UP: u32 = 500;
/// A round of one, then a round of the other: what the machine does meanwhile meets both.
const ROUND: Duration = Duration::from_millis(250);
const LEASE_MS: u32 = 10_000;
const MICROSECONDS: f64 = 1e6;

/// Time spent on so many.
#[derive(Default)]
struct Spent {
    seconds: f64,
    count: u32,
}

impl Spent {
    fn add(&mut self, begin: Instant) {
        self.seconds += begin.elapsed().as_secs_f64();
        self.count += 1;
    }

    fn each(&self) -> f64 {
        self.seconds * MICROSECONDS / f64::from(self.count.max(1))
    }
}

/// Measures acquire and release, each beside the bare command.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    let client = redis::Client::open(bench.servers.redis_url.as_str())?;
    let prefix = format!("bench:lock:{}:", std::process::id());
    let locks = Locks::new(
        client.get_connection_manager().await?,
        Config::default(),
        &prefix,
        "bench-1",
    );
    let mut bare = client.get_connection_manager().await?;
    let mut ours = [Spent::default(), Spent::default()];
    let mut theirs = [Spent::default(), Spent::default()];
    let mut ignored = [Spent::default(), Spent::default()];
    for _ in 0..WARM_UP {
        lock(&locks, &mut ignored).await?;
        command(&mut bare, &prefix, &mut ignored).await?;
    }
    let end = Instant::now() + Duration::from_secs(bench.options.seconds);
    while Instant::now() < end {
        let round = Instant::now() + ROUND;
        while Instant::now() < round {
            lock(&locks, &mut ours).await?;
        }
        let round = Instant::now() + ROUND;
        while Instant::now() < round {
            command(&mut bare, &prefix, &mut theirs).await?;
        }
    }
    for (place, (what, reference)) in [("lock: acquire", "bare SET NX PX"), ("lock: release", "bare DEL")]
        .into_iter()
        .enumerate()
    {
        let count = ours[place].count;
        bench.add(
            Row::new(what, ours[place].each(), "us")
                .beside(Beside::Nobody)
                .against(reference, theirs[place].each())
                .note(format!("mean of {count}, one after the other; smaller is better")),
        )?;
    }
    Ok(())
}

async fn lock(locks: &Locks, [acquire, release]: &mut [Spent; 2]) -> anyhow::Result<()> {
    let key = LockKey::point_use(Uuid::now_v7());
    let begin = Instant::now();
    let Acquisition::Held(guard) = locks.try_acquire(&key).await else {
        anyhow::bail!("a free lock was not had");
    };
    acquire.add(begin);
    let begin = Instant::now();
    guard.release().await;
    release.add(begin);
    Ok(())
}

async fn command(
    redis: &mut ConnectionManager,
    prefix: &str,
    [set, delete]: &mut [Spent; 2],
) -> anyhow::Result<()> {
    let key = format!("{prefix}{}", LockKey::point_use(Uuid::now_v7()));
    let begin = Instant::now();
    let _: Option<String> = redis::cmd("SET")
        .arg(&key)
        .arg("bench-1")
        .arg("NX")
        .arg("PX")
        .arg(LEASE_MS)
        .query_async(redis)
        .await?;
    set.add(begin);
    let begin = Instant::now();
    let _: u32 = redis::cmd("DEL").arg(&key).query_async(redis).await?;
    delete.add(begin);
    Ok(())
}
