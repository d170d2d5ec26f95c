//! The property: a random stream over many keys, with poison, rejections, restarts,
//! replays and discards in between, ends in what the clean stream gives, in its order.

use std::collections::BTreeMap;

use headgate_schemas::ids::ClaimId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{give_up, issued, junk, send_again, turn, under};
use crate::support::{Pipe, Running, tables};

const KEYS: usize = 8;
const ROUNDS: usize = 10;
const RECORDS_OF_A_ROUND: usize = 40;
/// One record of so many is poison, and one claim of so many is rejected until it is mended.
const ONE_POISON_OF: u32 = 16;
const ONE_REJECTED_OF: u32 = 10;

struct World {
    pipe: Pipe,
    random: StdRng,
    /// The claims of each key, in the order of their records.
    sent: BTreeMap<String, Vec<String>>,
    /// Claims whose rows are away.
    away: Vec<ClaimId>,
    ticket: i32,
}

impl World {
    async fn send_round(&mut self, campaign: &crate::support::campaign::Campaign) {
        let mut records = Vec::new();
        for _ in 0..RECORDS_OF_A_ROUND {
            let key = format!("key-{}", self.random.random_range(0..KEYS));
            if self.random.random_ratio(1, ONE_POISON_OF) {
                records.push(junk(&key));
                continue;
            }
            self.ticket += 1;
            let admitted = self.pipe.admit(campaign, [self.ticket]).await.remove(0);
            if self.random.random_ratio(1, ONE_REJECTED_OF) {
                turn(&self.pipe, admitted.claim.claim_id).await;
                self.away.push(admitted.claim.claim_id);
            }
            let record = under(&self.pipe, &key, &admitted);
            // Some come twice, as after a takeover.
            if self.random.random_ratio(1, 8) {
                records.push(record.clone());
            }
            records.push(record);
            let claim = admitted.claim.claim_id.to_string();
            self.sent.entry(key).or_default().push(claim);
        }
        self.pipe.publish(&records).await;
    }

    /// Brings some claims back, and does with some heads what an operator would.
    async fn operate(&mut self, share: f64) {
        let mut kept = Vec::new();
        for claim in std::mem::take(&mut self.away) {
            if self.random.random_bool(share) {
                turn(&self.pipe, claim).await;
            } else {
                kept.push(claim);
            }
        }
        self.away = kept;
        for (letter_id, disposition) in heads(&self.pipe).await {
            if !self.random.random_bool(share) {
                continue;
            }
            if disposition == "poison" {
                give_up(&self.pipe, letter_id).await;
            } else {
                send_again(&self.pipe, letter_id).await;
            }
        }
    }
}

/// Open letters that stand first.
async fn heads(pipe: &Pipe) -> Vec<(headgate_schemas::ids::DeadLetterId, String)> {
    sqlx::query_as(
        "SELECT letter_id, CAST(disposition AS CHAR) FROM dead_letters
         WHERE state = 'open' AND disposition <> 'parked' ORDER BY letter_no",
    )
    .fetch_all(pipe.environment.pool())
    .await
    .expect("letters")
}

async fn restart(pipe: &Pipe, running: Running) -> Running {
    running.stop().await;
    pipe.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn g09_a_random_stream_ends_as_the_clean_one_in_the_order_of_each_key() {
    let seed = rand::random();
    println!("seed {seed}");
    let pipe = Pipe::new("random_stream").await;
    let campaign = pipe.campaign(1_000).await;
    let mut running = pipe.start().await;
    let mut world = World {
        pipe,
        random: StdRng::seed_from_u64(seed),
        sent: BTreeMap::new(),
        away: Vec::new(),
        ticket: 0,
    };
    for round in 0..ROUNDS {
        world.send_round(&campaign).await;
        if round % 3 == 2 {
            running = restart(&world.pipe, running).await;
        }
        world.operate(0.4).await;
    }
    world.pipe.caught_up().await;
    let pool = world.pipe.environment.pool().clone();
    // A letter stays open if it is poison or rejected, or if it waits behind one that is.
    assert_eq!(
        tables::count(
            &pool,
            "dead_letters l WHERE l.is_parked = 1 AND NOT EXISTS (SELECT 1 FROM dead_letters h
                 WHERE h.held_key = l.held_key AND h.letter_no < l.letter_no AND h.is_parked IS NULL)"
        )
        .await,
        0
    );
    while !(world.away.is_empty() && heads(&world.pipe).await.is_empty()) {
        world.operate(1.0).await;
    }
    assert_eq!(
        tables::count(&pool, "dead_letters WHERE state NOT IN ('resolved', 'discarded')").await,
        0
    );
    let issued = issued(&world.pipe).await;
    for (key, sent) in &world.sent {
        let of_key: Vec<&String> = issued.iter().filter(|claim| sent.contains(claim)).collect();
        assert_eq!(of_key, sent.iter().collect::<Vec<_>>(), "{key}");
    }
    running.stop().await;
}
