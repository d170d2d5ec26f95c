//! Steps the replays that run. One process does it, under a lease; what it does is safe
//! without: a step holds its replay's row.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use headgate_dead_letters::replay::step::{self, Limits, Stepped};
use headgate_dead_letters::replay::{PauseReason, ReplayState};
use headgate_dead_letters::store::replays::{self as store, Live};
use headgate_runtime::shutdown::CancellationToken;
use headgate_runtime::{crash_point, error_text, lease};
use uuid::Uuid;

use crate::Error;
use crate::state::Servers;

/// Name of the lease.
const LEASE: &str = "replays";
/// How often replays are looked for when none runs, or another process steps them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often each running replay is stepped.
const STEP_EVERY: Duration = Duration::from_millis(100);
/// Longest look or step; it is given up and begun anew.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Most replays that are stepped, the oldest first; others wait.
const REPLAYS_MAX: u32 = 16;
/// Most letters of one step: what one transaction does well.
const LETTERS_PER_STEP_MAX: u32 = 200;

/// Steps replays until stopped.
pub async fn run(servers: Servers, stop: CancellationToken) {
    let mut runner = Runner {
        holder: format!("operator-{}", Uuid::now_v7()),
        allowances: HashMap::new(),
        counted_at: None,
        servers,
    };
    loop {
        let wait = tokio::select! {
            () = stop.cancelled() => break,
            wait = runner.round() => wait,
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
            () = runner.servers.replays.notified() => {}
        }
    }
    runner.give_back().await;
}

struct Runner {
    servers: Servers,
    /// Who holds the lease.
    holder: String,
    /// By the replay's number.
    allowances: HashMap<u32, Allowance>,
    counted_at: Option<Instant>,
}

impl Runner {
    /// Steps every live replay once; returns how long to wait.
    async fn round(&mut self) -> Duration {
        self.step_all().await.unwrap_or_else(|error| {
            metrics::counter!("headgate_replay_step_failures_total").increment(1);
            tracing::warn!(error = error_text(&error), "replays could not be stepped");
            LOOK_EVERY
        })
    }

    async fn step_all(&mut self) -> Result<Duration, Error> {
        let live = within(self.look()).await?;
        self.allowances
            .retain(|replay_no, _| live.iter().any(|live| live.replay_no == *replay_no));
        let mut wait = LOOK_EVERY;
        let mut failed = None;
        for replay in live {
            // Before each: a step may have taken longer than the lease holds.
            if !within(self.is_ours()).await? {
                return Ok(LOOK_EVERY);
            }
            wait = STEP_EVERY;
            // What is wrong with one replay must not hold up the others for long.
            if let Err(error) = within(self.step(replay)).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(wait), Err)
    }

    async fn look(&mut self) -> Result<Vec<Live>, Error> {
        self.count().await?;
        Ok(store::live(&self.servers.pool, REPLAYS_MAX).await?)
    }

    async fn is_ours(&self) -> Result<bool, Error> {
        let duration = self.servers.config.replay.lease;
        let held = lease::acquire(&self.servers.pool, LEASE, &self.holder, duration).await?;
        Ok(held.is_some())
    }

    async fn step(&mut self, replay: Live) -> Result<(), Error> {
        let writer = self.servers.writer().await?;
        let allowance = self
            .allowances
            .entry(replay.replay_no)
            .or_insert_with(|| Allowance::new(Instant::now()));
        let limits = Limits {
            letters_max: allowance.letters(replay.rate_per_second, Instant::now()),
            in_flight_max: self.servers.config.replay.in_flight_max,
        };
        // Spent before: what is given up may have been sent.
        allowance.spend(limits.letters_max);
        let stepped = step::step(&self.servers.pool, writer, replay.replay_no, limits).await?;
        crash_point!("operator.after-step-before-wake");
        allowance.give_back(limits.letters_max.saturating_sub(stepped.sent));
        if stepped.sent > 0 {
            self.servers.waker.wake();
        }
        report(&stepped);
        Ok(())
    }

