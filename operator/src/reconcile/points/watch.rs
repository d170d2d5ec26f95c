//! Wallets, watched: in each round a part of all of them, and once more those that did not add up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::look_at;
use crate::Error;
use crate::reconcile::look;
use crate::reconcile::points::WalletDifferences;
use crate::state::Servers;

/// Wallets that are counted at once.
const WALLETS_AT_ONCE: u32 = 200;
/// How long one round goes on to the next wallets, at most.
const ROUND_TIME_MAX: Duration = Duration::from_secs(5);
/// Most wallets whose differences are kept. Beyond, the walk meets them again when others are
/// mended.
const FOUND_MAX: usize = 1_000;

/// What the watch knows of wallets. Nothing of it is stored: a process that starts anew walks over
/// all of them.
#[derive(Default)]
pub(in super::super) struct WatchedPoints {
    /// The number of the wallet that was looked at last; 0: a walk begins.
    walked_to: u64,
    /// Differences by the wallet's number.
    found: BTreeMap<u64, usize>,
}

impl WatchedPoints {
    /// How many differences are known.
    pub fn known(&self) -> usize {
        self.found.values().sum()
    }

    /// One round.
    pub async fn round(&mut self, servers: &Servers) -> Result<(), Error> {
        let begin = Instant::now();
        let pipe = look::look(servers).await?;
        for wallet_no in self.found.keys().copied().collect::<Vec<_>>() {
            self.look(servers, pipe, wallet_no - 1, 1).await?;
            if begin.elapsed() > ROUND_TIME_MAX {
                break;
            }
        }
        while begin.elapsed() < ROUND_TIME_MAX {
            let last = self.look(servers, pipe, self.walked_to, WALLETS_AT_ONCE).await?;
            self.walked_to = last.unwrap_or_default();
            if last.is_none() {
                metrics::counter!("headgate_reconcile_points_sweeps_total").increment(1);
                break;
            }
        }
        Ok(())
    }

    /// Looks at the next wallets. Returns the number of the last one, if more may follow.
    async fn look(
        &mut self,
        servers: &Servers,
        pipe: look::Pipe,
        after: u64,
        limit: u32,
    ) -> Result<Option<u64>, Error> {
        let looked = look_at(servers, pipe, after, limit).await?;
        for looked in &looked {
            let wallet_no = looked.count.wallet_no;
            let was_known = self.found.remove(&wallet_no).is_some();
            match WalletDifferences::of(looked) {
                Some(wrong) if self.found.len() < FOUND_MAX => {
                    if !was_known {
                        say(&wrong);
                    }
                    self.found.insert(wallet_no, wrong.differences.len());
                }
                None if was_known => {
                    tracing::info!(wallet_id = %looked.count.wallet_id, "the wallet adds up again");
                }
                _ => {}
            }
        }
        let is_full = u32::try_from(looked.len()).is_ok_and(|wallets| wallets == limit);
        Ok(looked
            .last()
            .filter(|_| is_full)
            .map(|looked| looked.count.wallet_no))
    }
}

fn say(wrong: &WalletDifferences) {
    for difference in &wrong.differences {
        tracing::error!(
            wallet_id = %wrong.wallet_id,
            kind = difference.kind,
            expected = difference.expected,
            found = difference.found,
            "a wallet does not add up"
        );
    }
}
