//! Which Redis it is. One that was started again, or another that took its place, may know
//! less than the one that was asked before: at most a second less with the usual settings,
//! and nothing in what it says gives that away.

use headgate_schemas::ids::CampaignId;
use redis::AsyncCommands;

use crate::{Admission, Error};

impl Admission {
    /// Whether the server that is asked now is the one that took the campaign's state.
    pub async fn is_of_this_server(&self, campaign_id: CampaignId) -> Result<bool, Error> {
        let keys = self.keys(campaign_id);
        let taken: Option<String> = self.connection.clone().hget(keys.state(), "server").await?;
        Ok(taken == Some(self.server().await?))
    }

    /// Its run id, which no two starts share.
    pub(crate) async fn server(&self) -> Result<String, Error> {
        let about: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut self.connection.clone())
            .await?;
        let run_id = about.lines().find_map(|line| line.strip_prefix("run_id:"));
        run_id
            .map(|id| id.trim().to_owned())
            .ok_or(Error::Answer("the run id"))
    }
}
