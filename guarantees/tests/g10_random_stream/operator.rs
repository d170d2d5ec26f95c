//! What an operator sees and does, by the command line; and waiting until nothing is under
//! way.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use headgate_guarantees::Installation;
use headgate_testkit::process::{Service, run_any};
use headgate_testkit::{eventually, topic};
use uuid::Uuid;

use super::world::World;

/// The group, and the topic that it reads.
pub const GROUP: &str = "coupon-issuance";
pub const PUBLIC: &str = "headgate.coupons";
/// Until nothing is under way, at most.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Exit codes of a command that changed nothing: the servers were too busy, or the listener
/// refused, because somebody was faster, or because the letter is parked.
const UNCHANGED: [i32; 2] = [3, 4];
/// Rounds of replays that busy servers may cost.
const BUSY_MAX: usize = 8;
/// Commands at a time.
const TOGETHER: usize = 4;

/// An operator's desk.
pub struct Desk<'i> {
    installation: &'i Installation,
    listener: Service,
}

impl<'i> Desk<'i> {
    pub const fn new(installation: &'i Installation, listener: Service) -> Self {
        Self {
            installation,
            listener,
        }
    }

    /// Letters that are open, parked ones too, with their events.
    pub async fn open_letters(&self) -> Vec<Uuid> {
        self.letters("SELECT letter_id, event_id FROM dead_letters WHERE state = 'open'")
            .await
            .into_keys()
            .collect()
    }

    async fn letters(&self, query: &'static str) -> BTreeMap<Uuid, Uuid> {
        let letters: Vec<(Uuid, Uuid)> = sqlx::query_as(query)
            .fetch_all(self.installation.environment().pool())
            .await
            .expect("letters");
        letters.into_iter().collect()
    }

    /// Replays letters, whether that helps or not.
    pub async fn replay(&self, letters: impl IntoIterator<Item = &Uuid>) {
        let mut variables = self.installation.variables().to_vec();
        variables.push(("HEADGATE_OPERATOR_URL".to_owned(), self.listener.http()));
        let letters: Vec<String> = letters.into_iter().map(Uuid::to_string).collect();
        for letters in letters.chunks(TOGETHER) {
            let commands = letters.iter().map(|letter| {
                let variables = &variables;
                async move { run_any("headgate", variables, &["dlq", "replay", letter, "--yes"]).await }
            });
            for (status, _, stderr) in join_all(commands).await {
                let fine = status.success() || status.code().is_some_and(|code| UNCHANGED.contains(&code));
                assert!(fine, "{status}: {stderr}");
            }
        }
    }

    /// Replays the letters that nothing stands in the way of any more, until there are none, or
    /// it does not help.
    pub async fn replay_what_was_mended(&self, world: &World) {
        // Each round settles the first letter of each key at least, unless the servers are busy.
        for _ in 0..world.plan.causes_max() + BUSY_MAX {
            self.quiet().await;
            let lost: Vec<Uuid> = world
                .plan
                .events
                .iter()
                .zip(&world.sent)
                .filter_map(|(event, sent)| event.is_lost().then_some(sent.event_id))
                .collect();
            let heads = self
                .letters("SELECT letter_id, event_id FROM dead_letters WHERE state = 'open' AND disposition <> 'parked'")
                .await;
            let mended = heads.iter().filter(|(_, event)| !lost.contains(event));
            let mended: Vec<&Uuid> = mended.map(|(letter, _)| letter).collect();
            if mended.is_empty() {
                return;
            }
            self.replay(mended).await;
        }
        self.quiet().await;
    }

    /// Waits until nothing is under way: no event waits, no record is unread, no letter is
    /// being replayed.
    async fn quiet(&self) {
        let environment = self.installation.environment();
        let prefix = environment.kafka_prefix();
        let (bootstrap, group) = (environment.kafka_bootstrap(), format!("{prefix}{GROUP}"));
        let topics = [
            format!("{prefix}{PUBLIC}"),
            format!("{prefix}{PUBLIC}.{GROUP}.retry"),
        ];
        let mut last = String::new();
        eventually("nothing to be under way", TIMEOUT, async || {
            // What waits here first comes to Kafka, and what is read there may write again.
            let mut under_way = vec![self.waiting().await?];
            for topic in &topics {
                under_way.push(topic::behind(bootstrap, &group, topic).await);
            }
            under_way.push(self.waiting().await?);
            let said = format!("  waiting, behind on the two topics, waiting: {under_way:?}");
            if said != last {
                println!("{said}");
                last = said;
            }
            under_way.iter().all(|count| *count == 0).then_some(())
        })
        .await;
    }

    /// Events that were not published, and letters that are being replayed.
    async fn waiting(&self) -> Option<i64> {
        let waiting = "SELECT (SELECT COUNT(*) FROM outbox)
            + (SELECT COUNT(*) FROM dead_letters WHERE state = 'replaying')";
        sqlx::query_scalar(waiting)
            .fetch_one(self.installation.environment().pool())
            .await
            .ok()
    }
}
