//! Property: whatever writers do, however their clocks are off and however late they
//! commit, nothing leaves the outbox unpublished and every aggregate keeps its order.
//!
//! A case is a list of steps, run one by one against MySQL: writers open transactions,
//! take ids early and commit late, while the relay reads, publishes and marks.

mod support;

use std::collections::{BTreeMap, HashMap};

use headgate_outbox::bucket::{BUCKETS, Bucket};
use headgate_outbox::claim::PendingRow;
use headgate_outbox::mark::{Outcome, Removal};
use headgate_outbox::write::EventWriter;
use headgate_runtime::lease::Lease;
use headgate_runtime::process::PROCESS_BITS;
use headgate_testkit::Environment;
use proptest::prelude::*;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestRng, TestRunner,
};
use sqlx::{MySql, MySqlPool, Transaction};

/// Cases of one lane. Lanes work in different buckets, side by side, so that their
/// commits share the disk's flushes.
const CASES_PER_LANE: u32 = 125;
const LANES: usize = 8;
const _: () = assert!(LANES <= BUCKETS as usize && CASES_PER_LANE as usize * LANES >= 1_000);
const WRITERS: usize = 3;
const AGGREGATES: usize = 3;
/// How far a writer's clock is off, in microseconds.
const SKEW_MICROS: i64 = 1_000_000;
/// Where the clocks begin: microseconds since 1970.
const EPOCH_MICROS: i64 = 1_800_000_000_000_000;
/// Rows of a full batch.
const BATCH_ROWS: u32 = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A writer adds an event, in its open transaction or a new one.
    Write {
        writer: usize,
        aggregate: usize,
        later_micros: i64,
    },
    /// A writer ends its transaction.
    End { writer: usize, commit: bool },
    /// The relay reads a batch and publishes it.
    Publish,
    /// The relay marks it. When the answer is lost it has to mark it again.
    Mark { removal: Removal, answer_lost: bool },
}

fn steps() -> impl Strategy<Value = (Vec<i64>, Vec<Step>)> {
    let removal = prop_oneof![3 => Just(Removal::Range), 1 => Just(Removal::Ids)];
    let step = prop_oneof![
        6 => (0..WRITERS, 0..AGGREGATES, 1..100_000_i64)
            .prop_map(|(writer, aggregate, later_micros)| Step::Write { writer, aggregate, later_micros }),
        4 => (0..WRITERS, prop::bool::weighted(0.9)).prop_map(|(writer, commit)| Step::End { writer, commit }),
        3 => Just(Step::Publish),
        2 => (removal, prop::bool::weighted(0.3))
            .prop_map(|(removal, answer_lost)| Step::Mark { removal, answer_lost }),
    ];
    let skews = prop::collection::vec(-SKEW_MICROS..=SKEW_MICROS, WRITERS);
    (skews, prop::collection::vec(step, 1..40))
}

/// What a writer knows of an aggregate whose lock it holds, or the last commit left.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    sequence: u64,
    outbox_id: u64,
}

struct Writer {
    clock_micros: i64,
    transaction: Option<Transaction<'static, MySql>>,
    locked: BTreeMap<usize, Head>,
    ids: Vec<u64>,
}

struct World<'p> {
    pool: &'p MySqlPool,
    bucket: Bucket,
    lease: Lease,
    /// Keeps the aggregates of one case apart from the others'.
    case: u32,
    writers: Vec<Writer>,
    committed: [Head; AGGREGATES],
    batch: Option<Vec<PendingRow>>,
    /// Sequences of each aggregate in the order in which Kafka got them.
    published: HashMap<String, Vec<u64>>,
}

