//! Policies.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::MySqlExecutor;

use crate::points::Policy;

/// A policy that was set for a partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPolicy {
    /// It.
    pub policy: Policy,
    /// When it was set.
    pub updated_at: DateTime<Utc>,
    /// Who set it.
    pub updated_by: String,
}

/// A partner's policy; the default if it has none of its own.
pub async fn policy(on: impl MySqlExecutor<'_>, partner_no: u32) -> Result<Policy, sqlx::Error> {
    let own = own_policy(on, partner_no).await?;
    Ok(own.map_or_else(Policy::default, |own| own.policy))
}

/// The policy that was set for a partner, if one was.
pub async fn own_policy(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
) -> Result<Option<OwnPolicy>, sqlx::Error> {
    let own = sqlx::query!(
        r#"SELECT earn_min, earn_max, wallet_max, valid_for_seconds,
               updated_at AS "updated_at: DateTime<Utc>", updated_by
           FROM point_policies WHERE partner_no = ?"#,
        partner_no
    )
    .fetch_optional(on)
    .await?;
    Ok(own.map(|own| OwnPolicy {
        policy: Policy {
            earn_min: own.earn_min,
            earn_max: own.earn_max,
            wallet_max: own.wallet_max,
            valid_for: Duration::from_secs(own.valid_for_seconds.into()),
        },
        updated_at: own.updated_at,
        updated_by: own.updated_by,
    }))
}

/// Sets a partner's policy, which has no [faults](Policy::faults).
pub async fn set_policy(
    on: impl MySqlExecutor<'_>,
    partner_no: u32,
    policy: &Policy,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO point_policies (partner_no, earn_min, earn_max, wallet_max, valid_for_seconds, updated_at,
             updated_by)
         VALUES (?, ?, ?, ?, ?, ?, ?) AS new
         ON DUPLICATE KEY UPDATE earn_min = new.earn_min, earn_max = new.earn_max, wallet_max = new.wallet_max,
             valid_for_seconds = new.valid_for_seconds, updated_at = new.updated_at, updated_by = new.updated_by",
        partner_no,
        policy.earn_min,
        policy.earn_max,
        policy.wallet_max,
        policy.valid_for.as_secs(),
        now,
        actor
    )
    .execute(on)
    .await?;
    Ok(())
}
