//! All SQL on `replays`, `replay_choices` and `replay_letters`.

mod choices;
mod letters;
mod listing;
mod planning;

use chrono::{DateTime, Utc};
use headgate_schemas::ids::ReplayId;
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Row, Transaction};

use crate::Error;
use crate::replay::answers::RecentAnswers;
use crate::replay::plan::Draft;
use crate::replay::{Outcome, Pace, PauseReason, Plan, Progress, Replay, ReplayState};

pub(crate) use self::choices::insert as insert_choice;
pub(crate) use self::letters::{
    Refused, Turn, Waiting, answered, in_flight, reached, settle, take_turns, waiting,
};
pub use self::listing::{OutcomePage, letters};
pub(crate) use self::planning::{Matching, behind, examples, group_names, matching};

/// Most replays of a page.
pub const PAGE_REPLAYS_MAX: u32 = 500;

/// Writes a replay without its choice; returns its number.
pub(crate) async fn insert(
    transaction: &mut Transaction<'_, MySql>,
    replay_id: ReplayId,
    draft: &Draft<'_>,
    plan: &Plan,
) -> Result<u32, Error> {
    let pace = draft.pace;
    let inserted = sqlx::query!(
        "INSERT INTO replays (replay_id, state, filter, plan, letters, rate_per_second, canary_letters,
             failures_percent_max, places_allowed, planned_by)
         VALUES (?, 'planned', ?, ?, ?, ?, ?, ?, 0, ?)",
        replay_id.as_bytes().as_slice(),
        draft.asked.to_string(),
        serde_json::to_string(plan)?,
        plan.letters,
        pace.rate_per_second,
        pace.canary_letters,
        pace.failures_percent_max,
        draft.actor
    )
    .execute(&mut **transaction)
    .await?;
    Ok(u32::try_from(inserted.last_insert_id()).unwrap_or(u32::MAX))
}

/// Lets a locked replay run.
pub(crate) async fn run(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    pace: Pace,
    places_allowed: u32,
    actor: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE replays SET state = 'running', pause_reason = NULL, pause_detail = NULL, is_live = 1,
             rate_per_second = ?, canary_letters = ?, failures_percent_max = ?, places_allowed = ?, run_by = ?,
             started_at = COALESCE(started_at, UTC_TIMESTAMP(6)), recent_answers = ''
         WHERE replay_no = ?",
        pace.rate_per_second,
        pace.canary_letters,
        pace.failures_percent_max,
        places_allowed,
        actor,
        replay_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Writes down what a locked replay is judged by.
pub(crate) async fn set_recent_answers(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    answers: &RecentAnswers,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE replays SET recent_answers = ? WHERE replay_no = ?",
        answers.as_slice(),
        replay_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Lets a locked replay stand still. Answers that are due are still written down.
pub(crate) async fn pause(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    reason: PauseReason,
    detail: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE replays SET state = 'paused', pause_reason = ?, pause_detail = ? WHERE replay_no = ?",
        reason,
        detail,
        replay_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Ends a locked replay: completed or cancelled.
pub(crate) async fn end(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
    state: ReplayState,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE replays SET state = ?, pause_reason = NULL, pause_detail = NULL, ended_at = UTC_TIMESTAMP(6)
         WHERE replay_no = ?",
        state,
        replay_no
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// There is nothing to do for a locked replay until somebody acts.
pub(crate) async fn rest(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE replays SET is_live = NULL WHERE replay_no = ?", replay_no)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

const SELECT: &str = "SELECT replay_no, replay_id, state, pause_reason, pause_detail, CAST(filter AS CHAR) AS filter,
        CAST(plan AS CHAR) AS plan, rate_per_second, canary_letters, failures_percent_max, places_allowed, planned_by,
        planned_at, run_by, started_at, recent_answers, ended_at
    FROM replays WHERE TRUE";

/// A replay as the connection's transaction sees it.
pub(crate) async fn read(
    connection: &mut MySqlConnection,
    replay_id: ReplayId,
) -> Result<Option<Replay>, Error> {
    let mut select = QueryBuilder::new(SELECT);
    select.push(" AND replay_id = ").push_bind(replay_id);
    let row = select.build().fetch_optional(connection).await?;
    row.as_ref().map(replay).transpose()
}

/// Locks a replay.
pub(crate) async fn lock(
    transaction: &mut Transaction<'_, MySql>,
    replay_id: ReplayId,
) -> Result<Option<Replay>, Error> {
    let mut select = QueryBuilder::new(SELECT);
    select
        .push(" AND replay_id = ")
        .push_bind(replay_id)
        .push(" FOR UPDATE");
    let row = select.build().fetch_optional(&mut **transaction).await?;
    row.as_ref().map(replay).transpose()
}

/// Locks a replay that there is something to do for.
pub(crate) async fn lock_live(
    transaction: &mut Transaction<'_, MySql>,
    replay_no: u32,
) -> Result<Option<Replay>, Error> {
    let mut select = QueryBuilder::new(SELECT);
    select
        .push(" AND is_live = 1 AND replay_no = ")
        .push_bind(replay_no);
    select.push(" FOR UPDATE");
    let row = select.build().fetch_optional(&mut **transaction).await?;
    row.as_ref().map(replay).transpose()
}

/// A replay that a runner has to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its number.
    pub replay_no: u32,
    /// Its pace.
    pub rate_per_second: u32,
}

/// The replays that there is something to do for, the oldest first, up to `replays_max`.
pub async fn live(pool: &MySqlPool, replays_max: u32) -> Result<Vec<Live>, Error> {
    Ok(sqlx::query_as!(
        Live,
        "SELECT replay_no, rate_per_second FROM replays WHERE is_live = 1 ORDER BY replay_no LIMIT ?",
        replays_max
    )
    .fetch_all(pool)
    .await?)
}

/// One replay.
pub async fn show(pool: &MySqlPool, replay_id: ReplayId) -> Result<Replay, Error> {
    let mut connection = pool.acquire().await?;
    read(&mut connection, replay_id)
        .await?
        .ok_or(Error::ReplayNotFound(replay_id))
}

/// How many letters of a replay have which outcome.
pub async fn progress(pool: &MySqlPool, replay: &Replay) -> Result<Progress, Error> {
    let rows = sqlx::query!(
        r#"SELECT outcome AS "outcome: Outcome", COUNT(*) AS letters FROM replay_letters
           WHERE replay_no = ? GROUP BY outcome"#,
        replay.replay_no
    )
    .fetch_all(pool)
    .await?;
    let mut progress = Progress::planned(&replay.plan);
    for row in rows {
        progress.turn(row.outcome, row.letters.unsigned_abs());
    }
    Ok(progress)
}

/// A page of replays.
#[derive(Clone, Debug)]
pub struct ReplayPage {
    /// The newest first.
    pub items: Vec<Replay>,
    /// Cursor of the next page; `None` on the last.
    pub next_cursor: Option<ReplayId>,
}

/// Replays, the newest first, those of one state if one is named. `limit` is clamped to 1 to
/// [`PAGE_REPLAYS_MAX`].
pub async fn list(
    pool: &MySqlPool,
    state: Option<ReplayState>,
    limit: u32,
    cursor: Option<ReplayId>,
) -> Result<ReplayPage, Error> {
    let limit = limit.clamp(1, PAGE_REPLAYS_MAX);
    let mut select = QueryBuilder::new(SELECT);
    if let Some(state) = state {
        select.push(" AND state = ").push_bind(state);
    }
    if let Some(cursor) = cursor {
        select.push(" AND replay_id < ").push_bind(cursor);
    }
    select
        .push(" ORDER BY replay_id DESC LIMIT ")
        .push_bind(limit + 1);
    let rows = select.build().fetch_all(pool).await?;
    let mut items = rows.iter().map(replay).collect::<Result<Vec<_>, _>>()?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_last = items.len() <= page;
    items.truncate(page);
    let next_cursor = items.last().filter(|_| !is_last).map(|last| last.replay_id);
    Ok(ReplayPage { items, next_cursor })
}

/// How many replays there are in each state but the ended ones.
pub async fn count_unfinished(pool: &MySqlPool) -> Result<Vec<(ReplayState, u64)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT state AS "state: ReplayState", COUNT(*) AS replays FROM replays
           WHERE state IN ('planned', 'running', 'paused') GROUP BY state"#
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.state, row.replays.unsigned_abs()))
        .collect())
}

