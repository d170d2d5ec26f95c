//! What can be locked.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Kinds of locks: the label `kind` of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LockKind {
    /// Points of a wallet are used.
    PointUse,
    /// Points of a wallet are earned or charged.
    PointAccumulate,
    /// A use of points is cancelled.
    PointCancelUsage,
    /// An earn of points is cancelled.
    PointCancelAccumulation,
}

impl LockKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::PointUse,
        Self::PointAccumulate,
        Self::PointCancelUsage,
        Self::PointCancelAccumulation,
    ];

    /// Its name, e.g. `point-use`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PointUse => "point-use",
            Self::PointAccumulate => "point-accumulate",
            Self::PointCancelUsage => "point-cancel-usage",
            Self::PointCancelAccumulation => "point-cancel-accumulation",
        }
    }

    /// What stands before the id in a key.
    const fn family(self) -> &'static str {
        match self {
            Self::PointUse => "point:use:member:",
            Self::PointAccumulate => "point:accumulate:member:",
            Self::PointCancelUsage => "point:cancel:usage:",
            Self::PointCancelAccumulation => "point:cancel:accumulation:",
        }
    }
}

/// What all keys of locks begin with, behind the installation's prefix.
pub(super) const FAMILIES: &str = "point:";

/// The key of a lock, e.g. `point:use:member:0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77`. Keys have
/// one order everywhere, in which several are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey {
    kind: LockKind,
    id: Uuid,
}

impl LockKey {
    /// Using points of this wallet. A wallet is a partner's user, never the bare user.
    pub const fn point_use(wallet: Uuid) -> Self {
        Self {
            kind: LockKind::PointUse,
            id: wallet,
        }
    }

    /// Earning or charging points of this wallet.
    pub const fn point_accumulate(wallet: Uuid) -> Self {
        Self {
            kind: LockKind::PointAccumulate,
            id: wallet,
        }
    }

    /// Cancelling the use that has this `point_key`.
    pub const fn point_cancel_usage(point_key: Uuid) -> Self {
        Self {
            kind: LockKind::PointCancelUsage,
            id: point_key,
        }
    }

    /// Cancelling the earn that has this `point_key`.
    pub const fn point_cancel_accumulation(point_key: Uuid) -> Self {
        Self {
            kind: LockKind::PointCancelAccumulation,
            id: point_key,
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> LockKind {
        self.kind
    }
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.family(), self.id.hyphenated())
    }
}

/// The text is no key of a lock.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is not the key of a lock: expected one such as point:use:member:0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77"
)]
pub struct InvalidKey;

impl FromStr for LockKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        LockKind::ALL
            .into_iter()
            .find_map(|kind| {
                let id = text.strip_prefix(kind.family())?;
                let id = id.parse::<uuid::fmt::Hyphenated>().ok()?.into_uuid();
                Some(Self { kind, id })
            })
            .filter(|key| key.to_string() == text)
            .ok_or(InvalidKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77";

    #[test]
    fn keys_are_the_agreed_ones_and_read_back() {
        let id: Uuid = ID.parse().expect("a UUID");
        let keys = [
            (LockKey::point_use(id), "point:use:member:"),
            (LockKey::point_accumulate(id), "point:accumulate:member:"),
            (LockKey::point_cancel_usage(id), "point:cancel:usage:"),
            (
                LockKey::point_cancel_accumulation(id),
                "point:cancel:accumulation:",
            ),
        ];
        for ((key, family), kind) in keys.into_iter().zip(LockKind::ALL) {
            assert_eq!(key.to_string(), format!("{family}{ID}"));
            assert_eq!(key.to_string().parse::<LockKey>().expect("a key"), key);
            assert_eq!(key.kind(), kind);
            assert!(family.starts_with(FAMILIES));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let upper = format!("point:use:member:{}", ID.to_uppercase());
        for text in ["", ID, "point:use:member:", "point:use:member:u-1", &upper] {
            assert!(text.parse::<LockKey>().is_err(), "{text}");
        }
    }
}
