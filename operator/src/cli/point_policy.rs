//! `headgate point-policy`.

use clap::{Args, Subcommand};
use comfy_table::Table;
use headgate_schemas::ids::PartnerId;

use super::Error;
use super::client::Client;
use super::output::{Output, fields, maybe, moment};
use crate::partners::point_policy::{PointPolicy, PointPolicyView};

/// What partners' points may do: least and most of one earn, most of a wallet, validity
#[derive(Debug, Subcommand)]
pub enum Command {
    Show(Show),
    Set(Set),
}

/// Shows what a partner's points may do, and who set it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate point-policy show 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
pub struct Show {
    /// The partner
    partner_id: PartnerId,
}

/// Sets what a partner's points may do; what is left out stays as it is
///
/// It is in force within five seconds, for what is granted from then on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate point-policy set 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --earn-max 5000
  headgate point-policy set 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --valid-for-seconds 7776000")]
pub struct Set {
    /// The partner
    partner_id: PartnerId,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Limits {
    /// Least of one earn, at least 1
    #[arg(long, value_name = "POINTS")]
    earn_min: Option<u64>,
    /// Most of one earn
    #[arg(long, value_name = "POINTS")]
    earn_max: Option<u64>,
    /// Most that one wallet holds, up to 1,000,000,000,000
    #[arg(long, value_name = "POINTS")]
    wallet_max: Option<u64>,
    /// How long points are valid that are earned without an expiry, up to ten years
    #[arg(long, value_name = "SECONDS")]
    valid_for_seconds: Option<u32>,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        let shown = match self {
            Self::Show(Show { partner_id }) => client.get(&path(partner_id), &()).await?,
            Self::Set(set) => set.run(&client).await?,
        };
        output.print(&shown, table)?;
        Ok(())
    }
}

impl Set {
    async fn run(self, client: &Client) -> Result<PointPolicyView, Error> {
        let path = path(self.partner_id);
        let now: PointPolicyView = client.get(&path, &()).await?;
        let limits = self.limits;
        let wanted = PointPolicy {
            earn_min: limits.earn_min.unwrap_or(now.policy.earn_min),
            earn_max: limits.earn_max.unwrap_or(now.policy.earn_max),
            wallet_max: limits.wallet_max.unwrap_or(now.policy.wallet_max),
            valid_for_seconds: limits.valid_for_seconds.unwrap_or(now.policy.valid_for_seconds),
        };
        client.put(&path, &wanted).await
    }
}

fn path(partner_id: PartnerId) -> String {
    format!("/v1/partners/{partner_id}/point-policy")
}

fn table(shown: &PointPolicyView) -> Table {
    let policy = shown.policy;
    fields([
        ("partner", shown.partner_id.to_string()),
        ("earn min", policy.earn_min.to_string()),
        ("earn max", policy.earn_max.to_string()),
        ("wallet max", policy.wallet_max.to_string()),
        ("valid for", format!("{} s", policy.valid_for_seconds)),
        ("set at", maybe(shown.updated_at.map(moment))),
        ("set by", maybe(shown.updated_by.as_deref())),
    ])
}
