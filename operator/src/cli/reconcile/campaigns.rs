//! `headgate reconcile campaigns`.

use clap::Args;
use comfy_table::Table;

use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::table as columns_of;
use crate::cli::progress::Spinner;
use crate::reconcile::{PageOf, Reconciled, Reconciliation};

/// Counts every campaign and lists what must never be; exits with 1 when there is any
///
/// Claims are coupons, or dead letters, or on their way; the stock row says what the
/// coupons say; tickets are unique and within the quota. While nothing is on its way, a
/// claim without a coupon or a letter is a difference too.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  headgate reconcile campaigns\n  headgate reconcile campaigns --output json | jq .differences"
)]
pub struct Campaigns {
    /// Campaigns that are counted by one request
    #[arg(long, default_value_t = 20, hide = true)]
    page: u32,
}

/// All pages together.
#[derive(serde::Serialize)]
pub struct Report {
    campaigns: usize,
    pub differences: u64,
    /// Whether nothing was on its way during all of it.
    quiet: bool,
    items: Vec<Reconciled>,
}

impl Report {
    /// Says on stderr what it came to.
    pub fn say(&self) {
        eprintln!("{} campaigns, differences = {}", self.campaigns, self.differences);
    }
}

impl Campaigns {
    pub async fn count(self) -> Result<Report, Error> {
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
            differences: items.iter().map(|item| item.differences.len() as u64).sum(),
            quiet,
            items,
        })
    }
}

pub fn table(report: &Report) -> Table {
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
    let mut table = columns_of(&columns);
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
