//! `headgate dlq rehearse`.

use std::collections::BTreeMap;

use comfy_table::Table;
use headgate_schemas::ids::ReplayId;

use super::Rehearse;
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, maybe, table};
use crate::cli::progress::Bar;
use crate::replays::rehearse::{Rehearsal, RehearsalAsked};
use crate::replays::{Effect, Rehearsed, ReplayView, Would};

/// Letters of one request.
const LETTERS_PER_REQUEST: u32 = 100;

impl Rehearse {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let rehearsed = match (self.letter_id, self.plan) {
            (Some(letter_id), _) => {
                let path = format!("/v1/dead-letters/{letter_id}/rehearse");
                vec![client.post(&path, &serde_json::json!({})).await?]
            }
            (None, Some(replay_id)) => {
                let letters = if self.all { u32::MAX } else { self.letters };
                of_replay(&client, replay_id, letters).await?
            }
            (None, None) => return Err(Error::Usage("name a letter, or a replay with --plan".to_owned())),
        };
        output.print(&rehearsed, |rehearsed| letter_table(rehearsed))?;
        summarise(&rehearsed);
        Ok(())
    }
}

/// Rehearses the first `letters` of a replay, request by request.
async fn of_replay(client: &Client, replay_id: ReplayId, letters: u32) -> Result<Vec<Rehearsed>, Error> {
    let path = format!("/v1/replays/{replay_id}");
    let replay: ReplayView = client.get(&path, &()).await?;
    let path = format!("{path}/rehearse");
    let bar = Bar::start("rehearsing", replay.progress.waiting.min(u64::from(letters)));
    let (mut rehearsed, mut to_do) = (Vec::new(), letters);
    let mut asked = RehearsalAsked::default();
    while to_do > 0 {
        asked.letters_max = Some(to_do.min(LETTERS_PER_REQUEST));
        let page: Rehearsal = client.post(&path, &asked).await?;
        bar.advance(page.items.len());
        to_do = to_do.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        rehearsed.extend(page.items);
        asked.cursor = page.next_cursor;
        if page.next_cursor.is_none() {
            break;
        }
    }
    Ok(rehearsed)
}

fn letter_table(rehearsed: &[Rehearsed]) -> Table {
    let mut table = table(&["letter", "would", "class", "error", "publishes"]);
    for letter in rehearsed {
        add_row(&mut table, letter, "");
        for follower in &letter.followers {
            add_row(&mut table, follower, "  behind it: ");
        }
    }
    table
}

fn add_row(table: &mut Table, letter: &Rehearsed, indent: &str) {
    let would = if letter.changes_nothing {
        "apply, changes nothing"
    } else {
        word(letter.would)
    };
    let events: Vec<&str> = letter
        .effects
        .iter()
        .filter_map(|effect: &Effect| effect.event_type.as_deref())
        .collect();
    table.add_row([
        format!("{indent}{}", letter.letter_id),
        would.to_owned(),
        maybe(letter.error_class.as_deref()),
        maybe(letter.error.as_deref()),
        events.join(", "),
    ]);
}

const fn word(would: Would) -> &'static str {
    match would {
        Would::Apply => "apply",
        Would::Fail => "fail",
        Would::Wait => "wait",
        Would::Stay => "stay",
    }
}

/// How many letters would do what, on stderr.
fn summarise(rehearsed: &[Rehearsed]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for letter in rehearsed {
        let class = letter.error_class.as_deref();
        let what = class.map_or_else(
            || word(letter.would).to_owned(),
            |class| format!("{} ({class})", word(letter.would)),
        );
        *counts.entry(what).or_default() += 1;
    }
    for (what, letters) in counts {
        eprintln!("{letters} letters would {what}");
    }
}
