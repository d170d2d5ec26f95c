//! Reconciliation of points: for each wallet, its ledger = its lots = its head = the balance that is
//! kept beside it = what Redis remembers of that.

mod differences;
mod repair;
mod store;
mod watch;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt};
use headgate_domain::points::store::{WalletCount, count};
use headgate_runtime::cache::CacheKey;
use headgate_runtime::mysql;
use headgate_schemas::ids::{PartnerId, WalletId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use repair::{__path_repair, RepairedWallet, WhyRepair, repair};
pub(super) use watch::WatchedPoints;

use self::differences::Looked;
use super::{Difference, look};
use crate::Error;
use crate::auth::{As, Viewer};
use crate::http::extract::Query;
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;

/// Wallets of a page unless the request says otherwise.
const PAGE_WALLETS_USUAL: u32 = 200;
/// Most wallets of a page: each is counted entry by entry.
const PAGE_WALLETS_MAX: u32 = 1_000;
/// Questions to Redis at once.
const ASKED_AT_ONCE: usize = 16;

/// Which wallets.
#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WalletsPage {
    /// Wallets that are counted, 1 to 1,000; 200 unless given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<u64>,
}

/// A wallet that does not add up.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WalletDifferences {
    /// The wallet.
    #[schema(value_type = Uuid)]
    pub wallet_id: WalletId,
    /// Its partner.
    #[schema(value_type = Uuid)]
    pub partner_id: PartnerId,
    /// The partner's own name of the user.
    pub user_id: String,
    /// Whether it can be made to agree with its ledger. Where the ledger contradicts itself, only
    /// people can tell what is true.
    pub repairable: bool,
    /// What must never be.
    pub differences: Vec<Difference>,
}

/// A page of wallets, counted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PointsReconciliation {
    /// When, by MySQL's clock.
    pub as_of: DateTime<Utc>,
    /// Whether nothing was on its way. While events flow, a balance that is behind its ledger is
    /// no difference.
    pub quiet: bool,
    /// How many wallets were counted.
    pub wallets: u64,
    /// How many of them Redis remembered.
    pub remembered: u64,
    /// Those that do not add up.
    pub items: Vec<WalletDifferences>,
    /// Cursor of the next page.
    pub next_cursor: Option<u64>,
}

/// Counts wallets from their ledgers and lists every difference.
#[utoipa::path(
    get, path = "/v1/reconciliation/points", tag = "points", params(WalletsPage),
    responses(
        (status = 200, body = PointsReconciliation), (status = "4XX", body = Problem), (status = 503, body = Problem)
    )
)]
pub async fn reconcile(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Query(page): Query<WalletsPage>,
) -> Result<Json<PointsReconciliation>, Error> {
    let limit = page.limit.unwrap_or(PAGE_WALLETS_USUAL);
    if !(1..=PAGE_WALLETS_MAX).contains(&limit) {
        let detail = format!("must lie between 1 and {PAGE_WALLETS_MAX}");
        return Err(Error::InvalidParameter(vec![FieldError::new("limit", detail)]));
    }
    let pipe = look::look(&servers).await?;
    let looked = look_at(&servers, pipe, page.cursor.unwrap_or_default(), limit).await?;
    let is_full = u32::try_from(looked.len()).is_ok_and(|wallets| wallets == limit);
    let last = looked.last().map(|looked| looked.count.wallet_no);
    Ok(Json(PointsReconciliation {
        as_of: pipe.as_of,
        quiet: pipe.quiet,
        wallets: looked.len() as u64,
        remembered: looked.iter().filter(|looked| looked.cached.is_some()).count() as u64,
        items: looked.iter().filter_map(WalletDifferences::of).collect(),
        next_cursor: last.filter(|_| is_full),
    }))
}

impl WalletDifferences {
    /// `None`: it adds up.
    fn of(looked: &Looked) -> Option<Self> {
        let differences = looked.differences();
        let count = &looked.count;
        (!differences.is_empty()).then(|| Self {
            wallet_id: count.wallet_id,
            partner_id: count.partner_id,
            user_id: count.user_id.as_str().to_owned(),
            repairable: !count.is_damaged(),
            differences,
        })
    }
}

/// Counts the wallets behind the number `after`, after a look at the pipe: what it found settled
/// has come through.
async fn look_at(servers: &Servers, pipe: look::Pipe, after: u64, limit: u32) -> Result<Vec<Looked>, Error> {
    let mut connection = servers.pool.acquire().await?;
    let mut snapshot = mysql::snapshot(&mut connection).await?;
    let counted = async {
        let counts = count(&mut snapshot, after, limit, pipe.as_of).await?;
        let is_late = |count: &&WalletCount| heard_entry(count) < count.entries;
        let late: Vec<WalletId> = counts
            .iter()
            .filter(is_late)
            .map(|count| count.wallet_id)
            .collect();
        let held = store::with_letters(&mut snapshot, &late).await?;
        Ok::<_, sqlx::Error>((counts, held))
    }
    .await;
    snapshot.rollback().await?;
    let (counts, held) = counted?;
    let looked = stream::iter(counts).map(|count| {
        let is_old = count.last_made_at.is_some_and(|at| at < pipe.settled_before());
        let is_settled = pipe.quiet && is_old && !held.contains(&count.wallet_id);
        async move {
            Looked {
                cached: servers.cache.get(&key(&count)).await,
                count,
                now: pipe.as_of,
                is_settled,
            }
        }
    });
    Ok(looked.buffered(ASKED_AT_ONCE).collect().await)
}

fn heard_entry(count: &WalletCount) -> u64 {
    count.heard.map_or(0, |(_, entry_no)| entry_no)
}

fn key(count: &WalletCount) -> CacheKey {
    CacheKey::balance(count.partner_id, &count.user_id)
}
