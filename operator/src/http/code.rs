//! The kinds of problems. Each has a page of its name under `docs/errors/`; where the api
//! answers the same kind, it is the same page.

use axum::http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = ($slug:literal, $status:ident, $title:literal),)*) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// No token, or one that nobody has.
    TokenRequired = ("token-required", UNAUTHORIZED, "A valid operator token is required"),
    /// The token's role may not do this.
    RoleMissing = ("role-missing", FORBIDDEN, "The token's role may not do this"),
    /// Not JSON.
    MalformedBody = ("malformed-body", BAD_REQUEST, "The body is not JSON"),
    /// JSON, but not what was expected.
    InvalidBody = ("invalid-body", UNPROCESSABLE_ENTITY, "The body is not valid"),
    /// A wrong part of the path or the query.
    InvalidParameter = ("invalid-parameter", BAD_REQUEST, "A parameter is not valid"),
    /// Too large.
    BodyTooLarge = ("body-too-large", PAYLOAD_TOO_LARGE, "The body is too large"),
    /// Not `application/json`.
    UnsupportedMediaType = ("unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body has to be JSON"),
    /// Nothing at this path.
    RouteNotFound = ("route-not-found", NOT_FOUND, "Nothing is here"),
    /// Not with this method.
    MethodNotAllowed = ("method-not-allowed", METHOD_NOT_ALLOWED, "This path does not take this method"),
    /// No such letter.
    DeadLetterNotFound = ("dead-letter-not-found", NOT_FOUND, "No such dead letter"),
    /// The letter's state does not allow it.
    DeadLetterNotOpen = ("dead-letter-not-open", CONFLICT, "The dead letter is not open"),
    /// Only archived and quarantined letters are restored.
    DeadLetterNotArchived =
        ("dead-letter-not-archived", CONFLICT, "The dead letter is neither archived nor quarantined"),
    /// Another letter of its key stands before it.
    DeadLetterParked = ("dead-letter-parked", CONFLICT, "The dead letter waits behind another"),
    /// Somebody else edited it meanwhile.
    DeadLetterEdited = ("dead-letter-edited", CONFLICT, "The dead letter was edited meanwhile"),
    /// It was edited as often as a letter can be.
    DeadLetterEditsSpent = ("dead-letter-edits-spent", CONFLICT, "The dead letter was edited too often"),
    /// The inbox no longer knows its event.
    DeadLetterTooOld = ("dead-letter-too-old", CONFLICT, "The dead letter is older than the inbox"),
    /// Its topic is no longer in the catalogue.
    DeadLetterTopicUnknown = ("dead-letter-topic-unknown", CONFLICT, "The dead letter's topic is no more"),
    /// No such replay.
    ReplayNotFound = ("replay-not-found", NOT_FOUND, "No such replay"),
    /// The replay's state does not allow it.
    ReplayState = ("replay-state", CONFLICT, "The replay's state does not allow it"),
    /// More letters match than a replay takes.
    ReplayTooLarge = ("replay-too-large", UNPROCESSABLE_ENTITY, "More dead letters match than one replay takes"),
    /// No such wallet.
    WalletNotFound = ("wallet-not-found", NOT_FOUND, "No such wallet"),
    /// A ledger that contradicts itself.
    LedgerDamaged = ("ledger-damaged", CONFLICT, "The ledger contradicts itself"),
    /// No such campaign.
    CampaignNotFound = ("campaign-not-found", NOT_FOUND, "No such campaign"),
    /// It opens later.
    CampaignNotOpen = ("campaign-not-open", CONFLICT, "The campaign is not open yet"),
    /// It is over.
    CampaignEnded = ("campaign-ended", GONE, "The campaign has ended"),
    /// A quota only goes up.
    QuotaLowered = ("quota-lowered", CONFLICT, "A quota can only be raised"),
    /// No such partner.
    PartnerNotFound = ("partner-not-found", NOT_FOUND, "No such partner"),
    /// No key of this id that holds.
    ApiKeyNotFound = ("api-key-not-found", NOT_FOUND, "No such API key that holds"),
    /// No such consumer group.
    GroupNotFound = ("group-not-found", NOT_FOUND, "No such consumer group"),
    /// A running group cannot be moved.
    GroupRunning = ("group-running", CONFLICT, "The group is running"),
    /// Events would be applied again.
    OffsetsTooOld = ("offsets-too-old", CONFLICT, "The inbox does not reach back that far"),
    /// Without an archive nothing is known of what was published.
    ArchiveOff = ("archive-off", CONFLICT, "The relay keeps no archive"),
    /// No row of the aggregate is blocked.
    NothingBlocked = ("nothing-blocked", NOT_FOUND, "Nothing of this aggregate is blocked"),
    /// No such delivery.
    DeliveryNotFound = ("delivery-not-found", NOT_FOUND, "No such delivery"),
    /// No such subscription of the partner.
    SubscriptionNotFound = ("subscription-not-found", NOT_FOUND, "No such subscription"),
    /// Nobody holds the lock.
    LockNotHeld = ("lock-not-held", NOT_FOUND, "Nobody holds this lock"),
    /// Too many requests at once.
    Overloaded = ("overloaded", SERVICE_UNAVAILABLE, "Too many requests at once"),
    /// Something the answer needs is away.
    ServiceUnavailable = ("service-unavailable", SERVICE_UNAVAILABLE, "Not available right now"),
    /// No answer in time.
    RequestTimeout = ("request-timeout", SERVICE_UNAVAILABLE, "There was no answer in time"),
    /// A fault of ours.
    Internal = ("internal", INTERNAL_SERVER_ERROR, "Something is wrong on our side"),
}
