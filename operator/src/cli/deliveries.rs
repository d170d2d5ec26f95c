//! `headgate deliveries`.

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use headgate_schemas::ids::{DeliveryId, PartnerId};
use headgate_schemas::names::SubscriptionId;

use super::Error;
use super::client::Client;
use super::output::{Output, fields, maybe, moment, table};
use crate::deliveries::{Deliveries, Delivery, RetriedDeliveries, ToRetry};

/// Deliveries to partners' webhooks and mailboxes: what waits, and what was given up
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
    Show(Show),
    Retry(Retry),
}

/// Lists deliveries in one state, the latest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate deliveries list
  headgate deliveries list --state pending --partner 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --subscription crm")]
pub struct List {
    /// In which state
    #[arg(long, value_enum, default_value_t)]
    state: Standing,
    #[command(flatten)]
    of: Option<OfSubscription>,
    /// Most deliveries
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// The cursor that the page before ended with
    #[arg(long)]
    cursor: Option<DeliveryId>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Standing {
    Pending,
    Delivered,
    #[default]
    Dead,
}

/// A partner's subscription.
#[derive(Debug, Args)]
struct OfSubscription {
    /// The partner whose subscription it is
    #[arg(long, required = false, requires = "subscription")]
    partner: PartnerId,
    /// The partner's own name of it
    #[arg(long, required = false, requires = "partner")]
    subscription: SubscriptionId,
}

/// Shows a delivery
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  headgate deliveries show 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77")]
pub struct Show {
    /// The delivery: what its receiver knows as webhook-id
    delivery_id: DeliveryId,
}

/// Tries deliveries again that were given up: one, or up to 1,000 of a subscription's
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headgate deliveries retry 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77
  headgate deliveries retry --partner 0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77 --subscription crm")]
pub struct Retry {
    /// The delivery
    #[arg(required_unless_present = "subscription", conflicts_with = "subscription")]
    delivery_id: Option<DeliveryId>,
    #[command(flatten)]
    of: Option<OfSubscription>,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let client = Client::operator()?;
        match self {
            Self::List(list) => {
                let found: Deliveries = client.get("/v1/deliveries", &list.query()).await?;
                output.print(&found, list_table)?;
                if let Some(cursor) = found.next_cursor {
                    eprintln!("more with --cursor {cursor}");
                }
            }
            Self::Show(Show { delivery_id }) => {
                let path = format!("/v1/deliveries/{delivery_id}");
                let found: Delivery = client.get(&path, &()).await?;
                output.print(&found, one_table)?;
            }
            Self::Retry(Retry { delivery_id, of }) => {
                let (partner_id, subscription_id) = of.map(|of| (of.partner, of.subscription)).unzip();
                let asked = ToRetry {
                    delivery_id,
                    partner_id,
                    subscription_id,
                };
                let retried: RetriedDeliveries = client.post("/v1/deliveries/retry", &asked).await?;
                output.print(&retried, |retried| {
                    fields([("deliveries", retried.deliveries.to_string())])
                })?;
                if retried.more {
                    eprintln!("there may be more: run it again");
                }
            }
        }
        Ok(())
    }
}

impl List {
    fn query(self) -> Vec<(&'static str, String)> {
        let state = self.state.to_possible_value();
        let state = state.map(|state| state.get_name().to_owned());
        let (partner, subscription) = self.of.map(|of| (of.partner, of.subscription)).unzip();
        let query = [
            ("state", state),
            ("partner", partner.map(|partner| partner.to_string())),
            ("subscription", subscription.map(|name| name.to_string())),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.map(|cursor| cursor.to_string())),
        ];
        query
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

fn list_table(found: &Deliveries) -> Table {
    let mut table = table(&[
        "delivery",
        "subscription",
        "event type",
        "state",
        "attempts",
        "created at",
        "last error",
    ]);
    for delivery in &found.items {
        table.add_row([
            delivery.delivery_id.to_string(),
            delivery.subscription_id.to_string(),
            delivery.event_type.clone(),
            delivery.state.clone(),
            delivery.attempts.to_string(),
            moment(delivery.created_at),
            maybe(delivery.last_error.as_deref()),
        ]);
    }
    table
}

fn one_table(delivery: &Delivery) -> Table {
    fields([
        ("delivery", delivery.delivery_id.to_string()),
        ("partner", delivery.partner_id.to_string()),
        ("subscription", delivery.subscription_id.to_string()),
        ("sink", delivery.sink.clone()),
        ("event", delivery.event_id.to_string()),
        ("event type", delivery.event_type.clone()),
        ("about", delivery.aggregate_id.clone()),
        ("sequence", maybe(delivery.sequence)),
        ("event time", moment(delivery.event_time)),
        ("state", delivery.state.clone()),
        ("attempts", delivery.attempts.to_string()),
        ("next attempt at", maybe(delivery.next_attempt_at.map(moment))),
        ("last error", maybe(delivery.last_error.as_deref())),
        ("created at", moment(delivery.created_at)),
        ("settled at", maybe(delivery.settled_at.map(moment))),
    ])
}
