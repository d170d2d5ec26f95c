//! `headgate dlq replays` and `outcome`.

use comfy_table::Table;

use super::{Outcome, Replays};
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, maybe, moment, table};
use crate::replays::show::{ReplayLetters, Replays as Page};
use crate::replays::{CauseView, ReplayView};

/// Longest error in a list, in characters.
const ERROR_SHOWN_CHARS: usize = 80;

impl Replays {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let query = [
            ("state", self.state),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.map(|cursor| cursor.to_string())),
        ];
        let page: Page = Client::operator()?.get("/v1/replays", &given(query)).await?;
        output.print(&page, |page| replay_table(&page.items))?;
        if let Some(cursor) = page.next_cursor {
            eprintln!("more with --cursor {cursor}");
        }
        Ok(())
    }
}

fn given<const N: usize>(query: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    query
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn replay_table(replays: &[ReplayView]) -> Table {
    let mut table = table(&[
        "replay",
        "state",
        "paused by",
        "letters",
        "waiting",
        "sent",
        "resolved",
        "failed",
        "refused",
        "planned by",
        "planned at",
        "ended at",
    ]);
    for replay in replays {
        let progress = &replay.progress;
        table.add_row([
            replay.replay_id.to_string(),
            replay.state.clone(),
            maybe(replay.pause_reason.as_deref()),
            replay.plan.letters.to_string(),
            progress.waiting.to_string(),
            progress.sent.to_string(),
            progress.resolved.to_string(),
            progress.failures().to_string(),
            progress.refused.to_string(),
            replay.planned_by.clone(),
            moment(replay.planned_at),
            maybe(replay.ended_at.map(moment)),
        ]);
    }
    table
}

/// The causes of a plan.
pub(super) fn cause_table(causes: &[CauseView]) -> Table {
    let mut table = table(&[
        "letters",
        "fingerprint",
        "group",
        "disposition",
        "class",
        "example",
        "error",
    ]);
    for cause in causes {
        table.add_row([
            cause.letters.to_string(),
            cause.fingerprint.clone(),
            cause.group.clone(),
            cause.disposition.clone(),
            cause.error_class.clone(),
            cause.example.to_string(),
            cause.error.chars().take(ERROR_SHOWN_CHARS).collect(),
        ]);
    }
    table
}

impl Outcome {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let query = [
            ("outcome", self.outcome),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.map(|cursor| cursor.to_string())),
        ];
        let path = format!("/v1/replays/{}/letters", self.replay_id);
        let page: ReplayLetters = Client::operator()?.get(&path, &given(query)).await?;
        output.print(&page, letter_table)?;
        if let Some(cursor) = page.next_cursor {
            eprintln!("more with --cursor {cursor}");
        }
        Ok(())
    }
}

fn letter_table(page: &ReplayLetters) -> Table {
    let mut table = table(&[
        "place",
        "letter",
        "key",
        "outcome",
        "attempt",
        "settled at",
        "class",
        "error",
    ]);
    for letter in &page.items {
        table.add_row([
            letter.place.to_string(),
            letter.letter_id.to_string(),
            maybe(letter.key.as_deref()),
            letter.outcome.clone(),
            maybe(letter.attempt),
            maybe(letter.settled_at.map(moment)),
            maybe(letter.error_class.as_deref()),
            maybe(letter.error.as_deref())
                .chars()
                .take(ERROR_SHOWN_CHARS)
                .collect(),
        ]);
    }
    table
}
