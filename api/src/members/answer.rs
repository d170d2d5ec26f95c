//! What members are told.

use headgate_domain::members::{RefreshText, Session};
use headgate_schemas::ids::MemberId;
use headgate_schemas::names::UserId;
use serde::Serialize;
use utoipa::ToSchema;

/// A new member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberBody {
    /// The member.
    #[schema(value_type = uuid::Uuid)]
    pub member_id: MemberId,
    /// The partner's user that the member is: drawn here, never chosen.
    pub user_id: String,
}

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub struct TokensBody {
    /// The member.
    #[schema(value_type = uuid::Uuid)]
    pub member_id: MemberId,
    /// The partner's user that the member is.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Sent as `Authorization: Bearer`.
    pub access_token: String,
    /// `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds that the access token is good.
    #[schema(example = 300)]
    pub expires_in: u64,
    /// Good once, for the next tokens.
    pub refresh_token: String,
}

impl TokensBody {
    pub fn new(session: Session, access_token: String, expires_in: u64, refresh: &RefreshText) -> Self {
        Self {
            member_id: session.member.member_id,
            user_id: session.member.user_id,
            access_token,
            token_type: "Bearer",
            expires_in,
            refresh_token: refresh.reveal().to_owned(),
        }
    }
}
