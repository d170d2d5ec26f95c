//! `headgate reconcile pipe`.

use chrono::NaiveDate;
use clap::Args;
use comfy_table::Table;

use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{maybe, table as columns_of};
use crate::cli::progress::Bar;
use crate::http::code::Code;
use crate::reconcile::pipe::{GroupCounts, PipeDifference, PipePage, PipeReconciliation, TopicCounts};

/// Follows the events from the outbox through Kafka to every group; exits with 1 when any is
/// missing
///
/// committed = published + waiting, and for each group published = persisted + skipped +
/// parked + dead + discarded + in flight. What is missing is named: `outbox-lost`,
/// `record-missing`, `passed-by`, `without-effect`, `letter-disagrees`; what to do about each
/// is in docs/runbook/reconciliation.md. It may run while events flow. Refused where the relay
/// keeps no archive.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  headgate reconcile pipe
  headgate reconcile pipe --since 2026-11-15 --deep
  headgate reconcile pipe --output json | jq '.found[] | {kind, count}'")]
pub struct Pipe {
    /// What was published on this day (UTC) or later, and the claims admitted then; yesterday
    /// unless said, and at most as far back as the archive is kept
    #[arg(long, value_name = "DAY")]
    since: Option<NaiveDate>,
    /// Read every record in Kafka and compare it, instead of a few
    #[arg(long)]
    deep: bool,
}

/// All pages together.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    since: Option<NaiveDate>,
    /// Published events that were looked at.
    looked_at: u64,
    pub differences: u64,
    topics: Vec<TopicCounts>,
    groups: Vec<GroupCounts>,
    found: Vec<PipeDifference>,
}

/// Whether it was refused because no archive is kept.
pub fn is_archive_off(error: &Error) -> bool {
    matches!(error, Error::Refused(said, _) if said.contains(Code::ArchiveOff.as_str()))
}

impl Pipe {
    pub async fn follow(self) -> Result<Report, Error> {
        let client = Client::operator()?;
        let mut page = PipePage {
            since: self.since,
            deep: self.deep.then_some(true),
            cursor: None,
        };
        let mut report = Report::default();
        let bar = Bar::start("following the events", 1);
        loop {
            let answer: PipeReconciliation = client.get("/v1/reconciliation/pipe", &page).await?;
            bar.stand(answer.steps_done, answer.steps);
            // Of all pages the same, also when the day changes meanwhile.
            page.since = Some(answer.since);
            page.cursor.clone_from(&answer.next_cursor);
            report.add(answer);
            if page.cursor.is_none() {
                return Ok(report);
            }
        }
    }
}

impl Report {
    fn add(&mut self, page: PipeReconciliation) {
        self.since = self.since.or(Some(page.since));
        self.looked_at += page.looked_at;
        for counts in page.topics {
            match self.topics.iter_mut().find(|sum| sum.topic == counts.topic) {
                Some(sum) => sum.add(&counts),
                None => self.topics.push(counts),
            }
        }
        for counts in page.groups {
            let is_same = |sum: &&mut GroupCounts| sum.group == counts.group && sum.topic == counts.topic;
            match self.groups.iter_mut().find(is_same) {
                Some(sum) => sum.add(&counts),
                None => self.groups.push(counts),
            }
        }
        for found in page.differences {
            self.differences += found.count;
            match self.found.iter_mut().find(|sum| sum.kind == found.kind) {
                Some(sum) => sum.add(found),
                None => self.found.push(found),
            }
        }
    }

    /// Says on stderr what it came to.
    pub fn say(&self) {
        eprintln!(
            "pipe: {} events published since {}, differences = {}",
            self.looked_at,
            maybe(self.since),
            self.differences
        );
    }
}

/// The stages up to Kafka, those behind it, and what is missing.
pub fn table(report: &Report) -> String {
    let mut tables = vec![topics(report), groups(report)];
    if !report.found.is_empty() {
        tables.push(found(report));
    }
    let texts: Vec<String> = tables.iter().map(Table::trim_fmt).collect();
    let remedies = report
        .found
        .iter()
        .map(|found| format!("\n{}: {}", found.kind, found.remedy));
    format!("{}{}", texts.join("\n\n"), remedies.collect::<String>())
}

fn topics(report: &Report) -> Table {
    let mut table = columns_of(&["topic", "committed", "published", "waiting", "lost"]);
    for counts in &report.topics {
        let numbers = [counts.committed, counts.published, counts.waiting, counts.lost];
        table.add_row(
            [counts.topic.clone()]
                .into_iter()
                .chain(numbers.map(|number| number.to_string())),
        );
    }
    table
}

fn groups(report: &Report) -> Table {
    let mut table = columns_of(&[
        "group",
        "topic",
        "published",
        "persisted",
        "skipped",
        "parked",
        "dead",
        "discarded",
        "in flight",
        "passed by",
        "forgotten",
    ]);
    for counts in &report.groups {
        let numbers = [
            counts.published,
            counts.persisted,
            counts.skipped,
            counts.parked,
            counts.dead,
            counts.discarded,
            counts.in_flight,
            counts.passed_by,
            counts.forgotten,
        ];
        let names = [counts.group.clone(), counts.topic.clone()];
        table.add_row(names.into_iter().chain(numbers.map(|number| number.to_string())));
    }
    table
}

fn found(report: &Report) -> Table {
    let mut table = columns_of(&["difference", "event", "key", "sequence", "group", "where", "what"]);
    for difference in &report.found {
        for example in &difference.examples {
            let at = match (&example.topic, example.partition, example.offset) {
                (Some(topic), Some(partition), Some(offset)) => format!("{topic}/{partition}/{offset}"),
                (topic, ..) => maybe(topic.clone()),
            };
            table.add_row([
                difference.kind.clone(),
                maybe(example.event_id),
                maybe(example.key.clone()),
                maybe(example.sequence),
                maybe(example.group.clone()),
                at,
                example.detail.clone(),
            ]);
        }
        let more = difference.count.saturating_sub(difference.examples.len() as u64);
        if more > 0 {
            table.add_row([difference.kind.clone(), format!("and {more} more")]);
        }
    }
    table
}
