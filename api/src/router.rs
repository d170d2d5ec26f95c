//! Every route of the api.

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;
use crate::http::observe::{Observer, observe};
use crate::openapi;
use crate::problem::{Code, Problem};
use crate::{campaigns, claims, coupons, members, points, subscriptions};

/// The routes that `openapi.json` describes. Scopes are in the handlers' signatures.
pub fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(campaigns::register_campaign, campaigns::list_campaigns))
        .routes(routes!(campaigns::get_campaign, campaigns::change_campaign))
        .routes(routes!(campaigns::pause_campaign))
        .routes(routes!(campaigns::resume_campaign))
        .routes(routes!(campaigns::end_campaign))
        .routes(routes!(claims::claim))
        .routes(routes!(claims::get_claim))
        .routes(routes!(claims::claim_events))
        .routes(routes!(coupons::list_coupons))
        .routes(routes!(coupons::use_coupon))
        .routes(routes!(coupons::restore_coupon))
        .routes(routes!(points::earn_points))
        .routes(routes!(points::use_points))
        .routes(routes!(points::cancel_points))
        .routes(routes!(points::transfer_points))
        .routes(routes!(points::get_balance))
        .routes(routes!(points::list_movements))
        .routes(routes!(members::sign_up))
        .routes(routes!(members::log_in))
        .routes(routes!(members::refresh))
        .routes(routes!(members::log_out))
        .routes(routes!(subscriptions::list_subscriptions))
        .routes(routes!(
            subscriptions::put_subscription,
            subscriptions::get_subscription,
            subscriptions::delete_subscription
        ))
        .routes(routes!(subscriptions::rotate_secret))
}

/// All routes, with what happens around every handler.
pub fn router(app: App) -> Router {
    let observer = Observer::new(app.config());
    let (routes, openapi) = described().split_for_parts();
    routes
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi))
        .route("/errors/{code}", get(problem_page))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(observer, observe))
        .with_state(app)
}

/// The page that the `type` of a problem leads to.
async fn problem_page(Path(code): Path<String>) -> Result<Response, Problem> {
    let known = Code::ALL.iter().find(|known| known.as_str() == code);
    let known = known.ok_or_else(|| Problem::new(Code::RouteNotFound, "no problem has this name"))?;
    let content_type = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
    Ok((content_type, known.page()).into_response())
}

async fn no_route() -> Problem {
    Problem::new(Code::RouteNotFound, "no resource has this path")
}

async fn wrong_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "see the header Allow")
}
