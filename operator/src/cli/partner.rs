//! `headgate partner`.

use clap::{Args, Subcommand};
use comfy_table::Table;
use headgate_schemas::ids::{ApiKeyId, PartnerId};

use super::Error;
use super::client::Client;
use super::confirm::Confirmation;
use super::output::{Output, fields, maybe, moment, table};
use crate::partners::keys::{CreatedKeyView, KeyRates, NewKey, Revoked, Rotation};
use crate::partners::{CreatedPartner, NewPartner, Partners, ShownPartner};

/// Partners and the keys they call the api with
#[derive(Debug, Subcommand)]
pub enum Command {
    Create(Create),
    List(List),
    Show(Show),
    Key(Key),
    Rotate(Rotate),
    Revoke(Revoke),
}

/// Registers a partner and makes its first key, which is shown once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate partner create 'Mug Shop'
  headgate partner create reports --scope campaigns:read --scope claims:read
  headgate partner create 'Load Test' --rate-key 100000 --rate-user 1000 --rate-address 100000")]
pub struct Create {
    /// For people
    name: String,
    /// What the key may do; repeat it. Everything if left out
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    #[command(flatten)]
    rates: RateOptions,
}

/// How much the key may do
#[derive(Debug, Args)]
struct RateOptions {
    /// Requests per second under the key, 1 to 1,000,000. As the api's settings say if left out
    #[arg(long, value_name = "N")]
    rate_key: Option<u32>,
    /// The same for what concerns one user
    #[arg(long, value_name = "N")]
    rate_user: Option<u32>,
    /// The same for what comes from one address
    #[arg(long, value_name = "N")]
    rate_address: Option<u32>,
}

impl From<RateOptions> for KeyRates {
    fn from(options: RateOptions) -> Self {
        Self {
            key: options.rate_key,
            user: options.rate_user,
            address: options.rate_address,
        }
    }
}

/// Lists partners in order of registration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate partner list --output json")]
pub struct List {
    /// Most partners
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

/// Shows a partner and its keys, without their texts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate partner show 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
pub struct Show {
    /// The partner
    partner_id: PartnerId,
}

/// Makes another key for a partner, which is shown once
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  headgate partner key 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --scope claims:write"
)]
pub struct Key {
    /// The partner
    partner_id: PartnerId,
    /// What the key may do; repeat it. Everything if left out
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    #[command(flatten)]
    rates: RateOptions,
}

/// Makes a key with the same scopes and rates; the old one goes on for a while
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  headgate partner rotate 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --overlap-seconds 3600"
)]
pub struct Rotate {
    /// The old key
    key_id: ApiKeyId,
    /// How long the old key goes on; a day if left out
    #[arg(long, value_name = "SECONDS")]
    overlap_seconds: Option<u64>,
}

/// Ends a key within seconds
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate partner revoke 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --yes")]
pub struct Revoke {
    /// The key
    key_id: ApiKeyId,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        match self {
            Self::Create(Create { name, scopes, rates }) => {
                let new = NewPartner {
                    name,
                    scopes: named(scopes),
                    rates: rates.into(),
                };
                let created: CreatedPartner = client.post("/v1/partners", &new).await?;
                output.print(&created, created_table)?;
            }
            Self::List(List { limit }) => {
                let partners: Partners = client.get("/v1/partners", &[("limit", limit)]).await?;
                output.print(&partners, list_table)?;
            }
            Self::Show(Show { partner_id }) => {
                let shown: ShownPartner = client.get(&format!("/v1/partners/{partner_id}"), &()).await?;
                output.print(&shown, shown_table)?;
            }
            Self::Key(Key {
                partner_id,
                scopes,
                rates,
            }) => {
                let new = NewKey {
                    scopes: named(scopes),
                    rates: rates.into(),
                };
                let key: CreatedKeyView = client
                    .post(&format!("/v1/partners/{partner_id}/keys"), &new)
                    .await?;
                output.print(&key, key_table)?;
            }
            Self::Rotate(Rotate {
                key_id,
                overlap_seconds,
            }) => {
                let rotation = Rotation { overlap_seconds };
                let key: CreatedKeyView = client
                    .post(&format!("/v1/keys/{key_id}/rotate"), &rotation)
                    .await?;
                output.print(&key, key_table)?;
            }
            Self::Revoke(Revoke { key_id, confirmation }) => {
                confirmation.ask(&format!("Revoke key {key_id}?"))?;
                let path = format!("/v1/keys/{key_id}/revoke");
                let revoked: Revoked = client.post(&path, &serde_json::json!({})).await?;
                output.print(&revoked, |revoked| {
                    fields([("revoked", revoked.key_id.to_string())])
                })?;
            }
        }
        Ok(())
    }
}

fn named(scopes: Vec<String>) -> Option<Vec<String>> {
    Some(scopes).filter(|scopes| !scopes.is_empty())
}

/// A new partner with its key.
pub(super) fn created_table(created: &CreatedPartner) -> Table {
    fields([
        ("partner", created.partner.partner_id.to_string()),
        ("name", created.partner.name.clone()),
        ("key", created.key_id.to_string()),
        ("api key", created.api_key.clone()),
        ("scopes", created.scopes.join(" ")),
    ])
}

fn key_table(key: &CreatedKeyView) -> Table {
    fields([("key", key.key_id.to_string()), ("api key", key.api_key.clone())])
}

fn list_table(partners: &Partners) -> Table {
    let mut table = table(&["partner", "name", "created at"]);
    for partner in &partners.items {
        table.add_row([
            partner.partner_id.to_string(),
            partner.name.clone(),
            moment(partner.created_at),
        ]);
    }
    table
}

fn shown_table(shown: &ShownPartner) -> Table {
    let mut table = table(&["key", "scopes", "rates", "created at", "expires at", "revoked at"]);
    for key in &shown.keys {
        table.add_row([
            key.key_id.to_string(),
            key.scopes.join(" "),
            rates_text(key.rates),
            moment(key.created_at),
            maybe(key.expires_at.map(moment)),
            maybe(key.revoked_at.map(moment)),
        ]);
    }
    table
}

/// Such as `key 100, user 5`; empty where all is as usual.
fn rates_text(rates: KeyRates) -> String {
    [
        ("key", rates.key),
        ("user", rates.user),
        ("address", rates.address),
    ]
    .into_iter()
    .filter_map(|(name, rate)| Some(format!("{name} {}", rate?)))
    .collect::<Vec<_>>()
    .join(", ")
}
