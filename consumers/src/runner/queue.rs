//! The records of one partition that wait for their batch. The poll thread fills it
//! and pauses the partition when it is full; the partition's worker empties it.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::record::Record;

/// How much may wait, and when the partition is paused and resumed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub records_max: usize,
    pub bytes_max: usize,
}

/// A paused partition is resumed when its queue is this many times below its limit:
/// resuming costs a fetch, so it must not happen for every record.
const RESUME_BELOW: usize = 4;

#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<Record>,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    limits: Limits,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            waiting: Mutex::default(),
            filled: Notify::new(),
            limits,
        }
    }

    /// Adds a record. True: the queue is full, and the partition must be paused.
    pub(crate) fn push(&self, record: Record) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.bytes += record.bytes();
        waiting.records.push_back(record);
        let is_full =
            waiting.records.len() >= self.limits.records_max || waiting.bytes >= self.limits.bytes_max;
        drop(waiting);
        self.filled.notify_one();
        is_full
    }

    /// Whether a paused partition may go on.
    pub(crate) fn has_room(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.records.len() <= self.limits.records_max / RESUME_BELOW
            && waiting.bytes <= self.limits.bytes_max / RESUME_BELOW
    }

    /// Timestamp of the first record that waits, in milliseconds.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        self.waiting.lock().records.front().map(|record| record.time_ms)
    }

    /// Waits for records and takes what is there, up to `batch`: at least one record.
    pub(crate) async fn take(&self, batch: Limits) -> Vec<Record> {
        loop {
            let taken = self.take_now(batch);
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    fn take_now(&self, batch: Limits) -> Vec<Record> {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::with_capacity(waiting.records.len().min(batch.records_max));
        let mut bytes = 0;
        while taken.len() < batch.records_max && (taken.is_empty() || bytes < batch.bytes_max) {
            let Some(record) = waiting.records.pop_front() else {
                break;
            };
            bytes += record.bytes();
            taken.push(record);
        }
        waiting.bytes -= bytes;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::record::Marks;

    fn record(offset: i64) -> Record {
        Record {
            offset,
            time_ms: offset,
            key: None,
            value: Some(vec![0; 100]),
            headers: Vec::new(),
            marks: Marks::default(),
        }
    }

    const NO_BYTES_LIMIT: usize = usize::MAX;

    #[tokio::test]
    async fn a_full_queue_says_so_and_has_room_again_only_well_below() {
        let queue = Queue::new(Limits {
            records_max: 8,
            bytes_max: NO_BYTES_LIMIT,
        });
        let full: Vec<_> = (0..8).map(|offset| queue.push(record(offset))).collect();
        assert_eq!(full, [false, false, false, false, false, false, false, true]);
        let batch = Limits {
            records_max: 5,
            bytes_max: NO_BYTES_LIMIT,
        };
        assert_eq!(queue.take(batch).await.len(), 5);
        assert!(!queue.has_room());
        let rest = queue.take(batch).await;
        assert_eq!(
            rest.iter().map(|record| record.offset).collect::<Vec<_>>(),
            [5, 6, 7]
        );
        assert!(queue.has_room());
    }

    #[tokio::test]
    async fn bytes_bound_a_batch_and_one_record_always_fits() {
        let queue = Queue::new(Limits {
            records_max: 100,
            bytes_max: 2 * record(0).bytes(),
        });
        assert!(!queue.push(record(0)));
        assert!(queue.push(record(1)));
        let batch = Limits {
            records_max: 100,
            bytes_max: 1,
        };
        assert_eq!(queue.take(batch).await.len(), 1);
        assert_eq!(queue.oldest_ms(), Some(1));
    }
}
