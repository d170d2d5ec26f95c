//! The order in which the pipe is walked: what was published, then what the business rows
//! say was committed, then the letters.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use headgate_outbox::archive::Position;
use headgate_outbox::ledger;
use headgate_schemas::ids::{ClaimId, DeadLetterId};

/// Where a walk is: behind the last row that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    /// Published events.
    Archive(Position),
    /// Claims without a coupon.
    Claims(ClaimId),
    /// Coupons.
    Coupons(ClaimId),
    /// Released claims.
    Released(ClaimId),
    /// Campaigns, by number.
    Campaigns(u32),
    /// Wallets, by the outbox id of their last event.
    Wallets(u64),
    /// Unsettled letters of the group of this index.
    Letters(u16, DeadLetterId),
}

/// What a walk leaves out at the beginning of each stage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    first_day: NaiveDate,
    first_id: u64,
    first_claim: ClaimId,
}

/// Stages of a walk behind the archive: claims, coupons, released, campaigns, wallets,
/// letters.
const STAGES_BEHIND: u64 = 6;

impl Plan {
    /// What was published on `day` or later, and the claims that were admitted then.
    pub(super) fn since_day(day: NaiveDate) -> Self {
        Self {
            first_id: 0,
            ..Self::since(day.and_time(NaiveTime::MIN).and_utc())
        }
    }

    /// What was written at `time` or later.
    pub(super) fn since(time: DateTime<Utc>) -> Self {
        Self {
            first_day: time.date_naive(),
            first_id: ledger::id_at(time).saturating_sub(1),
            first_claim: first_claim(time),
        }
    }

    /// Everything that was published on `day` or later, and every claim there is.
    pub(super) fn all(day: NaiveDate) -> Self {
        Self {
            first_claim: ClaimId::from_bytes([0; 16]),
            ..Self::since_day(day)
        }
    }

    /// Where it begins.
    pub(super) const fn begin(&self) -> Cursor {
        Cursor::Archive(Position {
            day: self.first_day,
            bucket: 0,
            id: self.first_id,
        })
    }

    /// Behind the rest of a bucket. `None`: that was the last bucket of `today`.
    pub(super) fn next_bucket(&self, position: Position, today: NaiveDate) -> Option<Cursor> {
        let next = position.next_bucket(self.first_id);
        (next.day <= today).then_some(Cursor::Archive(next))
    }

    /// The beginning of the stage behind the one that `cursor` is in, of so many `groups`.
    pub(super) fn next_stage(&self, cursor: Cursor, groups: usize) -> Option<Cursor> {
        let first_letter = DeadLetterId::from_bytes([0; 16]);
        match cursor {
            Cursor::Archive(_) => Some(Cursor::Claims(self.first_claim)),
            Cursor::Claims(_) => Some(Cursor::Coupons(self.first_claim)),
            Cursor::Coupons(_) => Some(Cursor::Released(self.first_claim)),
            Cursor::Released(_) => Some(Cursor::Campaigns(0)),
            Cursor::Campaigns(_) => Some(Cursor::Wallets(self.first_id)),
            Cursor::Wallets(_) => Some(Cursor::Letters(0, first_letter)),
            Cursor::Letters(group, _) => {
                let next = group + 1;
                (usize::from(next) < groups).then_some(Cursor::Letters(next, first_letter))
            }
        }
    }

    /// Whether a walk until `today` over so many `groups` may be there: what comes from outside
    /// may be anywhere.
    pub(super) fn passes(&self, cursor: Cursor, today: NaiveDate, groups: usize) -> bool {
        match cursor {
            Cursor::Archive(position) => {
                let days = self.first_day..=today.max(self.first_day);
                position.bucket < headgate_outbox::bucket::BUCKETS && days.contains(&position.day)
            }
            Cursor::Letters(group, _) => usize::from(group) < groups,
            _ => true,
        }
    }

