//! A plan: which letters, and what their replay will meet.

use headgate_schemas::ids::ReplayId;
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};

use super::object::{Pace, Plan, Replay};
use crate::filter::LetterFilter;
use crate::letter::LetterState;
use crate::store::replays as store;
use crate::{Error, audit};

/// Most causes that a plan lists.
pub const CAUSES_MAX: u32 = 100;

/// A plan to be made.
#[derive(Clone, Debug)]
pub struct Draft<'d> {
    /// Which letters; its `state` and `parked` are overridden: those that are open and do not
    /// wait behind another.
    pub filter: LetterFilter,
    /// The same as it was asked, to be shown.
    pub asked: serde_json::Value,
    /// The same for the audit log, which everyone reads.
    pub audited: serde_json::Value,
    /// How fast they go.
    pub pace: Pace,
    /// Most letters, below [`u32::MAX`].
    pub letters_max: u32,
    /// Who plans.
    pub actor: &'d str,
}

/// A letter of a plan that is being made, as its group judges it.
#[derive(Clone, Debug)]
pub struct PlannedKey {
    /// Its place.
    pub place: u32,
    /// Name of its group.
    pub group: String,
    /// Its record's key.
    pub key: Vec<u8>,
}

/// A plan that is not committed yet. Ask the groups which of its [`keys`](Planning::keys) are
/// superseded, then [`commit`](Planning::commit); dropped, nothing has happened.
#[derive(Debug)]
#[must_use = "a plan that is not committed has not been made"]
pub struct Planning {
    transaction: Transaction<'static, MySql>,
    replay_no: u32,
    replay_id: ReplayId,
    plan: Plan,
}

/// Chooses the open letters that match, oldest first, and looks at what their replay will
/// meet. They stay open, and may be settled by others until they are sent.
pub async fn begin(pool: &MySqlPool, draft: Draft<'_>) -> Result<Planning, Error> {
    let mut transaction = pool.begin().await?;
    match choose(&mut transaction, draft).await {
        Ok((replay_no, replay_id, plan)) => Ok(Planning {
            transaction,
            replay_no,
            replay_id,
            plan,
        }),
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn choose(
    transaction: &mut Transaction<'_, MySql>,
    draft: Draft<'_>,
) -> Result<(u32, ReplayId, Plan), Error> {
    let replay_id = ReplayId::generate();
    let replay_no = store::insert(transaction, replay_id, &draft).await?;
    let filter = LetterFilter {
        state: Some(LetterState::Open),
        parked: Some(false),
        ..draft.filter
    };
    // One more than there may be: it says whether there are.
    let letters = store::choose(transaction, replay_no, &filter, draft.letters_max + 1).await?;
    if letters > u64::from(draft.letters_max) {
        return Err(Error::PlanTooLarge {
            letters_max: draft.letters_max,
        });
    }
    let (keys, causes_total) = store::count_keys_and_causes(transaction, replay_no).await?;
    let behind = store::behind(transaction, replay_no, &filter).await?;
    let plan = Plan {
        letters,
        keys,
        causes_total,
        followers: behind.followers,
        conflicts: behind.conflicts,
        superseded: 0,
        causes: store::causes(transaction, replay_no, CAUSES_MAX).await?,
    };
    let detail = json!({"filter": draft.audited, "letters": letters});
    audit::record(
        transaction,
        draft.actor,
        "replay.plan",
        &replay_id.to_string(),
        &detail,
    )
    .await?;
    Ok((replay_no, replay_id, plan))
}

impl Planning {
    /// The next keys, up to `keys_max`, of letters behind `place`; letters without a key are
    /// left out.
    pub async fn keys(&mut self, place: u32, keys_max: u32) -> Result<Vec<PlannedKey>, Error> {
        store::keys(&mut self.transaction, self.replay_no, place, keys_max).await
    }

    /// The transaction: nobody else sees what was chosen.
    pub const fn transaction(&mut self) -> &mut Transaction<'static, MySql> {
        &mut self.transaction
    }

    /// Makes it so; `superseded` letters change nothing.
    pub async fn commit(mut self, superseded: u64) -> Result<Replay, Error> {
        self.plan.superseded = superseded;
        store::set_plan(&mut self.transaction, self.replay_no, &self.plan).await?;
        let replay = store::read(&mut self.transaction, self.replay_id)
            .await?
            .ok_or(Error::ReplayNotFound(self.replay_id))?;
        self.transaction.commit().await?;
        Ok(replay)
    }

    /// Lets it be.
    pub async fn roll_back(self) -> Result<(), Error> {
        Ok(self.transaction.rollback().await?)
    }
}