/// Removes up to `letters_max` letters of a replay that was planned more than `days` ago and
/// is not under way, and the replay once none are left. One that was never started is cancelled
/// first, so that nobody starts what is left of it. False: there is nothing left to remove.
pub async fn remove_older(pool: &MySqlPool, days: u32, letters_max: u32) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    let old = sqlx::query_scalar!(
        "SELECT replay_no FROM replays
         WHERE planned_at < UTC_TIMESTAMP(6) - INTERVAL ? DAY AND state NOT IN ('running', 'paused')
             AND is_live IS NULL
         ORDER BY planned_at LIMIT 1 FOR UPDATE",
        days
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(replay_no) = old else {
        transaction.rollback().await?;
        return Ok(false);
    };
    sqlx::query!(
        "UPDATE replays SET state = 'cancelled', ended_at = UTC_TIMESTAMP(6)
         WHERE replay_no = ? AND state = 'planned'",
        replay_no
    )
    .execute(&mut *transaction)
    .await?;
    let removed = sqlx::query!(
        "DELETE FROM replay_letters WHERE replay_no = ? ORDER BY place LIMIT ?",
        replay_no,
        letters_max
    )
    .execute(&mut *transaction)
    .await?;
    if removed.rows_affected() < u64::from(letters_max) {
        sqlx::query!("DELETE FROM replay_choices WHERE replay_no = ?", replay_no)
            .execute(&mut *transaction)
            .await?;
        sqlx::query!("DELETE FROM replays WHERE replay_no = ?", replay_no)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

fn replay(row: &MySqlRow) -> Result<Replay, Error> {
    let (filter, plan): (String, String) = (row.try_get("filter")?, row.try_get("plan")?);
    let planned_at: DateTime<Utc> = row.try_get("planned_at")?;
    Ok(Replay {
        replay_no: row.try_get("replay_no")?,
        replay_id: row.try_get("replay_id")?,
        // Unchecked: MySQL reports an ENUM of a binary collation as BINARY.
        state: row.try_get_unchecked("state")?,
        pause_reason: row.try_get_unchecked("pause_reason")?,
        pause_detail: row.try_get("pause_detail")?,
        filter: serde_json::from_str(&filter)?,
        plan: serde_json::from_str(&plan)?,
        pace: Pace {
            rate_per_second: row.try_get("rate_per_second")?,
            canary_letters: row.try_get("canary_letters")?,
            failures_percent_max: row.try_get("failures_percent_max")?,
        },
        places_allowed: row.try_get("places_allowed")?,
        planned_by: row.try_get("planned_by")?,
        planned_at,
        run_by: row.try_get("run_by")?,
        started_at: row.try_get("started_at")?,
        recent_answers: RecentAnswers::from_stored(row.try_get("recent_answers")?),
        ended_at: row.try_get("ended_at")?,
    })
}
