//! Names of the keys. All keys of a campaign share a hash tag, so that one script can
//! use them together in a cluster.

use headgate_schemas::ids::CampaignId;

/// The keys of one campaign, in the order in which the scripts take them.
#[derive(Clone, Debug)]
pub(crate) struct CampaignKeys {
    tag: String,
    /// state, users, free, pending
    all: [String; 4],
}

impl CampaignKeys {
    pub fn new(prefix: &str, campaign_id: CampaignId) -> Self {
        let tag = format!("{prefix}{{{campaign_id}}}:");
        let all = ["state", "users", "free", "pending"].map(|name| format!("{tag}{name}"));
        Self { tag, all }
    }

    pub const fn all(&self) -> &[String; 4] {
        &self.all
    }

    pub const fn state(&self) -> &String {
        &self.all[0]
    }

    pub const fn free(&self) -> &String {
        &self.all[2]
    }

    pub const fn pending(&self) -> &String {
        &self.all[3]
    }

    /// users, free and pending of a rebuild that is under way.
    pub fn rebuilt(&self, token: &str) -> [String; 3] {
        ["users", "free", "pending"].map(|name| format!("{}rebuild:{token}:{name}", self.tag))
    }

    /// The lock of whoever rebuilds.
    pub fn rebuild_lock(&self) -> String {
        format!("{}rebuild", self.tag)
    }
}
