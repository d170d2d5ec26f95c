//! `POST /v1/points/transfers`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use headgate_domain::points::{Policy, Transferred, store};
use headgate_domain::{Change, Error};
use headgate_runtime::lock::LockKey;
use sqlx::{MySql, Transaction};

use super::answer::TransferredBody;
use super::change::policy;
use super::lock::{Locked, NOTHING};
use super::request::TransferPoints;
use crate::app::App;
use crate::idempotency::{Answer, KeyHeader, Keyed, once};
use crate::keys::{Caller, PointsWrite};
use crate::problem::{self, Problem};
use crate::transaction::Work;

/// Transfer points from one user to another.
///
/// Those that run out first go first, and keep their expiry. An `Idempotency-Key` is required: a
/// transfer that is sent again cannot be told from another one.
#[utoipa::path(
    post,
    path = "/v1/points/transfers",
    tag = "points",
    operation_id = "transfer_points",
    security(("api_key" = ["points:write"])),
    params(KeyHeader),
    request_body = TransferPoints,
    responses(
        (status = 201, description = "Transferred, now or before under the same key.", body = TransferredBody,
            headers(("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before."))),
        (status = 400, description = "`idempotency-key-missing`, `malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`points-insufficient`, `points-limit-exceeded`, `wallet-busy`, `idempotency-in-progress`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`, `idempotency-key-reused`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn transfer_points(
    caller: Caller<PointsWrite>,
    State(app): State<App>,
    request: Keyed<TransferPoints>,
) -> Result<Response, Problem> {
    let request = request.with_key()?;
    if let Some(asked) = request.body() {
        caller.acts_for(&app, &asked.from_user).await?;
    }
    let policy = policy(&app, caller.partner_no()).await?;
    let work = |asked| Transfer {
        partner_no: caller.partner_no(),
        asked,
        policy,
    };
    once(&app, caller.principal(), request, work, |done| {
        Answer::json(StatusCode::CREATED, &TransferredBody::from(done))
    })
    .await
}

struct Transfer {
    partner_no: u32,
    asked: TransferPoints,
    policy: Policy,
}

/// Both wallets' numbers, and the locks.
struct Both {
    from_no: u64,
    to_no: u64,
    locked: Locked,
}

impl Work for Transfer {
    type Done = Transferred;

    type Prepared = Both;

    async fn prepare(&self, app: &App) -> Result<Both, Error> {
        let (pool, partner_no, asked) = (app.pool(), self.partner_no, &self.asked);
        let from = store::find_wallet(pool, partner_no, &asked.from_user).await?;
        let from = from.ok_or(NOTHING)?;
        let to = store::find_or_create(pool, partner_no, &asked.to_user).await?;
        // Taken in the one order that all keys have.
        let keys = [
            LockKey::point_use(from.wallet_id.as_uuid()),
            LockKey::point_accumulate(to.wallet_id.as_uuid()),
        ];
        Ok(Both {
            from_no: from.wallet_no,
            to_no: to.wallet_no,
            locked: Locked::try_lock(app, &keys).await?,
        })
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        both: &Both,
    ) -> Result<Transferred, Error> {
        store::transfer(
            transaction,
            change,
            both.from_no,
            both.to_no,
            self.asked.amount,
            &self.policy,
        )
        .await
    }

    async fn finish(&self, both: Both) {
        both.locked.release().await;
    }
}
