//! A claim, from the question to the durable answer: reserved in Redis, committed in
//! MySQL with its event in a group, confirmed in Redis. While Redis is gone MySQL
//! admits by itself.
//!
//! The path of a claim: [`Admitter::claim`] -> the campaign's queue ([`campaign`]) ->
//! the commit queue ([`commit`]) -> the answer. What MySQL refuses is sorted out in
//! [`settle`].

mod campaign;
mod commit;
mod confirm;
mod distribute;
mod fallback;
pub mod limits;
mod settle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use headgate_admission::Admission;
use headgate_domain::campaigns::Campaign;
use headgate_domain::claims::{Claim, ClaimState, Reservation};
use headgate_outbox::wake::Waker;
use headgate_outbox::write::EventWriter;
use headgate_runtime::clock::DatabaseClock;
use headgate_runtime::shutdown::{CancellationToken, TaskTracker};
use headgate_schemas::ids::{CampaignId, ClaimId};
use headgate_schemas::names::UserId;
use sqlx::MySqlPool;
use tokio::sync::oneshot;

use self::campaign::CampaignQueue;
use self::commit::CommitQueue;
use self::confirm::Confirmer;
pub use self::limits::Limits;

/// The answer to a claim.
#[derive(Clone, Debug)]
pub enum ClaimAnswer {
    /// Durable, with its event.
    Admitted(Box<Claim>),
    /// The user has a claim in this campaign already; MySQL says so.
    AlreadyClaimed(Box<Claim>),
    /// No ticket is left.
    SoldOut {
        /// False while tickets may still come back.
        is_final: bool,
    },
    /// The campaign stopped taking claims while this one was under way.
    Closed,
    /// Not now; nothing was promised.
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

impl ClaimAnswer {
    /// The answer when something is away or too busy.
    const UNAVAILABLE: Self = Self::Unavailable {
        retry_after: RETRY_AFTER,
    };

