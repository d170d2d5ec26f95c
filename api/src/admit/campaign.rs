//! A campaign's queue: requests that arrive while Redis is being asked ride in the next
//! question, in the order in which they came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use headgate_admission::Error;
use headgate_admission::rebuild::{self, Rebuilt};
use headgate_admission::reserve::{Answer, Known, REQUESTS_MAX, Request, Reserved as Answers};
use headgate_admission::sold_out::SoldOut;
use headgate_domain::campaigns::Campaign;
use headgate_schemas::names::UserId;
use headgate_schemas::quantities::AdmissionEpoch;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use super::commit::CommitQueue;
use super::{Asked, ClaimAnswer, Shared, fallback, turn_away};

/// How often a claim asks again.
const REFUSALS_MAX: u8 = 5;
/// Refused tickets within [`REFUSED_WINDOW`] that make the state in Redis suspect.
const REFUSED_TICKETS_MAX: u32 = 8;
const REFUSED_WINDOW: Duration = Duration::from_secs(1);
/// How long a question waits for a rebuild that somebody else does, and how often it
/// looks.
const REBUILD_WAIT: Duration = Duration::from_secs(3);
const REBUILD_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Reads for answers at the same time, for one campaign.
const READS: usize = 8;

/// The queue and what this process knows of the campaign.
pub(super) struct CampaignQueue {
    waiting: mpsc::Sender<Asked>,
    state: Arc<State>,
}

pub(super) struct State {
    pub shared: Arc<Shared>,
    pub commits: CommitQueue,
    pub campaign_no: u32,
    /// Newest epoch, and highest ticket in it.
    seen: Mutex<(u32, u32)>,
    sold_out: ArcSwapOption<SoldOut>,
    sold_out_asked: AtomicBool,
    refused: Mutex<(Option<Instant>, u32)>,
    rebuild_wanted: AtomicBool,
    pub reads: Semaphore,
    /// While Redis is left alone.
    redis_retry_at: Mutex<Option<Instant>>,
    waiting: AtomicU32,
    /// Back into the queue, as long as it lives.
    pub again: mpsc::WeakSender<Asked>,
}

impl CampaignQueue {
    /// Starts the queue's task; it ends with the queue.
    pub fn start(shared: &Arc<Shared>, commits: &CommitQueue, campaign_no: u32) -> Arc<Self> {
        let limit = usize::try_from(shared.limits.waiting_max).unwrap_or(usize::MAX);
        let (waiting, asked) = mpsc::channel(limit);
        let state = Arc::new(State {
            shared: shared.clone(),
            commits: commits.clone(),
            campaign_no,
            seen: Mutex::new((0, 0)),
            sold_out: ArcSwapOption::empty(),
            sold_out_asked: AtomicBool::new(false),
            refused: Mutex::new((None, 0)),
            rebuild_wanted: AtomicBool::new(false),
            reads: Semaphore::new(READS),
            redis_retry_at: Mutex::new(None),
            waiting: AtomicU32::new(0),
            again: waiting.downgrade(),
        });
        tokio::spawn(run(state.clone(), asked));
        Arc::new(Self { waiting, state })
    }

    /// Puts a claim into the queue. False: it is full.
    pub fn push(&self, asked: Asked) -> bool {
        let fallback_limit = self.state.shared.limits.waiting_without_redis_max;
        if self.state.redis_is_left_alone() && self.state.waiting.load(Ordering::Relaxed) >= fallback_limit {
            return false;
        }
        let pushed = self.waiting.try_send(asked).is_ok();
        if pushed {
            self.state.waiting.fetch_add(1, Ordering::Relaxed);
        }
        pushed
    }

    /// Puts a claim back whose answer was refused, [`REFUSALS_MAX`] times; it is answered
    /// 503 after that, and when the queue is full.
    pub fn push_again(&self, asked: Asked) {
        push_again(Some(&self.waiting), &self.state, asked);
    }

    /// MySQL is in this epoch: an older state in Redis is cold.
    pub fn saw_epoch(&self, epoch: u32) {
        self.state.saw(epoch, 0);
    }

