//! The OpenAPI document: made from the handlers, checked in as `api/openapi.json`, and
//! served at `/openapi.json` and `/docs`.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, License};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Paths};

use crate::router;

/// What stands around the paths.
pub fn frame() -> OpenApi {
    let mut components = Components::new();
    let key = ApiKeyValue::with_description(
        "X-API-KEY",
        "A partner's key. The scopes that a request needs are listed with it.",
    );
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A member's access token: he acts for himself."))
        .build();
    components.add_security_scheme("access_token", SecurityScheme::Http(token));
    let info = InfoBuilder::new()
        .title("Headgate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(License::new("Apache-2.0")))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .paths(Paths::new())
        .components(Some(components))
        .build()
}

const DESCRIPTION: &str = "First-come-first-served coupons, and points. Errors are `application/problem+json` (RFC 9457): \
     `code` is a stable word, `type` leads to a page about it. Besides the answers listed, every request may \
     meet 401 `unauthenticated`, 403 `scope-missing`, 408 `body-timeout`, 413 `body-too-large`, 415 `unsupported-media-type`, and, with \
     `Retry-After`, 429 `rate-limited` and 503. Bodies with unknown fields are refused. Every POST may be sent again: under \
     an `Idempotency-Key` where that is listed, and by its nature where it is not.";

/// The document as it is checked in.
pub fn document() -> Result<String, serde_json::Error> {
    let (_, openapi) = router::described().split_for_parts();
    let mut text = serde_json::to_string_pretty(&openapi)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_document_is_fresh() {
        let checked_in = include_str!("../openapi.json");
        let fresh = document().expect("JSON");
        assert!(
            checked_in == fresh,
            "api/openapi.json is stale: run `cargo run -p headgate-api -- --print-openapi > api/openapi.json`"
        );
    }
}
