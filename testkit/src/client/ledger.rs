//! What clients were told: the promises that the product has to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use uuid::Uuid;

use super::answer::{Answer, Claim};

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asked.
    pub user: String,
    /// When the request was sent.
    pub asked_at: Instant,
    /// When the answer was complete.
    pub answered_at: Instant,
    /// What was answered.
    pub answer: Answer,
}

/// All requests of a test about one campaign. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Ledger {
    /// Adds a request.
    pub fn add(&self, asked: Asked) {
        self.asked.lock().push(asked);
    }

    /// Adds all of another one.
    pub fn extend(&self, other: &Self) {
        let others = other.entries();
        self.asked.lock().extend(others);
    }

    /// All requests so far.
    pub fn entries(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    /// How many answers there were of each kind.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for asked in self.asked.lock().iter() {
            *kinds.entry(asked.answer.kind()).or_default() += 1;
        }
        kinds
    }

    /// How many answers there were of one kind, named as [`Answer::kind`] does.
    pub fn count(&self, kind: &str) -> usize {
        self.kinds().remove(kind).unwrap_or_default()
    }

    /// How many requests were answered, whatever the answer was.
    pub fn len(&self) -> usize {
        self.asked.lock().len()
    }

    /// Whether nobody asked yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The claims that were promised, by id, with the user who heard it.
    pub fn promises(&self) -> BTreeMap<Uuid, (String, Claim)> {
        let asked = self.asked.lock();
        let promised = asked.iter().filter_map(|asked| {
            let claim = asked.answer.promise()?;
            Some((claim.claim_id, (asked.user.clone(), claim.clone())))
        });
        promised.collect()
    }

    /// Everybody who asked.
    pub fn users(&self) -> BTreeSet<String> {
        self.asked.lock().iter().map(|asked| asked.user.clone()).collect()
    }

    /// Answers that are neither 202 nor a stated refusal nor 503, and answers that
    /// never came unless `losses_allowed`: with the servers well there are none.
    pub fn faults(&self, losses_allowed: bool) -> Vec<String> {
        let asked = self.asked.lock();
        let faulty = asked.iter().filter(|asked| match &asked.answer {
            Answer::Unexpected { .. } => true,
            Answer::Lost(_) => !losses_allowed,
            Answer::Unavailable { retry_after, .. } => !retry_after,
            _ => false,
        });
        faulty
            .map(|asked| format!("{}: {:?}", asked.user, asked.answer))
            .collect()
    }

    /// One line for people: each kind with its share.
    pub fn summary(&self) -> String {
        let total = self.len().max(1);
        let kinds = self.kinds();
        let parts = kinds.iter().map(|(kind, count)| {
            #[expect(clippy::cast_precision_loss, reason = "counts of a test are far below 2^52")]
            let percent = *count as f64 * 100.0 / total as f64;
            format!("{kind}: {count} ({percent:.1} %)")
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}
