//! A member who calls with an access token.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::tokens::Claims;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::rate_limits::{ClientAddress, Subject};

/// Before the token, in any case of letters.
const SCHEME: &str = "bearer ";

/// A member with a good token.
pub struct MemberCaller(pub Claims);

impl FromRequestParts<App> for MemberCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        // Members are counted by address alone; one with a good token is no stranger.
        let address = ClientAddress::of(parts, &app.config().http.trusted_proxies);
        let charge = app.rate_limits().charge(&[Subject::Stranger(address)]).await?;
        let invalid = || Problem::new(Code::TokenInvalid, "the access token is missing or not valid");
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|text| {
            let (scheme, token) = text.split_at_checked(SCHEME.len())?;
            scheme.eq_ignore_ascii_case(SCHEME).then_some(token)
        });
        let claims = app.members().tokens.verify(token.ok_or_else(invalid)?).await?;
        let claims = claims.ok_or_else(invalid)?;
        charge.give_back();
        Ok(Self(claims))
    }
}

/// Somebody who has neither key nor token yet, counted by address.
pub struct Anybody(pub ClientAddress);

impl FromRequestParts<App> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let address = ClientAddress::of(parts, &app.config().http.trusted_proxies);
        app.rate_limits().charge(&[Subject::Stranger(address)]).await?;
        Ok(Self(address))
    }
}
