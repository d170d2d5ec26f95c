//! A batch: the rows of one round, in order of bucket and id, and what becomes of each.

use std::collections::HashMap;
use std::ops::Range;

use headgate_outbox::bucket::Bucket;
use headgate_outbox::claim::{AggregateRef, PendingRow};
use headgate_outbox::mark::Fate;

/// What is to be done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It goes with the others.
    Send,
    /// It goes alone, after the others.
    SendAlone,
    /// It is not sent in this round; its fate is settled.
    Keep,
}

/// The rows of one round.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order of bucket and id.
    pub rows: Vec<PendingRow>,
    /// What is to be done with each.
    pub plans: Vec<Plan>,
    /// What has become of each.
    pub fates: Vec<Fate>,
}

impl Batch {
    /// A batch in which every row stays, until somebody says otherwise.
    pub fn new(rows: Vec<PendingRow>) -> Self {
        Self {
            plans: vec![Plan::Keep; rows.len()],
            fates: vec![Fate::Left; rows.len()],
            rows,
        }
    }

    /// Decides about the rows in order: `decide` says what to do with a row whose
    /// aggregate has not been stopped in this batch. A row that is not sent with the
    /// others stops its aggregate.
    pub fn plan(&mut self, mut decide: impl FnMut(&PendingRow) -> (Plan, Fate)) {
        let mut stopped: HashMap<&AggregateRef, Fate> = HashMap::new();
        for (number, row) in self.rows.iter().enumerate() {
            let behind = (!stopped.is_empty())
                .then(|| stopped.get(&row.aggregate))
                .flatten();
            let (plan, fate) = match behind {
                _ if row.blocked => (Plan::Keep, Fate::Waiting),
                Some(Fate::Failed { .. } | Fate::Waiting) => (Plan::Keep, Fate::Waiting),
                Some(Fate::Left | Fate::Published { .. }) => (Plan::Keep, Fate::Left),
                None => decide(row),
            };
            if plan != Plan::Send {
                stopped.entry(&row.aggregate).or_insert_with(|| fate.clone());
            }
            self.plans[number] = plan;
            self.fates[number] = fate;
        }
    }

    /// Takes back what came out of order: a row counts as published only when every
    /// earlier row of its aggregate does. One that was delivered all the same is sent
    /// again behind them.
    pub fn restore_order(&mut self) {
        let all_published = self
            .fates
            .iter()
            .all(|fate| matches!(fate, Fate::Published { .. }));
        if all_published {
            return;
        }
        let mut stopped: HashMap<&AggregateRef, Fate> = HashMap::new();
        for (row, fate) in self.rows.iter().zip(&mut self.fates) {
            match (stopped.get(&row.aggregate), &*fate) {
                (None, Fate::Published { .. }) => {}
                (None, _) => {
                    stopped.insert(&row.aggregate, fate.clone());
                }
                (Some(Fate::Failed { .. } | Fate::Waiting), _) => *fate = Fate::Waiting,
                (Some(Fate::Left | Fate::Published { .. }), _) => *fate = Fate::Left,
            }
        }
    }

    /// The rows of each bucket.
    pub fn by_bucket(&self) -> impl Iterator<Item = (Bucket, Range<usize>)> {
        let mut from = 0;
        self.rows
            .chunk_by(|one, next| one.bucket == next.bucket)
            .map(move |rows| {
                let range = from..from + rows.len();
                from = range.end;
                (rows[0].bucket, range)
            })
    }

    /// How many rows have such a fate.
    pub fn count(&self, is: impl Fn(&Fate) -> bool) -> usize {
        self.fates.iter().filter(|fate| is(fate)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;
    use headgate_schemas::ids::EventId;

    fn row(aggregate: &str, id: u64) -> PendingRow {
        PendingRow {
            bucket: Bucket::of(aggregate),
            id,
            event_id: EventId::generate(),
            aggregate: AggregateRef {
                aggregate_type: "claim".to_owned(),
                aggregate_id: aggregate.as_bytes().to_vec(),
            },
            event_type: "Event".to_owned(),
            sequence: id,
            topic: "topic".to_owned(),
            payload: None,
            raw_key: None,
            raw_headers: None,
            traceparent: None,
            created_at: Utc::now(),
            blocked: false,
        }
    }

    fn failed() -> Fate {
        Fate::Failed {
            attempts: 3,
            error: "poison".to_owned(),
        }
    }

    fn published(offset: i64) -> Fate {
        Fate::Published { partition: 0, offset }
    }

    #[test]
    fn what_follows_a_failed_row_waits_and_neighbours_go_on() {
        let mut batch = Batch::new(vec![row("a", 1), row("b", 2), row("a", 3), row("b", 4)]);
        batch.plan(|row| match row.id {
            1 => (Plan::Keep, failed()),
            _ => (Plan::Send, Fate::Left),
        });
        assert_eq!(batch.plans, [Plan::Keep, Plan::Send, Plan::Keep, Plan::Send]);
        assert_eq!(batch.fates, [failed(), Fate::Left, Fate::Waiting, Fate::Left]);
    }

    #[test]
    fn what_follows_a_resting_row_stays() {
        let mut batch = Batch::new(vec![row("a", 1), row("a", 2)]);
        batch.plan(|_| (Plan::Keep, Fate::Left));
        assert_eq!(batch.plans, [Plan::Keep, Plan::Keep]);
        assert_eq!(batch.fates, [Fate::Left, Fate::Left]);
    }

    #[test]
    fn a_newcomer_joins_the_blocked_rows_of_its_aggregate() {
        let mut newcomer = row("a", 1);
        newcomer.blocked = true;
        let mut batch = Batch::new(vec![newcomer]);
        batch.plan(|_| (Plan::Send, Fate::Left));
        assert_eq!((batch.plans[0], &batch.fates[0]), (Plan::Keep, &Fate::Waiting));
    }

    #[test]
    fn a_row_that_overtook_is_sent_again() {
        let mut batch = Batch::new(vec![row("a", 1), row("a", 2), row("b", 3)]);
        batch.fates = vec![Fate::Left, published(7), published(8)];
        batch.restore_order();
        assert_eq!(batch.fates, [Fate::Left, Fate::Left, published(8)]);
    }

    #[test]
    fn rows_are_grouped_by_bucket() {
        let mut rows = vec![row("a", 1), row("b", 2), row("a", 3)];
        rows.sort_by_key(|row| (row.bucket, row.id));
        let batch = Batch::new(rows);
        let groups: Vec<_> = batch.by_bucket().map(|(_, range)| range.len()).collect();
        assert_eq!(groups.iter().sum::<usize>(), 3);
        assert_eq!(groups.len(), 2);
    }
}
