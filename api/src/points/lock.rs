//! What a request holds while it moves points: a lock in Redis, so that others are turned away in
//! a moment and do not queue at the wallet's row, each with a connection. Nothing depends on it
//! (`headgate_runtime::lock`): without Redis, or switched off, the row's lock alone decides.

use headgate_domain::Error;
use headgate_domain::points::store::WalletHead;
use headgate_domain::points::{Fence, Refusal};
use headgate_runtime::crash_point;
use headgate_runtime::lock::{Acquisition, Guards, LockKey};

use crate::app::App;

/// A user without a wallet has nothing.
pub(super) const NOTHING: Refusal = Refusal::Insufficient { available: 0 };

/// Locks that are held, or none where Redis was not asked.
pub(super) struct Locked(Option<Guards>);

impl Locked {
    /// Takes all of them at once, or refuses as [`Refusal::Busy`]: a user's request does not wait.
    pub async fn try_lock(app: &App, keys: &[LockKey]) -> Result<Self, Error> {
        match app.locks().try_acquire_all(keys).await {
            Acquisition::Held(guards) => Ok(Self(Some(guards))),
            Acquisition::Bypassed => Ok(Self(None)),
            Acquisition::Busy => Err(Refusal::Busy.into()),
        }
    }

    /// Gives them back. Awaited before the answer: while Redis answers, a client that sends one
    /// request after the other does not find its own lock in its way.
    pub async fn release(self) {
        if let Some(guards) = self.0 {
            guards.release().await;
        }
    }

    fn is_lost(&self) -> bool {
        self.0.as_ref().is_some_and(|guards| !guards.is_held())
    }
}

/// A wallet whose lock is held.
pub(super) struct HeldWallet {
    wallet: WalletHead,
    locked: Locked,
}

impl HeldWallet {
    pub async fn lock(app: &App, wallet: WalletHead, key: LockKey) -> Result<Self, Error> {
        let locked = Locked::try_lock(app, &[key]).await?;
        crash_point!("api.wallet-locked");
        Ok(Self { wallet, locked })
    }

    pub const fn wallet_no(&self) -> u64 {
        self.wallet.wallet_no
    }

    /// Whether the lock was taken and is held no more.
    pub fn is_lost(&self) -> bool {
        self.locked.is_lost()
    }

    /// Refuses the write if the lock is lost and somebody has changed the wallet since.
    pub const fn fence<'f>(&self, is_lost: &'f (dyn Fn() -> bool + Sync)) -> Fence<'f> {
        Fence {
            entries: self.wallet.entries,
            is_lost,
        }
    }

    pub async fn release(self) {
        self.locked.release().await;
    }
}
