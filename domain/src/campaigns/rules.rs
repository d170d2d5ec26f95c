//! Which transitions a campaign makes. Pure: the store executes what is decided here.

use chrono::{DateTime, Utc};
use headgate_schemas::quantities::Quota;

use super::{Campaign, CampaignState, Refusal};

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do it.
    Change,
    /// It is so already: whoever asks again hears the same.
    Nothing,
}

impl Campaign {
    /// Where the campaign stands at `now`, whether or not the campaign clock has
    /// written it down yet.
    pub fn state_at(&self, now: DateTime<Utc>) -> CampaignState {
        match self.state {
            CampaignState::Ended => CampaignState::Ended,
            _ if now >= self.closes_at => CampaignState::Ended,
            CampaignState::Paused => CampaignState::Paused,
            _ if now < self.opens_at => CampaignState::Scheduled,
            CampaignState::Scheduled | CampaignState::Open => CampaignState::Open,
        }
    }

    /// Whether it has to be opened before anything else is done with it: it is due,
    /// and the campaign clock has not come round.
    pub fn opening_is_due(&self, now: DateTime<Utc>) -> bool {
        self.state == CampaignState::Scheduled && now >= self.opens_at
    }

    /// Whether it has to be ended: its time is up.
    pub fn end_is_due(&self, now: DateTime<Utc>) -> bool {
        self.state != CampaignState::Ended && now >= self.closes_at
    }

    /// May it be paused?
    pub fn pause_at(&self, now: DateTime<Utc>) -> Result<Decision, Refusal> {
        match self.state_at(now) {
            CampaignState::Open => Ok(Decision::Change),
            CampaignState::Paused => Ok(Decision::Nothing),
            CampaignState::Scheduled => Err(Refusal::NotOpen {
                opens_at: self.opens_at,
            }),
            CampaignState::Ended => Err(Refusal::Ended),
        }
    }

    /// May it be resumed?
    pub fn resume_at(&self, now: DateTime<Utc>) -> Result<Decision, Refusal> {
        match self.state_at(now) {
            CampaignState::Paused => Ok(Decision::Change),
            CampaignState::Open => Ok(Decision::Nothing),
            CampaignState::Scheduled => Err(Refusal::NotOpen {
                opens_at: self.opens_at,
            }),
            CampaignState::Ended => Err(Refusal::Ended),
        }
    }

    /// Its end: always allowed.
    pub const fn end(&self) -> Decision {
        match self.state {
            CampaignState::Ended => Decision::Nothing,
            CampaignState::Scheduled | CampaignState::Open | CampaignState::Paused => Decision::Change,
        }
    }

    /// May its quota become `quota`?
    pub fn raise_quota_at(&self, quota: Quota, now: DateTime<Utc>) -> Result<Decision, Refusal> {
        if self.state_at(now) == CampaignState::Ended {
            Err(Refusal::Ended)
        } else if quota < self.quota {
            Err(Refusal::QuotaLowered { quota: self.quota })
        } else if quota == self.quota {
            Ok(Decision::Nothing)
        } else {
            Ok(Decision::Change)
        }
    }
}
