//! Keys: made, rotated, revoked.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use headgate_domain::partners::{ApiKey, CreatedKey, RATE_MAX, Rates, Scope, Scopes, store};
use headgate_outbox::audit;
use headgate_schemas::ids::ApiKeyId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::MySqlPool;
use utoipa::ToSchema;

use crate::auth::{Admin, As};
use crate::http::extract::{Body, Path};
use crate::http::problem::{FieldError, Problem};
use crate::transaction::conclude;
use crate::{Error, Thing};

/// How long a rotated key goes on unless the request says otherwise.
const OVERLAP_USUAL: Duration = Duration::from_hours(24);
/// Longest overlap.
const OVERLAP_MAX: Duration = Duration::from_hours(30 * 24);

/// A key as it is listed: never its text.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// The key.
    #[schema(value_type = Uuid)]
    pub key_id: ApiKeyId,
    /// What it may do.
    pub scopes: Vec<String>,
    /// How much of it, where that is not the api's usual.
    #[serde(default)]
    pub rates: KeyRates,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// End of the overlap after a rotation.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            key_id: key.key_id,
            scopes: names(key.scopes),
            rates: key.rates.into(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// Requests per second that a key is allowed, 1 to 1,000,000 each. What is left out is as the
/// api's settings say. A burst may be twice as many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRates {
    /// All that is sent under the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub key: Option<u32>,
    /// What concerns one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub user: Option<u32>,
    /// What comes from one address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub address: Option<u32>,
}

impl KeyRates {
    /// Whether nothing is said.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Rates> for KeyRates {
    fn from(Rates { key, user, address }: Rates) -> Self {
        Self { key, user, address }
    }
}

/// A key to be.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What it may do; everything if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// How much of it.
    #[serde(default, skip_serializing_if = "KeyRates::is_usual")]
    pub rates: KeyRates,
}

/// A key that was just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedKeyView {
    /// The key.
    #[schema(value_type = Uuid)]
    pub key_id: ApiKeyId,
    /// What the partner sends as `X-API-KEY`. Shown once and stored nowhere.
    pub api_key: String,
}

impl From<CreatedKey> for CreatedKeyView {
    fn from(key: CreatedKey) -> Self {
        Self {
            key_id: key.key_id,
            api_key: key.text.reveal().to_owned(),
        }
    }
}

/// How to rotate a key.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// How long the old key goes on, in seconds: 0 to 2,592,000 (30 days); a day if left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u64>,
}

/// Makes a key with the same scopes; the old one goes on for the overlap. The new key's
/// text is shown once.
#[utoipa::path(
    post, path = "/v1/keys/{key_id}/rotate", tag = "partners", request_body = Rotation,
    params(("key_id" = Uuid, Path, description = "The key")),
    responses((status = 201, body = CreatedKeyView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn rotate(
    admin: As<Admin>,
    State(pool): State<MySqlPool>,
    Path(key_id): Path<ApiKeyId>,
    Body(rotation): Body<Rotation>,
) -> Result<(StatusCode, Json<CreatedKeyView>), Error> {
    let overlap = rotation
        .overlap_seconds
        .map_or(OVERLAP_USUAL, Duration::from_secs);
    if overlap > OVERLAP_MAX {
        let detail = format!("must be at most {}", OVERLAP_MAX.as_secs());
        return Err(Error::InvalidBody(vec![FieldError::new(
            "overlap_seconds",
            detail,
        )]));
    }
    let mut transaction = pool.begin().await?;
    let rotated = async {
        let new = store::rotate_key(&mut transaction, key_id, overlap)
            .await?
            .ok_or_else(|| not_found(key_id))?;
        let detail = json!({"new_key_id": new.key_id, "overlap_seconds": overlap.as_secs()});
        let object = key_id.to_string();
        audit::record(
            &mut transaction,
            &admin.operator.name,
            "key.rotate",
            &object,
            &detail,
        )
        .await?;
        Ok(new)
    }
    .await;
    let new = conclude(transaction, rotated).await?;
    tracing::info!(%key_id, new_key_id = %new.key_id, operator = admin.operator.name, "key rotated");
    Ok((StatusCode::CREATED, Json(new.into())))
}

/// A key that was revoked.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Revoked {
    /// The key.
    #[schema(value_type = Uuid)]
    pub key_id: ApiKeyId,
}

/// Ends a key. The api lets it in for a few seconds more at most.
#[utoipa::path(
    post, path = "/v1/keys/{key_id}/revoke", tag = "partners",
    params(("key_id" = Uuid, Path, description = "The key")),
    responses((status = 200, body = Revoked), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn revoke(
    admin: As<Admin>,
    State(pool): State<MySqlPool>,
    Path(key_id): Path<ApiKeyId>,
) -> Result<Json<Revoked>, Error> {
    let mut transaction = pool.begin().await?;
    let revoked = async {
        if !store::revoke_key(&mut *transaction, key_id).await? {
            return Err(not_found(key_id));
        }
        let object = key_id.to_string();
        audit::record(
            &mut transaction,
            &admin.operator.name,
            "key.revoke",
            &object,
            &json!({}),
        )
        .await?;
        Ok(Revoked { key_id })
    }
    .await;
    let revoked = conclude(transaction, revoked).await?;
    tracing::info!(%key_id, operator = admin.operator.name, "key revoked");
    Ok(Json(revoked))
}

fn not_found(key_id: ApiKeyId) -> Error {
    Error::NotFound {
        what: Thing::ApiKey,
        id: key_id.to_string(),
    }
}

/// The scopes that a request names; all if it names none.
pub(super) fn scopes(names: Option<&[String]>) -> Result<Scopes, Error> {
    let Some(names) = names else {
        return Ok(Scopes::all());
    };
    let wrong = |detail: String| Error::InvalidBody(vec![FieldError::new("scopes", detail)]);
    if names.is_empty() {
        return Err(wrong("must name at least one scope".to_owned()));
    }
    names.join(" ").parse().map_err(|error| {
        let known: Vec<_> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        wrong(format!("{error}; there are {}", known.join(", ")))
    })
}

/// The rates that a request names.
pub(super) fn rates(named: KeyRates) -> Result<Rates, Error> {
    let KeyRates { key, user, address } = named;
    let rates = Rates { key, user, address };
    let wrong: Vec<_> = rates
        .wrong()
        .map(|name| {
            FieldError::new(
                &format!("rates.{name}"),
                format!("must be between 1 and {RATE_MAX}"),
            )
        })
        .collect();
    if wrong.is_empty() {
        Ok(rates)
    } else {
        Err(Error::InvalidBody(wrong))
    }
}

/// The names of granted scopes.
pub(super) fn names(scopes: Scopes) -> Vec<String> {
    Scope::ALL
        .into_iter()
        .filter(|scope| scopes.allow(*scope))
        .map(|scope| scope.as_str().to_owned())
        .collect()
}
