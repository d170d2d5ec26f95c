//! Making a wallet agree with its ledger.

use axum::Json;
use axum::extract::State;
use headgate_domain::points::store::{self, Repair, WalletCount};
use headgate_outbox::audit;
use headgate_schemas::ids::WalletId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{MySql, Transaction};
use utoipa::ToSchema;

use super::key;
use crate::auth::{Admin, As};
use crate::http::extract::{Body, Path, stated};
use crate::http::problem::Problem;
use crate::state::Servers;
use crate::transaction::conclude;
use crate::{Error, Thing};

/// Why a wallet is repaired.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WhyRepair {
    /// 1 to 256 characters; goes into the audit log.
    #[schema(min_length = 1, max_length = 256)]
    pub reason: String,
}

/// Something that was made to agree with the ledger.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RepairView {
    /// `balance`, `entries`, `lots`, `kept-balance` or `kept-entry`.
    pub what: String,
    /// What it was.
    pub from: u64,
    /// What it is now.
    pub to: u64,
}

impl From<&Repair> for RepairView {
    fn from(repair: &Repair) -> Self {
        Self {
            what: repair.what.to_owned(),
            from: repair.from,
            to: repair.to,
        }
    }
}

/// A wallet that agrees with its ledger.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RepairedWallet {
    /// The wallet.
    #[schema(value_type = Uuid)]
    pub wallet_id: WalletId,
    /// What was changed; nothing where only Redis was wrong, or nothing was.
    pub repairs: Vec<RepairView>,
    /// Whether Redis has forgotten what it remembered; if it did not answer, ask again.
    pub forgotten: bool,
}

/// Makes a wallet's balance, its lots, and the balance that is kept beside the ledger agree with the
/// ledger, and lets Redis forget what it remembers. No entry is written or changed.
#[utoipa::path(
    post, path = "/v1/reconciliation/points/{wallet_id}/repair", tag = "points", request_body = WhyRepair,
    params(("wallet_id" = Uuid, Path, description = "The wallet")),
    responses(
        (status = 200, body = RepairedWallet), (status = "4XX", body = Problem), (status = 503, body = Problem)
    )
)]
pub async fn repair(
    admin: As<Admin>,
    State(servers): State<Servers>,
    Path(wallet_id): Path<WalletId>,
    Body(why): Body<WhyRepair>,
) -> Result<Json<RepairedWallet>, Error> {
    let reason = stated(&why.reason).map_err(|wrong| Error::InvalidBody(vec![wrong]))?;
    let found = store::number_of(&servers.pool, wallet_id).await?;
    let wallet_no = found.ok_or_else(|| Error::NotFound {
        what: Thing::Wallet,
        id: wallet_id.to_string(),
    })?;
    let now = servers.now().await?;
    let mut transaction = servers.pool.begin().await?;
    let actor = &admin.operator.name;
    let done = async {
        let (count, repairs) = store::repair(&mut transaction, wallet_no, now).await?;
        let repairs = repairs.ok_or(Error::LedgerDamaged(wallet_id))?;
        record(&mut transaction, actor, &count, &repairs, reason).await?;
        Ok((count, repairs))
    }
    .await;
    let (count, repairs) = conclude(transaction, done).await?;
    // What it remembers may be wrong without being old.
    let forgotten = servers.cache.forget(&key(&count), count.ledger_entries).await;
    tracing::info!(%wallet_id, operator = actor, forgotten, "a wallet was repaired");
    Ok(Json(RepairedWallet {
        wallet_id,
        repairs: repairs.iter().map(RepairView::from).collect(),
        forgotten,
    }))
}

async fn record(
    transaction: &mut Transaction<'_, MySql>,
    actor: &str,
    count: &WalletCount,
    repairs: &[Repair],
    reason: &str,
) -> Result<(), Error> {
    let repairs: Vec<RepairView> = repairs.iter().map(RepairView::from).collect();
    let detail = json!({"reason": reason, "repairs": repairs});
    let object = count.wallet_id.to_string();
    audit::record(transaction, actor, "points.repair", &object, &detail).await?;
    Ok(())
}
