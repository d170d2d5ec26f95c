//! Wallets of a partner, and what is true of them at every commit.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use headgate_domain::points::{Grant, Moved, Policy, Refusal, Transferred, store};
use headgate_domain::{Change, Error};
use headgate_outbox::write::EventWriter;
use headgate_runtime::mysql;
use headgate_runtime::process::ProcessNumber;
use headgate_schemas::codec::Encoder;
use headgate_schemas::event::schemas;
use headgate_schemas::ids::{PartnerId, PointKey};
use headgate_schemas::names::UserId;
use headgate_schemas::topics::TopicNames;
use headgate_testkit::Environment;
use sqlx::{MySql, MySqlPool, Row, Transaction};

/// Longest wait of a test for a connection.
const PATIENCE: Duration = Duration::from_mins(3);
/// The partner of every test.
pub const PARTNER: u32 = 1;

pub struct Points {
    pub environment: Environment,
    /// Whoever is many at once waits for a connection as long as it takes.
    pub pool: MySqlPool,
    pub writer: EventWriter,
    pub policy: Policy,
}

impl Points {
    pub async fn new(test: &str) -> Self {
        let environment = Environment::migrated(test).await;
        sqlx::query("INSERT INTO partners (partner_no, partner_id, name) VALUES (?, ?, 'p')")
            .bind(PARTNER)
            .bind(PartnerId::generate())
            .execute(environment.pool())
            .await
            .expect("a partner");
        let ids = (1..)
            .zip(schemas())
            .map(|(id, event)| (event.name.to_owned(), id))
            .collect();
        let names = TopicNames::with_prefix(environment.kafka_prefix());
        let encoder = Encoder::new(&ids).expect("all schemas");
        let config = mysql::Config {
            url: environment.mysql_url(),
            connections_max: 24,
            acquire_timeout: PATIENCE,
            lock_wait_timeout_s: 60,
            select_timeout: PATIENCE,
        };
        Self {
            pool: mysql::pool(&config).expect("a pool"),
            environment,
            writer: EventWriter::new(encoder, names, ProcessNumber::from(1)),
            policy: Policy::default(),
        }
    }

    pub async fn wallet(&self, user: &str) -> u64 {
        let user = UserId::new(user).expect("a name");
        store::find_or_create(self.environment.pool(), PARTNER, &user)
            .await
            .expect("a wallet")
            .wallet_no
    }

    pub const fn change(&self, now: DateTime<Utc>) -> Change<'_> {
        Change {
            writer: &self.writer,
            now,
            traceparent: None,
        }
    }

    pub async fn begin(&self) -> Transaction<'_, MySql> {
        self.pool.begin().await.expect("a transaction")
    }

    pub async fn earn(&self, wallet_no: u64, amount: u64, expires: DateTime<Utc>) -> Moved {
        let mut transaction = self.begin().await;
        let grant = grant(wallet_no, amount, expires);
        let moved = store::earn(&mut transaction, self.change(start()), &grant, &self.policy, None)
            .await
            .expect("points");
        transaction.commit().await.expect("a commit");
        moved
    }

    pub async fn spend(&self, wallet_no: u64, amount: u64, now: DateTime<Utc>) -> Result<Moved, Refusal> {
        let mut transaction = self.begin().await;
        let used = store::use_points(&mut transaction, self.change(now), wallet_no, amount, None, None).await;
        let used = refused(used)?;
        transaction.commit().await.expect("a commit");
        Ok(used)
    }

    pub async fn cancel(
        &self,
        point_key: PointKey,
        amount: Option<u64>,
        now: DateTime<Utc>,
    ) -> Result<Moved, Refusal> {
        let mut transaction = self.begin().await;
        let change = self.change(now);
        let found = store::find_entry(&mut *transaction, PARTNER, point_key).await;
        let found = found.expect("MySQL answers").ok_or(Refusal::NotFound)?;
        let done = store::cancel(&mut transaction, change, found, amount, &self.policy).await;
        let done = refused(done)?;
        transaction.commit().await.expect("a commit");
        Ok(done)
    }

    pub async fn transfer(&self, from: u64, to: u64, amount: u64) -> Result<Transferred, Refusal> {
        let mut transaction = self.begin().await;
        let change = self.change(start());
        let done = store::transfer(&mut transaction, change, from, to, amount, &self.policy).await;
        let done = refused(done)?;
        transaction.commit().await.expect("a commit");
        Ok(done)
    }

    /// What can be spent, by the ledger.
    pub async fn balance(&self, user: &str, now: DateTime<Utc>) -> u64 {
        let user = UserId::new(user).expect("a name");
        store::balance(self.environment.pool(), PARTNER, &user, now)
            .await
            .expect("a balance")
            .balance
    }

    /// Ledger, lots, allocations, heads and events agree.
    pub async fn expect_sums(&self) {
        let mut connection = self.environment.pool().acquire().await.expect("MySQL answers");
        expect_sums(&mut connection).await;
    }
}

