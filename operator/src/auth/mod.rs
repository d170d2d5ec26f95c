//! Who operates, and what they may do.

mod tokens;

use std::fmt;
use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use tokens::{TokenConfig, Tokens};

use crate::Error;

/// What an operator may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look, with payloads masked.
    Viewer,
    /// See payloads, replay, discard, retry, release, pause and end.
    Operator,
    /// Make and revoke keys.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// Whoever presented a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Name of the token, as the audit log shows it.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Operator {
    /// Whether personal data is shown to them.
    pub fn sees_payloads(&self) -> bool {
        self.role >= Role::Operator
    }
}

/// The least role that a handler asks for; named in its signature.
pub trait Level {
    /// The role.
    const ROLE: Role;
}

/// Anyone with a token.
#[derive(Clone, Copy, Debug)]
pub struct Viewer;
/// Those who act on letters, campaigns and the outbox.
#[derive(Clone, Copy, Debug)]
pub struct Acting;
/// Those who hand out keys.
#[derive(Clone, Copy, Debug)]
pub struct Admin;

impl Level for Viewer {
    const ROLE: Role = Role::Viewer;
}
impl Level for Acting {
    const ROLE: Role = Role::Operator;
}
impl Level for Admin {
    const ROLE: Role = Role::Admin;
}

/// An operator of at least level `L`. The only way to learn who calls.
#[derive(Clone, Debug)]
pub struct As<L: Level> {
    /// Who.
    pub operator: Operator,
    level: PhantomData<L>,
}

impl<S: Sync, L: Level> FromRequestParts<S> for As<L> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Error> {
        // Put there by `http::layers::authenticate`, which lets nobody else through.
        let operator = parts
            .extensions
            .get::<Operator>()
            .cloned()
            .ok_or(Error::TokenRequired)?;
        if operator.role < L::ROLE {
            return Err(Error::RoleMissing {
                needed: L::ROLE,
                held: operator.role,
            });
        }
        Ok(Self {
            operator,
            level: PhantomData,
        })
    }
}
