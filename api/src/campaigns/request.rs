//! What is sent to register or change a campaign.

use chrono::{DateTime, Utc};
use headgate_domain::campaigns::{
    CampaignName, Discount, NewCampaign, ValidFor, Window, WindowFault, order_amount_min,
};
use headgate_schemas::quantities::{QUOTA_MAX, Quota};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::request::{Fields, ReadBody, flag, parsed, text, time, whole_number};

/// What a coupon is worth, in minor units of the partner's currency.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Discount)]
pub enum DiscountBody {
    /// So much off.
    Fixed {
        /// How much.
        #[schema(minimum = 1, maximum = 1_000_000_000_000_000_u64, example = 1000)]
        amount: u64,
    },
    /// A share off, up to a cap.
    Percent {
        /// How much of a hundred.
        #[schema(minimum = 1, maximum = 100, example = 10)]
        percent: u8,
        /// The cap.
        #[schema(minimum = 1, maximum = 1_000_000_000_000_000_u64, example = 5000)]
        amount_max: u64,
    },
}

impl From<Discount> for DiscountBody {
    fn from(discount: Discount) -> Self {
        match discount {
            Discount::Fixed { amount } => Self::Fixed { amount },
            Discount::Percent { percent, amount_max } => Self::Percent { percent, amount_max },
        }
    }
}

/// A campaign to be registered. This is its shape; [`ReadBody`] reads it field by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body to OpenAPI")]
pub struct RegisterCampaign {
    /// For people.
    #[schema(min_length = 1, max_length = 128, example = "autumn")]
    name: String,
    /// Most coupons.
    #[schema(minimum = 1, maximum = 10_000_000, example = 100)]
    quota: u32,
    /// When claims begin; may lie in the past.
    #[schema(example = "2026-11-21T10:00:00Z")]
    opens_at: DateTime<Utc>,
    /// When claims end.
    #[schema(example = "2026-11-22T10:00:00Z")]
    closes_at: DateTime<Utc>,
    /// What a coupon is worth.
    discount: DiscountBody,
    /// Least order amount on which a coupon may be used; 0 unless given.
    #[schema(required = false, default = 0, maximum = 1_000_000_000_000_000_u64)]
    order_amount_min: Option<u64>,
    /// How long a coupon is valid from the moment it is issued; a day unless given.
    #[schema(required = false, default = 86_400, minimum = 1, maximum = 316_224_000)]
    coupon_valid_for_seconds: Option<u32>,
    /// Whether a user whose claim was released may claim again; true unless given.
    #[schema(required = false, default = true)]
    reclaim_allowed: Option<bool>,
}

impl ReadBody for NewCampaign {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name", |value| parsed(CampaignName::new(text(value)?)));
        let quota = fields.required("quota", quota);
        let opens_at = fields.required("opens_at", time);
        let closes_at = fields.required("closes_at", time);
        let window = window(fields, opens_at, closes_at);
        let discount = fields.required_object("discount", discount);
        let order_amount_min = fields.optional("order_amount_min", |value| {
            parsed(order_amount_min(whole_number(value)?))
        });
        let valid_for = fields.optional("coupon_valid_for_seconds", |value| {
            parsed(ValidFor::seconds(whole_number(value)?))
        });
        let reclaim_allowed = fields.optional("reclaim_allowed", flag);
        Some(Self {
            name: name?,
            quota: quota?,
            window: window?,
            discount: discount?,
            order_amount_min: order_amount_min?.unwrap_or(0),
            valid_for: valid_for?.unwrap_or_default(),
            reclaim_allowed: reclaim_allowed?.unwrap_or(true),
        })
    }
}

fn quota(value: &Value) -> Result<Quota, String> {
    let number = u32::try_from(whole_number(value)?).unwrap_or(u32::MAX);
    Quota::new(number).map_err(|_| format!("must be between 1 and {QUOTA_MAX}"))
}

fn window(
    fields: &mut Fields,
    opens_at: Option<DateTime<Utc>>,
    closes_at: Option<DateTime<Utc>>,
) -> Option<Window> {
    let fault = match Window::new(opens_at?, closes_at?, fields.now()) {
        Ok(window) => return Some(window),
        Err(fault) => fault,
    };
    match fault {
        WindowFault::Opens(why) => fields.fault("opens_at", why.to_string()),
        WindowFault::Closes(why) => fields.fault("closes_at", why.to_string()),
    }
    None
}

fn discount(fields: &mut Fields) -> Option<Discount> {
    let kind = fields.required("type", |value| text(value).map(str::to_owned))?;
    match kind.as_str() {
        "fixed" => fields.required("amount", |value| parsed(Discount::fixed(whole_number(value)?))),
        "percent" => {
            let percent = fields.required("percent", |value| parsed(Discount::percent(whole_number(value)?)));
            let amount_max = fields.required("amount_max", |value| {
                parsed(Discount::amount_max(whole_number(value)?))
            });
            Some(Discount::Percent {
                percent: percent?,
                amount_max: amount_max?,
            })
        }
        _ => {
            fields.fault("type", "must be `fixed` or `percent`");
            None
        }
    }
}

/// What to change; what is left out stays.
#[derive(ToSchema)]
pub struct ChangeCampaign {
    /// For people.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, example = "late autumn")]
    pub name: Option<CampaignName>,
    /// Most coupons: may only be raised.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 10_000_000, example = 200)]
    pub quota: Option<Quota>,
}

impl ReadBody for ChangeCampaign {
    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.optional("name", |value| parsed(CampaignName::new(text(value)?)));
        let quota = fields.optional("quota", quota);
        let change = Self {
            name: name?,
            quota: quota?,
        };
        if change.name.is_none() && change.quota.is_none() {
            fields.fault("quota", "is required, or name is");
            return None;
        }
        Some(change)
    }
}
