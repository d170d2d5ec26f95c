//! Points: a user's wallet with a partner, its ledger, and the lots that points live in.
//!
//! Each movement is an entry of the ledger, which is append-only, and its allocations say which
//! lots gave or took what. Points are spent from the lot that expires first. What was spent is
//! no longer in its lot, so that it is never deducted a second time when the lot expires.

mod ledger;
mod notice;
pub mod policy;
mod posting;
mod remembered;
pub mod rules;
pub mod store;

use chrono::{DateTime, Utc};
use headgate_outbox::write::Predecessor;
use headgate_schemas::ids::{PartnerId, PointKey, TransferId, WalletId};
use headgate_schemas::names::{PointReference, UserId};

pub use ledger::{ExpiredPoints, Fence, Grant, Moved, Transferred};
pub use notice::NoticedPoints;
pub use policy::Policy;
pub use remembered::RememberedBalance;

/// Most points of one movement and of one wallet. Sums of two never overflow.
pub const POINTS_MAX: u64 = 1_000_000_000_000;
/// Most lots of a wallet that have something in them: what one movement may have to touch.
pub const LOTS_MAX: usize = 10_000;

/// A user's points with a partner, locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Its number.
    pub wallet_no: u64,
    /// Its id, as outsiders see it.
    pub wallet_id: WalletId,
    /// The partner.
    pub partner_no: u32,
    /// The partner, as outsiders see it.
    pub partner_id: PartnerId,
    /// The partner's own name of the user.
    pub user_id: UserId,
    /// What the last entry left. Lots whose time is up count until the expiry job has taken
    /// them out.
    pub balance: u64,
    /// How many entries its ledger has: the number of the last one.
    pub entries: u64,
    /// Its last event.
    pub last_event: Predecessor,
}

/// Points of one origin and one expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Its number: lots of one expiry are spent in the order of their numbers.
    pub lot_no: u64,
    /// What was put into it.
    pub amount: u64,
    /// What is left.
    pub remaining: u64,
    /// From then on nothing of it can be spent.
    pub expires_at: DateTime<Utc>,
}

/// What an entry of the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, sqlx::Type)]
#[sqlx(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Granted by the partner.
    Earn,
    /// Paid for.
    Charge,
    /// Spent.
    Use,
    /// A use that came back.
    CancelUse,
    /// An earn that was taken back.
    CancelEarn,
    /// Went to another wallet.
    Send,
    /// Came from another wallet.
    Receive,
    /// Ran out.
    Expire,
}

impl EntryKind {
    /// The word for it, in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Earn => "earn",
            Self::Charge => "charge",
            Self::Use => "use",
            Self::CancelUse => "cancel-use",
            Self::CancelEarn => "cancel-earn",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Expire => "expire",
        }
    }

    /// Whether it adds to the balance.
    pub const fn adds(self) -> bool {
        matches!(self, Self::Earn | Self::Charge | Self::CancelUse | Self::Receive)
    }
}

/// An entry of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The movement.
    pub point_key: PointKey,
    /// Its number in the wallet: 1, 2, 3, ...
    pub entry_no: u64,
    /// What it is.
    pub kind: EntryKind,
    /// How many points, above 0; [`EntryKind::adds`] says which way they went.
    pub amount: u64,
    /// What the wallet held after it.
    pub balance_after: u64,
    /// Of a cancellation: what it cancels.
    pub cancels: Option<PointKey>,
    /// Of a transfer.
    pub transfer_id: Option<TransferId>,
    /// Of a transfer: the other user.
    pub other_user: Option<UserId>,
    /// What it was for, in the partner's words.
    pub reference: Option<PointReference>,
    /// Why, in the partner's words.
    pub reason: Option<String>,
    /// When.
    pub made_at: DateTime<Utc>,
}

/// Why points are not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are not so many that can be spent.
    #[error("the wallet has fewer points")]
    Insufficient {
        /// What can be spent.
        available: u64,
    },
    /// The policy does not allow so many, or so few.
    #[error("the policy allows {min} to {max} points of one earn")]
    EarnOutOfRange {
        /// Least of one earn.
        min: u64,
        /// Most of one earn.
        max: u64,
    },
    /// The wallet would hold more than the policy allows.
    #[error("a wallet holds at most {wallet_max} points")]
    WalletFull {
        /// Most points of a wallet.
        wallet_max: u64,
    },
    /// The wallet has as many lots as it may have.
    #[error("a wallet holds points of at most {LOTS_MAX} origins")]
    TooManyLots,
    /// The partner has no such movement.
    #[error("there is no such movement")]
    NotFound,
    /// Only a use and an earn can be cancelled.
    #[error("a movement of kind {} cannot be cancelled", kind.as_str())]
    NotCancellable {
        /// What it is.
        kind: EntryKind,
    },
    /// Less is left of it to be cancelled: the rest was cancelled or, of an earn, is spent.
    #[error("only {left} points of it can be cancelled")]
    CancelExceeds {
        /// What can be cancelled.
        left: u64,
    },
    /// Somebody else moved points of the wallet since it was read.
    #[error("the wallet was changed meanwhile")]
    Busy,
}
