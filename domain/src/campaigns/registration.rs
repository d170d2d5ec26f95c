//! What a campaign may look like. Each part is checked where it is made, so a
//! [`NewCampaign`] cannot be wrong.

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Timelike, Utc};
use headgate_schemas::quantities::Quota;

/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// Largest amount of money, in minor units. Every JSON reader holds it exactly.
pub const AMOUNT_MAX: u64 = 1_000_000_000_000_000;
/// Longest validity of a coupon: ten years.
pub const VALID_FOR_SECONDS_MAX: u32 = 10 * 366 * 86_400;
/// Validity of a coupon unless the partner says otherwise: a day.
pub const VALID_FOR_SECONDS_USUAL: u32 = 86_400;
/// A campaign may open in the past, but not before this year.
pub const OPENING_YEAR_MIN: i32 = 1970;
/// Last year in which a campaign may close: what follows from it (its last coupons
/// expire, its keys in Redis do) still has a date in MySQL.
pub const CLOSING_YEAR_MAX: i32 = 9_900;
/// Digits of a second that are kept: microseconds.
const SECOND_DIGITS: u16 = 6;

/// A part of a campaign that cannot be accepted. The text follows the field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegistration {
    /// Nothing in the name.
    #[error("must not be empty")]
    NameEmpty,
    /// Too long a name.
    #[error("must have at most {NAME_CHARS_MAX} characters")]
    NameTooLong,
    /// A character nobody could see.
    #[error("must not contain control characters")]
    NameControl,
    /// Too much or too little money.
    #[error("must be between {min} and {AMOUNT_MAX}")]
    Amount {
        /// The least that is accepted.
        min: u64,
    },
    /// No percentage.
    #[error("must be between 1 and 100")]
    Percent,
    /// Too short or too long a validity.
    #[error("must be between 1 and {VALID_FOR_SECONDS_MAX}")]
    ValidFor,
    /// Opens before Headgate's time.
    #[error("must not be before the year {OPENING_YEAR_MIN}")]
    OpensTooEarly,
    /// Closes before it opens.
    #[error("must be after opens_at")]
    ClosesBeforeOpening,
    /// Over before it begins.
    #[error("must be in the future")]
    ClosesInThePast,
    /// Closes too far ahead.
    #[error("must not be after the year {CLOSING_YEAR_MAX}")]
    ClosesTooLate,
}

/// A campaign's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignName(String);

impl CampaignName {
    /// Accepts 1 to [`NAME_CHARS_MAX`] characters, none of them a control character.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidRegistration> {
        let text = text.into();
        if text.trim().is_empty() {
            Err(InvalidRegistration::NameEmpty)
        } else if text.chars().nth(NAME_CHARS_MAX).is_some() {
            Err(InvalidRegistration::NameTooLong)
        } else if text.chars().any(char::is_control) {
            Err(InvalidRegistration::NameControl)
        } else {
            Ok(Self(text))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// What a coupon is worth. Amounts are in minor units of the partner's currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discount {
    /// So much off.
    Fixed {
        /// How much.
        amount: u64,
    },
    /// A share off, up to a cap.
    Percent {
        /// 1 to 100.
        percent: u8,
        /// The cap.
        amount_max: u64,
    },
}

impl Discount {
    /// So much off.
    pub fn fixed(amount: u64) -> Result<Self, InvalidRegistration> {
        positive_amount(amount).map(|amount| Self::Fixed { amount })
    }

    /// A share off, up to a cap: the two may be wrong apart from each other.
    pub fn percent(percent: u64) -> Result<u8, InvalidRegistration> {
        match u8::try_from(percent) {
            Ok(percent @ 1..=100) => Ok(percent),
            _ => Err(InvalidRegistration::Percent),
        }
    }

    /// Checks the cap of a percentage.
    pub fn amount_max(amount: u64) -> Result<u64, InvalidRegistration> {
        positive_amount(amount)
    }
}

fn positive_amount(amount: u64) -> Result<u64, InvalidRegistration> {
    if (1..=AMOUNT_MAX).contains(&amount) {
        Ok(amount)
    } else {
        Err(InvalidRegistration::Amount { min: 1 })
    }
}

/// Checks the least order amount: 0 is any.
pub const fn order_amount_min(amount: u64) -> Result<u64, InvalidRegistration> {
    if amount <= AMOUNT_MAX {
        Ok(amount)
    } else {
        Err(InvalidRegistration::Amount { min: 0 })
    }
}

/// How long a coupon is valid, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidFor(u32);

impl ValidFor {
    /// Accepts 1 to [`VALID_FOR_SECONDS_MAX`].
    pub fn seconds(seconds: u64) -> Result<Self, InvalidRegistration> {
        match u32::try_from(seconds) {
            Ok(seconds @ 1..=VALID_FOR_SECONDS_MAX) => Ok(Self(seconds)),
            _ => Err(InvalidRegistration::ValidFor),
        }
    }

