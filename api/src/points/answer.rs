//! Points as outsiders see them.

use chrono::{DateTime, Utc};
use headgate_domain::points::store::{Balance, Expiring};
use headgate_domain::points::{Entry, EntryKind, Moved, Transferred};
use headgate_schemas::ids::{PointKey, TransferId};
use headgate_schemas::names::{PointReference, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// A movement of points.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Moved)]
pub struct MovedBody {
    /// The movement: what a cancellation names.
    #[schema(value_type = uuid::Uuid)]
    pub point_key: PointKey,
    /// Of a cancellation: the movement that it cancels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub cancels: Option<PointKey>,
    /// How many points were moved.
    #[schema(example = 300)]
    pub amount: u64,
    /// What the wallet holds after it.
    #[schema(example = 700)]
    pub balance: u64,
    /// Of points that were granted, or that came back too late for their lot: until when they can
    /// be spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl MovedBody {
    /// A movement; `cancels` names what it cancels.
    pub const fn new(moved: Moved, cancels: Option<PointKey>) -> Self {
        Self {
            point_key: moved.point_key,
            cancels,
            amount: moved.amount,
            balance: moved.balance,
            expires_at: moved.expires_at,
        }
    }
}

/// A transfer of points.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Transferred)]
pub struct TransferredBody {
    /// The transfer; both users' histories name it.
    #[schema(value_type = uuid::Uuid)]
    pub transfer_id: TransferId,
    /// How many points.
    #[schema(example = 50)]
    pub amount: u64,
}

impl From<Transferred> for TransferredBody {
    fn from(done: Transferred) -> Self {
        Self {
            transfer_id: done.transfer_id,
            amount: done.amount,
        }
    }
}

/// What a user has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PointBalance)]
pub struct BalanceBody {
    /// What can be spent.
    #[schema(example = 700)]
    pub balance: u64,
    /// When it was so.
    pub as_of: DateTime<Utc>,
    /// What runs out next, soonest first, up to ten moments.
    pub expiring: Vec<ExpiringBody>,
}

/// Points that run out at one moment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExpiringPoints)]
pub struct ExpiringBody {
    /// How many.
    #[schema(example = 100)]
    pub amount: u64,
    /// When.
    pub expires_at: DateTime<Utc>,
}

impl From<Balance> for BalanceBody {
    fn from(balance: Balance) -> Self {
        let expiring = |expiring: Expiring| ExpiringBody {
            amount: expiring.amount,
            expires_at: expiring.expires_at,
        };
        Self {
            balance: balance.balance,
            as_of: balance.as_of,
            expiring: balance.expiring.into_iter().map(expiring).collect(),
        }
    }
}

/// A line of a user's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PointMovement)]
pub struct MovementBody {
    /// The movement.
    #[schema(value_type = uuid::Uuid)]
    pub point_key: PointKey,
    /// `earn`, `charge`, `use`, `cancel-use`, `cancel-earn`, `send`, `receive` or `expire`.
    #[schema(example = "use")]
    pub kind: &'static str,
    /// What it added to the balance; negative where it took.
    #[schema(example = -300)]
    pub amount: i64,
    /// What the wallet held after it.
    #[schema(example = 700)]
    pub balance: u64,
    /// Of a cancellation: what it cancels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub cancels: Option<PointKey>,
    /// Of a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub transfer_id: Option<TransferId>,
    /// Of a transfer: the other user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub other_user: Option<UserId>,
    /// What it was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reference: Option<PointReference>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub made_at: DateTime<Utc>,
}

impl From<Entry> for MovementBody {
    fn from(entry: Entry) -> Self {
        let amount = i64::try_from(entry.amount).unwrap_or(i64::MAX);
        Self {
            point_key: entry.point_key,
            kind: EntryKind::as_str(entry.kind),
            amount: if entry.kind.adds() { amount } else { -amount },
            balance: entry.balance_after,
            cancels: entry.cancels,
            transfer_id: entry.transfer_id,
            other_user: entry.other_user,
            reference: entry.reference,
            reason: entry.reason,
            made_at: entry.made_at,
        }
    }
}

/// A page of a user's history.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PointMovements)]
pub struct MovementPage {
    /// The latest first.
    pub items: Vec<MovementBody>,
    /// `?cursor=` of the next page; null at the end.
    pub next_cursor: Option<String>,
}