impl World<'_> {
    async fn run(&mut self, step: &Step) {
        match *step {
            Step::Write {
                writer,
                aggregate,
                later_micros,
            } => self.write(writer, aggregate, later_micros).await,
            Step::End { writer, commit } => self.end(writer, commit).await,
            Step::Publish => self.publish().await,
            Step::Mark { removal, answer_lost } => self.mark(removal, answer_lost).await,
        }
    }

    async fn write(&mut self, writer: usize, aggregate: usize, later_micros: i64) {
        let locked_by_another =
            (0..WRITERS).any(|other| other != writer && self.writers[other].locked.contains_key(&aggregate));
        if locked_by_another {
            return;
        }
        let after = self.writers[writer].locked.get(&aggregate).copied();
        let after = after.unwrap_or(self.committed[aggregate]);
        let row_writer = &mut self.writers[writer];
        row_writer.clock_micros += later_micros;
        let now = u64::try_from(row_writer.clock_micros).expect("after 1970");
        // As `IdSource` does, with a clock of the writer's own.
        let micros = now.max((after.outbox_id >> PROCESS_BITS) + 1);
        let id = (micros << PROCESS_BITS) | u64::try_from(writer).expect("small");
        let head = Head {
            sequence: after.sequence + 1,
            outbox_id: id,
        };
        let row = support::row(
            self.bucket,
            id,
            &format!("{}-{aggregate}", self.case),
            head.sequence,
        );
        if row_writer.transaction.is_none() {
            row_writer.transaction = Some(self.pool.begin().await.expect("MySQL answers"));
        }
        let transaction = row_writer.transaction.as_mut().expect("just begun");
        EventWriter::write(transaction, &[row])
            .await
            .expect("the row is new");
        row_writer.locked.insert(aggregate, head);
        row_writer.ids.push(id);
    }

    async fn end(&mut self, writer: usize, commit: bool) {
        let writer = &mut self.writers[writer];
        let Some(transaction) = writer.transaction.take() else {
            return;
        };
        if commit {
            transaction.commit().await.expect("the commit is answered");
            for (aggregate, head) in &writer.locked {
                self.committed[*aggregate] = *head;
            }
        } else {
            transaction.rollback().await.expect("the rollback is answered");
        }
        writer.locked.clear();
        writer.ids.clear();
    }

    async fn publish(&mut self) {
        if self.batch.is_some() {
            return;
        }
        let rows = support::read(self.pool, self.bucket, BATCH_ROWS).await;
        for row in &rows {
            let aggregate = String::from_utf8(row.aggregate.aggregate_id.clone()).expect("own text");
            self.published.entry(aggregate).or_default().push(row.sequence);
        }
        self.batch = (!rows.is_empty()).then_some(rows);
    }

    async fn mark(&mut self, removal: Removal, answer_lost: bool) {
        let Some(rows) = self.batch.take() else { return };
        let range = rows[0].id..=rows[rows.len() - 1].id;
        let inside: Vec<_> = (0..WRITERS)
            .filter(|writer| self.writers[*writer].ids.iter().any(|id| range.contains(id)))
            .collect();
        let (pool, bucket, lease) = (self.pool, self.bucket, self.lease.clone());
        let fates = support::all_published(&rows);
        let outcome = |removal| Outcome {
            lease: &lease,
            bucket,
            rows: &rows,
            fates: &fates,
            removal,
        };
        // A range delete waits for the open transactions inside it: they commit meanwhile.
        let first = async { support::mark(pool, &[outcome(removal)], support::PLAIN).await };
        let commits = async {
            for writer in &inside {
                self.end(*writer, true).await;
            }
        };
        let (marked, ()) = futures::join!(first, commits);
        assert!(marked.expect("MySQL answers").lost.is_empty());
        if answer_lost {
            for writer in 0..WRITERS {
                self.end(writer, true).await;
            }
            let again = support::mark(pool, &[outcome(Removal::Ids)], support::PLAIN).await;
            assert_eq!(
                again.expect("MySQL answers").published,
                0,
                "it was done the first time"
            );
        }
    }

    /// Lets everybody finish, and says what is wrong.
    async fn finish(mut self) -> Result<(), TestCaseError> {
        for writer in 0..WRITERS {
            self.end(writer, true).await;
        }
        self.mark(Removal::Range, false).await;
        loop {
            self.publish().await;
            if self.batch.is_none() {
                break;
            }
            self.mark(Removal::Range, false).await;
        }
        for (number, head) in self.committed.iter().enumerate() {
            let aggregate = format!("{}-{number}", self.case);
            let seen = self.published.remove(&aggregate).unwrap_or_default();
            let expected: Vec<_> = (1..=head.sequence).collect();
            prop_assert_eq!(seen, expected, "events of aggregate {}", number);
        }
        Ok(())
    }
}

async fn run_case(
    pool: &MySqlPool,
    bucket: Bucket,
    lease: &Lease,
    case: u32,
    skews: &[i64],
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let writers = skews.iter().map(|skew| Writer {
        clock_micros: EPOCH_MICROS + skew,
        transaction: None,
        locked: BTreeMap::new(),
        ids: Vec::new(),
    });
    let mut world = World {
        pool,
        bucket,
        lease: lease.clone(),
        case,
        writers: writers.collect(),
        committed: [Head::default(); AGGREGATES],
        batch: None,
        published: HashMap::new(),
    };
    for step in steps {
        world.run(step).await;
    }
    world.finish().await
}

/// Runs the cases of one lane in a bucket of its own.
fn lane(number: usize, environment: &Environment, seed: [u8; 32]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (pool, bucket, lease) = runtime.block_on(async {
        let pool = support::pool(environment);
        let bucket = support::bucket(number);
        let lease = support::lease(&pool, bucket, "test").await;
        (pool, bucket, lease)
    });
    let config = Config {
        cases: CASES_PER_LANE,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/late_commits.found"
        )))),
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let numbered = std::cell::Cell::new(0_u32);
    let outcome = runner.run(&steps(), |(skews, steps)| {
        numbered.set(numbered.get() + 1);
        runtime.block_on(async {
            support::empty(&pool, bucket).await;
            run_case(&pool, bucket, &lease, numbered.get(), &skews, &steps).await
        })
    });
    println!(
        "lane {number}: {} cases, seed {}",
        numbered.get(),
        hex::encode(seed)
    );
    if let Err(found) = outcome {
        panic!("lane {number}, seed {}: {found}", hex::encode(seed));
    }
}

#[test]
fn g07_late_commits_are_neither_lost_nor_overtaken() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let environment = runtime.block_on(Environment::migrated("late_commits"));
    std::thread::scope(|scope| {
        for number in 0..LANES {
            let environment = &environment;
            scope.spawn(move || lane(number, environment, rand::random()));
        }
    });
}
