//! `headgate dlq pause`, `resume` and `cancel`.

use headgate_schemas::ids::ReplayId;
use serde::Serialize;

use super::plan::plan_table;
use super::{Cancel, Pause, Resume, run};
use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::Output;
use crate::replays::ReplayView;

impl Pause {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let replay = act(&client, self.replay_id, "pause", &serde_json::json!({})).await?;
        output.print(&replay, plan_table)?;
        Ok(())
    }
}

impl Resume {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let replay = act(&client, self.replay_id, "resume", &self.pace.asked()).await?;
        if self.detach {
            output.print(&replay, plan_table)?;
            return Ok(());
        }
        run::follow(&client, self.replay_id, self.confirmation, output).await
    }
}

impl Cancel {
    pub(in crate::cli::dlq) async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let replay = act(&client, self.replay_id, "cancel", &serde_json::json!({})).await?;
        output.print(&replay, plan_table)?;
        Ok(())
    }
}

async fn act(
    client: &Client,
    replay_id: ReplayId,
    act: &str,
    body: &impl Serialize,
) -> Result<ReplayView, Error> {
    client.post(&format!("/v1/replays/{replay_id}/{act}"), body).await
}
