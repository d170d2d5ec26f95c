//! Every route of the operator's listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::code::Code;
use super::extract::Path;
use super::layers;
use super::openapi::Document;
use crate::auth::Tokens;
use crate::state::Servers;
use crate::{
    Error, audit, campaigns, dead_letters, deliveries, lag, locks, offsets, outbox, partners, reconcile,
    refeed, replays,
};

/// The routes and their description.
fn described() -> OpenApiRouter<Servers> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(dead_letters::list::list))
        .routes(routes!(dead_letters::groups::groups))
        .routes(routes!(dead_letters::export::export))
        .routes(routes!(dead_letters::show::show))
        .routes(routes!(dead_letters::edit::edit))
        .routes(routes!(dead_letters::replay::replay))
        .routes(routes!(dead_letters::archive::archive))
        .routes(routes!(dead_letters::archive::restore))
        .routes(routes!(dead_letters::discard::discard))
        .routes(routes!(replays::rehearse::letter))
        .routes(routes!(replays::show::list, replays::plan::plan))
        .routes(routes!(replays::show::show))
        .routes(routes!(replays::show::letters))
        .routes(routes!(replays::rehearse::replay))
        .routes(routes!(replays::acts::start))
        .routes(routes!(replays::acts::pause))
        .routes(routes!(replays::acts::resume))
        .routes(routes!(replays::acts::cancel))
        .routes(routes!(campaigns::list))
        .routes(routes!(campaigns::show::show))
        .routes(routes!(campaigns::acts::pause))
        .routes(routes!(campaigns::acts::resume))
        .routes(routes!(campaigns::acts::end))
        .routes(routes!(reconcile::reconcile))
        .routes(routes!(reconcile::pipe::reconcile))
        .routes(routes!(reconcile::points::reconcile))
        .routes(routes!(reconcile::points::repair))
        .routes(routes!(partners::list, partners::create))
        .routes(routes!(partners::show))
        .routes(routes!(partners::create_key))
        .routes(routes!(partners::point_policy::show, partners::point_policy::set))
        .routes(routes!(partners::keys::rotate))
        .routes(routes!(partners::keys::revoke))
        .routes(routes!(outbox::status))
        .routes(routes!(outbox::list_blocked))
        .routes(routes!(outbox::retry))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::retry))
        .routes(routes!(deliveries::show))
        .routes(routes!(lag::lag))
        .routes(routes!(locks::list))
        .routes(routes!(locks::release))
        .routes(routes!(offsets::reset))
        .routes(routes!(refeed::refeed))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify::verify))
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// The page of a kind of problem.
async fn page(Path(code): Path<String>) -> Result<Response, Error> {
    let known = Code::ALL.iter().find(|known| known.as_str() == code);
    let page = known.ok_or(Error::RouteNotFound)?.page();
    Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], page).into_response())
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
        .route("/errors/{code}", get(page))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .fallback(async || Error::RouteNotFound)
        .layer(DefaultBodyLimit::max(layers::BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(|_| {
            Error::Internal("a handler panicked").into_response()
        }))
        .layer(from_fn_with_state(timeout, layers::time_out))
        .layer(from_fn_with_state(tokens, layers::authenticate))
        .layer(from_fn_with_state(slots, layers::limit))
        .layer(from_fn(layers::observe))
        .with_state(servers)
}
