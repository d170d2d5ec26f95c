//! The caller of a request, and what it may do.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use headgate_domain::partners::{Principal, Scope};

use crate::app::App;
use crate::problem::{Code, Problem};

/// The header that carries the key.
pub const KEY_HEADER: &str = "x-api-key";

/// A scope that a handler requires.
pub trait Required {
    /// Which.
    const SCOPE: Scope;
}

macro_rules! required_scopes {
    ($($name:ident),*) => {
        $(
            #[doc = concat!("Requires [`Scope::", stringify!($name), "`].")]
            pub struct $name;

            impl Required for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )*
    };
}

required_scopes!(
    CampaignsRead,
    CampaignsWrite,
    ClaimsRead,
    ClaimsWrite,
    CouponsRead,
    CouponsWrite,
    PointsRead,
    PointsWrite,
    PointsEarn,
    SubscriptionsRead,
    SubscriptionsWrite
);

/// A caller that holds a valid key with the scope `S`: a handler that takes one cannot
/// forget to ask.
pub struct Caller<S> {
    principal: Arc<Principal>,
    scope: PhantomData<S>,
}

impl<S> Caller<S> {
    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The partner's number.
    pub fn partner_no(&self) -> u32 {
        self.principal.partner_no
    }
}

impl<S: Required> FromRequestParts<App> for Caller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let presented = parts.headers.get(KEY_HEADER).map(HeaderValue::as_bytes);
        let Some(presented) = presented else {
            let detail = "the header X-API-KEY is missing";
            return Err(Problem::new(Code::Unauthenticated, detail));
        };
        let known = app.keys().find(presented).await?;
        let principal = known.ok_or_else(|| Problem::new(Code::Unauthenticated, "the key is not valid"))?;
        if principal.scopes.allow(S::SCOPE) {
            let scope = PhantomData;
            Ok(Self { principal, scope })
        } else {
            let detail = format!("the key lacks the scope {}", S::SCOPE.as_str());
            Err(Problem::new(Code::ScopeMissing, detail))
        }
    }
}
