//! `headgate dlq replay`, `archive`, `restore` and `discard`.

use headgate_dead_letters::{Disposition, ErrorPart};
use headgate_schemas::ids::DeadLetterId;

use super::{Archive, Discard, Matching, Replay, Restore};
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, fields, maybe, moment, table};
use crate::cli::progress::Bar;
use crate::dead_letters::LetterView;
use crate::dead_letters::discard::{Discarded, Reason};
use crate::dead_letters::list::Letters;
use crate::dead_letters::replay::{Replay as Replayed, ReplayFilter, Replays};

/// Letters that one request asks for: what the listener can do well within its limit.
const LETTERS_PER_REQUEST: u32 = 100;

impl Replay {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let Some(letter_id) = self.letter_id else {
            return self.run_matching(&client, output).await;
        };
        let path = format!("/v1/dead-letters/{letter_id}/replay");
        let replayed: Replayed = client.post(&path, &serde_json::json!({})).await?;
        output.print(&replayed, |replayed| {
            fields([
                ("letter", replayed.letter_id.to_string()),
                ("attempt", replayed.attempt.to_string()),
                ("deadline", moment(replayed.deadline)),
            ])
        })?;
        Ok(())
    }

    async fn run_matching(self, client: &Client, output: Output) -> Result<(), Error> {
        let mut filter = filter(&self.matching)?;
        let matched = matched(client, &self.matching).await?;
        let wanted = matched.min(u64::from(self.max));
        if wanted > 0 {
            self.confirmation
                .ask(&format!("Replay {wanted} of {matched} matching letters?"))?;
        }
        let bar = Bar::start("replaying", wanted);
        let mut all = Replays {
            matched,
            replayed: Vec::new(),
            refused: Vec::new(),
            next_cursor: None,
        };
        let outcome = replay_all(client, &mut filter, wanted, &bar, &mut all).await;
        drop(bar);
        // What was done before it failed is done.
        print(output, &all)?;
        outcome
    }
}

/// Asks again and again until `wanted` letters were looked at, or there are no more.
async fn replay_all(
    client: &Client,
    filter: &mut ReplayFilter,
    wanted: u64,
    bar: &Bar,
    all: &mut Replays,
) -> Result<(), Error> {
    let mut to_do = u32::try_from(wanted).unwrap_or(u32::MAX);
    while to_do > 0 {
        filter.letters_max = Some(to_do.min(LETTERS_PER_REQUEST));
        let round: Replays = client.post("/v1/dead-letters/replay", filter).await?;
        let looked_at = round.replayed.len() + round.refused.len();
        bar.advance(looked_at);
        to_do = to_do.saturating_sub(u32::try_from(looked_at).unwrap_or(u32::MAX));
        all.replayed.extend(round.replayed);
        all.refused.extend(round.refused);
        all.next_cursor = round.next_cursor;
        filter.cursor = round.next_cursor;
        if round.next_cursor.is_none() {
            break;
        }
    }
    if all.refused.is_empty() {
        Ok(())
    } else {
        Err(Error::Refused(
            format!("{} letters were not replayed", all.refused.len()),
            None,
        ))
    }
}

/// The filter of a request, which must say something.
fn filter(matching: &Matching) -> Result<ReplayFilter, Error> {
    let disposition = matching.disposition.as_deref().map(disposition).transpose()?;
    let text = matching.text.clone().map(ErrorPart::try_from).transpose();
    let filter = ReplayFilter {
        group: matching.group.clone(),
        disposition,
        error_class: matching.class.clone(),
        event_type: matching.event_type.clone(),
        key: matching.key.clone(),
        fingerprint: matching.fingerprint,
        since: matching.since,
        until: matching.until,
        text: text.map_err(|error| Error::Usage(format!("--text {error}")))?,
        schema_id: matching.schema_id,
        letters_max: None,
        cursor: None,
    };
    if filter.says_nothing() {
        let which = "name a letter, or at least one of --group, --disposition, --class, --type, --key, \
                     --fingerprint, --since, --until, --text, --schema-id";
        return Err(Error::Usage(which.to_owned()));
    }
    Ok(filter)
}

fn disposition(word: &str) -> Result<Disposition, Error> {
    serde_json::from_value(word.into()).map_err(|_| Error::Usage(format!("`{word}` is no disposition")))
}

/// How many open letters match.
async fn matched(client: &Client, matching: &Matching) -> Result<u64, Error> {
    let query = matching.query([
        ("state", Some("open".to_owned())),
        ("parked", Some("false".to_owned())),
        ("limit", Some("1".to_owned())),
    ]);
    let letters: Letters = client.get("/v1/dead-letters", &query).await?;
    Ok(letters.total)
}

fn print(output: Output, all: &Replays) -> Result<(), Error> {
    output.print(all, |all| {
        let mut table = table(&["letter", "outcome"]);
        for replayed in &all.replayed {
            table.add_row([
                replayed.letter_id.to_string(),
                format!("replayed, attempt {}", replayed.attempt),
            ]);
        }
        for refused in &all.refused {
            table.add_row([
                refused.letter_id.to_string(),
                format!("refused: {}", refused.detail),
            ]);
        }
        table
    })?;
    eprintln!(
        "{} matched, {} replayed, {} refused",
        all.matched,
        all.replayed.len(),
        all.refused.len()
    );
    Ok(())
}

impl Archive {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        moved(self.letter_id, "archive", self.reason, output).await
    }
}

impl Restore {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        moved(self.letter_id, "restore", self.reason, output).await
    }
}

/// Archives or restores a letter.
async fn moved(letter_id: DeadLetterId, act: &str, reason: String, output: Output) -> Result<(), Error> {
    let path = format!("/v1/dead-letters/{letter_id}/{act}");
    let letter: LetterView = Client::operator()?.post(&path, &Reason { reason }).await?;
    output.print(&letter, |letter| {
        fields([
            ("letter", letter.letter_id.to_string()),
            ("state", letter.state.clone()),
        ])
    })?;
    Ok(())
}

impl Discard {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let letter_id = self.letter_id;
        self.confirmation
            .ask(&format!("Discard letter {letter_id} for good?"))?;
        let path = format!("/v1/dead-letters/{letter_id}/discard");
        let discarded: Discarded = client.post(&path, &Reason { reason: self.reason }).await?;
        output.print(&discarded, |discarded| {
            fields([
                ("letter", discarded.letter_id.to_string()),
                ("action", discarded.action.clone()),
                ("claim", maybe(discarded.claim_id)),
            ])
        })?;
        Ok(())
    }
}
