//! `headgate dlq edit`.

use std::io::Read;
use std::path::Path;

use headgate_dead_letters as letters;
use headgate_schemas::codec::blank;
use serde::Serialize;
use serde_json::Value;

use super::Edit;
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::editor::Draft;
use crate::cli::output::{Output, fields, maybe};
use crate::dead_letters::difference::Difference;
use crate::dead_letters::edit::{Edited, ValueEdit};
use crate::dead_letters::replay::Replay;
use crate::dead_letters::show::ShownLetter;
use crate::http::layers::BODY_BYTES_MAX;

/// What the command did.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    edited: Edited,
    /// If it was asked for.
    replay: Option<Replay>,
}

impl Edit {
    pub(super) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let path = format!("/v1/dead-letters/{}", self.letter_id);
        let shown: ShownLetter = client.get(&path, &()).await?;
        let record = shown.effective.as_ref().unwrap_or(&shown.record);
        if record.masked {
            let detail = "a viewer's token does not show the value: editing takes the role operator";
            return Err(Error::Refused(detail.to_owned(), None));
        }
        let before = record.value.as_ref();
        let (text, draft) = if let Some(file) = &self.file {
            (read(file)?, None)
        } else {
            let draft = Draft::edit(&self.draft(&shown, before)?)?;
            (draft.text.clone(), Some(draft))
        };
        let done = self
            .send(&client, output, &text, before, shown.letter.edit_no)
            .await;
        if let (Err(_), Some(draft)) = (&done, draft) {
            draft.keep();
        }
        done
    }

    /// What the editor begins with.
    fn draft(&self, shown: &ShownLetter, before: Option<&Value>) -> Result<String, Error> {
        let event_type = self.event_type.as_ref().or(shown.letter.event_type.as_ref());
        let blank = || {
            eprintln!("the value cannot be read: fill in its fields");
            blank(event_type?)
        };
        let draft = before
            .cloned()
            .or_else(blank)
            .ok_or_else(|| Error::Usage("the value cannot be read: name its event with --type".to_owned()))?;
        Ok(format!("{draft:#}\n"))
    }

    async fn send(
        &self,
        client: &Client,
        output: Output,
        text: &str,
        before: Option<&Value>,
        edit_no: u32,
    ) -> Result<(), Error> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Error::Refused("the value is not JSON".to_owned(), Some(error.into())))?;
        // A type alone may be what was wrong.
        if before == Some(&value) && self.event_type.is_none() {
            return Err(Error::Refused("the value is unchanged".to_owned(), None));
        }
        let difference = Difference::from(letters::Difference::between(before, &value));
        eprintln!("{}", changes(&difference));
        self.confirmation
            .ask(&format!("Edit letter {} so?", self.letter_id))?;
        let body = ValueEdit {
            value,
            reason: self.reason.clone(),
            event_type: self.event_type.clone(),
            expected_edit_no: Some(edit_no),
        };
        let path = format!("/v1/dead-letters/{}", self.letter_id);
        let edited: Edited = client.put(&format!("{path}/value"), &body).await?;
        if !self.replay {
            return print(output, edited, None);
        }
        match client
            .post(&format!("{path}/replay"), &serde_json::json!({}))
            .await
        {
            Ok(replay) => print(output, edited, Some(replay)),
            Err(error) => {
                // What was done before it failed is done.
                print(output, edited, None)?;
                Err(error)
            }
        }
    }
}

fn print(output: Output, edited: Edited, replay: Option<Replay>) -> Result<(), Error> {
    output.print(&Done { edited, replay }, |done| {
        fields([
            ("letter", done.edited.letter_id.to_string()),
            ("edit", done.edited.edit_no.to_string()),
            ("event", done.edited.event_type.clone()),
            ("headers", done.edited.headers.join(", ")),
            ("changes", changes(&done.edited.difference)),
            (
                "replay",
                maybe(
                    done.replay
                        .as_ref()
                        .map(|replay| format!("attempt {}", replay.attempt)),
                ),
            ),
        ])
    })?;
    Ok(())
}

/// A value in a file, or on stdin if that is `-`: as large as the listener takes.
fn read(file: &Path) -> Result<String, Error> {
    let unreadable =
        |error: std::io::Error| Error::Usage(format!("{} cannot be read: {error}", file.display()));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).map_err(unreadable)?)
    };
    let mut text = String::new();
    let bytes_max = BODY_BYTES_MAX as u64;
    source
        .take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() > BODY_BYTES_MAX {
        return Err(Error::Usage(format!(
            "{} has more than {bytes_max} bytes",
            file.display()
        )));
    }
    Ok(text)
}

/// A difference for people, a line for each change.
pub(super) fn changes(difference: &Difference) -> String {
    let mut lines = Vec::new();
    if difference.original_unreadable {
        lines.push("what it was cannot be read".to_owned());
    }
    for change in &difference.changes {
        lines.push(format!("{}: {} -> {}", change.path, change.before, change.after));
    }
    if difference.left_out > 0 {
        lines.push(format!("and {} more", difference.left_out));
    }
    lines.join("\n")
}
