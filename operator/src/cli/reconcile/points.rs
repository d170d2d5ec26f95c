//! `headgate reconcile points`.

use clap::Args;
use comfy_table::Table;

use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::confirm::Confirmation;
use crate::cli::output::table as columns_of;
use crate::cli::progress::{Bar, Spinner};
use crate::reconcile::points::{
    PointsReconciliation, RepairedWallet, WalletDifferences, WalletsPage, WhyRepair,
};

/// Counts every wallet from its ledger and lists what must never be; exits with 1 when there is
/// any left
///
/// Ledger = lots = the wallet's balance = the balance that is kept beside it = what Redis
/// remembers. What each word means is in docs/runbook/reconciliation.md. With --repair all of
/// that is made to agree with the ledger, which is not changed; each wallet is an act in the
/// audit log.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  headgate reconcile points
  headgate reconcile points --output json | jq '.items[].differences'
  headgate reconcile points --repair --reason \"rows changed by hand, ticket 7\"")]
pub struct Points {
    /// Make what does not add up agree with the ledger
    #[arg(long, requires = "reason")]
    repair: bool,
    /// Why, 1 to 256 characters; goes into the audit log
    #[arg(long, requires = "repair")]
    reason: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
    /// Wallets that are counted by one request
    #[arg(long, default_value_t = 500, hide = true)]
    page: u32,
}

/// All pages together.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    wallets: u64,
    remembered: u64,
    /// After a repair: what is left.
    pub differences: u64,
    /// Whether nothing was on its way during all of it.
    quiet: bool,
    items: Vec<WalletDifferences>,
    repaired: Vec<RepairedWallet>,
}

impl Report {
    /// Says on stderr what it came to.
    pub fn say(&self) {
        eprintln!(
            "{} wallets, {} remembered by Redis, {} repaired, differences = {}",
            self.wallets,
            self.remembered,
            self.repaired.len(),
            self.differences
        );
    }
}

impl Points {
    pub async fn count(self) -> Result<Report, Error> {
        let client = Client::operator()?;
        let mut report = self.walk(&client).await?;
        let reason = self
            .reason
            .clone()
            .filter(|_| self.repair && !report.items.is_empty());
        if let Some(reason) = reason {
            let question = format!("Repair {} wallets?", report.items.len());
            self.confirmation.ask(&question)?;
            repair(&client, &mut report, &reason).await?;
            report.differences = self.walk(&client).await?.differences;
        }
        Ok(report)
    }

    async fn walk(&self, client: &Client) -> Result<Report, Error> {
        let _spinner = Spinner::start("counting wallets");
        let mut page = WalletsPage {
            limit: Some(if self.page == 0 { 500 } else { self.page }),
            cursor: None,
        };
        let mut report = Report {
            quiet: true,
            ..Report::default()
        };
        loop {
            let answer: PointsReconciliation = client.get("/v1/reconciliation/points", &page).await?;
            report.wallets += answer.wallets;
            report.remembered += answer.remembered;
            report.quiet &= answer.quiet;
            report.differences += differences(&answer.items);
            report.items.extend(answer.items);
            page.cursor = answer.next_cursor;
            if page.cursor.is_none() {
                return Ok(report);
            }
        }
    }
}

fn differences(items: &[WalletDifferences]) -> u64 {
    items.iter().map(|item| item.differences.len() as u64).sum()
}

/// Repairs what can be.
async fn repair(client: &Client, report: &mut Report, reason: &str) -> Result<(), Error> {
    let why = WhyRepair {
        reason: reason.to_owned(),
    };
    let bar = Bar::start("repairing wallets", report.items.len() as u64);
    for item in &report.items {
        if item.repairable {
            let path = format!("/v1/reconciliation/points/{}/repair", item.wallet_id);
            report.repaired.push(client.post(&path, &why).await?);
        }
        bar.advance(1);
    }
    Ok(())
}

pub fn table(report: &Report) -> Table {
    let mut table = columns_of(&["wallet", "partner", "user", "differences", "repaired"]);
    for item in &report.items {
        let differences: Vec<_> = item
            .differences
            .iter()
            .map(|wrong| format!("{}: {} instead of {}", wrong.kind, wrong.found, wrong.expected))
            .collect();
        let is_repaired = |repaired: &&RepairedWallet| repaired.wallet_id == item.wallet_id;
        let repaired = match report.repaired.iter().find(is_repaired) {
            Some(repaired) if !repaired.forgotten => "Redis did not answer".to_owned(),
            Some(repaired) if repaired.repairs.is_empty() => "forgotten by Redis".to_owned(),
            Some(repaired) => repairs(repaired),
            None if item.repairable => "-".to_owned(),
            None => "not repairable".to_owned(),
        };
        table.add_row([
            item.wallet_id.to_string(),
            item.partner_id.to_string(),
            item.user_id.clone(),
            differences.join("\n"),
            repaired,
        ]);
    }
    table
}

fn repairs(repaired: &RepairedWallet) -> String {
    let repairs = repaired.repairs.iter();
    let repairs: Vec<_> = repairs
        .map(|repair| format!("{}: {} -> {}", repair.what, repair.from, repair.to))
        .collect();
    repairs.join("\n")
}
