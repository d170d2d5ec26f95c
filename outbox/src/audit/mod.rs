//! The audit log: every act of an operator, in the transaction of the act. Append-only, and a
//! chain: a line carries the hash of the line before (see [`chain`]), and [`verify`] finds what
//! was changed, removed, inserted or moved since.
//!
//! It lies beside the outbox, because it is the same promise: the act and what tells of it commit
//! together or not at all. Whoever acts, in whatever crate, writes it here.

pub mod chain;
mod store;
pub mod verify;

use serde_json::Value;
use sqlx::{MySql, MySqlPool, Transaction};

pub use chain::{Hash, Line, Link};
pub use store::Wanted;

/// Longest name of an actor that is kept, in characters.
pub const ACTOR_CHARS_MAX: usize = 128;
/// Longest name of an object that is kept, in characters.
pub const OBJECT_CHARS_MAX: usize = 256;

/// Writes a line: who (cut to [`ACTOR_CHARS_MAX`]) did what (at most 64 characters of ASCII) to
/// what (cut to [`OBJECT_CHARS_MAX`]), and more about it.
///
/// **Call it last**, before the commit. Lines are numbered without a gap, so that from here to the
/// end of the transaction nobody else can write one; and a transaction that waits for anything
/// while it holds the head could wait for one that waits for the head.
pub async fn record(
    transaction: &mut Transaction<'_, MySql>,
    actor: &str,
    action: &str,
    object: &str,
    detail: &Value,
) -> Result<(), sqlx::Error> {
    let (head, at) = store::lock_head(transaction).await?;
    let line = Line {
        audit_no: head.audit_no + 1,
        at,
        actor: actor.chars().take(ACTOR_CHARS_MAX).collect(),
        action: action.to_owned(),
        object: object.chars().take(OBJECT_CHARS_MAX).collect(),
        detail: Some(detail.to_string()),
        previous_hash: head.hash,
        hash: Hash::NONE,
    };
    let line = Line {
        hash: line.hashed(),
        ..line
    };
    store::insert(transaction, &line).await?;
    store::set_head(transaction, line.link()).await
}

/// The newest `limit` lines that match, newest first.
pub async fn list(pool: &MySqlPool, wanted: &Wanted<'_>, limit: u32) -> Result<Vec<Line>, sqlx::Error> {
    store::list(pool, wanted, limit).await
}
