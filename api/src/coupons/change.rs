//! Using a coupon on an order, and giving it back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use headgate_domain::coupons::{Coupon, store};
use headgate_domain::{Change, Error};
use headgate_schemas::ids::ClaimId;
use headgate_schemas::names::OrderReference;
use sqlx::{MySql, Transaction};
use utoipa::ToSchema;

use super::answer::CouponBody;
use crate::app::App;
use crate::idempotency::{Answer, KeyHeader, Keyed, once};
use crate::keys::{Caller, CouponsWrite};
use crate::problem::{self, Code, Problem};
use crate::request::{Fields, Id, OfCoupon, ReadBody, parsed, text};
use crate::transaction::Work;

/// The order that a coupon is used on.
#[derive(ToSchema)]
pub struct UseCoupon {
    /// The partner's own name of the order, 1 to 64 characters.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "order-7")]
    order_reference: OrderReference,
}

impl ReadBody for UseCoupon {
    fn read(fields: &mut Fields) -> Option<Self> {
        let order = fields.required("order_reference", |value| {
            parsed(OrderReference::new(text(value)?))
        });
        Some(Self {
            order_reference: order?,
        })
    }
}

/// The order that a coupon is given back from.
#[derive(ToSchema)]
pub struct RestoreCoupon {
    /// The order that used it. If it is left out, whichever did.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "order-7")]
    order_reference: Option<OrderReference>,
}

impl ReadBody for RestoreCoupon {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Option<Self> {
        let order = fields.optional("order_reference", |value| {
            parsed(OrderReference::new(text(value)?))
        });
        Some(Self {
            order_reference: order?,
        })
    }
}

/// Use a coupon on an order.
///
/// Of two orders at once one wins. The same order again hears the same answer. With an
/// `Idempotency-Key` a request that is late does not undo what came after the first one.
#[utoipa::path(
    post,
    path = "/v1/coupons/{coupon_id}/use",
    tag = "coupons",
    operation_id = "use_coupon",
    security(("api_key" = ["coupons:write"])),
    params(
        ("coupon_id" = uuid::Uuid, Path, description = "The coupon."),
        KeyHeader,
    ),
    request_body = UseCoupon,
    responses(
        (status = 200, description = "Used on this order, now or before.", body = CouponBody,
            headers(("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before."))),
        (status = 400, description = "`malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 404, description = "`coupon-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`coupon-already-used`, `idempotency-in-progress`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 410, description = "`coupon-expired`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`, `idempotency-key-reused`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn use_coupon(
    caller: Caller<CouponsWrite>,
    Id(OfCoupon(coupon_id)): Id<OfCoupon>,
    State(app): State<App>,
    request: Keyed<UseCoupon>,
) -> Result<Response, Problem> {
    let what = |request: UseCoupon| What::Use(request.order_reference);
    changed(&app, &caller, coupon_id, request, what).await
}

/// Give a used coupon back.
///
/// Only from the order that used it. The same order again hears the same answer. With an
/// `Idempotency-Key` a request that is late does not undo what came after the first one.
#[utoipa::path(
    post,
    path = "/v1/coupons/{coupon_id}/restore",
    tag = "coupons",
    operation_id = "restore_coupon",
    security(("api_key" = ["coupons:write"])),
    params(
        ("coupon_id" = uuid::Uuid, Path, description = "The coupon."),
        KeyHeader,
    ),
    request_body = RestoreCoupon,
    responses(
        (status = 200, description = "Usable again, now or before.", body = CouponBody,
            headers(("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before."))),
        (status = 400, description = "`malformed-body`, `invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 404, description = "`coupon-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 409, description = "`coupon-not-used`, `order-reference-mismatch`, `idempotency-in-progress`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 410, description = "`coupon-expired`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 422, description = "`invalid-body`, `idempotency-key-reused`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn restore_coupon(
    caller: Caller<CouponsWrite>,
    Id(OfCoupon(coupon_id)): Id<OfCoupon>,
    State(app): State<App>,
    request: Keyed<RestoreCoupon>,
) -> Result<Response, Problem> {
    let what = |request: RestoreCoupon| What::Restore(request.order_reference);
    changed(&app, &caller, coupon_id, request, what).await
}

/// Changes the caller's coupon, and answers it as it is then.
async fn changed<T>(
    app: &App,
    caller: &Caller<CouponsWrite>,
    coupon_id: ClaimId,
    request: Keyed<T>,
    what: impl FnOnce(T) -> What,
) -> Result<Response, Problem> {
    let work = |request| ChangeLocked {
        partner_no: caller.partner_no(),
        coupon_id,
        what: what(request),
    };
    once(app, caller.principal(), request, work, |coupon| {
        let coupon = coupon.ok_or_else(|| Problem::new(Code::CouponNotFound, "nothing has this id"))?;
        Answer::json(StatusCode::OK, &CouponBody::new(coupon, app.clock().now()))
    })
    .await
}

/// What is done with a coupon.
enum What {
    Use(OrderReference),
    Restore(Option<OrderReference>),
}

struct ChangeLocked {
    partner_no: u32,
    coupon_id: ClaimId,
    what: What,
}

impl Work for ChangeLocked {
    /// `None` if the partner has no such coupon.
    type Done = Option<Coupon>;
    type Prepared = ();

    async fn prepare(&self, _app: &App) -> Result<(), Error> {
        Ok(())
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_, MySql>,
        change: Change<'_>,
        (): &(),
    ) -> Result<Option<Coupon>, Error> {
        let (partner_no, coupon_id) = (self.partner_no, self.coupon_id);
        match &self.what {
            What::Use(order) => {
                store::use_coupon(transaction, change, partner_no, coupon_id, order.clone()).await
            }
            What::Restore(order) => {
                store::restore(transaction, change, partner_no, coupon_id, order.clone()).await
            }
        }
    }
}
