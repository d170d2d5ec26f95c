//! The kinds of problems. Each has a page of its name under `docs/errors/`.

use axum::http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = ($slug:literal, $status:ident, $title:literal),)*) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The stable word for it: the `code`, and the name of its page.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Its page.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../../docs/errors/", $slug, ".md")),)*
                }
            }
        }
    };
}

codes! {
    /// No such campaign, or another partner's.
    CampaignNotFound = ("campaign-not-found", NOT_FOUND, "No such campaign"),
    /// It opens later.
    CampaignNotOpen = ("campaign-not-open", CONFLICT, "The campaign is not open yet"),
    /// It takes no claims for the time being.
    CampaignPaused = ("campaign-paused", CONFLICT, "The campaign is paused"),
    /// It is over.
    CampaignEnded = ("campaign-ended", GONE, "The campaign has ended"),
    /// A quota only goes up.
    QuotaLowered = ("quota-lowered", CONFLICT, "A quota can only be raised"),
    /// No such claim, or another partner's.
    ClaimNotFound = ("claim-not-found", NOT_FOUND, "No such claim"),
    /// The user has one already.
    CouponAlreadyClaimed = ("coupon-already-claimed", CONFLICT, "The user has claimed already"),
    /// None is left.
    CouponSoldOut = ("coupon-sold-out", CONFLICT, "The coupons are sold out"),
    /// No such coupon, or another partner's.
    CouponNotFound = ("coupon-not-found", NOT_FOUND, "No such coupon"),
    /// It was used on another order.
    CouponAlreadyUsed = ("coupon-already-used", CONFLICT, "The coupon was used already"),
    /// Only a used coupon can be given back.
    CouponNotUsed = ("coupon-not-used", CONFLICT, "The coupon is not in use"),
    /// It is in use by another order.
    OrderReferenceMismatch = ("order-reference-mismatch", CONFLICT, "The coupon was used on another order"),
    /// Its time is up.
    CouponExpired = ("coupon-expired", GONE, "The coupon has expired"),
    /// The user has fewer that can be spent.
    PointsInsufficient = ("points-insufficient", CONFLICT, "Too few points"),
    /// The wallet would hold more than it may.
    PointsLimitExceeded = ("points-limit-exceeded", CONFLICT, "The wallet may not hold so much"),
    /// No such movement, or another partner's.
    PointNotFound = ("point-not-found", NOT_FOUND, "No such movement of points"),
    /// Only a use and an earn can be cancelled.
    PointNotCancellable = ("point-not-cancellable", CONFLICT, "The movement cannot be cancelled"),
    /// Less is left to be cancelled.
    PointCancelExceeds = ("point-cancel-exceeds", CONFLICT, "Not so much of it can be cancelled"),
    /// Somebody else works on the wallet.
    WalletBusy = ("wallet-busy", CONFLICT, "The wallet is busy"),
    /// No such subscription, or another partner's.
    SubscriptionNotFound = ("subscription-not-found", NOT_FOUND, "No such subscription"),
    /// Only webhooks have secrets.
    SubscriptionNotWebhook = ("subscription-not-webhook", CONFLICT, "The subscription is not a webhook"),
    /// The partner has as many as it may.
    TooManySubscriptions = ("too-many-subscriptions", CONFLICT, "Too many subscriptions"),
    /// The request needs a key.
    IdempotencyKeyMissing = ("idempotency-key-missing", BAD_REQUEST, "An idempotency key is required"),
    /// The key was used for something else.
    IdempotencyKeyReused = ("idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key was used before"),
    /// Somebody is about to answer the same request.
    IdempotencyInProgress = ("idempotency-in-progress", CONFLICT, "The same request is being answered"),
    /// Not JSON.
    MalformedBody = ("malformed-body", BAD_REQUEST, "The body is not JSON"),
    /// JSON, but not what was expected.
    InvalidBody = ("invalid-body", UNPROCESSABLE_ENTITY, "The body is not valid"),
    /// A wrong part of the path or the query, or a wrong header.
    InvalidParameter = ("invalid-parameter", BAD_REQUEST, "A parameter is not valid"),
    /// Too large.
    BodyTooLarge = ("body-too-large", PAYLOAD_TOO_LARGE, "The body is too large"),
    /// It stopped coming.
    BodyTimeout = ("body-timeout", REQUEST_TIMEOUT, "The body did not come in time"),
    /// Not `application/json`.
    UnsupportedMediaType = ("unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body has to be JSON"),
    /// No valid key.
    Unauthenticated = ("unauthenticated", UNAUTHORIZED, "A valid API key is required"),
    /// Wrong name or password.
    LoginFailed = ("login-failed", UNAUTHORIZED, "The login failed"),
    /// Somebody else's name.
    LoginTaken = ("login-taken", CONFLICT, "The login name is taken"),
    /// No valid token.
    TokenInvalid = ("token-invalid", UNAUTHORIZED, "A valid token is required"),
    /// The key may not do this.
    ScopeMissing = ("scope-missing", FORBIDDEN, "The API key may not do this"),
    /// Too many of them.
    RateLimited = ("rate-limited", TOO_MANY_REQUESTS, "Too many requests"),
    /// Nothing at this path.
    RouteNotFound = ("route-not-found", NOT_FOUND, "Nothing is here"),
    /// Not with this method.
    MethodNotAllowed = ("method-not-allowed", METHOD_NOT_ALLOWED, "This path does not take this method"),
    /// Too many requests at once.
    Overloaded = ("overloaded", SERVICE_UNAVAILABLE, "Too many requests at once"),
    /// Something the answer needs is away.
    ServiceUnavailable = ("service-unavailable", SERVICE_UNAVAILABLE, "Not available right now"),
    /// No answer in time.
    RequestTimeout = ("request-timeout", SERVICE_UNAVAILABLE, "There was no answer in time"),
    /// A fault of ours.
    Internal = ("internal", INTERNAL_SERVER_ERROR, "Something is wrong on our side"),
}
