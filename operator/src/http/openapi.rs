//! The OpenAPI document, generated from the routes and checked in as
//! `operator/openapi.json`.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::Problem;

/// What the routes do not say themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headgate operator",
        description = "Dead letters, campaigns, the outbox, partners' keys, lag, locks and the audit log. \
                       Every request needs a bearer token. Reading takes the role viewer; making, rotating and \
                       revoking keys takes admin; every other act takes operator, and is in the audit log.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
pub struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", bearer);
    }
}
