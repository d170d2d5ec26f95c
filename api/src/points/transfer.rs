//! `POST /v1/points/transfers`.

use std::sync::OnceLock;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use headgate_domain::points::{Policy, Transferred, store};
use headgate_domain::{Change, Error};
use sqlx::{MySql, MySqlPool, Transaction};

use super::answer::TransferredBody;
use super::change::{known, policy};
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
    let policy = policy(&app, caller.partner_no()).await?;
    let work = |asked| Transfer {
        partner_no: caller.partner_no(),
        asked,
        policy,
        from_no: OnceLock::new(),
        to_no: OnceLock::new(),
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
    /// Once they are known.
    from_no: OnceLock<u64>,
    to_no: OnceLock<u64>,
}

impl Work for Transfer {
    type Done = Transferred;

    async fn prepare(&self, pool: &MySqlPool) -> Result<(), Error> {
        let (partner_no, asked) = (self.partner_no, &self.asked);
        if let Some(from_no) = store::find_wallet(pool, partner_no, &asked.from_user).await? {
            let to_no = store::find_or_create(pool, partner_no, &asked.to_user).await?;
            self.from_no.get_or_init(|| from_no);
            self.to_no.get_or_init(|| to_no);
        }
        Ok(())
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
    ) -> Result<Transferred, Error> {
        let (from_no, to_no) = (known(&self.from_no)?, known(&self.to_no)?);
        store::transfer(
            transaction,
            change,
            from_no,
            to_no,
            self.asked.amount,
            &self.policy,
        )
        .await
    }
}
