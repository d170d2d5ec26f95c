//! Campaigns: register, read, change.

mod answer;
mod change;
mod read;
mod request;

pub use answer::CampaignBody;
pub use change::{
    __path_change_campaign, __path_end_campaign, __path_pause_campaign, __path_register_campaign,
    __path_resume_campaign, change_campaign, end_campaign, pause_campaign, register_campaign,
    resume_campaign,
};
pub use read::{__path_get_campaign, __path_list_campaigns, get_campaign, list_campaigns};
pub use request::{ChangeCampaign, DiscountBody, RegisterCampaign};
