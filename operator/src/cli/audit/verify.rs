//! `headgate audit verify`.

use clap::Args;
use headgate_outbox::audit::Link;
use headgate_outbox::audit::verify::FOUND_MAX;

use crate::audit::verify::{ChainFault, ChainPage, ChainVerification};
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, fields, maybe, table};
use crate::cli::progress::Bar;

/// Verifies every line of the audit log; exits with 0 only if the chain holds, with 1 if it does
/// not
///
/// A field that was changed, and a line that was removed, inserted, moved or replaced, is named
/// by its number; what to do then is in docs/runbook/audit-chain-broken.md. Who can write all of
/// the database can write the chain anew from any line on, and no look at the database alone
/// shows it: so note the head that this prints somewhere else, and give it to the next one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate audit verify
  headgate audit verify --output json | jq -r 'select(.holds).head' >> heads.txt
  headgate audit verify --head \"$(tail -n 1 heads.txt)\"")]
pub struct Verify {
    /// A head that an earlier run printed: the line of this number must still have this hash
    #[arg(long, value_name = "NUMBER:HASH")]
    head: Option<Link>,
}

/// All pages together.
#[derive(Debug, Default, serde::Serialize)]
struct Report {
    /// Whether no fault was found.
    holds: bool,
    /// Lines that were looked at.
    looked_at: u64,
    /// Lines that the head counts.
    lines: u64,
    /// The last line, as `NUMBER:HASH`, to be noted elsewhere.
    head: Option<String>,
    faults: u64,
    /// The first of them.
    found: Vec<ChainFault>,
}

impl Verify {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let report = self.verify().await?;
        output.print(&report, printed)?;
        if report.holds {
            Ok(())
        } else {
            let faults = report.faults;
            Err(Error::Differs(format!(
                "the chain does not hold: {faults} faults"
            )))
        }
    }

    async fn verify(self) -> Result<Report, Error> {
        let client = Client::operator()?;
        let mut page = ChainPage {
            head: self.head.map(|head| head.to_string()),
            ..ChainPage::default()
        };
        let mut report = Report::default();
        let bar = Bar::start("verifying the audit log", 1);
        loop {
            let answer: ChainVerification = client.get("/v1/audit/verify", &page).await?;
            page.cursor.clone_from(&answer.next_cursor);
            report.add(answer);
            bar.stand(report.looked_at, report.lines);
            if page.cursor.is_none() {
                report.holds = report.faults == 0;
                return Ok(report);
            }
        }
    }
}

impl Report {
    fn add(&mut self, page: ChainVerification) {
        self.looked_at += page.looked_at;
        self.lines = page.lines;
        self.head = page.head;
        self.faults += page.faults;
        let room = FOUND_MAX.saturating_sub(self.found.len());
        self.found.extend(page.found.into_iter().take(room));
    }
}

/// What it came to, and the faults.
fn printed(report: &Report) -> String {
    let holds = if report.holds { "yes" } else { "NO" };
    let summary = fields([
        ("holds", holds.to_owned()),
        ("lines", report.looked_at.to_string()),
        ("faults", report.faults.to_string()),
        ("head", maybe(report.head.as_ref())),
    ])
    .trim_fmt();
    if report.found.is_empty() {
        return summary;
    }
    let mut faults = table(&["no", "fault", "what"]);
    for fault in &report.found {
        faults.add_row([
            fault.audit_no.to_string(),
            fault.kind.clone(),
            fault.detail.clone(),
        ]);
    }
    let more = report.faults.saturating_sub(report.found.len() as u64);
    if more > 0 {
        faults.add_row([String::new(), format!("and {more} more")]);
    }
    format!("{summary}\n\n{}", faults.trim_fmt())
}