pub fn grant(wallet_no: u64, amount: u64, expires: DateTime<Utc>) -> Grant {
    Grant {
        wallet_no,
        amount,
        expires_at: Some(expires),
        reference: None,
        reason: Some("signup".to_owned()),
    }
}

/// When every test begins.
pub fn start() -> DateTime<Utc> {
    "2026-11-21T00:00:00Z".parse().expect("a time")
}

/// So many hours later.
pub fn hour(hours: i64) -> DateTime<Utc> {
    start() + TimeDelta::hours(hours)
}

/// A refusal is an answer; anything else is a failure of the test.
pub fn refused<T>(outcome: Result<T, Error>) -> Result<T, Refusal> {
    match outcome {
        Ok(done) => Ok(done),
        Err(Error::Points(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

/// Each question finds wallets, entries or lots that break a rule.
const RULES: &[(&str, &str)] = &[
    (
        "the head is the sum of the entries",
        "SELECT COUNT(*) FROM wallets w WHERE w.balance <>
             (SELECT COALESCE(SUM(e.amount), 0) FROM point_entries e WHERE e.wallet_no = w.wallet_no)
             OR w.entries <> (SELECT COUNT(*) FROM point_entries e WHERE e.wallet_no = w.wallet_no)
             OR w.entries <> (SELECT COALESCE(MAX(e.entry_no), 0) FROM point_entries e WHERE e.wallet_no = w.wallet_no)",
    ),
    (
        "the head is what remains in the lots",
        "SELECT COUNT(*) FROM wallets w WHERE w.balance <>
             (SELECT COALESCE(SUM(l.remaining), 0) FROM point_lots l WHERE l.wallet_no = w.wallet_no)",
    ),
    (
        "a lot holds what was allocated to it",
        "SELECT COUNT(*) FROM point_lots l WHERE l.remaining <>
             (SELECT COALESCE(SUM(a.amount), 0) FROM point_allocations a WHERE a.lot_no = l.lot_no)",
    ),
    (
        "an entry is the sum of its allocations",
        "SELECT COUNT(*) FROM point_entries e WHERE e.amount <>
             (SELECT COALESCE(SUM(a.amount), 0) FROM point_allocations a
              WHERE a.wallet_no = e.wallet_no AND a.entry_no = e.entry_no)",
    ),
    (
        "each entry says what it left",
        "SELECT COUNT(*) FROM point_entries e WHERE e.balance_after <>
             (SELECT SUM(b.amount) FROM point_entries b WHERE b.wallet_no = e.wallet_no AND b.entry_no <= e.entry_no)",
    ),
    (
        "no more is cancelled than was moved",
        "SELECT COUNT(*) FROM point_entries e WHERE e.kind = 'use' AND -e.amount <
             (SELECT COALESCE(SUM(c.amount), 0) FROM point_entries c WHERE c.cancels = e.point_key)",
    ),
    (
        "each entry has its event, and so has each notice",
        "SELECT COUNT(*) FROM wallets w WHERE w.event_sequence <> w.entries + (SELECT COUNT(*) FROM outbox o
             WHERE o.aggregate_id = BIN_TO_UUID(w.wallet_id) AND o.event_type LIKE '%PointsExpiring')",
    ),
];

pub async fn expect_sums(connection: &mut sqlx::MySqlConnection) {
    for (rule, broken) in RULES {
        let row = sqlx::query(*broken)
            .fetch_one(&mut *connection)
            .await
            .expect("an answer");
        assert_eq!(row.get::<i64, _>(0), 0, "{rule}");
    }
}
