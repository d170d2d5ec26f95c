//! Granting points, spending them, and cancelling either. Each is one transaction: the entry of
//! the ledger and its event.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use headgate_domain::points::store::FoundEntry;
use headgate_domain::points::{EntryKind, Grant, Moved, Policy, Refusal, store};
use headgate_domain::{Change, Error};
use headgate_runtime::lock::LockKey;
use headgate_schemas::ids::PointKey;
use headgate_schemas::names::UserId;
use sqlx::{MySql, Transaction};

use super::answer::MovedBody;
use super::lock::{HeldWallet, Locked, NOTHING};
use super::request::{CancelPoints, EarnPoints, UsePoints};
use crate::app::App;
use crate::idempotency::{Answer, KeyHeader, Keyed, once};
use crate::keys::{Caller, PointsEarn, PointsWrite};
use crate::problem::{self, Problem};
use crate::request::{Id, NamedUser};
use crate::transaction::Work;

/// Grant points to a user.
///
/// They are a lot of their own, with their own expiry. With an `Idempotency-Key` the request may
/// be sent again without a second grant.
#[utoipa::path(
    post,
    path = "/v1/users/{user_id}/points/earn",
    tag = "points",
    operation_id = "earn_points",
    security(("api_key" = ["points:earn"])),
    params(("user_id" = String, Path, description = "The partner's own name of the user."), KeyHeader),
    request_body = EarnPoints,
    responses(
        (status = 201, description = "Granted, now or before under the same key.", body = MovedBody,
            headers(("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before."))),
        (status = 400, description = "`malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`points-limit-exceeded`, `wallet-busy`, `idempotency-in-progress`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`, `idempotency-key-reused`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn earn_points(
    caller: Caller<PointsEarn>,
    NamedUser(user_id): NamedUser,
    State(app): State<App>,
    request: Keyed<EarnPoints>,
) -> Result<Response, Problem> {
    let policy = policy(&app, caller.partner_no()).await?;
    let work = |asked| Earn {
        partner_no: caller.partner_no(),
        user_id,
        asked,
        policy,
    };
    once(&app, caller.principal(), request, work, |moved| {
        created(moved, None)
    })
    .await
}

/// Spend a user's points.
///
/// Those that run out first are spent first. With an `Idempotency-Key` the request may be sent
/// again without spending twice.
#[utoipa::path(
    post,
    path = "/v1/users/{user_id}/points/use",
    tag = "points",
    operation_id = "use_points",
    security(("api_key" = ["points:write"])),
    params(("user_id" = String, Path, description = "The partner's own name of the user."), KeyHeader),
    request_body = UsePoints,
    responses(
        (status = 201, description = "Spent, now or before under the same key.", body = MovedBody,
            headers(("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before."))),
        (status = 400, description = "`malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`points-insufficient`, `wallet-busy`, `idempotency-in-progress`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`, `idempotency-key-reused`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn use_points(
    caller: Caller<PointsWrite>,
    NamedUser(user_id): NamedUser,
    State(app): State<App>,
    request: Keyed<UsePoints>,
) -> Result<Response, Problem> {
    let work = |asked| Use {
        partner_no: caller.partner_no(),
        user_id,
        asked,
    };
    once(&app, caller.principal(), request, work, |moved| {
        created(moved, None)
    })
    .await
}

/// Cancel a use or an earn, wholly or in part.
///
/// A use gives back to the very lots that it took from; what came from a lot that has run out
/// since comes back as a new one. An earn is taken back as far as it is not spent. With an
/// `Idempotency-Key` the request may be sent again without cancelling twice.
#[utoipa::path(
    post,
    path = "/v1/points/{point_key}/cancel",
    tag = "points",
    operation_id = "cancel_points",
    security(("api_key" = ["points:write"])),
    params(("point_key" = uuid::Uuid, Path, description = "The movement."), KeyHeader),
    request_body = CancelPoints,
    responses(
        (status = 201, description = "Cancelled, now or before under the same key.", body = MovedBody,
            headers(("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before."))),
        (status = 400, description = "`malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 404, description = "`point-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`point-cancel-exceeds`, `point-not-cancellable`, `wallet-busy`, `idempotency-in-progress`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`, `idempotency-key-reused`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn cancel_points(
    caller: Caller<PointsWrite>,
    Id(point_key): Id<PointKey>,
    State(app): State<App>,
    request: Keyed<CancelPoints>,
) -> Result<Response, Problem> {
    let policy = policy(&app, caller.partner_no()).await?;
    let work = |asked: CancelPoints| Cancel {
        partner_no: caller.partner_no(),
        point_key,
        amount: asked.amount,
        policy,
    };
    once(&app, caller.principal(), request, work, |moved| {
        created(moved, Some(point_key))
    })
    .await
}

pub(super) async fn policy(app: &App, partner_no: u32) -> Result<Policy, Problem> {
    app.policies()
        .of(partner_no)
        .await
        .map_err(|error| Problem::of_shared(&error))
}

fn created(moved: Moved, cancels: Option<PointKey>) -> Result<Answer, Problem> {
    Answer::json(StatusCode::CREATED, &MovedBody::new(moved, cancels))
}

struct Earn {
    partner_no: u32,
    user_id: UserId,
    asked: EarnPoints,
    policy: Policy,
}

impl Work for Earn {
    type Done = Moved;

    type Prepared = HeldWallet;

    async fn prepare(&self, app: &App) -> Result<HeldWallet, Error> {
        // Refused without a wallet for it.
        self.policy.allows_earn(self.asked.amount)?;
        let wallet = store::find_or_create(app.pool(), self.partner_no, &self.user_id).await?;
        HeldWallet::lock(app, wallet, LockKey::point_accumulate(wallet.wallet_id.as_uuid())).await
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        wallet: &HeldWallet,
    ) -> Result<Moved, Error> {
        let grant = Grant {
            wallet_no: wallet.wallet_no(),
            amount: self.asked.amount,
            expires_at: self.asked.expires_at,
            reference: None,
            reason: self.asked.reason.clone(),
        };
        let is_lost = || wallet.is_lost();
        let fence = wallet.fence(&is_lost);
        store::earn(transaction, change, &grant, &self.policy, Some(fence)).await
    }

    async fn finish(&self, wallet: HeldWallet) {
        wallet.release().await;
    }
}

struct Use {
    partner_no: u32,
    user_id: UserId,
    asked: UsePoints,
}

impl Work for Use {
    type Done = Moved;

    type Prepared = HeldWallet;

    async fn prepare(&self, app: &App) -> Result<HeldWallet, Error> {
        let wallet = store::find_wallet(app.pool(), self.partner_no, &self.user_id).await?;
        let wallet = wallet.ok_or(NOTHING)?;
        HeldWallet::lock(app, wallet, LockKey::point_use(wallet.wallet_id.as_uuid())).await
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        wallet: &HeldWallet,
    ) -> Result<Moved, Error> {
        let (wallet_no, amount) = (wallet.wallet_no(), self.asked.amount);
        let reference = self.asked.reference.clone();
        let is_lost = || wallet.is_lost();
        let fence = Some(wallet.fence(&is_lost));
        store::use_points(transaction, change, wallet_no, amount, reference, fence).await
    }

    async fn finish(&self, wallet: HeldWallet) {
        wallet.release().await;
    }
}

struct Cancel {
    partner_no: u32,
    point_key: PointKey,
    amount: Option<u64>,
    policy: Policy,
}

impl Work for Cancel {
    type Done = Moved;
    type Prepared = (FoundEntry, Locked);

    async fn prepare(&self, app: &App) -> Result<Self::Prepared, Error> {
        let found = store::find_entry(app.pool(), self.partner_no, self.point_key).await?;
        let found = found.ok_or(Refusal::NotFound)?;
        let movement = self.point_key.as_uuid();
        let key = match found.kind {
            EntryKind::Use => LockKey::point_cancel_usage(movement),
            _ => LockKey::point_cancel_accumulation(movement),
        };
        Ok((found, Locked::try_lock(app, &[key]).await?))
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        (found, _): &(FoundEntry, Locked),
    ) -> Result<Moved, Error> {
        store::cancel(transaction, change, *found, self.amount, &self.policy).await
    }

    async fn finish(&self, (_, locked): (FoundEntry, Locked)) {
        locked.release().await;
    }
}
