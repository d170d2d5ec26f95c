//! G8, G9 and G10 as one property: a random stream of events over many keys, with poison,
//! faults, duplicates, rebalances, kill -9 and replays in between, ends in the tables that
//! the clean stream gives when it is applied once and in order. The letters that stay open
//! are the poison that cannot be mended and what waits behind it.
//!
//! Each run prints its seed; `HEADGATE_SEED` repeats one: its stream and its faults, not the
//! moments at which they meet.

mod clean;
mod group;
mod operator;
mod plan;
mod verdict;
mod world;

use headgate_guarantees::Installation;
use headgate_testkit::toxiproxy::Toxiproxy;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use self::clean::Clean;
use self::group::{Fault, Group};
use self::operator::Desk;
use self::plan::Plan;
use self::world::World;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
struct Size {
    keys: usize,
    events: usize,
    /// Faults: all kinds in random order, and again, until there are so many.
    faults: usize,
}

const SMALL: Size = Size {
    keys: 24,
    events: 240,
    faults: 6,
};
const LARGE: Size = Size {
    keys: 60,
    events: 2_000,
    faults: 24,
};
/// The stream is one group's; another one would read it beside it, and settle it, too.
const OTHERS: (&str, &str) = ("HEADGATE_GROUPS__NOTIFICATIONS", "false");
/// Seeds of a long run.
const LONG_SEEDS: usize = 6;
/// Most letters that an operator replays between two faults.
const REPLAYS_MAX: usize = 4;
/// Most causes that are mended between two faults, by the size of [`SMALL`].
const MENDED_MAX: usize = 4;

/// The seed that repeats a run, or a new one.
fn seed() -> u64 {
    let given = std::env::var("HEADGATE_SEED").ok();
    given.map_or_else(rand::random, |text| text.parse().expect("a seed is a number"))
}

async fn run(size: Size, seed: u64) {
    println!("HEADGATE_SEED={seed}");
    let plan = Plan::draw(size, seed);
    let installation = Installation::new("g10_stream").await.with(OTHERS.0, OTHERS.1);
    let world = World::admit(&installation, plan).await;
    let clean = Clean::copy(&installation).await;
    let (clean, ()) = tokio::join!(clean.apply(&world), disturbed(&installation, &world, size, seed));
    verdict::check(&installation, &world, &clean).await;
}

/// The stream, with everything that can befall it; ends when nothing is under way and what
/// can be mended is.
async fn disturbed(installation: &Installation, world: &World, size: Size, seed: u64) {
    let mut random = StdRng::seed_from_u64(!seed);
    let toxiproxy = Toxiproxy::start(installation.environment().servers()).await;
    let (relay, listener) = (installation.relay(), installation.operator());
    let (mut relay, listener) = tokio::join!(relay.spawn(), listener.spawn());
    let desk = Desk::new(installation, listener);
    let mut group = Group::new(installation, &toxiproxy).await;
    world.spoil().await;

    let mut faults = Vec::with_capacity(size.faults);
    while faults.len() < size.faults {
        let mut turn = Fault::ALL;
        turn.shuffle(&mut random);
        faults.extend(turn);
    }
    faults.truncate(size.faults);
    let share = world.plan.events.len() / (2 * faults.len()) + 1;
    let mut stream = world.stream(&mut random).into_iter();
    let mut next = || stream.by_ref().take(share).collect::<Vec<_>>();
    let mut causes = world.causes();
    causes.shuffle(&mut random);
    for fault in faults {
        world.publish(&next()).await;
        group.man(&mut random).await;
        group.meet(fault, &mut random, world, &next()).await;
        let mended = random.random_range(0..=MENDED_MAX * size.events / SMALL.events);
        for cause in causes.drain(..mended.min(causes.len())) {
            world.mend(cause).await;
        }
        let open = desk.open_letters().await;
        let replayed = random.random_range(0..=REPLAYS_MAX);
        desk.replay(open.sample(&mut random, replayed)).await;
        group
            .settled(world.published() * random.random_range(0..=4) / 4)
            .await;
    }
    world.publish(&stream.collect::<Vec<_>>()).await;
    for cause in causes {
        world.mend(cause).await;
    }
    group.man(&mut random).await;
    group.settled(world.published()).await;
    desk.replay_what_was_mended(world).await;
    group.stop().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_random_stream_ends_as_the_clean_one() {
    run(SMALL, seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_another_random_stream_ends_as_the_clean_one() {
    run(SMALL, seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_g10_large_random_streams_end_as_the_clean_ones() {
    for _ in 0..LONG_SEEDS {
        run(LARGE, seed()).await;
    }
}
