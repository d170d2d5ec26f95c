//! The caller of a request, and what it may do.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::request::Parts;
use headgate_domain::partners::{Principal, Scope};
use headgate_schemas::names::UserId;

use super::ring::Recalled;
use crate::app::App;
use crate::problem::{Code, Problem};
use crate::rate_limits::{Charge, ClientAddress, Subject};

/// The header that carries the key.
pub const KEY_HEADER: &str = "x-api-key";
/// What a path has where it names a user, and the name of that part.
const USER_SEGMENT: &str = "/{user_id}/";
const USER_PARAM: &str = "user_id";

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

/// A caller that holds a valid key with the scope `S`, and is within its limits: a handler that
/// takes one cannot forget to ask. The user in the path counts; one in the body has to be named
/// to [`Caller::acts_for`].
pub struct Caller<S> {
    principal: Arc<Principal>,
    charge: Charge,
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

    /// Counts the request for the user that its body names. One that is refused counts for
    /// nobody: a user who floods does not use up what the key may send for others.
    pub async fn acts_for(&self, app: &App, user: &UserId) -> Result<(), Problem> {
        let user = Subject::User(&self.principal, user.as_str());
        let charged = app.rate_limits().charge(&[user]).await;
        charged.map(drop).inspect_err(|_| self.charge.give_back())
    }
}

impl<S: Required> FromRequestParts<App> for Caller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let address = ClientAddress::of(parts, &app.config().http.trusted_proxies);
        let principal = authenticated(parts, app, address).await?;
        let user = user_in_path(parts).await;
        let mut subjects = vec![Subject::Key(&principal), Subject::Address(&principal, address)];
        subjects.extend(user.as_deref().map(|user| Subject::User(&principal, user)));
        let charge = app.rate_limits().charge(&subjects).await?;
        if principal.scopes.allow(S::SCOPE) {
            let scope = PhantomData;
            Ok(Self {
                principal,
                charge,
                scope,
            })
        } else {
            let detail = format!("the key lacks the scope {}", S::SCOPE.as_str());
            Err(Problem::new(Code::ScopeMissing, detail))
        }
    }
}

/// Who presents the key. Without a valid one the address is charged, and before anybody is asked
/// about a key that may be made up; a key in use asks nobody and costs its address nothing.
async fn authenticated(parts: &Parts, app: &App, address: ClientAddress) -> Result<Arc<Principal>, Problem> {
    let stranger = Stranger { app, address };
    let unauthenticated = |detail| Err(Problem::new(Code::Unauthenticated, detail));
    let Some(presented) = parts.headers.get(KEY_HEADER) else {
        stranger.charge().await?;
        return unauthenticated("the header X-API-KEY is missing");
    };
    let found = match app.keys().recall(presented.as_bytes()).await {
        Recalled::Valid(principal) => return Ok(principal),
        Recalled::Forgotten(key) => app.keys().look_up(key, &stranger).await?,
        Recalled::Invalid => {
            stranger.charge().await?;
            None
        }
    };
    found.map_or_else(|| unauthenticated("the key is not valid"), Ok)
}

/// Somebody whose key is not known to be valid.
pub(super) struct Stranger<'a> {
    app: &'a App,
    address: ClientAddress,
}

impl Stranger<'_> {
    /// Counts the request for its address.
    pub async fn charge(&self) -> Result<Charge, Problem> {
        let subject = Subject::Stranger(self.address);
        self.app.rate_limits().charge(&[subject]).await
    }
}

/// The user that the path names, if it names one.
async fn user_in_path(parts: &mut Parts) -> Option<String> {
    let route = parts.extensions.get::<MatchedPath>()?;
    if !route.as_str().contains(USER_SEGMENT) {
        return None;
    }
    let named = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let user = named.iter().find(|(name, _)| *name == USER_PARAM);
    user.map(|(_, user)| user.to_owned())
}