    /// How many replays wait for an operator or run, for the metric.
    async fn count(&mut self) -> Result<(), Error> {
        if self.counted_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.counted_at = Some(Instant::now());
        let counted = store::count_unfinished(&self.servers.pool).await?;
        for state in [ReplayState::Planned, ReplayState::Running, ReplayState::Paused] {
            let replays = counted.iter().find(|(of, _)| *of == state);
            let replays = replays.map_or(0, |(_, replays)| *replays);
            metrics::gauge!("headgate_replays", "state" => state.as_str())
                .set(u32::try_from(replays).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Lets the next process go on at once.
    async fn give_back(&self) {
        let pool = &self.servers.pool;
        let releasing = async {
            let duration = self.servers.config.replay.lease;
            if let Some(held) = lease::acquire(pool, LEASE, &self.holder, duration).await? {
                lease::release(pool, &held).await?;
            }
            Ok::<(), sqlx::Error>(())
        };
        // Otherwise it runs out by itself.
        let _given_up = tokio::time::timeout(LOOK_EVERY, releasing).await;
    }
}

fn report(stepped: &Stepped) {
    for outcome in &stepped.outcomes {
        metrics::counter!("headgate_replay_letters_total", "outcome" => outcome.as_str()).increment(1);
    }
    if let Some(reason) = stepped.paused {
        metrics::counter!("headgate_replay_pauses_total", "reason" => reason.as_str()).increment(1);
        if reason == PauseReason::Failures {
            tracing::warn!("a replay paused because too many of its letters failed");
        }
    }
}

/// What a replay may send by now: a bucket of tokens that fills at its rate. Its size is half
/// a second's worth, so that what could not be sent for a while is not sent all at once.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// In millionths.
    letters: u64,
    at: Instant,
}

/// Of an allowance, for one letter.
const LETTER: u64 = 1_000_000;

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self { letters: 0, at: now }
    }

    fn letters(&mut self, rate_per_second: u32, now: Instant) -> u32 {
        let rate = u64::from(rate_per_second);
        let since = now.saturating_duration_since(self.at).as_micros();
        let fresh = rate.saturating_mul(u64::try_from(since).unwrap_or(u64::MAX));
        let most = (rate * LETTER / 2).max(LETTER);
        self.letters = self.letters.saturating_add(fresh).min(most);
        self.at = now;
        let whole = u32::try_from(self.letters / LETTER).unwrap_or(u32::MAX);
        whole.min(LETTERS_PER_STEP_MAX)
    }

    fn spend(&mut self, letters: u32) {
        self.letters = self.letters.saturating_sub(u64::from(letters) * LETTER);
    }

    fn give_back(&mut self, letters: u32) {
        self.letters = self.letters.saturating_add(u64::from(letters) * LETTER);
    }
}

async fn within<T>(doing: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(STEP_TIMEOUT, doing).await {
        Ok(done) => done,
        Err(_) => Err(Error::Timeout(STEP_TIMEOUT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_fills_at_the_rate_and_no_further_than_half_a_second() {
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let mut allowance = Allowance::new(begin);
        assert_eq!(allowance.letters(100, begin), 0);
        assert_eq!(allowance.letters(100, after(255)), 25);
        allowance.spend(25);
        assert_eq!(allowance.letters(100, after(260)), 1);
        assert_eq!(allowance.letters(100, after(60_000)), 50);
        assert_eq!(allowance.letters(1, after(60_000)), 1);
    }

    #[test]
    fn a_slow_rate_sends_now_and_then() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        let sent: u32 = (1..=100)
            .map(|tenth| {
                let letters = allowance.letters(1, begin + Duration::from_millis(100 * tenth));
                allowance.spend(letters);
                letters
            })
            .sum();
        assert!((9..=10).contains(&sent), "{sent}");
    }
}
