//! `GET /v1/users/{user}/coupons`.

use axum::Json;
use axum::extract::State;
use headgate_domain::coupons::store;

use super::answer::{CouponBody, CouponPage};
use crate::app::App;
use crate::keys::{Caller, CouponsRead};
use crate::problem::{self, Problem};
use crate::request::{NamedUser, OfCoupon, Page};

/// A user's coupons of all the partner's campaigns, the latest first.
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/coupons",
    tag = "coupons",
    operation_id = "list_coupons",
    security(("api_key" = ["coupons:read"])),
    params(
        ("user_id" = String, Path, description = "The partner's own name of the user."),
        ("limit" = Option<u32>, Query, description = "Most items, 1 to 100; 20 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page; empty for a user nobody has heard of.", body = CouponPage),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn list_coupons(
    caller: Caller<CouponsRead>,
    NamedUser(user_id): NamedUser,
    page: Page<OfCoupon>,
    State(app): State<App>,
) -> Result<Json<CouponPage>, Problem> {
    let after = page.after.map(|OfCoupon(id)| id);
    let found = store::list_of_user(app.pool(), caller.partner_no(), &user_id, after, page.limit).await?;
    let now = app.clock().now();
    Ok(Json(CouponPage {
        items: found
            .items
            .into_iter()
            .map(|coupon| CouponBody::new(coupon, now))
            .collect(),
        next_cursor: found.next.map(|id| id.to_string()),
    }))
}
