//! Partners and the keys they call the api with.

pub mod keys;
pub mod point_policy;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use headgate_domain::partners::{Rates, Scopes, store};
use headgate_outbox::audit;
use headgate_schemas::ids::{ApiKeyId, PartnerId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{MySql, MySqlPool, Transaction};
use utoipa::{IntoParams, ToSchema};

use self::keys::{KeyRates, KeyView, NewKey, rates, scopes};
use crate::auth::{Admin, As, Viewer};
use crate::http::extract::{Body, Path, Query, page_rows};
use crate::http::problem::{FieldError, Problem};
use crate::transaction::conclude;
use crate::{Error, Thing};

/// Longest name of a partner, in characters.
const NAME_CHARS_MAX: usize = 128;
/// Most keys of a partner that are shown.
const KEYS_SHOWN_MAX: u32 = 100;

/// A partner.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PartnerView {
    /// The partner.
    #[schema(value_type = Uuid)]
    pub partner_id: PartnerId,
    /// For people.
    pub name: String,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

impl From<headgate_domain::partners::Partner> for PartnerView {
    fn from(partner: headgate_domain::partners::Partner) -> Self {
        Self {
            partner_id: partner.partner_id,
            name: partner.name,
            created_at: partner.created_at,
        }
    }
}

/// Partners.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Partners {
    /// In order of registration.
    pub items: Vec<PartnerView>,
}

/// How many partners.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Most {
    /// Most partners, 1 to 500.
    limit: Option<u32>,
}

/// Lists partners in order of registration.
#[utoipa::path(
    get, path = "/v1/partners", tag = "partners", params(Most),
    responses((status = 200, body = Partners), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn list(
    _viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Query(most): Query<Most>,
) -> Result<Json<Partners>, Error> {
    let partners = store::list(&pool, page_rows(most.limit)?).await?;
    Ok(Json(Partners {
        items: partners.into_iter().map(PartnerView::from).collect(),
    }))
}

/// A partner with its keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ShownPartner {
    /// The partner.
    #[serde(flatten)]
    pub partner: PartnerView,
    /// Its keys, the oldest first; never their text.
    pub keys: Vec<KeyView>,
}

/// Shows a partner and its keys, without their texts.
#[utoipa::path(
    get, path = "/v1/partners/{partner_id}", tag = "partners",
    params(("partner_id" = Uuid, Path, description = "The partner")),
    responses((status = 200, body = ShownPartner), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn show(
    _viewer: As<Viewer>,
    State(pool): State<MySqlPool>,
    Path(partner_id): Path<PartnerId>,
) -> Result<Json<ShownPartner>, Error> {
    let partner = store::find_partner(&pool, partner_id)
        .await?
        .ok_or_else(|| not_found(partner_id))?;
    let keys = store::list_keys(&pool, partner.partner_no, KEYS_SHOWN_MAX).await?;
    Ok(Json(ShownPartner {
        partner: partner.into(),
        keys: keys.into_iter().map(KeyView::from).collect(),
    }))
}

fn not_found(partner_id: PartnerId) -> Error {
    Error::NotFound {
        what: Thing::Partner,
        id: partner_id.to_string(),
    }
}

/// A partner to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPartner {
    /// For people, 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// What its first key may do; everything if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// How much its first key may do.
    #[serde(default, skip_serializing_if = "KeyRates::is_usual")]
    pub rates: KeyRates,
}

/// A partner that was just registered, with its first key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedPartner {
    /// The partner.
    #[serde(flatten)]
    pub partner: PartnerView,
    /// Its first key.
    #[schema(value_type = Uuid)]
    pub key_id: ApiKeyId,
    /// What the partner sends as `X-API-KEY`. Shown once and stored nowhere.
    pub api_key: String,
    /// What the key may do.
    pub scopes: Vec<String>,
}

/// Registers a partner and makes its first key. The key's text is shown once.
#[utoipa::path(
    post, path = "/v1/partners", tag = "partners", request_body = NewPartner,
    responses((status = 201, body = CreatedPartner), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn create(
    admin: As<Admin>,
    State(pool): State<MySqlPool>,
    Body(new): Body<NewPartner>,
) -> Result<(StatusCode, Json<CreatedPartner>), Error> {
    let granted = (scopes(new.scopes.as_deref())?, rates(new.rates)?);
    let name = name(&new.name)?;
    let mut transaction = pool.begin().await?;
    let created = register(&mut transaction, name, granted, &admin.operator.name).await;
    let created = conclude(transaction, created).await?;
    tracing::info!(partner_id = %created.partner.partner_id, operator = admin.operator.name, "partner created");
    Ok((StatusCode::CREATED, Json(created)))
}

/// Registers a partner with a key, and says so in the audit log, in `transaction`.
pub(crate) async fn register(
    transaction: &mut Transaction<'_, MySql>,
    name: &str,
    (granted, rates): (Scopes, Rates),
    actor: &str,
) -> Result<CreatedPartner, Error> {
    let partner = store::create_partner(&mut **transaction, name).await?;
    let key = store::create_key(&mut **transaction, partner.partner_no, granted, rates).await?;
    let detail = json!({"name": name, "key_id": key.key_id, "scopes": granted.to_string(), "rates": rates});
    let object = partner.partner_id.to_string();
    audit::record(transaction, actor, "partner.create", &object, &detail).await?;
    Ok(CreatedPartner {
        partner: partner.into(),
        key_id: key.key_id,
        api_key: key.text.reveal().to_owned(),
        scopes: keys::names(granted),
    })
}

fn name(name: &str) -> Result<&str, Error> {
    let name = name.trim();
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits {
        Ok(name)
    } else {
        let detail = format!("must have 1 to {NAME_CHARS_MAX} characters, none of them a control character");
        Err(Error::InvalidBody(vec![FieldError::new("name", detail)]))
    }
}

/// Makes another key for a partner. Its text is shown once.
#[utoipa::path(
    post, path = "/v1/partners/{partner_id}/keys", tag = "partners", request_body = NewKey,
    params(("partner_id" = Uuid, Path, description = "The partner")),
    responses((status = 201, body = keys::CreatedKeyView), (status = "4XX", body = Problem), (status = 503, body = Problem))
)]
pub async fn create_key(
    admin: As<Admin>,
    State(pool): State<MySqlPool>,
    Path(partner_id): Path<PartnerId>,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<keys::CreatedKeyView>), Error> {
    let granted = scopes(new.scopes.as_deref())?;
    let rates = rates(new.rates)?;
    let partner = store::find_partner(&pool, partner_id)
        .await?
        .ok_or_else(|| not_found(partner_id))?;
    let mut transaction = pool.begin().await?;
    let detail = json!({"partner_id": partner_id, "scopes": granted.to_string(), "rates": rates});
    let made = async {
        let key = store::create_key(&mut *transaction, partner.partner_no, granted, rates).await?;
        let object = key.key_id.to_string();
        audit::record(
            &mut transaction,
            &admin.operator.name,
            "key.create",
            &object,
            &detail,
        )
        .await?;
        Ok(key)
    }
    .await;
    let key = conclude(transaction, made).await?;
    Ok((StatusCode::CREATED, Json(key.into())))
}
