//! Whatever is earned, spent, cancelled, moved and expired, in whatever order: the ledger does
//! what the model does, refuses what it refuses, and all its sums agree.

use std::time::Duration;

use headgate_domain::points::{Policy, Refusal, store};
use headgate_schemas::ids::PointKey;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{MySql, Row, Transaction};

use crate::model::{Model, VALID_FOR_HOURS};
use crate::support::{PARTNER, Points, expect_sums, grant, hour, refused, start};

/// About 20,000 steps in all.
const CASES: u32 = 1_000;
const STEPS_MAX: usize = 40;
const WALLETS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Earn {
        wallet: usize,
        amount: u64,
        hours: i64,
    },
    Use {
        wallet: usize,
        amount: u64,
    },
    CancelUse {
        which: prop::sample::Index,
        amount: Option<u64>,
    },
    CancelEarn {
        which: prop::sample::Index,
        amount: Option<u64>,
    },
    Transfer {
        from: usize,
        amount: u64,
    },
    Expire,
    /// Time goes by.
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let wallet = 0..WALLETS;
    let part = prop::option::of(1..20_u64);
    let which = any::<prop::sample::Index>;
    prop_oneof![
        4 => (wallet.clone(), 1..30_u64, 1..7_i64)
            .prop_map(|(wallet, amount, hours)| Step::Earn { wallet, amount, hours }),
        4 => (wallet.clone(), 1..40_u64).prop_map(|(wallet, amount)| Step::Use { wallet, amount }),
        3 => (which(), part.clone()).prop_map(|(which, amount)| Step::CancelUse { which, amount }),
        2 => (which(), part).prop_map(|(which, amount)| Step::CancelEarn { which, amount }),
        2 => (wallet, 1..30_u64).prop_map(|(from, amount)| Step::Transfer { from, amount }),
        1 => Just(Step::Expire),
        3 => (1..3_i64).prop_map(Step::Wait),
    ]
}

/// A case: one transaction, which is rolled back.
struct Case<'p> {
    points: &'p Points,
    transaction: Transaction<'p, MySql>,
    wallets: [u64; WALLETS],
    model: Model,
    now: i64,
    uses: Vec<PointKey>,
    earns: Vec<PointKey>,
}

impl Case<'_> {
    async fn take(&mut self, step: Step) -> (Result<u64, Refusal>, Result<u64, Refusal>) {
        let change = self.points.change(hour(self.now));
        let (transaction, now) = (&mut self.transaction, self.now);
        match step {
            Step::Earn {
                wallet,
                amount,
                hours,
            } => {
                self.model.earn(wallet, amount, now + hours);
                let grant = grant(self.wallets[wallet], amount, hour(now + hours));
                let earned = store::earn(transaction, change, &grant, &self.points.policy, None).await;
                let earned = refused(earned);
                self.earns.extend(earned.map(|moved| moved.point_key));
                (Ok(amount), earned.map(|moved| moved.amount))
            }
            Step::Use { wallet, amount } => {
                let expected = self.model.spend(wallet, amount, now);
                let wallet = self.wallets[wallet];
                let used = store::use_points(transaction, change, wallet, amount, None, None).await;
                let used = refused(used);
                self.uses.extend(used.map(|moved| moved.point_key));
                (expected, used.map(|moved| moved.amount))
            }
            Step::CancelUse { which, amount } if self.model.uses() > 0 => {
                let number = which.index(self.model.uses());
                let expected = self.model.cancel_use(number, amount, now);
                (expected, self.cancel(self.uses[number], amount).await)
            }
            Step::CancelEarn { which, amount } if self.model.earns() > 0 => {
                let number = which.index(self.model.earns());
                let expected = self.model.cancel_earn(number, amount, now);
                (expected, self.cancel(self.earns[number], amount).await)
            }
            Step::Transfer { from, amount } => {
                let to = (from + 1) % WALLETS;
                let expected = self.model.transfer(from, to, amount, now);
                let (from, to) = (self.wallets[from], self.wallets[to]);
                let policy = &self.points.policy;
                let moved = store::transfer(transaction, change, from, to, amount, policy).await;
                (expected, refused(moved).map(|moved| moved.amount))
            }
            Step::Expire => {
                let expired = store::expire_due(transaction, change, start(), 1_000).await;
                let expired = expired.expect("points").points;
                (Ok(self.model.expire(now)), Ok(expired))
            }
            Step::Wait(hours) => {
                self.now += hours;
                (Ok(0), Ok(0))
            }
            Step::CancelUse { .. } | Step::CancelEarn { .. } => (Ok(0), Ok(0)),
        }
    }

    async fn cancel(&mut self, point_key: PointKey, amount: Option<u64>) -> Result<u64, Refusal> {
        let change = self.points.change(hour(self.now));
        let policy = &self.points.policy;
        let found = store::find_entry(&mut *self.transaction, PARTNER, point_key).await;
        let found = found.expect("MySQL answers").ok_or(Refusal::NotFound)?;
        let done = store::cancel(&mut self.transaction, change, found, amount, policy).await;
        refused(done).map(|moved| moved.amount)
    }

    /// What can be spent, by the wallet's head and its lots.
    async fn balance(&mut self, wallet: usize) -> u64 {
        let row = sqlx::query(
            "SELECT CAST(w.balance - (SELECT COALESCE(SUM(l.remaining), 0) FROM point_lots l
                 WHERE l.wallet_no = w.wallet_no AND l.expires_at <= ?) AS UNSIGNED) FROM wallets w WHERE wallet_no = ?",
        )
        .bind(hour(self.now))
        .bind(self.wallets[wallet])
        .fetch_one(&mut *self.transaction)
        .await
        .expect("a balance");
        row.get(0)
    }
}

async fn check(points: &Points, wallets: [u64; WALLETS], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut case = Case {
        points,
        transaction: points.begin().await,
        wallets,
        model: Model::default(),
        now: 0,
        uses: Vec::new(),
        earns: Vec::new(),
    };
    for step in steps {
        let (expected, found) = case.take(*step).await;
        prop_assert_eq!(found, expected, "{:?}", step);
    }
    for wallet in 0..WALLETS {
        let expected = case.model.balance(wallet, case.now);
        prop_assert_eq!(case.balance(wallet).await, expected, "wallet {}", wallet);
    }
    expect_sums(&mut case.transaction).await;
    case.transaction.rollback().await.expect("a rollback");
    Ok(())
}

#[test]
fn g11_points_move_as_the_simplest_model_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut points = runtime.block_on(Points::new("points_property"));
    points.policy = Policy {
        valid_for: Duration::from_hours(VALID_FOR_HOURS.unsigned_abs()),
        ..Policy::default()
    };
    let wallets = runtime.block_on(async {
        [
            points.wallet("a").await,
            points.wallet("b").await,
            points.wallet("c").await,
        ]
    });
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        ..Config::default()
    });
    println!("{CASES} cases, PROPTEST_RNG_SEED repeats a run");
    runner
        .run(&proptest::collection::vec(step(), 0..STEPS_MAX), |steps| {
            runtime.block_on(check(&points, wallets, &steps))
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