    /// The state in Redis cannot be right: the next question begins with a new one.
    pub fn want_rebuild(&self) {
        self.state.want_rebuild();
    }

    /// MySQL refused a ticket that Redis handed out. Too many of them: rebuild.
    pub fn ticket_refused(&self) {
        let mut refused = self.state.refused.lock();
        let now = Instant::now();
        let (since, count) = &mut *refused;
        if since.is_none_or(|since| now - since > REFUSED_WINDOW) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        if *count >= REFUSED_TICKETS_MAX {
            *count = 0;
            self.want_rebuild();
        }
    }

    /// "Sold out" without asking anybody, if this user provably holds no ticket.
    pub fn sold_out(&self, user_id: &UserId, campaign: &Arc<Campaign>, now: Instant) -> Option<bool> {
        let flag = self.state.sold_out.load();
        let flag = flag.as_ref()?;
        let answer = flag.answer(user_id, campaign.quota.get(), now);
        if flag.wants_renewal(now) {
            State::ask_whether_sold_out(&self.state, campaign);
        }
        answer
    }
}

pub(super) fn push_again(queue: Option<&mpsc::Sender<Asked>>, state: &State, mut asked: Asked) {
    asked.refusals += 1;
    let Some(queue) = queue.filter(|_| asked.refusals <= REFUSALS_MAX) else {
        return asked.answer(ClaimAnswer::UNAVAILABLE);
    };
    match queue.try_send(asked) {
        Ok(()) => {
            state.waiting.fetch_add(1, Ordering::Relaxed);
        }
        Err(refused) => refused.into_inner().answer(ClaimAnswer::UNAVAILABLE),
    }
}

async fn run(state: Arc<State>, mut waiting: mpsc::Receiver<Asked>) {
    let mut batch = Vec::with_capacity(REQUESTS_MAX);
    loop {
        let taken = waiting.recv_many(&mut batch, REQUESTS_MAX).await;
        if taken == 0 {
            return;
        }
        state
            .waiting
            .fetch_sub(u32::try_from(taken).unwrap_or(u32::MAX), Ordering::Relaxed);
        let Some(first) = batch.first() else { continue };
        let campaign = first.campaign.clone();
        state.serve(&campaign, std::mem::take(&mut batch)).await;
        batch.reserve(REQUESTS_MAX);
    }
}

impl State {
    pub(super) fn want_rebuild(&self) {
        self.rebuild_wanted.store(true, Ordering::Relaxed);
    }

    fn redis_is_left_alone(&self) -> bool {
        self.redis_retry_at.lock().is_some_and(|at| Instant::now() < at)
    }

    async fn serve(self: &Arc<Self>, campaign: &Arc<Campaign>, batch: Vec<Asked>) {
        if self.redis_is_left_alone() {
            return fallback::admit(&self.shared, campaign, batch).await;
        }
        match self.reserve(campaign, &batch).await {
            Ok(Some((epoch, answers))) => {
                *self.redis_retry_at.lock() = None;
                self.distribute(campaign, epoch, batch.into_iter().zip(answers))
                    .await;
            }
            Ok(None) => turn_away(batch),
            Err(Error::Database(error)) => {
                tracing::warn!(%error, "admission cannot be rebuilt");
                turn_away(batch);
            }
            Err(Error::MysqlHolds) => {
                *self.redis_retry_at.lock() = Some(Instant::now() + self.shared.limits.redis_retry);
                fallback::admit(&self.shared, campaign, batch).await;
            }
            Err(error) => {
                tracing::warn!(campaign_id = %campaign.campaign_id, %error, "claims go on through mysql");
                metrics::counter!("headgate_admission_fallbacks_total").increment(1);
                *self.redis_retry_at.lock() = Some(Instant::now() + self.shared.limits.redis_retry);
                fallback::admit(&self.shared, campaign, batch).await;
            }
        }
    }

