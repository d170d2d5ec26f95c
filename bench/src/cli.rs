//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Bench;
use crate::report::Beside;
use crate::{bare, load, rows, stack};

/// Measures Headgate beside bare programs, on real servers, in one run
///
/// Uses the servers that the environment names (MYSQL_URL, REDIS_URL, KAFKA_BOOTSTRAP,
/// SCHEMA_REGISTRY_URL, HEADGATE_RUN_DIR: what `stack.py with` gives); without MYSQL_URL
/// it starts servers of its own in .run-bench and stops them at the end. Everything it
/// makes there (databases, topics, keys) has a name of its own and is removed.
#[derive(Debug, Parser)]
#[command(name = "headgate-bench", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

/// What all rows share.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Measured seconds of each run, after a warm-up
    #[arg(long, global = true, default_value_t = 8)]
    pub seconds: u64,
    /// Threads of the load client
    #[arg(long, global = true, default_value_t = 2)]
    pub client_threads: usize,
    /// Where the report goes
    #[arg(long, global = true, default_value = "bench/results")]
    pub results: PathBuf,
    /// Connections of the rows on claims
    #[arg(long, global = true, value_delimiter = ',', default_values_t = [64, 256])]
    pub connections: Vec<usize>,
    /// Claims without relay and consumers, with them, or first so and then so
    #[arg(long, global = true, value_enum, default_values_t = [Beside::Nobody, Beside::Both])]
    pub beside: Vec<Beside>,
    /// A setting of our services that differs from the shipped default, e.g.
    /// HEADGATE_CLAIMS__WRITERS=2; the report says so
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
    /// Print only, write no report
    #[arg(long, global = true)]
    pub dry: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must look like NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Some rows, or all of them
    Run {
        /// Which
        #[arg(value_enum, default_values_t = [Row::All])]
        rows: Vec<Row>,
    },
    /// The load client: a plan comes by stdin, the report goes to stdout
    #[command(hide = true)]
    Client,
    /// A bare program to compare with
    #[command(hide = true)]
    BareServer(bare::Arguments),
    /// A plain relay to compare with
    #[command(hide = true)]
    BareRelay(bare::relay::Arguments),
    /// A plain consumer to compare with
    #[command(hide = true)]
    BareConsumer(bare::consumer::Arguments),
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Row {
    /// Every row, in this order
    All,
    /// Small appends that are made durable one by one
    Disk,
    /// Bare axum; bare axum with one Redis script; with a plain group commit
    Bare,
    /// Claims accepted and durable, relay and consumers off and on
    Claims,
    /// Sold-out answers
    SoldOut,
    /// A backlog of the outbox, published with the archive off (beside a plain relay) and
    /// on (beside Debezium, if it is installed)
    RelayDrain,
    /// A backlog of claims that become coupons, on one partition and on four (beside a
    /// plain consumer), and on one while 1,000 letters are parked there (beside none)
    Consumer,
    /// From the answer to the coupon's row, paced and at full rate
    Latency,
    /// The 99th percentile of a partner that claims at a modest pace, alone and while the key of
    /// another partner floods
    NoisyNeighbour,
    /// What the check of a key costs a request, and how often MySQL is asked for it
    ApiKeyCheck,
    /// Uses of points of one hot wallet and of 10,000, with the lock in Redis and without it
    Points,
    /// The lock in Redis (beside a bare SET NX and DEL)
    Lock,
    /// The list, the groups and the plan of 100,000 dead letters, without settled ones and
    /// with 500,000 (beside plain statements)
    DeadLetters,
    /// From the answer to the coupon's row while replays of many letters run (beside none),
    /// and how fast those are (beside their rates)
    Replay,
}

/// Every row in the order of the table.
const ORDER: [Row; 13] = [
    Row::Disk,
    Row::Bare,
    Row::Claims,
    Row::SoldOut,
    Row::RelayDrain,
    Row::Consumer,
    Row::Latency,
    Row::NoisyNeighbour,
    Row::ApiKeyCheck,
    Row::Points,
    Row::Lock,
    Row::DeadLetters,
    Row::Replay,
];

/// Worker threads of this process: it only watches while others work.
const WATCHER_THREADS: usize = 1;

pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Client) => load::client::main(),
        Some(Command::BareServer(arguments)) => bare::main(&arguments),
        Some(Command::BareRelay(arguments)) => bare::relay::main(&arguments),
        Some(Command::BareConsumer(arguments)) => bare::consumer::main(&arguments),
        Some(Command::Run { rows }) => measure(&rows, cli.options),
        None => measure(&[Row::All], cli.options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headgate-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(rows: &[Row], options: Options) -> anyhow::Result<()> {
    if stack::servers::are_missing() {
        return stack::servers::run_again_with_servers();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WATCHER_THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let bench = Bench::open(options).await?;
        // A row that is dropped half-way stops its processes.
        let outcome = tokio::select! {
            outcome = measure_all(&bench, rows) => outcome,
            outcome = told_to_stop() => outcome,
        };
        bench.close().await;
        outcome
    })
}

async fn measure_all(bench: &Bench, rows: &[Row]) -> anyhow::Result<()> {
    let chosen = |row: &&Row| rows.contains(&Row::All) || rows.contains(row);
    for row in ORDER.iter().filter(chosen) {
        let name = row.to_possible_value().map(|value| value.get_name().to_owned());
        eprintln!("== {}", name.unwrap_or_default());
        bench.probe_disk().await?;
        match row {
            Row::All => {}
            Row::Disk => rows::disk::run(bench).await?,
            Row::Bare => rows::bare::run(bench).await?,
            Row::Claims => rows::claims::run(bench).await?,
            Row::SoldOut => rows::sold_out::run(bench).await?,
            Row::RelayDrain => rows::relay_drain::run(bench).await?,
            Row::Consumer => rows::consumer::run(bench).await?,
            Row::Latency => rows::latency::run(bench).await?,
            Row::NoisyNeighbour => rows::noisy_neighbour::run(bench).await?,
            Row::ApiKeyCheck => rows::api_key_check::run(bench).await?,
            Row::Points => rows::points::run(bench).await?,
            Row::Lock => rows::lock::run(bench).await?,
            Row::DeadLetters => rows::dead_letters::run(bench).await?,
            Row::Replay => rows::replay::run(bench).await?,
        }
    }
    bench.publish()
}

async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("listen for Ctrl-C")?,
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    anyhow::bail!("stopped before the end; no report was written")
}

/// The warm-up before each measurement.
pub const WARM_UP: Duration = Duration::from_secs(2);
