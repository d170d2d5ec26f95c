//! A run: the servers, the machine, and the rows so far.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};

use crate::cli::{Options, WARM_UP};
use crate::disk::{self, Probe};
use crate::load::{Pace, Plan};
use crate::machine::Machine;
use crate::report::{self, Row};
use crate::stack::installation::{self, Installation};
use crate::stack::process::Process;
use crate::stack::servers::Servers;
use crate::stack::settings::{self, Setting};

/// What every row is given.
#[derive(Debug)]
pub struct Bench {
    /// From the command line.
    pub options: Options,
    /// What is measured runs on these.
    pub servers: Servers,
    begun: DateTime<Utc>,
    machine: Machine,
    settings: Vec<Setting>,
    rows: Mutex<Vec<Row>>,
    probe: Mutex<Option<Probe>>,
}

impl Bench {
    /// Looks at the servers and the machine.
    pub async fn open(options: Options) -> anyhow::Result<Self> {
        let servers = Servers::of_environment()?;
        let mut settings = settings::read(&servers).await?;
        settings.extend(options.set.iter().map(|(name, value)| Setting {
            server: "not as shipped",
            name: name.clone(),
            value: value.clone(),
        }));
        Ok(Self {
            options,
            servers,
            begun: Utc::now(),
            machine: Machine::this(),
            settings,
            rows: Mutex::default(),
            probe: Mutex::default(),
        })
    }

    /// A fresh installation for a row.
    pub async fn installation(&self, row: &str) -> anyhow::Result<Installation> {
        Installation::make(&self.servers, row, &self.options.set)
            .await
            .with_context(|| format!("prepare an installation for {row}"))
    }

    /// Probes the disk; the rows that follow carry what was found.
    pub async fn probe_disk(&self) -> anyhow::Result<Probe> {
        let folder = self.servers.data_folder();
        let probe = tokio::task::spawn_blocking(move || disk::probe(&folder)).await??;
        *self.probe.lock().map_err(|_| anyhow::anyhow!("poisoned"))? = Some(probe);
        Ok(probe)
    }

    /// A plan for the claims of a row; `pace` and connections differ.
    pub fn plan(
        &self,
        process: &Process,
        campaigns: Vec<String>,
        api_key: &str,
        connections: usize,
        pace: Pace,
    ) -> anyhow::Result<Plan> {
        Ok(Plan {
            address: process.http.context("the process serves HTTP")?,
            campaigns,
            point_users: None,
            api_key: api_key.to_owned(),
            user_prefix: "u-".to_owned(),
            connections,
            threads: self.options.client_threads,
            pace,
            warm_up: WARM_UP,
            measured: Duration::from_secs(self.options.seconds),
            sample_every: None,
        })
    }

    /// Adds a row and prints the table so far.
    pub fn add(&self, mut row: Row) -> anyhow::Result<()> {
        row.probe = row
            .probe
            .or(*self.probe.lock().map_err(|_| anyhow::anyhow!("poisoned"))?);
        let mut rows = self.rows.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        rows.push(row);
        let added = &rows[rows.len() - 1..];
        eprintln!("{}", report::table(added, false));
        eprintln!("{}", report::remarks(&added[0]));
        Ok(())
    }

    /// The figure of an earlier row.
    pub fn figure(&self, what: &str) -> Option<f64> {
        let rows = self.rows.lock().ok()?;
        rows.iter().find(|row| row.what == what).map(|row| row.ours.value)
    }

    /// Prints the whole table and writes the report.
    pub fn publish(&self) -> anyhow::Result<()> {
        let rows = self.rows.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        println!("{}", report::table(&rows, false));
        if !self.options.dry {
            let path = report::write(
                &self.options.results,
                self.begun,
                &self.machine,
                &self.settings,
                &rows,
            )?;
            eprintln!("written to {}", path.display());
        }
        Ok(())
    }

    /// Removes what rows that were broken off have left.
    pub async fn close(&self) {
        if let Err(error) = installation::remove_leftovers(&self.servers).await {
            eprintln!("databases of broken-off rows are left: {error:#}");
        }
    }
}
