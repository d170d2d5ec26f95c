//! `headgate reconcile`.

use clap::Args;
use comfy_table::Table;

use super::Error;
use super::client::Client;
use super::output::{Output, table};
use super::progress::Spinner;
use crate::reconcile::{PageOf, Reconciled, Reconciliation};

/// Counts every campaign and lists what must never be; exits with 1 when there is any
///
/// Claims are coupons, or dead letters, or on their way; the stock row says what the
/// coupons say; tickets are unique and within the quota. While nothing is on its way, a
/// claim without a coupon or a letter is a difference too.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  headgate reconcile\n  headgate reconcile --output json | jq .differences"
)]
pub struct Reconcile {
    /// Campaigns that are counted by one request
    #[arg(long, default_value_t = 20, hide = true)]
    page: u32,
}

/// All pages together.
#[derive(serde::Serialize)]
struct Report {
    campaigns: usize,
    differences: usize,
    /// Whether nothing was on its way during all of it.
    quiet: bool,
    items: Vec<Reconciled>,
}

impl Reconcile {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let report = self.count().await?;
        output.print(&report, report_table)?;
        eprintln!(
            "{} campaigns, differences = {}",
            report.campaigns, report.differences
        );
        if report.differences == 0 {
            Ok(())
        } else {
            Err(Error::Differs(format!("{} differences", report.differences)))
        }
    }

    async fn count(self) -> Result<Report, Error> {
        let client = Client::operator()?;
        let _spinner = Spinner::start("counting campaigns");
        let mut page = PageOf {
            limit: Some(self.page),
            cursor: None,
        };
        let (mut items, mut quiet) = (Vec::new(), true);
        loop {
            let answer: Reconciliation = client.get("/v1/reconciliation", &page).await?;
            items.extend(answer.items);
            quiet &= answer.quiet;
            page.cursor = answer.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        Ok(Report {
            campaigns: items.len(),
            differences: items.iter().map(|item| item.differences.len()).sum(),
            quiet,
            items,
        })
    }
}

fn report_table(report: &Report) -> Table {
    let columns = [
        "campaign",
        "name",
        "quota",
        "claimed",
        "issued",
        "in flight",
        "dead",
        "released",
        "differences",
    ];
    let mut table = table(&columns);
    for item in &report.items {
        let differences: Vec<_> = item
            .differences
            .iter()
            .map(|difference| {
                format!(
                    "{}: {} instead of {}",
                    difference.kind, difference.found, difference.expected
                )
            })
            .collect();
        let counts = item.counts;
        table.add_row([
            item.campaign_id.to_string(),
            item.name.clone(),
            counts.quota.to_string(),
            counts.claimed.to_string(),
            counts.issued.to_string(),
            counts.in_flight.to_string(),
            counts.dead_letters.to_string(),
            counts.released.to_string(),
            if differences.is_empty() {
                "-".to_owned()
            } else {
                differences.join("\n")
            },
        ]);
    }
    table
}
