//! Every route of the operator's listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::layers;
use super::openapi::Document;
use crate::auth::Tokens;
use crate::state::Servers;
use crate::{Error, audit, dead_letters, lag, reconcile};

/// The routes and their description.
fn described() -> OpenApiRouter<Servers> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(dead_letters::list::list))
        .routes(routes!(dead_letters::show::show))
        .routes(routes!(dead_letters::replay::replay))
        .routes(routes!(dead_letters::replay::replay_matching))
        .routes(routes!(dead_letters::discard::discard))
        .routes(routes!(reconcile::reconcile))
        .routes(routes!(lag::lag))
        .routes(routes!(audit::list))
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// The listener's routes. None of them is reached without a token.
pub fn router(servers: Servers) -> Router {
    let http = &servers.config.http;
    let slots = Arc::new(Semaphore::new(usize::from(http.in_flight_max)));
    let tokens = Tokens::new(&servers.config.tokens);
    let timeout = http.request_timeout;
    let (routes, document) = described().split_for_parts();
    let document = axum::Json(document);
    routes
        .route("/openapi.json", get(async || document))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .fallback(async || Error::NoRoute)
        .layer(DefaultBodyLimit::max(layers::BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(|_| {
            axum::response::IntoResponse::into_response(Error::Internal("a handler panicked"))
        }))
        .layer(from_fn_with_state(timeout, layers::time_out))
        .layer(from_fn_with_state(tokens, layers::authenticate))
        .layer(from_fn_with_state(slots, layers::limit))
        .layer(from_fn(layers::observe))
        .with_state(servers)
}