    /// How many steps of about one size a walk until `today` takes, and how many of them lie
    /// before `cursor`.
    pub(super) fn steps(&self, cursor: Option<Cursor>, today: NaiveDate) -> (u64, u64) {
        let buckets = u64::from(headgate_outbox::bucket::BUCKETS);
        let days = |until: NaiveDate| u64::try_from((until - self.first_day).num_days()).unwrap_or_default();
        let of_archive = (days(today) + 1) * buckets;
        let done = match cursor {
            Some(Cursor::Archive(position)) => days(position.day) * buckets + u64::from(position.bucket),
            Some(Cursor::Claims(_)) => of_archive,
            Some(Cursor::Coupons(_)) => of_archive + 1,
            Some(Cursor::Released(_)) => of_archive + 2,
            Some(Cursor::Campaigns(_)) => of_archive + 3,
            Some(Cursor::Wallets(_)) => of_archive + 4,
            Some(Cursor::Letters(..)) => of_archive + 5,
            None => of_archive + STAGES_BEHIND,
        };
        (of_archive + STAGES_BEHIND, done)
    }
}

/// Below every claim id that is made at `time`.
fn first_claim(time: DateTime<Utc>) -> ClaimId {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or_default();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    ClaimId::from_bytes(bytes)
}

/// The id right below another.
pub(super) fn below(id: [u8; 16]) -> [u8; 16] {
    u128::from_be_bytes(id).saturating_sub(1).to_be_bytes()
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(position) => write!(f, "archive.{position}"),
            Self::Claims(id) => write!(f, "claims.{id}"),
            Self::Coupons(id) => write!(f, "coupons.{id}"),
            Self::Released(id) => write!(f, "released.{id}"),
            Self::Campaigns(number) => write!(f, "campaigns.{number}"),
            Self::Wallets(id) => write!(f, "wallets.{id}"),
            Self::Letters(group, id) => write!(f, "letters.{group}.{id}"),
        }
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (stage, rest) = text.split_once('.').ok_or(())?;
        let claim = || rest.parse::<ClaimId>().map_err(drop);
        Ok(match stage {
            "archive" => Self::Archive(rest.parse()?),
            "claims" => Self::Claims(claim()?),
            "coupons" => Self::Coupons(claim()?),
            "released" => Self::Released(claim()?),
            "campaigns" => Self::Campaigns(rest.parse().map_err(drop)?),
            "wallets" => Self::Wallets(rest.parse().map_err(drop)?),
            "letters" => {
                let (group, letter) = rest.split_once('.').ok_or(())?;
                Self::Letters(group.parse().map_err(drop)?, letter.parse().map_err(drop)?)
            }
            _ => return Err(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).expect("a day")
    }

    #[test]
    fn a_walk_passes_every_bucket_of_every_day_and_every_stage_once() {
        let plan = Plan::since_day(day(21));
        let (mut cursor, mut seen) = (Some(plan.begin()), Vec::new());
        while let Some(at) = cursor {
            let (steps, done) = plan.steps(cursor, day(22));
            assert_eq!((steps, done), (38, seen.len() as u64));
            seen.push(at);
            cursor = match at {
                Cursor::Archive(position) => plan
                    .next_bucket(position, day(22))
                    .or_else(|| plan.next_stage(at, 1)),
                _ => plan.next_stage(at, 1),
            };
        }
        assert_eq!(seen.len(), 38);
        assert_eq!(plan.steps(None, day(22)), (38, 38));
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let claim = ClaimId::generate();
        for cursor in [
            Plan::since_day(day(21)).begin(),
            Cursor::Claims(claim),
            Cursor::Coupons(claim),
            Cursor::Released(claim),
            Cursor::Campaigns(7),
            Cursor::Letters(1, DeadLetterId::generate()),
        ] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for wrong in ["", "archive", "archive.x", "coupon.1", "letters.1"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_cursor_from_outside_may_be_nowhere() {
        let plan = Plan::since_day(day(21));
        for (cursor, passes) in [
            ("archive.2026-11-21_15_7", true),
            ("archive.2026-11-21_16_7", false),
            ("archive.2026-11-20_1_7", false),
            ("archive.2026-11-23_1_7", false),
            ("letters.0.0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77", true),
            ("letters.1.0198c5a1-7b1e-7c3d-9a55-2f6d1c0b4e77", false),
        ] {
            let at = cursor.parse().expect("a cursor");
            assert_eq!(plan.passes(at, day(22), 1), passes, "{cursor}");
        }
    }

    #[test]
    fn claims_begin_with_their_millisecond() {
        let claim = ClaimId::generate();
        let now = Utc::now();
        assert!(first_claim(now - chrono::TimeDelta::seconds(5)) < claim);
        assert!(first_claim(now + chrono::TimeDelta::seconds(5)) > claim);
        assert_eq!(
            below([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])[14..],
            [0, 255]
        );
    }
}
