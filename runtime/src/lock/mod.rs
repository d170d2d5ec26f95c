//! A lock in Redis that keeps many processes from queueing at one row of MySQL.
//!
//! **Invariant:** correctness never rests on this lock. A holder that slept past its lease
//! holds it no more and may not know yet; a Redis that was flushed or failed over lets two
//! hold it; and [`Acquisition::Bypassed`] means that nobody asked. What excludes two writers
//! is the lock of the wallet's row in MySQL. What refuses a writer that read too long ago is
//! the **fencing token, which is the version of the wallet's row**: read the version under
//! this lock, and let the guarded update say `WHERE wallet_no = ? AND version = ?` and set
//! `version = version + 1`. A counter in Redis would begin again after a flush, and MySQL
//! would then refuse every write.
//!
//! ```no_run
//! use headgate_runtime::lock::{Acquisition, LockKey, Locks};
//! # enum Answer { WalletBusy, Used }
//! # async fn use_points_in_one_transaction() -> Answer { Answer::Used }
//! # async fn example(locks: &Locks, wallet: uuid::Uuid) -> Answer {
//! let guard = match locks.try_acquire(&LockKey::point_use(wallet)).await {
//!     Acquisition::Held(guard) => Some(guard),
//!     Acquisition::Bypassed => None,
//!     Acquisition::Busy => return Answer::WalletBusy,
//! };
//! // Locks the wallet's row all the same.
//! let answer = use_points_in_one_transaction().await;
//! if let Some(guard) = guard {
//!     guard.release().await;
//! }
//! # answer
//! # }
//! ```
//!
//! A lock is taken by one SET NX PX with a random token, renewed at a third of its lease
//! (`watchdog`) and given back by comparing that token (`scripts/`). Whatever was asked and
//! not answered is given back in the background (`claim`). It cannot be taken twice by the
//! same holder. Why it is built so: `docs/decisions/0020`.

mod acquire;
mod claim;
mod commands;
mod config;
mod guard;
mod key;
mod metrics;
mod table;
mod value;
mod watchdog;

pub use acquire::{Acquisition, Locks};
pub use config::Config;

pub use guard::{Guard, Guards};
pub use key::{InvalidKey, LockKey, LockKind};
pub use table::{Cursor, Error, HeldLock, InvalidCursor, LockTable, Page};
