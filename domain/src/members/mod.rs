//! Members: the customers of a partner, who log in and act for themselves.

mod credentials;
pub mod store;

use chrono::{DateTime, Utc};
use headgate_schemas::ids::{MemberId, PartnerId, SessionId};
use headgate_schemas::names::UserId;

pub use credentials::{
    InvalidLogin, InvalidPassword, LOGIN_CHARS_MAX, Login, PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, Password,
    RefreshHash, RefreshText,
};

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The number that other tables refer to.
    pub member_no: u32,
    /// The id that outsiders see.
    pub member_id: MemberId,
    /// Whose customer it is.
    pub partner_no: u32,
    /// The same, for outsiders.
    pub partner_id: PartnerId,
    /// The partner's user that it is.
    pub user_id: UserId,
}

/// A session that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which.
    pub session_id: SessionId,
    /// Whose.
    pub member: Member,
    /// Its end, however often it is refreshed.
    pub expires_at: DateTime<Utc>,
}

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The session goes on with the new token.
    On(Session),
    /// Nobody has this token, or its session is over.
    Refused,
    /// The token was used before: its session was ended now. Commit that.
    Reused(SessionId),
}

/// A key that signs access tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// For which period.
    pub period: u32,
    /// How tokens name it.
    pub kid: [u8; 16],
    /// Never shown.
    pub secret: [u8; 32],
}

impl SigningKey {
    /// A new one.
    pub fn generate(period: u32) -> Self {
        Self {
            period,
            kid: rand::random(),
            secret: rand::random(),
        }
    }
}