    /// Reserves, rebuilding the state if it is lost or stale. A question whose answer
    /// was lost is asked once more: the same claim ids get the same tickets. `None`: no
    /// ticket is handed out for longer than a question waits.
    async fn reserve(
        &self,
        campaign: &Campaign,
        batch: &[Asked],
    ) -> Result<Option<(AdmissionEpoch, Vec<Answer>)>, Error> {
        let requests: Vec<Request<'_>> = batch
            .iter()
            .map(|asked| Request {
                claim_id: asked.claim_id,
                user_id: &asked.user_id,
            })
            .collect();
        let deadline = Instant::now() + REBUILD_WAIT;
        let mut lost_answers = 0;
        loop {
            if self.rebuild_wanted.swap(false, Ordering::Relaxed) {
                self.rebuild(campaign, None).await?;
            }
            let known = self.known(campaign);
            let started = Instant::now();
            let question = self
                .shared
                .admission
                .reserve(campaign.campaign_id, known, &requests);
            let answered = self.within(question).await;
            metrics::histogram!("headgate_redis_command_seconds", "command" => "admit")
                .record(started.elapsed().as_secs_f64());
            match answered {
                Ok(Answers::Answers { epoch, answers }) => return Ok(Some((epoch, answers))),
                Ok(Answers::Cold) if Instant::now() < deadline => self.rebuild(campaign, Some(known)).await?,
                Ok(Answers::Cold) => return Err(Error::Answer("the state stays cold")),
                Ok(Answers::Resting(left)) if Instant::now() + left < deadline => {
                    tokio::time::sleep(left).await;
                }
                Ok(Answers::Resting(_)) => return Ok(None),
                Err(error) if lost_answers > 0 => return Err(error),
                Err(_) => lost_answers += 1,
            }
        }
    }

    /// Rebuilds the state in any case, or only if it is still `cold_to` somebody who knows as much.
    async fn rebuild(&self, campaign: &Campaign, cold_to: Option<Known>) -> Result<(), Error> {
        let rebuilt = rebuild::Campaign {
            campaign_no: campaign.campaign_no,
            campaign_id: campaign.campaign_id,
            quota: campaign.quota.get(),
            closes_at: campaign.closes_at,
        };
        let Shared { admission, pool, .. } = &*self.shared;
        match admission.rebuild(pool, rebuilt, cold_to).await? {
            Rebuilt::Installed(epoch) => self.saw(epoch.get(), 0),
            Rebuilt::Elsewhere => tokio::time::sleep(REBUILD_LOOK_EVERY).await,
        }
        Ok(())
    }

    pub(super) async fn within<T>(
        &self,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let limit = self.shared.limits.redis_timeout;
        tokio::time::timeout(limit, question)
            .await
            .unwrap_or(Err(Error::Answer("nothing in time")))
    }

    fn known(&self, campaign: &Campaign) -> Known {
        self.saw(campaign.admission_epoch, 0);
        let (epoch, highest_ticket) = *self.seen.lock();
        Known {
            epoch,
            quota: campaign.quota.get(),
            highest_ticket,
        }
    }

    pub(super) fn saw(&self, epoch: u32, ticket: u32) {
        let mut seen = self.seen.lock();
        if epoch > seen.0 {
            *seen = (epoch, ticket);
        } else if epoch == seen.0 {
            seen.1 = seen.1.max(ticket);
        }
    }

    /// Renews the local flag, one question at a time.
    pub(super) fn ask_whether_sold_out(state: &Arc<Self>, campaign: &Arc<Campaign>) {
        if state.sold_out_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let (state, campaign) = (state.clone(), campaign.clone());
        tokio::spawn(async move {
            let known = state.known(&campaign);
            let question = state.shared.admission.sold_out(campaign.campaign_id, known);
            if let Ok(flag) = state.within(question).await {
                let flag = match flag {
                    Some(flag) => {
                        let current = state.is_current(campaign.campaign_id, flag.epoch()).await;
                        matches!(current, Ok(true)).then(|| Arc::new(flag))
                    }
                    None => None,
                };
                state.sold_out.store(flag);
            }
            state.sold_out_asked.store(false, Ordering::Release);
        });
    }
}
