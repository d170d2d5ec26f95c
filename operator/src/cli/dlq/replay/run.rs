//! `headgate dlq replay`.

use headgate_schemas::ids::{DeadLetterId, ReplayId};

use super::plan::{plan, plan_table, say};
use super::{Replay, watch};
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::confirm::Confirmation;
use crate::cli::output::{Output, fields, moment};
use crate::dead_letters::replay::Replay as Replayed;
use crate::replays::{PaceAsked, ReplayView};

impl Replay {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        if let Some(letter_id) = self.letter_id {
            return one(&client, letter_id, output).await;
        }
        let pace = self.pace.asked();
        let planned: ReplayView = match self.plan {
            Some(replay_id) => client.get(&format!("/v1/replays/{replay_id}"), &()).await?,
            None => plan(&client, &self.matching, pace).await?,
        };
        if planned.plan.letters == 0 {
            eprintln!("no letter matches");
            output.print(&planned, plan_table)?;
            return Ok(());
        }
        eprintln!("{}", plan_table(&planned).trim_fmt());
        say(&planned);
        let replay_id = planned.replay_id;
        let question = format!("Replay {} letters?", planned.plan.letters);
        if let Err(error) = self.confirmation.ask(&question) {
            eprintln!("nothing was sent; the plan stays: headgate dlq replay --plan {replay_id}");
            return Err(error);
        }
        let path = format!("/v1/replays/{replay_id}/start");
        let started: ReplayView = client.post(&path, &pace).await?;
        if self.detach {
            output.print(&started, plan_table)?;
            return Ok(());
        }
        follow(&client, replay_id, self.confirmation, output).await
    }
}

/// Sends one letter.
async fn one(client: &Client, letter_id: DeadLetterId, output: Output) -> Result<(), Error> {
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

/// Waits until a replay ends. Once its canary is through it is asked for the rest, which does
/// not go unasked if one of the canary's letters was not resolved.
pub(super) async fn follow(
    client: &Client,
    replay_id: ReplayId,
    confirmation: Confirmation,
    output: Output,
) -> Result<(), Error> {
    let replay = watch::settled(client, replay_id).await?;
    let progress = &replay.progress;
    let is_canary = replay.pause_reason.as_deref() == Some("canary");
    if !is_canary {
        return watch::print_end(output, &replay);
    }
    let failed = progress.failures() + progress.refused;
    eprintln!("canary: {} letters resolved, {failed} not", progress.resolved);
    let goes_on = if failed == 0 {
        confirmation
    } else {
        Confirmation::default()
    };
    let question = format!("Send the other {} letters?", progress.waiting);
    if goes_on.ask(&question).is_err() {
        eprintln!("it stays paused: headgate dlq resume {replay_id}, or cancel it");
        return watch::print_end(output, &replay);
    }
    let path = format!("/v1/replays/{replay_id}/resume");
    let _resumed: ReplayView = client.post(&path, &PaceAsked::default()).await?;
    let replay = watch::settled(client, replay_id).await?;
    watch::print_end(output, &replay)
}
