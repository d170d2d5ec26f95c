//! The rules of the business and their SQL, a folder for each aggregate. Rules are
//! pure functions; the SQL of an aggregate sits in its `store`, and every change
//! writes its event in the same transaction. No Redis and no Kafka here.

pub mod campaigns;
pub mod claims;
pub mod coupons;
pub mod idempotency;
pub mod members;
pub mod notifications;
pub mod partners;
pub mod points;

use chrono::{DateTime, Utc};
use headgate_outbox::write::{EventWriter, Predecessor};

/// What every change that writes an event needs.
#[derive(Clone, Copy)]
pub struct Change<'c> {
    /// Writes the event.
    pub writer: &'c EventWriter,
    /// Now, by MySQL's clock.
    pub now: DateTime<Utc>,
    /// Trace of the request.
    pub traceparent: Option<&'c str>,
}

/// What was asked could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule of campaigns refuses it. Nothing was written.
    #[error(transparent)]
    Campaign(#[from] campaigns::Refusal),
    /// A rule of coupons refuses it. Nothing was written.
    #[error(transparent)]
    Coupon(#[from] coupons::Refusal),
    /// A rule of points refuses it. Roll the transaction back.
    #[error(transparent)]
    Points(#[from] points::Refusal),
    /// A rule of subscriptions refuses it. Nothing was written.
    #[error(transparent)]
    Notifications(#[from] notifications::Refusal),
    /// The idempotency key does not take the answer. Roll the transaction back.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Refusal),
    /// The event could not be written: roll the transaction back.
    #[error("the event of the change cannot be written")]
    Outbox(#[from] headgate_outbox::Error),
    /// MySQL: roll the transaction back.
    #[error("the database does not do what it was asked")]
    Database(#[from] sqlx::Error),
    /// A stored row breaks a rule that its table is meant to keep.
    #[error("a stored {what} breaks its own rules: {why}")]
    Corrupt {
        /// Which kind of row.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The database error below, if that is what happened.
    pub const fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) | Self::Outbox(headgate_outbox::Error::Database(error)) => Some(error),
            _ => None,
        }
    }
}

/// The last event of an aggregate, as its row says: somewhere there must be such an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEvent<R> {
    /// The aggregate's row; a page begins behind one.
    pub row: R,
    /// Key of its records.
    pub aggregate_id: String,
    /// `ce_sequence` and outbox id of the event. `None`: another row says it.
    pub last: Option<Predecessor>,
}

impl<R> LastEvent<R> {
    /// What a row says that counts its aggregate's events and names the last one's outbox id.
    pub(crate) fn of(row: R, aggregate_id: &impl ToString, sequence: u64, outbox_id: u64) -> Self {
        Self {
            row,
            aggregate_id: aggregate_id.to_string(),
            last: Some(Predecessor { sequence, outbox_id }),
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// At most as many as were asked for.
    pub items: Vec<T>,
    /// Ask for what comes after it; `None` at the end.
    pub next: Option<C>,
}

impl<T, C> Page<T, C> {
    /// A page of `limit` items from rows that were read with `limit + 1`: one more
    /// than asked for says that there is a next page.
    pub(crate) fn of(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> C) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_its_successor_only_if_there_is_one() {
        let page = Page::of(vec![1, 2, 3], 2, |item| *item);
        assert_eq!((page.items, page.next), (vec![1, 2], Some(2)));
        let last = Page::of(vec![1, 2], 2, |item| *item);
        assert_eq!((last.items, last.next), (vec![1, 2], None));
    }
}
