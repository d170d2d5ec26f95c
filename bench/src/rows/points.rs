//! Uses of points, accepted and durable: of one hot wallet and of many, with the lock in Redis and
//! without it.

use crate::bench::Bench;
use crate::load::{self, Pace};
use crate::report::{Beside, Row};
use crate::stack::installation::{Installation, Service};

const CONNECTIONS: usize = 64;
/// More than a run spends.
const GRANTED: u64 = 1_000_000_000;
const HOT: u64 = 1;
const MANY: u64 = 10_000;
const SPENT: &str = "201";
const BUSY: &str = "409 wallet-busy";
/// What the users of such a system asked for: uses a second under a distributed lock.
const REQUIRED: f64 = 500.0;

/// Measures all four.
pub async fn run(bench: &Bench) -> anyhow::Result<()> {
    for wallets in [HOT, MANY] {
        for locked in [true, false] {
            measure(bench, wallets, locked).await?;
        }
    }
    Ok(())
}

async fn measure(bench: &Bench, wallets: u64, locked: bool) -> anyhow::Result<()> {
    let lock = if locked { "on" } else { "off" };
    eprintln!("-- point use, {wallets} wallets, lock {lock}");
    let installation = bench.installation("points").await?;
    grant(&installation, wallets).await?;
    let enabled = if locked { "true" } else { "false" };
    let settings = [("HEADGATE_LOCK__ENABLED", enabled)];
    let api = installation.start(Service::Api, &settings).await?;
    let mut plan = bench.plan(&api, Vec::new(), &installation.api_key, CONNECTIONS, Pace::Closed)?;
    plan.point_users = Some(wallets);
    let mut meter = bench.servers.meter();
    meter.watch(&api.name, api.pid);
    bench.probe_disk().await?;
    let (report, usage) = load::run(&plan, meter, None).await?;
    api.stop().await?;

    let durable = uses(&installation).await?;
    let promised = report.total(SPENT);
    anyhow::ensure!(
        durable == promised,
        "{durable} uses are durable, {promised} were promised"
    );
    let of = if wallets == HOT {
        "one hot wallet".to_owned()
    } else {
        format!("{wallets} wallets")
    };
    let what = format!("point use, {of}, lock {lock}, {CONNECTIONS} connections");
    let busy = report.rate(BUSY);
    bench.add(
        Row::new(what, report.rate(SPENT), "/s")
            .beside(Beside::Nobody)
            .against("asked for, with a distributed lock", REQUIRED)
            .note(format!("{promised} promised, {durable} durable"))
            .note(format!(
                "turned away as busy: {busy:.0}/s; the latency is of all answers"
            ))
            .answered(&report, SPENT, usage),
    )?;
    installation.remove().await
}

/// Wallets of so many users, each with a lot that lasts.
async fn grant(installation: &Installation, wallets: u64) -> anyhow::Result<()> {
    let digits = "SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
        UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9";
    let statements = [
        format!(
            "INSERT INTO wallets (wallet_id, partner_no, user_id, balance, entries)
             SELECT UUID_TO_BIN(UUID()), (SELECT MIN(partner_no) FROM partners), CONCAT('u-', LPAD(n, 10, '0')),
                 {GRANTED}, 1
             FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d AS n
                 FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d) AS numbers WHERE n < {wallets}"
        ),
        format!(
            "INSERT INTO point_entries (wallet_no, entry_no, point_key, kind, amount, balance_after, made_at)
             SELECT wallet_no, 1, UUID_TO_BIN(UUID()), 'earn', {GRANTED}, {GRANTED}, NOW(6) FROM wallets"
        ),
        format!(
            "INSERT INTO point_lots (wallet_no, entry_no, amount, remaining, expires_at)
             SELECT wallet_no, 1, {GRANTED}, {GRANTED}, NOW(6) + INTERVAL 1 YEAR FROM wallets"
        ),
        "INSERT INTO point_allocations (wallet_no, entry_no, lot_no, amount)
         SELECT wallet_no, entry_no, lot_no, amount FROM point_lots"
            .to_owned(),
    ];
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&installation.pool)
            .await?;
    }
    Ok(())
}

async fn uses(installation: &Installation) -> anyhow::Result<u64> {
    let count: u64 = sqlx::query_scalar("SELECT COUNT(*) FROM point_entries WHERE kind = 'use'")
        .fetch_one(&installation.pool)
        .await?;
    Ok(count)
}
