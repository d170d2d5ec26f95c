//! Ids and names in the path.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use headgate_schemas::ids::{CampaignId, ClaimId, PointKey};
use headgate_schemas::names::{SubscriptionId, UserId};

use crate::app::App;
use crate::problem::{Code, Problem};

/// An id that outsiders use, and what is said of one that nobody has.
pub trait OutsideId: FromStr {
    /// The kind of problem.
    const NOT_FOUND: Code;
}

impl OutsideId for CampaignId {
    const NOT_FOUND: Code = Code::CampaignNotFound;
}

/// The id in the path. What cannot be an id is nobody's: 404, as for an unknown one.
pub struct Id<T>(pub T);

impl<T: OutsideId> FromRequestParts<App> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let not_found = || Problem::new(T::NOT_FOUND, "nothing has this id");
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, app).await else {
            return Err(not_found());
        };
        text.parse().map(Self).map_err(|_| not_found())
    }
}

/// The id of a claim.
#[derive(Clone, Copy, Debug)]
pub struct OfClaim(pub ClaimId);

/// The id of a coupon: its claim's.
#[derive(Clone, Copy, Debug)]
pub struct OfCoupon(pub ClaimId);

macro_rules! claim_id_as {
    ($name:ident, $code:ident) => {
        impl FromStr for $name {
            type Err = headgate_schemas::ids::InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl OutsideId for $name {
            const NOT_FOUND: Code = Code::$code;
        }
    };
}

impl OutsideId for PointKey {
    const NOT_FOUND: Code = Code::PointNotFound;
}

claim_id_as!(OfClaim, ClaimNotFound);
claim_id_as!(OfCoupon, CouponNotFound);

/// The user named in the path.
pub struct NamedUser(pub UserId);

impl FromRequestParts<App> for NamedUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, app).await else {
            return Err(Problem::parameter("user", "must be UTF-8"));
        };
        UserId::new(text)
            .map(Self)
            .map_err(|error| Problem::parameter("user", error.to_string()))
    }
}

/// The subscription named in the path.
pub struct NamedSubscription(pub SubscriptionId);

impl FromRequestParts<App> for NamedSubscription {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, app).await else {
            return Err(Problem::parameter("subscription_id", "must be UTF-8"));
        };
        SubscriptionId::new(text)
            .map(Self)
            .map_err(|error| Problem::parameter("subscription_id", error.to_string()))
    }
}
