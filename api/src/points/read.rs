//! What a user has, and had.

use axum::Json;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use headgate_domain::points::store;

use super::answer::{BalanceBody, MovementBody, MovementPage};
use crate::app::App;
use crate::keys::{Caller, PointsRead};
use crate::problem::{self, Problem};
use crate::request::{NamedUser, Page};

/// Whether a balance is read from the ledger.
pub struct Consistent(bool);

impl FromRequestParts<App> for Consistent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::parameter("query", "must be name=value pairs, percent-encoded"))?;
        match pairs.as_slice() {
            [] => Ok(Self(false)),
            [(name, value)] if name == "consistent" => match value.as_str() {
                "true" => Ok(Self(true)),
                "false" => Ok(Self(false)),
                _ => Err(Problem::parameter("consistent", "must be true or false")),
            },
            [(name, _), ..] if name != "consistent" => Err(Problem::parameter(name, "is unknown")),
            _ => Err(Problem::parameter("consistent", "must be given once")),
        }
    }
}

/// What a user has.
///
/// `as_of` says how fresh it is: the balance follows the ledger by a moment. With
/// `consistent=true` it is read from the ledger, and is what a use would find now.
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/points",
    tag = "points",
    operation_id = "get_point_balance",
    security(("api_key" = ["points:read"])),
    params(
        ("user_id" = String, Path, description = "The partner's own name of the user."),
        ("consistent" = Option<bool>, Query, description = "Read the ledger; `false` unless given."),
    ),
    responses(
        (status = 200, description = "What can be spent; 0 for a user nobody has heard of.", body = BalanceBody),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn get_balance(
    caller: Caller<PointsRead>,
    NamedUser(user_id): NamedUser,
    Consistent(consistent): Consistent,
    State(app): State<App>,
) -> Result<Json<BalanceBody>, Problem> {
    let now = app.clock().now();
    let balance = if consistent {
        store::balance(app.pool(), caller.partner_no(), &user_id, now).await?
    } else {
        app.balances().of(caller.principal(), &user_id, now).await?
    };
    Ok(Json(balance.into()))
}

/// A user's movements of points, the latest first.
#[utoipa::path(
    get,
    path = "/v1/users/{user_id}/points/history",
    tag = "points",
    operation_id = "list_point_movements",
    security(("api_key" = ["points:read"])),
    params(
        ("user_id" = String, Path, description = "The partner's own name of the user."),
        ("limit" = Option<u32>, Query, description = "Most items, 1 to 100; 20 unless given."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses(
        (status = 200, description = "A page; empty for a user nobody has heard of.", body = MovementPage),
        (status = 400, description = "`invalid-parameter`", body = problem::Body<'static>, content_type = "application/problem+json"),
    )
)]
pub async fn list_movements(
    caller: Caller<PointsRead>,
    NamedUser(user_id): NamedUser,
    page: Page<u64>,
    State(app): State<App>,
) -> Result<Json<MovementPage>, Problem> {
    let found = store::history(app.pool(), caller.partner_no(), &user_id, page.after, page.limit).await?;
    Ok(Json(MovementPage {
        items: found.items.into_iter().map(MovementBody::from).collect(),
        next_cursor: found.next.map(|entry_no| entry_no.to_string()),
    }))
}
