//! Which Redis it is. One that was started again, or another that took its place, may know
//! less than the one that was asked before: at most a second less with the usual settings,
//! and nothing in what it says gives that away.

use headgate_schemas::ids::CampaignId;

use crate::{Admission, Error};

impl Admission {
    /// Whether the server that is asked now is the one that took the campaign's state.
    pub async fn is_of_this_server(&self, campaign_id: CampaignId) -> Result<bool, Error> {
        let keys = self.keys(campaign_id);
        let (taken, about): (Option<String>, String) = redis::pipe()
            .hget(keys.state(), "server")
            .cmd("INFO")
            .arg("server")
            .query_async(&mut self.connection.clone())
            .await?;
        Ok(taken.as_deref() == Some(run_id(&about)?))
    }

    /// Its run id, which no two starts share.
    pub(crate) async fn server(&self) -> Result<String, Error> {
        let about: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut self.connection.clone())
            .await?;
        run_id(&about).map(str::to_owned)
    }
}

fn run_id(about: &str) -> Result<&str, Error> {
    let id = about.lines().find_map(|line| line.strip_prefix("run_id:"));
    id.map(str::trim).ok_or(Error::Answer("the run id"))
}