    const fn outcome(&self) -> &'static str {
        match self {
            Self::Admitted(_) => "admitted",
            Self::AlreadyClaimed(_) => "already-claimed",
            Self::SoldOut { .. } => "sold-out",
            Self::Closed => "closed",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

/// What a refused client is asked to wait. Redis and MySQL that restart are back
/// within a few of these.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Campaigns with a queue in this process, at most.
const CAMPAIGNS_MAX: u64 = 10_000;
/// A campaign that nobody asks for this long loses its queue.
const CAMPAIGN_IDLE: Duration = Duration::from_mins(10);

/// A claim under way, with its way back.
struct Asked {
    campaign: Arc<Campaign>,
    claim_id: ClaimId,
    user_id: UserId,
    traceparent: Option<String>,
    /// How often MySQL did not bear out what Redis had answered.
    refusals: u8,
    answer: oneshot::Sender<ClaimAnswer>,
}

impl Asked {
    fn answer(self, answer: ClaimAnswer) {
        // Whoever asked may have gone; the claim is durable all the same.
        let _gone = self.answer.send(answer);
    }
}

/// Answers claims that cannot be served now.
fn turn_away(claims: impl IntoIterator<Item = Asked>) {
    for asked in claims {
        asked.answer(ClaimAnswer::UNAVAILABLE);
    }
}

/// A reservation under way to its commit.
struct Reserved {
    reservation: Reservation,
    asked: Asked,
}

impl Reserved {
    fn admitted(&self) -> ClaimAnswer {
        ClaimAnswer::Admitted(Box::new(claim_of(&self.reservation, &self.asked.campaign)))
    }
}

fn claim_of(reservation: &Reservation, campaign: &Campaign) -> Claim {
    Claim {
        claim_id: reservation.claim_id,
        campaign_id: reservation.campaign_id,
        partner_no: campaign.partner_no,
        user_id: reservation.user_id.clone(),
        ticket: reservation.ticket,
        sequence: reservation.sequence,
        state: ClaimState::Admitted,
        admitted_at: chrono::Utc::now(),
        release_reason: None,
    }
}

/// What every part of the path uses.
struct Shared {
    admission: Admission,
    pool: MySqlPool,
    writer: EventWriter,
    waker: Waker,
    clock: DatabaseClock,
    limits: Limits,
    confirmer: Confirmer,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Answers claims. Clones share everything.
#[derive(Clone)]
pub struct Admitter {
    shared: Arc<Shared>,
    commits: CommitQueue,
    campaigns: moka::sync::Cache<CampaignId, Arc<CampaignQueue>>,
}

/// What an [`Admitter`] is made of.
pub struct Parts {
    /// The state in Redis.
    pub admission: Admission,
    /// A pool of its own: claims wait for nobody else's queries. At least
    /// [`Limits::connections`] wide.
    pub pool: MySqlPool,
    /// Writes the events.
    pub writer: EventWriter,
    /// Wakes the relays.
    pub waker: Waker,
    /// MySQL's time.
    pub clock: DatabaseClock,
    /// Limits.
    pub limits: Limits,
}

impl Admitter {
    /// Starts the writers. They end when `stop` is cancelled and their queue is empty.
    pub fn start(parts: Parts, stop: CancellationToken) -> Self {
        let tasks = TaskTracker::new();
        let confirmer = Confirmer::start(parts.admission.clone());
        let shared = Arc::new(Shared {
            admission: parts.admission,
            pool: parts.pool,
            writer: parts.writer,
            waker: parts.waker,
            clock: parts.clock,
            limits: parts.limits,
            confirmer,
            stop,
            tasks,
        });
        let campaigns = moka::sync::Cache::builder()
            .max_capacity(CAMPAIGNS_MAX)
            .time_to_idle(CAMPAIGN_IDLE)
            .build();
        let commits = CommitQueue::start(&shared, &campaigns);
        tokio::spawn(warm(shared.pool.clone(), shared.limits.writers));
        Self {
            shared,
            commits,
            campaigns,
        }
    }

    /// Claims a coupon of an open campaign for a user. The answer holds: admitted means
    /// durable. Bounded in time by `claims.timeout_ms`.
    pub async fn claim(
        &self,
        campaign: &Arc<Campaign>,
        user_id: UserId,
        traceparent: Option<String>,
    ) -> ClaimAnswer {
        let started = Instant::now();
        let queue = self.campaigns.get_with(campaign.campaign_id, || {
            CampaignQueue::start(&self.shared, &self.commits, campaign.campaign_no)
        });
        let answer = match queue.sold_out(&user_id, campaign, started) {
            Some(is_final) => ClaimAnswer::SoldOut { is_final },
            None => self.ask(&queue, campaign, user_id, traceparent).await,
        };
        metrics::counter!("headgate_claims_total", "outcome" => answer.outcome()).increment(1);
        answer
    }

    async fn ask(
        &self,
        queue: &CampaignQueue,
        campaign: &Arc<Campaign>,
        user_id: UserId,
        traceparent: Option<String>,
    ) -> ClaimAnswer {
        headgate_runtime::crash_point!("api.before-redis");
        let (answer, answered) = oneshot::channel();
        let claim_id = ClaimId::generate();
        let asked = Asked {
            campaign: campaign.clone(),
            claim_id,
            user_id,
            traceparent,
            refusals: 0,
            answer,
        };
        if !queue.push(asked) {
            return ClaimAnswer::UNAVAILABLE;
        }
        match tokio::time::timeout(self.shared.limits.timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => ClaimAnswer::UNAVAILABLE,
        }
    }

    /// Waits until what was reserved is committed or given up, at most as long as a
    /// claim may take. Call after the listener has closed.
    pub async fn drain(&self) {
        self.shared.tasks.close();
        let settled = async {
            self.shared.tasks.wait().await;
            self.shared.confirmer.drain().await;
        };
        if tokio::time::timeout(self.shared.limits.timeout, settled)
            .await
            .is_err()
        {
            tracing::warn!("claims were still under way at the end; the sweeper settles them");
        }
    }
}

/// Opens the writers' connections before the first claim needs them.
async fn warm(pool: MySqlPool, connections: u16) {
    let opened = futures::future::join_all((0..connections).map(|_| pool.acquire())).await;
    let failed = opened.iter().filter(|connection| connection.is_err()).count();
    if failed > 0 {
        tracing::debug!(failed, "connections could not be opened ahead");
    }
}
