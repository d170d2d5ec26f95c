//! A replay, as requests see it.

use chrono::{DateTime, Utc};
use headgate_dead_letters::replay::{Cause, Outcome, Plan, Progress, Replay, ReplayLetter, ReplayState};
use headgate_schemas::ids::{DeadLetterId, EventId, ReplayId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Operator;
use crate::dead_letters::record::masked_key;

/// A replay.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplayView {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub replay_id: ReplayId,
    /// `planned`, `running`, `paused`, `completed` or `cancelled`.
    pub state: String,
    /// Why it is paused: `operator`, `canary` (its first letters are through) or `failures`.
    pub pause_reason: Option<String>,
    /// More about that.
    pub pause_detail: Option<String>,
    /// Which letters were asked for.
    pub filter: serde_json::Value,
    /// What was found.
    pub plan: PlanView,
    /// Most letters a second.
    pub rate_per_second: u32,
    /// So many letters go first; then it pauses.
    pub canary_letters: u32,
    /// It pauses when more than so many per cent of the last letters failed.
    pub failures_percent_max: u8,
    /// How far it has got.
    pub progress: ProgressView,
    /// At its rate, seconds until the last letter is sent. Only while it runs.
    pub seconds_left: Option<u64>,
    /// Who planned it.
    pub planned_by: String,
    /// When.
    pub planned_at: DateTime<Utc>,
    /// Who started or resumed it last.
    pub run_by: Option<String>,
    /// When it was started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was completed or cancelled.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What a replay will meet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// Letters that will be sent.
    pub letters: u64,
    /// Distinct keys that they hold.
    pub keys: u64,
    /// Parked letters behind them, which follow by themselves.
    pub followers: u64,
    /// Letters that match but stay: each waits behind a letter that is not in the plan.
    pub conflicts: u64,
    /// Letters whose replay changes nothing: what they ask for was done by other means.
    pub superseded: u64,
    /// Most letters first, at most 100.
    pub causes: Vec<CauseView>,
    /// How many causes there are.
    pub causes_total: u64,
}

/// Letters of one group and one cause.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CauseView {
    /// Name of the consumer group.
    pub group: String,
    /// The cause.
    pub fingerprint: String,
    /// How many letters.
    pub letters: u64,
    /// Disposition of the newest.
    pub disposition: String,
    /// Class of its error.
    pub error_class: String,
    /// Its error.
    pub error: String,
    /// The newest.
    #[schema(value_type = Uuid)]
    pub example: DeadLetterId,
}

/// How many letters have which outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressView {
    /// Their turn has not come.
    pub waiting: u64,
    /// On their way.
    pub sent: u64,
    /// Applied.
    pub resolved: u64,
    /// Failed again, and open.
    pub failed: u64,
    /// Failed once too often: no replay takes them until they are restored.
    pub quarantined: u64,
    /// Their group did not answer in time.
    pub unanswered: u64,
    /// Could not be sent, or were settled by somebody meanwhile.
    pub refused: u64,
}

/// A letter of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayLetterView {
    /// The order in which they go, from 1.
    pub place: u32,
    /// The letter.
    #[schema(value_type = Uuid)]
    pub letter_id: DeadLetterId,
    /// Name of its group.
    pub group: String,
    /// Its event.
    #[schema(value_type = Uuid)]
    pub event_id: EventId,
    /// Its record's key. Viewers see it masked.
    pub key: Option<String>,
    /// Its cause.
    pub fingerprint: String,
    /// `waiting`, `sent`, `resolved`, `failed`, `quarantined`, `unanswered` or `refused`.
    pub outcome: String,
    /// Which attempt of the letter this was.
    pub attempt: Option<u32>,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// When its outcome was known.
    pub settled_at: Option<DateTime<Utc>>,
    /// A stable word for why it was not resolved.
    pub error_class: Option<String>,
    /// Why it was not resolved.
    pub error: Option<String>,
}

impl ReplayView {
    pub(super) fn of(replay: Replay, progress: &Progress, operator: &Operator) -> Self {
        let waiting = progress.of(Outcome::Waiting);
        let is_running = replay.state == ReplayState::Running;
        let rate = u64::from(replay.pace.rate_per_second).max(1);
        Self {
            replay_id: replay.replay_id,
            state: replay.state.to_string(),
            pause_reason: replay.pause_reason.map(|reason| reason.as_str().to_owned()),
            pause_detail: replay.pause_detail,
            filter: filter_seen(replay.filter, operator),
            plan: PlanView::from(replay.plan),
            rate_per_second: replay.pace.rate_per_second,
            canary_letters: replay.pace.canary_letters,
            failures_percent_max: replay.pace.failures_percent_max,
            progress: ProgressView::of(progress),
            seconds_left: is_running.then(|| waiting.div_ceil(rate)),
            planned_by: replay.planned_by,
            planned_at: replay.planned_at,
            run_by: replay.run_by,
            started_at: replay.started_at,
            ended_at: replay.ended_at,
        }
    }
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        Self {
            letters: plan.letters,
            keys: plan.keys,
            followers: plan.followers,
            conflicts: plan.conflicts,
            superseded: plan.superseded,
            causes: plan.causes.into_iter().map(CauseView::from).collect(),
            causes_total: plan.causes_total,
        }
    }
}

impl From<Cause> for CauseView {
    fn from(cause: Cause) -> Self {
        Self {
            group: cause.group,
            fingerprint: cause.fingerprint.to_string(),
            letters: cause.letters,
            disposition: cause.disposition.to_string(),
            error_class: cause.error_class,
            error: cause.error,
            example: cause.example,
        }
    }
}

impl ProgressView {
    fn of(progress: &Progress) -> Self {
        Self {
            waiting: progress.of(Outcome::Waiting),
            sent: progress.of(Outcome::Sent),
            resolved: progress.of(Outcome::Resolved),
            failed: progress.of(Outcome::Failed),
            quarantined: progress.of(Outcome::Quarantined),
            unanswered: progress.of(Outcome::Unanswered),
            refused: progress.of(Outcome::Refused),
        }
    }

    /// Letters that were sent and did not succeed.
    pub const fn failures(&self) -> u64 {
        self.failed + self.quarantined + self.unanswered
    }
}

impl ReplayLetterView {
    pub(super) fn of(letter: ReplayLetter, operator: &Operator) -> Self {
        let outcome = letter.outcome;
        Self {
            place: letter.place,
            letter_id: outcome.letter_id,
            group: letter.group,
            event_id: letter.event_id,
            key: letter.key.map(|key| key_seen(key, operator)),
            fingerprint: letter.fingerprint.to_string(),
            outcome: outcome.outcome.as_str().to_owned(),
            attempt: outcome.attempt,
            sent_at: outcome.sent_at,
            settled_at: outcome.settled_at,
            error_class: outcome.error_class,
            error: outcome.error,
        }
    }
}

/// A record's key, as `operator` may see it.
fn key_seen(key: String, operator: &Operator) -> String {
    if operator.sees_payloads() {
        key
    } else {
        masked_key(key)
    }
}

/// What was asked for, as `operator` may see it.
fn filter_seen(filter: serde_json::Value, operator: &Operator) -> serde_json::Value {
    if operator.sees_payloads() {
        filter
    } else {
        masked_filter(filter)
    }
}

/// What was asked for, as everyone may see it.
pub(super) fn masked_filter(mut filter: serde_json::Value) -> serde_json::Value {
    if let Some(serde_json::Value::String(key)) = filter.get_mut("key") {
        *key = masked_key(std::mem::take(key));
    }
    filter
}
