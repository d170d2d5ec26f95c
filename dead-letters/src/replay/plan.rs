//! A plan: which letters, and what their replay will meet. [`choose`] reads all of it in one
//! snapshot and writes nothing; [`keep`] makes the replay.

use std::collections::HashMap;

use headgate_outbox::audit;
use headgate_runtime::mysql;
use headgate_schemas::ids::{DeadLetterId, ReplayId};
use serde_json::json;
use sqlx::{MySqlConnection, MySqlPool, Transaction};
use tokio::sync::mpsc;

use super::object::{Cause, Pace, Plan, Replay};
use crate::Error;
use crate::filter::LetterFilter;
use crate::fingerprint::Fingerprint;
use crate::letter::LetterState;
use crate::store::replays::{self as store, Matching};

/// Most causes that a plan lists.
pub const CAUSES_MAX: usize = 100;
/// Letters that are read at once.
const LETTERS_AT_ONCE: u32 = 4_096;

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

/// A letter that was chosen, as its group judges it.
#[derive(Clone, Debug)]
pub struct PlannedKey {
    /// Name of its group.
    pub group: String,
    /// Its record's key.
    pub key: Vec<u8>,
}

/// Letters that were chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    letters: Vec<DeadLetterId>,
    plan: Plan,
}

/// Chooses the open letters that match, oldest first, and looks at what their replay will meet,
/// but for what groups know: their keys are handed to `keys`, page by page, until nobody takes
/// them; letters without a key are left out. They stay open, and may be settled by others until
/// they are sent.
pub async fn choose(
    connection: &mut MySqlConnection,
    draft: &Draft<'_>,
    keys: mpsc::Sender<Vec<PlannedKey>>,
) -> Result<Choice, Error> {
    let mut snapshot = mysql::snapshot(connection).await?;
    let chosen = choose_in(&mut snapshot, draft, keys).await;
    snapshot.rollback().await?;
    chosen
}

async fn choose_in(
    snapshot: &mut MySqlConnection,
    draft: &Draft<'_>,
    keys: mpsc::Sender<Vec<PlannedKey>>,
) -> Result<Choice, Error> {
    let open = |parked| LetterFilter {
        state: Some(LetterState::Open),
        parked: Some(parked),
        ..draft.filter.clone()
    };
    let groups = store::group_names(snapshot).await?;
    let mut tally = read(snapshot, &open(false), draft.letters_max, &groups, keys).await?;
    let behind = store::behind(snapshot, &open(true), &open(false)).await?;
    Ok(Choice {
        plan: Plan {
            letters: tally.letters.len() as u64,
            keys: tally.distinct_keys(),
            followers: behind.followers,
            conflicts: behind.conflicts,
            superseded: 0,
            causes: causes(snapshot, &tally, &groups).await?,
            causes_total: tally.causes.len() as u64,
        },
        letters: tally.letters,
    })
}

/// What is remembered of the letters that match.
#[derive(Debug, Default)]
struct Tally {
    letters: Vec<DeadLetterId>,
    /// Group and key of each letter that has one.
    held: Vec<(u16, [u8; 16])>,
    /// Letters of each group and cause, and the newest.
    causes: HashMap<(u16, Fingerprint), (u64, DeadLetterId)>,
}

impl Tally {
    /// Letters come in the order of their ids, which is that of time.
    fn add(&mut self, letter: &Matching) {
        self.letters.push(letter.letter_id);
        let held_key = letter.held_key.as_deref().and_then(|key| key.try_into().ok());
        self.held.extend(held_key.map(|key| (letter.group_no, key)));
        let cause = (letter.group_no, letter.fingerprint);
        let (letters, newest) = self.causes.entry(cause).or_insert((0, letter.letter_id));
        *letters += 1;
        *newest = letter.letter_id;
    }

    fn distinct_keys(&mut self) -> u64 {
        self.held.sort_unstable();
        self.held.dedup();
        self.held.len() as u64
    }
}

async fn read(
    snapshot: &mut MySqlConnection,
    filter: &LetterFilter,
    letters_max: u32,
    groups: &HashMap<u16, String>,
    keys: mpsc::Sender<Vec<PlannedKey>>,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut after = DeadLetterId::from_bytes([0; 16]);
    loop {
        let page = store::matching(snapshot, filter, after, LETTERS_AT_ONCE).await?;
        for letter in &page {
            tally.add(letter);
        }
        if tally.letters.len() > letters_max as usize {
            return Err(Error::PlanTooLarge { letters_max });
        }
        let Some(last) = page.last() else {
            return Ok(tally);
        };
        after = last.letter_id;
        let planned = page.into_iter().filter_map(|letter| {
            Some(PlannedKey {
                group: groups.get(&letter.group_no)?.clone(),
                key: letter.key?,
            })
        });
        // Nobody takes them any more: whoever did has failed and says so.
        let _ = keys.send(planned.collect()).await;
    }
}

/// The causes, most letters first. The example is the newest letter.
async fn causes(
    snapshot: &mut MySqlConnection,
    tally: &Tally,
    groups: &HashMap<u16, String>,
) -> Result<Vec<Cause>, Error> {
    let mut most: Vec<_> = tally.causes.iter().collect();
    most.sort_unstable_by_key(|((_, fingerprint), (letters, _))| (u64::MAX - letters, *fingerprint));
    most.truncate(CAUSES_MAX);
    let newest: Vec<DeadLetterId> = most.iter().map(|(_, (_, newest))| *newest).collect();
    let mut examples = store::examples(snapshot, &newest).await?;
    Ok(most
        .into_iter()
        .filter_map(|((group_no, fingerprint), (letters, newest))| {
            let example = examples.remove(newest)?;
            Some(Cause {
                group: groups.get(group_no)?.clone(),
                fingerprint: *fingerprint,
                letters: *letters,
                disposition: example.disposition,
                error_class: example.error_class,
                error: example.error,
                example: *newest,
            })
        })
        .collect())
}

/// Makes the replay of a choice, of which `superseded` letters change nothing.
pub async fn keep(
    pool: &MySqlPool,
    draft: &Draft<'_>,
    choice: Choice,
    superseded: u64,
) -> Result<Replay, Error> {
    let mut transaction = pool.begin().await?;
    let plan = Plan {
        superseded,
        ..choice.plan
    };
    match write(&mut transaction, draft, &choice.letters, &plan).await {
        Ok(replay) => {
            transaction.commit().await?;
            Ok(replay)
        }
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

async fn write(
    transaction: &mut Transaction<'_, sqlx::MySql>,
    draft: &Draft<'_>,
    letters: &[DeadLetterId],
    plan: &Plan,
) -> Result<Replay, Error> {
    let replay_id = ReplayId::generate();
    let replay_no = store::insert(transaction, replay_id, draft, plan).await?;
    store::insert_choice(transaction, replay_no, letters).await?;
    let replay = store::read(transaction, replay_id).await?;
    let detail = json!({"filter": draft.audited, "letters": plan.letters});
    audit::record(
        transaction,
        draft.actor,
        "replay.plan",
        &replay_id.to_string(),
        &detail,
    )
    .await?;
    replay.ok_or(Error::ReplayNotFound(replay_id))
}
