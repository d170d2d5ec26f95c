//! The one place where errors from inside become problems.

use headgate_domain::points::LOTS_MAX;
use headgate_domain::{Error, campaigns, coupons, idempotency, notifications, points};
use headgate_runtime::mysql;

use super::{Code, Members, Problem, RETRY_AFTER, WrongField};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Campaign(refusal) => of_campaign(refusal),
            Error::Coupon(refusal) => of_coupon(refusal),
            Error::Points(refusal) => of_points(refusal),
            Error::Notifications(refusal) => of_notifications(refusal),
            Error::Idempotency(idempotency::Refusal::TakenOver) => Self::in_progress(),
            Error::Database(error) | Error::Outbox(headgate_outbox::Error::Database(error)) => error.into(),
            error @ (Error::Idempotency(idempotency::Refusal::AnswerTooLarge { .. })
            | Error::Outbox(_)
            | Error::Corrupt { .. }) => Self::internal(chain(&error)),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::of_shared(&error)
    }
}

impl Problem {
    /// What came of a read that several requests shared.
    pub(crate) fn of_shared(error: &sqlx::Error) -> Self {
        if mysql::fault(error).is_systemic() {
            let detail = "the database does not answer; nothing is lost, try again";
            Self::try_again(Code::ServiceUnavailable, detail, RETRY_AFTER).because(chain(error))
        } else {
            Self::internal(chain(error))
        }
    }
}

fn of_campaign(refusal: campaigns::Refusal) -> Problem {
    match refusal {
        campaigns::Refusal::NotOpen { opens_at } => {
            Problem::new(Code::CampaignNotOpen, "the campaign opens later, see opens_at").with(Members {
                opens_at: Some(opens_at),
                ..Members::default()
            })
        }
        campaigns::Refusal::Ended => {
            Problem::new(Code::CampaignEnded, "the campaign takes no claims any more")
        }
        campaigns::Refusal::QuotaLowered { quota } => {
            Problem::new(Code::QuotaLowered, format!("the quota is {quota} now"))
        }
    }
}

fn of_coupon(refusal: coupons::Refusal) -> Problem {
    match refusal {
        coupons::Refusal::AlreadyUsed { used_at } => Problem::new(
            Code::CouponAlreadyUsed,
            format!("another order used it at {}", used_at.to_rfc3339()),
        ),
        coupons::Refusal::NotUsed => Problem::new(
            Code::CouponNotUsed,
            "only a coupon that was used can be given back",
        ),
        coupons::Refusal::OtherOrder => Problem::new(
            Code::OrderReferenceMismatch,
            "only the order that used the coupon gives it back",
        ),
        coupons::Refusal::Expired { expires_at } => Problem::new(
            Code::CouponExpired,
            format!("it was valid until {}", expires_at.to_rfc3339()),
        ),
    }
}

fn of_notifications(refusal: notifications::Refusal) -> Problem {
    let code = match refusal {
        notifications::Refusal::TooMany => Code::TooManySubscriptions,
        notifications::Refusal::NotWebhook => Code::SubscriptionNotWebhook,
    };
    Problem::new(code, refusal.to_string())
}

fn of_points(refusal: points::Refusal) -> Problem {
    let available = |code, detail, available| {
        Problem::new(code, detail).with(Members {
            available: Some(available),
            ..Members::default()
        })
    };
    match refusal {
        points::Refusal::Insufficient { available: left } => {
            let detail = format!("{left} points can be spent");
            available(Code::PointsInsufficient, detail, left)
        }
        points::Refusal::CancelExceeds { left } => {
            let detail = format!("{left} points of it can be cancelled");
            available(Code::PointCancelExceeds, detail, left)
        }
        points::Refusal::EarnOutOfRange { min, max } => {
            let wrong = WrongField {
                field: "amount".to_owned(),
                detail: format!("must be between {min} and {max}, as your policy says"),
            };
            Problem::wrong_fields(Code::InvalidBody, vec![wrong])
        }
        points::Refusal::WalletFull { wallet_max } => Problem::new(
            Code::PointsLimitExceeded,
            format!("a wallet holds at most {wallet_max} points, as your policy says"),
        ),
        points::Refusal::TooManyLots => Problem::new(
            Code::PointsLimitExceeded,
            format!("a wallet holds points of at most {LOTS_MAX} earnings at once"),
        ),
        points::Refusal::NotFound => Problem::new(Code::PointNotFound, "nothing has this key"),
        points::Refusal::NotCancellable { kind } => Problem::new(
            Code::PointNotCancellable,
            format!(
                "it is of kind {}; only a use and an earn can be cancelled",
                kind.as_str()
            ),
        ),
        points::Refusal::Busy => {
            let detail = "somebody else works on the wallet; nothing was changed, try again";
            Problem::try_again(Code::WalletBusy, detail, RETRY_AFTER)
        }
    }
}

/// An error and what lies below it, in one line for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}
