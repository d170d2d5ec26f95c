//! Waiting for a replay.

use std::time::Duration;

use comfy_table::Table;
use headgate_schemas::ids::ReplayId;

use super::Watch;
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, fields, maybe};
use crate::cli::progress::Bar;
use crate::replays::ReplayView;

/// How often a replay is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Watch {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let replay = settled(&client, self.replay_id).await?;
        print(output, &replay)
    }
}

/// Waits until a replay neither runs nor waits for answers. Interrupting this harms nothing.
pub(super) async fn settled(client: &Client, replay_id: ReplayId) -> Result<ReplayView, Error> {
    let path = format!("/v1/replays/{replay_id}");
    let mut bar: Option<Bar> = None;
    loop {
        let replay: ReplayView = client.get(&path, &()).await?;
        let progress = &replay.progress;
        if replay.state != "running" && progress.sent == 0 {
            return Ok(replay);
        }
        let letters = replay.plan.letters;
        bar.get_or_insert_with(|| Bar::start("replaying", letters))
            .reach(letters - progress.waiting - progress.sent);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Shows a replay that stands still, and fails if its letters did.
fn print(output: Output, replay: &ReplayView) -> Result<(), Error> {
    output.print(replay, outcome_table)?;
    let failures = replay.progress.failures() + replay.progress.refused;
    if failures == 0 {
        return Ok(());
    }
    let id = replay.replay_id;
    Err(Error::Refused(
        format!("{failures} letters were not resolved; headgate dlq outcome {id} says why"),
        None,
    ))
}

/// [`print`], for whoever wanted all of it sent: fails unless it is completed, too.
pub(super) fn print_end(output: Output, replay: &ReplayView) -> Result<(), Error> {
    print(output, replay)?;
    if replay.state == "completed" {
        return Ok(());
    }
    let (id, state, waiting) = (replay.replay_id, &replay.state, replay.progress.waiting);
    Err(Error::Refused(
        format!("replay {id} is {state}: {waiting} letters were not sent"),
        None,
    ))
}

fn outcome_table(replay: &ReplayView) -> Table {
    let progress = &replay.progress;
    fields([
        ("replay", replay.replay_id.to_string()),
        ("state", replay.state.clone()),
        ("paused because of", maybe(replay.pause_reason.as_deref())),
        ("detail", maybe(replay.pause_detail.as_deref())),
        ("letters", replay.plan.letters.to_string()),
        ("waiting", progress.waiting.to_string()),
        ("on their way", progress.sent.to_string()),
        ("resolved", progress.resolved.to_string()),
        ("failed", progress.failed.to_string()),
        ("quarantined", progress.quarantined.to_string()),
        ("unanswered", progress.unanswered.to_string()),
        ("refused", progress.refused.to_string()),
    ])
}
