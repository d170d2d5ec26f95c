//! What a partner's points may do.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use headgate_domain::partners::store as partners;
use headgate_domain::points::Policy;
use headgate_domain::points::store::{self, OwnPolicy};
use headgate_outbox::audit;
use headgate_schemas::ids::PartnerId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{MySql, Transaction};
use utoipa::ToSchema;

use super::not_found;
use crate::Error;
use crate::auth::{Admin, As, Viewer};
use crate::http::extract::{Body, Path};
use crate::http::problem::{FieldError, Problem};
use crate::state::Servers;
use crate::transaction::conclude;

/// The limits of a partner's points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PointPolicy {
    /// Least of one earn, at least 1.
    #[schema(minimum = 1, example = 1)]
    pub earn_min: u64,
    /// Most of one earn.
    #[schema(example = 1_000_000)]
    pub earn_max: u64,
    /// Most that one wallet holds, up to 10^12.
    #[schema(maximum = 1_000_000_000_000_u64, example = 1_000_000_000)]
    pub wallet_max: u64,
    /// For how many seconds points are valid that are earned without an expiry, or come back after
    /// their lot has expired; up to ten years.
    #[schema(minimum = 1, maximum = 316_224_000, example = 31_536_000)]
    pub valid_for_seconds: u32,
}

impl From<Policy> for PointPolicy {
    fn from(policy: Policy) -> Self {
        Self {
            earn_min: policy.earn_min,
            earn_max: policy.earn_max,
            wallet_max: policy.wallet_max,
            valid_for_seconds: u32::try_from(policy.valid_for.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

impl From<PointPolicy> for Policy {
    fn from(policy: PointPolicy) -> Self {
        Self {
            earn_min: policy.earn_min,
            earn_max: policy.earn_max,
            wallet_max: policy.wallet_max,
            valid_for: Duration::from_secs(policy.valid_for_seconds.into()),
        }
    }
}

/// The limits of a partner's points, and who set them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PointPolicyView {
    /// The partner.
    #[schema(value_type = Uuid)]
    pub partner_id: PartnerId,
    /// The limits.
    #[serde(flatten)]
    pub policy: PointPolicy,
    /// When they were set; null: they are the defaults.
    pub updated_at: Option<DateTime<Utc>>,
    /// Who set them.
    pub updated_by: Option<String>,
}

impl PointPolicyView {
    fn new(partner_id: PartnerId, own: Option<OwnPolicy>) -> Self {
        let policy = own.as_ref().map_or_else(Policy::default, |own| own.policy);
        Self {
            partner_id,
            policy: policy.into(),
            updated_at: own.as_ref().map(|own| own.updated_at),
            updated_by: own.map(|own| own.updated_by),
        }
    }
}

/// Shows what a partner's points may do.
#[utoipa::path(
    get, path = "/v1/partners/{partner_id}/point-policy", tag = "partners",
    params(("partner_id" = Uuid, Path, description = "The partner")),
    responses(
        (status = 200, body = PointPolicyView), (status = "4XX", body = Problem), (status = 503, body = Problem)
    )
)]
pub async fn show(
    _viewer: As<Viewer>,
    State(servers): State<Servers>,
    Path(partner_id): Path<PartnerId>,
) -> Result<Json<PointPolicyView>, Error> {
    let partner = partners::find_partner(&servers.pool, partner_id).await?;
    let partner_no = partner.ok_or_else(|| not_found(partner_id))?.partner_no;
    let own = store::own_policy(&servers.pool, partner_no).await?;
    Ok(Json(PointPolicyView::new(partner_id, own)))
}

/// Sets what a partner's points may do. It is in force within five seconds, for what is granted from
/// then on: points that are there stay as they are.
#[utoipa::path(
    put, path = "/v1/partners/{partner_id}/point-policy", tag = "partners", request_body = PointPolicy,
    params(("partner_id" = Uuid, Path, description = "The partner")),
    responses(
        (status = 200, body = PointPolicyView), (status = "4XX", body = Problem), (status = 503, body = Problem)
    )
)]
pub async fn set(
    admin: As<Admin>,
    State(servers): State<Servers>,
    Path(partner_id): Path<PartnerId>,
    Body(wanted): Body<PointPolicy>,
) -> Result<Json<PointPolicyView>, Error> {
    let policy = Policy::from(wanted);
    let faults = policy.faults().into_iter();
    let faults: Vec<_> = faults
        .map(|(field, detail)| FieldError::new(field, detail))
        .collect();
    if !faults.is_empty() {
        return Err(Error::InvalidBody(faults));
    }
    let partner = partners::find_partner(&servers.pool, partner_id).await?;
    let partner_no = partner.ok_or_else(|| not_found(partner_id))?.partner_no;
    let now = servers.now().await?;
    let actor = &admin.operator.name;
    let mut transaction = servers.pool.begin().await?;
    let done = async {
        let before = store::policy(&mut *transaction, partner_no).await?;
        store::set_policy(&mut *transaction, partner_no, &policy, actor, now).await?;
        record(&mut transaction, actor, partner_id, before.into(), wanted).await?;
        Ok(store::own_policy(&mut *transaction, partner_no).await?)
    }
    .await;
    let own = conclude(transaction, done).await?;
    tracing::info!(%partner_id, operator = actor, "the policy of a partner's points was set");
    Ok(Json(PointPolicyView::new(partner_id, own)))
}

async fn record(
    transaction: &mut Transaction<'_, MySql>,
    actor: &str,
    partner_id: PartnerId,
    before: PointPolicy,
    after: PointPolicy,
) -> Result<(), Error> {
    let detail = json!({"before": before, "after": after});
    let object = partner_id.to_string();
    audit::record(transaction, actor, "point-policy.set", &object, &detail).await?;
    Ok(())
}
