//! Outbox ids: the order of a bucket. Within an aggregate the order of ids is the
//! order of commits, whatever the clocks of the hosts say, because whoever writes
//! holds the aggregate's lock and goes above its last id.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use headgate_runtime::process::{PROCESS_BITS, ProcessNumber};

/// Makes ids for one process: microseconds since 1970, shifted, with the process
/// number in the low bits so that two processes never make the same one.
#[derive(Debug)]
pub struct IdSource {
    process: ProcessNumber,
    last_micros: AtomicU64,
}

impl IdSource {
    /// A source for this process.
    pub const fn new(process: ProcessNumber) -> Self {
        Self {
            process,
            last_micros: AtomicU64::new(0),
        }
    }

    /// Whose ids they are.
    pub const fn process(&self) -> ProcessNumber {
        self.process
    }

    /// An id above `after` (the aggregate's last id; 0 for a new aggregate) and above
    /// every id this process made before.
    pub fn next(&self, after: u64) -> u64 {
        let least = now_micros().max((after >> PROCESS_BITS) + 1);
        let mut newest = self.last_micros.load(Ordering::Relaxed);
        loop {
            let micros = least.max(newest + 1);
            match self
                .last_micros
                .compare_exchange_weak(newest, micros, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return (micros << PROCESS_BITS) | self.process.low_bits(),
                Err(seen) => newest = seen,
            }
        }
    }
}

fn now_micros() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| u64::try_from(since.as_micros()).unwrap_or_default())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_goes_above_one_made_by_a_clock_in_the_future() {
        let ahead = ((now_micros() + 1_000_000) << PROCESS_BITS) | 9;
        let source = IdSource::new(ProcessNumber::from(3));
        assert!(source.next(ahead) > ahead);
    }

    #[test]
    fn ids_of_one_process_ascend_and_differ_from_anothers() {
        let (ours, theirs) = (
            IdSource::new(ProcessNumber::from(3)),
            IdSource::new(ProcessNumber::from(4)),
        );
        let mut ids: Vec<_> = (0..1_000).flat_map(|_| [ours.next(0), theirs.next(0)]).collect();
        assert!(ids.iter().step_by(2).is_sorted());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 2_000);
    }
}
