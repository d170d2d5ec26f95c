//! `GET /v1/subscriptions` and `GET /v1/subscriptions/{id}`. Always read from MySQL.

use axum::Json;
use axum::extract::State;
use headgate_domain::notifications::store;
use headgate_schemas::names::SubscriptionId;

use super::answer::{ShownSubscription, SubscriptionBody, SubscriptionPage};
use crate::app::App;
use crate::keys::{Caller, SubscriptionsRead};
use crate::problem::{self, Code, Problem};
use crate::request::{NamedSubscription, Page};

/// The partner's subscriptions, in the order of their names.
#[utoipa::path(
    get,
    path = "/v1/subscriptions",
    tag = "subscriptions",
    operation_id = "list_subscriptions",
    security(("api_key" = ["subscriptions:read"])),
    params(
        ("limit" = Option<u32>, Query, description = "Most items, 1 to 100; 20 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = SubscriptionPage),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn list_subscriptions(
    caller: Caller<SubscriptionsRead>,
    page: Page<SubscriptionId>,
    State(app): State<App>,
) -> Result<Json<SubscriptionPage>, Problem> {
    let found =
        store::list_subscriptions(app.pool(), caller.partner_no(), page.after.as_ref(), page.limit).await?;
    let now = app.clock().now();
    let items = found.items.into_iter();
    Ok(Json(SubscriptionPage {
        items: items
            .map(|subscription| SubscriptionBody::new(subscription, now))
            .collect(),
        next_cursor: found.next.map(|id| id.to_string()),
    }))
}

/// A subscription, and how its deliveries stand.
#[utoipa::path(
    get,
    path = "/v1/subscriptions/{subscription_id}",
    tag = "subscriptions",
    operation_id = "get_subscription",
    security(("api_key" = ["subscriptions:read"])),
    params(("subscription_id" = String, Path, description = "The partner's own name of it.")),
    responses(
        (status = 200, description = "The subscription.", body = ShownSubscription),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
        (status = 404, description = "`subscription-not-found`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn get_subscription(
    caller: Caller<SubscriptionsRead>,
    NamedSubscription(subscription_id): NamedSubscription,
    State(app): State<App>,
) -> Result<Json<ShownSubscription>, Problem> {
    let found = store::find_subscription(app.pool(), caller.partner_no(), &subscription_id).await?;
    let found = found.ok_or_else(not_found)?;
    let backlog = store::of_subscription(app.pool(), found.subscription_no).await?;
    Ok(Json(ShownSubscription::new(found, backlog, app.clock().now())))
}

pub(super) fn not_found() -> Problem {
    Problem::new(Code::SubscriptionNotFound, "no subscription has this name")
}
