//! `headgate dlq list`, `groups` and `show`.

use comfy_table::Table;

use super::edit::changes;
use super::{Groups, List, Matching, Show};
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, fields, maybe, moment, table};
use crate::dead_letters::HistoryLine;
use crate::dead_letters::difference::Edit;
use crate::dead_letters::groups::FailureGroups;
use crate::dead_letters::list::Letters;
use crate::dead_letters::record::Record;
use crate::dead_letters::show::ShownLetter;

/// Longest error in a list, in characters.
const ERROR_SHOWN_CHARS: usize = 60;
/// Characters of a key in a list: an id fits.
const KEY_SHOWN_CHARS: usize = 40;

impl Matching {
    /// What it asks for, and what the request has of its own, as a query.
    pub(super) fn query<const N: usize>(
        &self,
        own: [(&'static str, Option<String>); N],
    ) -> Vec<(&'static str, String)> {
        let matching = [
            ("group", self.group.clone()),
            ("disposition", self.disposition.clone()),
            ("error_class", self.class.clone()),
            ("event_type", self.event_type.clone()),
            ("key", self.key.clone()),
            ("fingerprint", self.fingerprint.map(String::from)),
            ("since", self.since.map(|since| since.to_rfc3339())),
            ("until", self.until.map(|until| until.to_rfc3339())),
            ("text", self.text.clone()),
            ("schema_id", self.schema_id.map(|id| id.to_string())),
        ];
        matching
            .into_iter()
            .chain(own)
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

impl List {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let state = Some(self.state).filter(|state| state != "any");
        let query = self.matching.query([
            ("state", state),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.map(|cursor| cursor.to_string())),
        ]);
        let letters: Letters = Client::operator()?.get("/v1/dead-letters", &query).await?;
        output.print(&letters, list)?;
        if let Some(cursor) = letters.next_cursor {
            eprintln!(
                "{} of {} shown; more with --cursor {cursor}",
                letters.items.len(),
                letters.total
            );
        }
        Ok(())
    }
}

fn list(letters: &Letters) -> Table {
    let mut table = table(&[
        "letter",
        "group",
        "state",
        "disposition",
        "class",
        "key",
        "failed at",
        "error",
    ]);
    for letter in &letters.items {
        table.add_row([
            letter.letter_id.to_string(),
            letter.group.clone(),
            letter.state.clone(),
            letter.disposition.clone(),
            letter.error_class.clone(),
            maybe(letter.key.as_deref())
                .chars()
                .take(KEY_SHOWN_CHARS)
                .collect(),
            moment(letter.last_failed_at),
            letter.error.chars().take(ERROR_SHOWN_CHARS).collect(),
        ]);
    }
    table
}

impl Groups {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let query = self.matching.query([
            ("state", Some(self.state)),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.map(|cursor| cursor.to_string())),
        ]);
        let groups: FailureGroups = Client::operator()?.get("/v1/dead-letters/groups", &query).await?;
        output.print(&groups, group_table)?;
        eprintln!("{} letters of {} causes", groups.letters, groups.total);
        if let Some(cursor) = groups.next_cursor {
            eprintln!("{} shown; more with --cursor {cursor}", groups.items.len());
        }
        Ok(())
    }
}

fn group_table(groups: &FailureGroups) -> Table {
    let mut table = table(&[
        "fingerprint",
        "group",
        "letters",
        "parked",
        "keys",
        "1 h",
        "1 h before",
        "24 h",
        "disposition",
        "class",
        "failed first",
        "failed last",
        "example",
        "error",
    ]);
    for group in &groups.items {
        table.add_row([
            group.fingerprint.clone(),
            group.group.clone(),
            group.letters.to_string(),
            group.parked.to_string(),
            group.keys.to_string(),
            group.trend.last_hour.to_string(),
            group.trend.hour_before.to_string(),
            group.trend.last_day.to_string(),
            group.disposition.clone(),
            group.error_class.clone(),
            moment(group.first_failed_at),
            moment(group.last_failed_at),
            group.example.to_string(),
            group.error.chars().take(ERROR_SHOWN_CHARS).collect(),
        ]);
    }
    table
}

impl Show {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let path = format!("/v1/dead-letters/{}", self.letter_id);
        let letter: ShownLetter = Client::operator()?.get(&path, &()).await?;
        output.print(&letter, show)?;
        Ok(())
    }
}

fn history_lines(history: &[HistoryLine]) -> String {
    let lines = history.iter().map(|line| {
        format!(
            "{} {} by {}  {}",
            moment(line.at),
            line.action,
            line.actor,
            line.detail.as_deref().unwrap_or_default()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn edit_lines(edits: &[Edit]) -> String {
    let lines = edits.iter().map(|edit| {
        format!(
            "{} {} by {}, because {}\n{}",
            moment(edit.edited_at),
            edit.edit_no,
            edit.actor,
            edit.reason,
            changes(&edit.difference)
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn value(record: &Record) -> String {
    let value = record.value.as_ref();
    let pretty = value.and_then(|value| serde_json::to_string_pretty(value).ok());
    pretty.unwrap_or_else(|| format!("cannot be read: {}", maybe(record.unreadable.as_deref())))
}

fn show(shown: &ShownLetter) -> Table {
    let ShownLetter {
        letter,
        queue,
        record,
        effective,
        edits,
        history,
    } = shown;
    let place = queue.as_ref().map(|queue| {
        let behind = format!("{} wait behind it", queue.behind);
        if queue.first == letter.letter_id {
            behind
        } else {
            format!("waits for {}, {behind}", queue.first)
        }
    });
    let lines = |lines: Vec<String>| lines.join("\n");
    let headers = record
        .headers
        .iter()
        .map(|header| format!("{}: {}", header.name, maybe(header.value.as_deref())));
    fields([
        ("letter", letter.letter_id.to_string()),
        ("state", letter.state.clone()),
        ("group", letter.group.clone()),
        (
            "event",
            format!("{} {}", letter.event_id, maybe(letter.event_type.as_deref())),
        ),
        (
            "record",
            format!(
                "{}[{}]@{} of {}",
                letter.topic,
                letter.partition,
                letter.offset,
                moment(letter.record_time)
            ),
        ),
        ("key", maybe(letter.key.as_deref())),
        ("place", maybe(place)),
        ("disposition", letter.disposition.clone()),
        ("class", letter.error_class.clone()),
        ("error", letter.error.clone()),
        ("attempts", letter.attempts.to_string()),
        (
            "replays",
            format!("{}, {} failed", letter.replay_attempt, letter.replays_failed),
        ),
        ("archived at", maybe(letter.archived_at.map(moment))),
        ("fingerprint", letter.fingerprint.clone()),
        ("headers", lines(headers.collect())),
        ("value", value(record)),
        ("edited to", maybe(effective.as_ref().map(value))),
        ("edits", edit_lines(edits)),
        ("masked", record.masked.to_string()),
        ("raw value", maybe(record.raw_value.as_deref())),
        ("history", history_lines(history)),
    ])
}