    /// The seconds.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// When a coupon that is issued at `issued_at` expires.
    pub fn ends(self, issued_at: DateTime<Utc>) -> DateTime<Utc> {
        issued_at + chrono::TimeDelta::seconds(i64::from(self.0))
    }
}

impl Default for ValidFor {
    fn default() -> Self {
        Self(VALID_FOR_SECONDS_USUAL)
    }
}

/// From when to when claims are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    opens_at: DateTime<Utc>,
    closes_at: DateTime<Utc>,
}

/// Which end of a window is wrong, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFault {
    /// The opening time.
    Opens(InvalidRegistration),
    /// The closing time.
    Closes(InvalidRegistration),
}

/// chrono keeps 23:59:60 as 23:59:59 and more nanoseconds than a second has.
const LEAP_SECOND: u32 = 1_000_000_000;

fn storable(time: DateTime<Utc>) -> DateTime<Utc> {
    let time = match time.nanosecond().checked_sub(LEAP_SECOND) {
        Some(beyond) => time.with_nanosecond(beyond).unwrap_or(time) + TimeDelta::seconds(1),
        None => time,
    };
    time.trunc_subsecs(SECOND_DIGITS)
}

impl Window {
    /// Accepts an opening in the past, and a closing after it in the future. Times are
    /// cut to microseconds, which is what is stored; a leap second, which cannot be
    /// stored, is the second after it.
    pub fn new(
        opens_at: DateTime<Utc>,
        closes_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Self, WindowFault> {
        let (opens_at, closes_at) = (storable(opens_at), storable(closes_at));
        if opens_at.year() < OPENING_YEAR_MIN {
            Err(WindowFault::Opens(InvalidRegistration::OpensTooEarly))
        } else if closes_at <= opens_at {
            Err(WindowFault::Closes(InvalidRegistration::ClosesBeforeOpening))
        } else if closes_at <= now {
            Err(WindowFault::Closes(InvalidRegistration::ClosesInThePast))
        } else if closes_at.year() > CLOSING_YEAR_MAX {
            Err(WindowFault::Closes(InvalidRegistration::ClosesTooLate))
        } else {
            Ok(Self { opens_at, closes_at })
        }
    }

    /// When claims begin.
    pub const fn opens_at(&self) -> DateTime<Utc> {
        self.opens_at
    }

    /// When claims end.
    pub const fn closes_at(&self) -> DateTime<Utc> {
        self.closes_at
    }
}

/// A campaign to be registered.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCampaign {
    /// For people.
    pub name: CampaignName,
    /// Most coupons.
    pub quota: Quota,
    /// From when to when.
    pub window: Window,
    /// What a coupon is worth.
    pub discount: Discount,
    /// Least order amount, in minor units; 0 for any.
    pub order_amount_min: u64,
    /// How long a coupon is valid.
    pub valid_for: ValidFor,
    /// Whether a user whose claim was released may claim again.
    pub reclaim_allowed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_window_may_begin_in_the_past_and_must_end_in_the_future() {
        let now = at("2026-11-21T10:00:00Z");
        let day = TimeDelta::days(1);
        assert!(Window::new(now - day, now + day, now).is_ok());
        let leap = Window::new(now, at("2030-12-31T23:59:60.5Z"), now).expect("a window");
        assert_eq!(leap.closes_at(), at("2031-01-01T00:00:00.5Z"));
        let refused = [
            (
                at("1969-12-31T00:00:00Z"),
                now + day,
                WindowFault::Opens(InvalidRegistration::OpensTooEarly),
            ),
            (
                now + day,
                now + day,
                WindowFault::Closes(InvalidRegistration::ClosesBeforeOpening),
            ),
            (
                now - day,
                now,
                WindowFault::Closes(InvalidRegistration::ClosesInThePast),
            ),
            (
                now,
                at("9901-01-01T00:00:00Z"),
                WindowFault::Closes(InvalidRegistration::ClosesTooLate),
            ),
        ];
        for (opens_at, closes_at, fault) in refused {
            assert_eq!(Window::new(opens_at, closes_at, now), Err(fault));
        }
    }

    #[test]
    fn times_are_cut_to_what_is_stored() {
        let now = at("2026-11-21T10:00:00Z");
        let window = Window::new(now, at("2026-11-22T10:00:00.123456789Z"), now).expect("a window");
        assert_eq!(window.closes_at(), at("2026-11-22T10:00:00.123456Z"));
    }

    #[test]
    fn amounts_and_names_have_limits() {
        assert!(Discount::fixed(0).is_err());
        assert!(Discount::fixed(AMOUNT_MAX).is_ok());
        assert!(Discount::fixed(AMOUNT_MAX + 1).is_err());
        assert!(Discount::percent(0).is_err() && Discount::percent(101).is_err());
        assert_eq!(Discount::percent(100), Ok(100));
        assert!(ValidFor::seconds(0).is_err() && ValidFor::seconds(u64::MAX).is_err());
        assert_eq!(CampaignName::new(" "), Err(InvalidRegistration::NameEmpty));
        assert_eq!(CampaignName::new("a\nb"), Err(InvalidRegistration::NameControl));
        assert!(CampaignName::new("가".repeat(NAME_CHARS_MAX)).is_ok());
        assert!(CampaignName::new("가".repeat(NAME_CHARS_MAX + 1)).is_err());
    }
}
