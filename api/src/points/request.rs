//! What is asked of points.

use chrono::{DateTime, TimeDelta, Utc};
use headgate_domain::points::POINTS_MAX;
use headgate_domain::points::policy::VALID_FOR_MAX;
use headgate_schemas::names::{PointReference, UserId};
use serde_json::Value;
use utoipa::ToSchema;

use crate::request::{Fields, ReadBody, parsed, text, time, whole_number};

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 256;

fn points(value: &Value) -> Result<u64, String> {
    match whole_number(value)? {
        points @ 1..=POINTS_MAX => Ok(points),
        _ => Err(format!("must be between 1 and {POINTS_MAX}")),
    }
}

/// Points to be granted.
#[derive(ToSchema)]
pub struct EarnPoints {
    /// How many: what the partner's policy allows.
    #[schema(minimum = 1, example = 1000)]
    pub amount: u64,
    /// Until when they can be spent: in the future, at most ten years. As the policy says if it is
    /// left out.
    pub expires_at: Option<DateTime<Utc>>,
    /// Why, up to 256 characters.
    #[schema(max_length = 256, example = "signup")]
    pub reason: Option<String>,
}

impl ReadBody for EarnPoints {
    fn read(fields: &mut Fields) -> Option<Self> {
        let now = fields.now();
        let amount = fields.required("amount", points);
        let expires_at = fields.optional("expires_at", |value| expiry(value, now));
        let reason = fields.optional("reason", |value| {
            let reason = text(value)?;
            if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
                return Err(format!("must have 1 to {REASON_CHARS_MAX} characters"));
            }
            Ok(reason.to_owned())
        });
        Some(Self {
            amount: amount?,
            expires_at: expires_at?,
            reason: reason?,
        })
    }
}

fn expiry(value: &Value, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let expires_at = time(value)?;
    let latest = now + TimeDelta::from_std(VALID_FOR_MAX).unwrap_or_default();
    if expires_at <= now {
        Err("must lie in the future".to_owned())
    } else if expires_at > latest {
        Err("must be at most ten years away".to_owned())
    } else {
        Ok(expires_at)
    }
}

/// Points to be spent.
#[derive(ToSchema)]
pub struct UsePoints {
    /// How many.
    #[schema(minimum = 1, example = 300)]
    pub amount: u64,
    /// What for: the partner's own name, 1 to 64 characters.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, example = "order-7")]
    pub reference: Option<PointReference>,
}

impl ReadBody for UsePoints {
    fn read(fields: &mut Fields) -> Option<Self> {
        let amount = fields.required("amount", points);
        let reference = fields.optional("reference", |value| parsed(PointReference::new(text(value)?)));
        Some(Self {
            amount: amount?,
            reference: reference?,
        })
    }
}

/// How much of a movement is to be cancelled.
#[derive(ToSchema)]
pub struct CancelPoints {
    /// So many points; all that is left to be cancelled if it is left out.
    #[schema(minimum = 1, example = 100)]
    pub amount: Option<u64>,
}

impl ReadBody for CancelPoints {
    const MAY_BE_ABSENT: bool = true;

    fn read(fields: &mut Fields) -> Option<Self> {
        let amount = fields.optional("amount", points);
        Some(Self { amount: amount? })
    }
}

/// Points that go from one user to another.
#[derive(ToSchema)]
pub struct TransferPoints {
    /// Whose they are.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "u-1")]
    pub from_user: UserId,
    /// Whose they become.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "u-2")]
    pub to_user: UserId,
    /// How many.
    #[schema(minimum = 1, example = 50)]
    pub amount: u64,
}

impl ReadBody for TransferPoints {
    fn read(fields: &mut Fields) -> Option<Self> {
        let user = |value: &Value| parsed(UserId::new(text(value)?));
        let from_user = fields.required("from_user", user);
        let to_user = fields.required("to_user", user);
        let amount = fields.required("amount", points);
        if from_user.is_some() && from_user == to_user {
            fields.fault("to_user", "must be another user than from_user");
        }
        Some(Self {
            from_user: from_user?,
            to_user: to_user?,
            amount: amount?,
        })
    }
}
