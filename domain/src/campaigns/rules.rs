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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaigns::{AdmissionSource, Discount, ValidFor};
    use CampaignState::{Ended, Open, Paused, Scheduled};
    use headgate_schemas::ids::{CampaignId, PartnerId};

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-21T{hour:02}:00:00Z").parse().expect("a time")
    }

    /// Open from 10 to 20 o'clock.
    fn campaign(state: CampaignState) -> Campaign {
        Campaign {
            campaign_no: 1,
            campaign_id: CampaignId::generate(),
            partner_no: 1,
            partner_id: PartnerId::generate(),
            name: "autumn".into(),
            quota: Quota::new(100).expect("a quota"),
            opens_at: at(10),
            closes_at: at(20),
            discount: Discount::Fixed { amount: 1_000 },
            order_amount_min: 0,
            valid_for: ValidFor::default(),
            reclaim_allowed: true,
            state,
            admission_epoch: 0,
            admission_source: AdmissionSource::Redis,
            created_at: at(0),
            updated_at: at(0),
            ended_at: None,
        }
    }

    #[test]
    fn the_state_follows_the_clock_whatever_is_written_down() {
        let cases = [
            (Scheduled, [Scheduled, Open, Ended]),
            (Open, [Scheduled, Open, Ended]),
            (Paused, [Paused, Paused, Ended]),
            (Ended, [Ended, Ended, Ended]),
        ];
        for (stored, expected) in cases {
            let seen = [9, 10, 20].map(|hour| campaign(stored).state_at(at(hour)));
            assert_eq!(seen, expected, "{stored:?}");
        }
    }

    #[test]
    fn only_an_open_campaign_is_paused_and_only_a_paused_one_resumed() {
        let not_open = Err(Refusal::NotOpen { opens_at: at(10) });
        assert_eq!(campaign(Scheduled).pause_at(at(9)), not_open);
        assert_eq!(campaign(Scheduled).pause_at(at(11)), Ok(Decision::Change));
        assert_eq!(campaign(Paused).pause_at(at(11)), Ok(Decision::Nothing));
        assert_eq!(campaign(Open).pause_at(at(20)), Err(Refusal::Ended));
        assert_eq!(campaign(Scheduled).resume_at(at(9)), not_open);
        assert_eq!(campaign(Paused).resume_at(at(11)), Ok(Decision::Change));
        assert_eq!(campaign(Open).resume_at(at(11)), Ok(Decision::Nothing));
        assert_eq!(campaign(Paused).resume_at(at(20)), Err(Refusal::Ended));
    }

    #[test]
    fn the_clock_opens_and_ends_once() {
        assert!(campaign(Scheduled).opening_is_due(at(10)));
        assert!(!campaign(Scheduled).opening_is_due(at(9)));
        assert!(!campaign(Open).opening_is_due(at(10)));
        assert!(campaign(Paused).end_is_due(at(20)));
        assert!(!campaign(Ended).end_is_due(at(20)));
    }

    #[test]
    fn a_quota_goes_up_only_and_not_after_the_end() {
        let quota = |n| Quota::new(n).expect("a quota");
        let open = campaign(Open);
        assert_eq!(open.raise_quota_at(quota(101), at(11)), Ok(Decision::Change));
        assert_eq!(open.raise_quota_at(quota(100), at(11)), Ok(Decision::Nothing));
        assert_eq!(
            open.raise_quota_at(quota(99), at(11)),
            Err(Refusal::QuotaLowered { quota: quota(100) })
        );
        assert_eq!(open.raise_quota_at(quota(101), at(20)), Err(Refusal::Ended));
    }
}
