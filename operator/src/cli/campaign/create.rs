//! `headgate campaign create`: as a partner, through the api.

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use headgate_schemas::ids::CampaignId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::Error;
use crate::cli::client::Client;
use crate::cli::output::{Output, fields};

/// Registers a campaign, as the partner whose key is in HEADGATE_API_KEY
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("discount").required(true).args(["fixed", "percent"])),
    after_help = "\
Examples:
  headgate campaign create autumn --quota 100 --fixed 1000 --closes-at 2026-12-01T00:00:00Z
  headgate campaign create rush --quota 10000 --percent 10 --amount-max 5000 \\
      --opens-at 2026-11-21T10:00:00Z --closes-at 2026-11-22T10:00:00Z"
)]
pub struct Create {
    /// For people
    name: String,
    /// Most coupons
    #[arg(long)]
    quota: u32,
    /// When claims begin, RFC 3339; now if left out
    #[arg(long, value_name = "TIME")]
    opens_at: Option<DateTime<Utc>>,
    /// When claims end, RFC 3339
    #[arg(long, value_name = "TIME")]
    closes_at: DateTime<Utc>,
    /// A fixed discount, in the currency's minor unit
    #[arg(long, value_name = "AMOUNT")]
    fixed: Option<u64>,
    /// A discount of so many percent, up to --amount-max
    #[arg(long, value_name = "PERCENT", requires = "amount_max")]
    percent: Option<u8>,
    /// Most that a discount in percent takes off
    #[arg(long, value_name = "AMOUNT", requires = "percent")]
    amount_max: Option<u64>,
    /// Least order amount on which a coupon may be used
    #[arg(long, value_name = "AMOUNT")]
    order_amount_min: Option<u64>,
    /// How long a coupon is valid; a day if left out
    #[arg(long, value_name = "SECONDS")]
    coupon_valid_for_seconds: Option<u64>,
}

/// What the command needs of the api's answer; all of it is printed as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Created {
    campaign_id: CampaignId,
    state: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl Create {
    pub async fn run(self, output: Output) -> Result<(), Error> {
        let created: Created = Client::api()?.post("/v1/campaigns", &self.body()).await?;
        output.print(&created, |created| {
            fields([
                ("campaign", created.campaign_id.to_string()),
                ("name", self.name),
                ("state", created.state.clone()),
            ])
        })?;
        Ok(())
    }

    fn body(&self) -> Value {
        let discount = match (self.fixed, self.percent) {
            (Some(amount), _) => json!({"type": "fixed", "amount": amount}),
            (None, percent) => json!({"type": "percent", "percent": percent, "amount_max": self.amount_max}),
        };
        let mut body = json!({
            "name": self.name,
            "quota": self.quota,
            "opens_at": self.opens_at.unwrap_or_else(Utc::now),
            "closes_at": self.closes_at,
            "discount": discount,
        });
        if let Some(amount) = self.order_amount_min {
            body["order_amount_min"] = amount.into();
        }
        if let Some(seconds) = self.coupon_valid_for_seconds {
            body["coupon_valid_for_seconds"] = seconds.into();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        create: Create,
    }

    fn body(arguments: &str) -> Value {
        let words = ["create"].into_iter().chain(arguments.split_whitespace());
        Alone::try_parse_from(words)
            .expect("valid arguments")
            .create
            .body()
    }

    #[test]
    fn the_body_is_what_the_api_takes() {
        let times = "--opens-at 2026-11-21T10:00:00Z --closes-at 2026-11-22T10:00:00Z";
        assert_eq!(
            body(&format!("autumn --quota 100 --fixed 1000 {times}")),
            json!({
                "name": "autumn", "quota": 100, "discount": {"type": "fixed", "amount": 1000},
                "opens_at": "2026-11-21T10:00:00Z", "closes_at": "2026-11-22T10:00:00Z",
            })
        );
        let percent = body(&format!(
            "rush --quota 5 --percent 10 --amount-max 50 --order-amount-min 7 --coupon-valid-for-seconds 60 {times}"
        ));
        assert_eq!(
            percent["discount"],
            json!({"type": "percent", "percent": 10, "amount_max": 50})
        );
        assert_eq!(
            (&percent["order_amount_min"], &percent["coupon_valid_for_seconds"]),
            (&json!(7), &json!(60))
        );
    }

    #[test]
    fn one_discount_is_required_and_two_are_refused() {
        for wrong in [
            "",
            "--fixed 1 --percent 1 --amount-max 1",
            "--percent 1",
            "--amount-max 1",
        ] {
            let arguments = format!("create x --quota 1 --closes-at 2026-11-22T10:00:00Z {wrong}");
            assert!(
                Alone::try_parse_from(arguments.split_whitespace()).is_err(),
                "{wrong}"
            );
        }
    }
}
