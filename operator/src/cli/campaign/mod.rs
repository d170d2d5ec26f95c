//! `headgate campaign`.

mod create;

use clap::{Args, Subcommand};
use comfy_table::Table;
use headgate_schemas::ids::CampaignId;

pub use create::Create;

use super::Error;
use super::client::Client;
use super::confirm::Confirmation;
use super::output::{Output, fields, maybe, moment, table};
use crate::campaigns::show::ShownCampaign;
use crate::campaigns::{CampaignView, Campaigns};

/// Campaigns: as a partner create, as an operator look, pause, resume and end
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Show(Which),
    Create(Create),
    /// Takes no claims until it is resumed
    #[command(after_help = "Example:\n  headgate campaign pause 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
    Pause {
        /// The campaign
        campaign_id: CampaignId,
    },
    /// Takes claims again
    #[command(after_help = "Example:\n  headgate campaign resume 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
    Resume {
        /// The campaign
        campaign_id: CampaignId,
    },
    End(End),
}

/// Lists the latest campaigns of all partners
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate campaign list --limit 10")]
pub struct List {
    /// Most campaigns
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// Shows a campaign with its admission state, its counts, and what must not be
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate campaign show 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
pub struct Which {
    /// The campaign
    campaign_id: CampaignId,
}

/// Ends a campaign for good
///
/// Admitted claims become coupons all the same.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate campaign end 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --yes")]
pub struct End {
    /// The campaign
    campaign_id: CampaignId,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        match self {
            Self::List(List { limit }) => {
                let query = [("limit", limit)];
                let campaigns: Campaigns = Client::operator()?.get("/v1/campaigns", &query).await?;
                output.print(&campaigns, list_table)?;
                Ok(())
            }
            Self::Show(Which { campaign_id }) => {
                let path = format!("/v1/campaigns/{campaign_id}");
                let shown: ShownCampaign = Client::operator()?.get(&path, &()).await?;
                output.print(&shown, shown_table)?;
                Ok(())
            }
            Self::Create(create) => create.run(output).await,
            Self::Pause { campaign_id } => act(output, campaign_id, "pause").await,
            Self::Resume { campaign_id } => act(output, campaign_id, "resume").await,
            Self::End(End {
                campaign_id,
                confirmation,
            }) => {
                confirmation.ask(&format!("End campaign {campaign_id} for good?"))?;
                act(output, campaign_id, "end").await
            }
        }
    }
}

async fn act(output: Output, campaign_id: CampaignId, verb: &str) -> Result<(), Error> {
    let path = format!("/v1/campaigns/{campaign_id}/{verb}");
    let campaign: CampaignView = Client::operator()?.post(&path, &serde_json::json!({})).await?;
    output.print(&campaign, |campaign| {
        fields([
            ("campaign", campaign.campaign_id.to_string()),
            ("name", campaign.name.clone()),
            ("state", campaign.state.clone()),
        ])
    })?;
    Ok(())
}

fn list_table(campaigns: &Campaigns) -> Table {
    let mut table = table(&[
        "campaign",
        "name",
        "state",
        "quota",
        "claimed",
        "issued",
        "opens at",
        "closes at",
    ]);
    for listed in &campaigns.items {
        let campaign = &listed.campaign;
        table.add_row([
            campaign.campaign_id.to_string(),
            campaign.name.clone(),
            campaign.state.clone(),
            campaign.quota.to_string(),
            listed.claimed.to_string(),
            listed.issued.to_string(),
            moment(campaign.opens_at),
            moment(campaign.closes_at),
        ]);
    }
    table
}

fn shown_table(shown: &ShownCampaign) -> Table {
    let ShownCampaign {
        campaign,
        admission,
        counts,
        differences,
    } = shown;
    let redis = admission.redis.as_ref().map(|redis| {
        format!(
            "epoch {}, ticket {}, {} free, {} pending",
            redis.epoch, redis.ticket_highest, redis.tickets_free, redis.pending
        )
    });
    let differences: Vec<_> = differences
        .iter()
        .map(|difference| {
            format!(
                "{}: {} instead of {}",
                difference.kind, difference.found, difference.expected
            )
        })
        .collect();
    fields([
        ("campaign", campaign.campaign_id.to_string()),
        ("partner", campaign.partner_id.to_string()),
        ("name", campaign.name.clone()),
        ("state", campaign.state.clone()),
        ("opens at", moment(campaign.opens_at)),
        ("closes at", moment(campaign.closes_at)),
        ("ended at", maybe(campaign.ended_at.map(moment))),
        (
            "admission",
            format!("{}, epoch {}", admission.source, admission.epoch),
        ),
        ("redis", maybe(redis.as_ref().or(admission.redis_error.as_ref()))),
        ("quota", counts.quota.to_string()),
        ("claimed", counts.claimed.to_string()),
        ("issued", counts.issued.to_string()),
        ("remaining", counts.remaining.to_string()),
        ("in flight", counts.in_flight.to_string()),
        ("dead letters", counts.dead_letters.to_string()),
        ("released", counts.released.to_string()),
        (
            "differences",
            if differences.is_empty() {
                "none".to_owned()
            } else {
                differences.join("\n")
            },
        ),
    ])
}
