//! `headgate dlq archive`, `restore` and `discard`.

use headgate_schemas::ids::DeadLetterId;

use super::{Archive, Discard, Restore};
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, fields, maybe};
use crate::dead_letters::LetterView;
use crate::dead_letters::discard::{Discarded, Reason};

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
