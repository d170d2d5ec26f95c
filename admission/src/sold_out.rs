//! Answering "sold out" without asking anybody: only to users who provably hold no
//! ticket, and only for a short time that nothing prolongs.

use std::sync::Arc;
use std::time::Instant;

use ahash::{AHashSet, RandomState};
use headgate_schemas::ids::CampaignId;
use headgate_schemas::names::UserId;

use crate::reserve::Known;
use crate::{Admission, Error};

/// That a campaign was sold out, and who held its tickets, at a moment.
#[derive(Clone, Debug)]
pub struct SoldOut {
    holders: Arc<AHashSet<u64>>,
    hasher: RandomState,
    quota: u32,
    epoch: u32,
    is_final: bool,
    /// Counted from before the question was sent, so that an answer that was long on
    /// its way gives a short life.
    runs_out: Instant,
    renew_from: Instant,
}

impl SoldOut {
    /// Whether this user may be told "sold out" now, and whether it is final. `None`:
    /// ask Redis. `quota` is the campaign's quota as it is known now.
    pub fn answer(&self, user_id: &UserId, quota: u32, now: Instant) -> Option<bool> {
        let holds_nothing = !self.holders.contains(&self.hasher.hash_one(user_id.as_str()));
        (now < self.runs_out && quota <= self.quota && holds_nothing).then_some(self.is_final)
    }

    /// The epoch that said so. Good for nothing unless it is MySQL's epoch afterwards.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether it is time to ask anew, so that the next one is there before this one
    /// runs out.
    pub fn wants_renewal(&self, now: Instant) -> bool {
        now >= self.renew_from
    }
}

impl Admission {
    /// Asks whether a campaign is sold out and who holds its tickets. `None`: it is
    /// not, or there are too many holders to remember.
    pub async fn sold_out(&self, campaign_id: CampaignId, known: Known) -> Result<Option<SoldOut>, Error> {
        let asked = Instant::now();
        let keys = self.keys(campaign_id);
        let mut call = self.scripts.sold_out.prepare_invoke();
        for key in keys.all() {
            call.key(key);
        }
        call.arg(known.epoch)
            .arg(known.quota)
            .arg(self.settings().sold_out_holders_max);
        let answer: Vec<redis::Value> = call.invoke_async(&mut self.connection.clone()).await?;
        let [redis::Value::Int(is_final), redis::Value::Int(epoch), users @ ..] = answer.as_slice() else {
            return Ok(None);
        };
        let hasher = RandomState::new();
        let holders = users
            .iter()
            .filter_map(|user| match user {
                redis::Value::BulkString(user) => {
                    std::str::from_utf8(user).ok().map(|user| hasher.hash_one(user))
                }
                _ => None,
            })
            .collect();
        let life = self.settings().sold_out_flag;
        Ok(Some(SoldOut {
            holders: Arc::new(holders),
            hasher,
            quota: known.quota,
            epoch: u32::try_from(*epoch).map_err(|_| Error::Answer("the epoch"))?,
            is_final: *is_final == 1,
            runs_out: asked + life,
            renew_from: asked + life / 2,
        }))
    }
}
