//! Which lots give and take what. Pure: the store executes what is decided here.

use chrono::{DateTime, Utc};

use super::{Lot, Refusal};

/// What a movement does to a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The lot.
    pub lot_no: u64,
    /// How many points, above 0.
    pub amount: u64,
}

/// Takes `amount` from the lots that expire first. `lots` come in the order in which they are
/// spent; what has expired by `now` gives nothing.
pub fn take(lots: &[Lot], amount: u64, now: DateTime<Utc>) -> Result<Vec<Allocation>, Refusal> {
    let mut taken = Vec::new();
    let mut missing = amount;
    for lot in lots.iter().filter(|lot| lot.expires_at > now) {
        if missing == 0 {
            break;
        }
        let amount = lot.remaining.min(missing);
        if amount > 0 {
            missing -= amount;
            taken.push(Allocation {
                lot_no: lot.lot_no,
                amount,
            });
        }
    }
    if missing > 0 {
        return Err(Refusal::Insufficient {
            available: amount - missing,
        });
    }
    Ok(taken)
}

/// What a use took from a lot, and what came back of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The lot.
    pub lot_no: u64,
    /// What the use took.
    pub taken: u64,
    /// What earlier cancellations gave back, to this lot or in its stead.
    pub returned: u64,
    /// Of the lot.
    pub expires_at: DateTime<Utc>,
}

/// What a cancelled use gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GiveBack {
    /// To the lots that it was taken from.
    pub to_lots: Vec<Allocation>,
    /// Taken from lots that have expired: it comes back as a lot of its own for each of them.
    pub in_stead: Vec<Allocation>,
}

/// Gives back `amount` of what a use took, all that is left to give back if none is named. What
/// was taken last, which is valid longest, comes back first. `taken` is in the order in which
/// it was taken.
///
/// A lot takes its points back even if its earn was cancelled meanwhile: a cancelled earn takes
/// only what is unspent at its time, and may be cancelled again for what came back since.
pub fn give_back(taken: &[Taken], amount: Option<u64>, now: DateTime<Utc>) -> Result<GiveBack, Refusal> {
    let left: u64 = taken.iter().map(|part| part.taken - part.returned).sum();
    let amount = amount.unwrap_or(left);
    if amount > left || amount == 0 {
        return Err(Refusal::CancelExceeds { left });
    }
    let mut missing = amount;
    let mut back = GiveBack::default();
    for part in taken.iter().rev() {
        let amount = (part.taken - part.returned).min(missing);
        if amount == 0 {
            continue;
        }
        missing -= amount;
        let allocation = Allocation {
            lot_no: part.lot_no,
            amount,
        };
        if part.expires_at > now {
            back.to_lots.push(allocation);
        } else {
            back.in_stead.push(allocation);
        }
    }
    Ok(back)
}

/// Takes back `amount` of what is unspent in the lot of an earn, all of it if none is named.
/// What has expired is not there to be taken back: it is about to be taken out of the balance.
pub fn take_back(lot: &Lot, amount: Option<u64>, now: DateTime<Utc>) -> Result<Allocation, Refusal> {
    let left = if lot.expires_at > now { lot.remaining } else { 0 };
    let amount = amount.unwrap_or(left);
    if amount > left || amount == 0 {
        return Err(Refusal::CancelExceeds { left });
    }
    Ok(Allocation {
        lot_no: lot.lot_no,
        amount,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-21T{hour:02}:00:00Z").parse().expect("a time")
    }

    const fn gave(lot_no: u64, amount: u64) -> Allocation {
        Allocation { lot_no, amount }
    }

    fn lot(lot_no: u64, remaining: u64, expires: u32) -> Lot {
        Lot {
            lot_no,
            amount: 100,
            remaining,
            expires_at: at(expires),
        }
    }

    #[test]
    fn what_expires_first_is_spent_first_and_what_has_expired_is_not_spent() {
        let lots = [lot(1, 50, 10), lot(3, 30, 12), lot(2, 100, 13)];
        assert_eq!(take(&lots, 60, at(9)), Ok(vec![gave(1, 50), gave(3, 10)]));
        assert_eq!(take(&lots, 60, at(10)), Ok(vec![gave(3, 30), gave(2, 30)]));
        let all = Refusal::Insufficient { available: 130 };
        assert_eq!(take(&lots, 131, at(10)), Err(all));
        assert_eq!(take(&[], 1, at(9)), Err(Refusal::Insufficient { available: 0 }));
    }

    fn taken(lot_no: u64, taken: u64, returned: u64, expires: u32) -> Taken {
        Taken {
            lot_no,
            taken,
            returned,
            expires_at: at(expires),
        }
    }

    #[test]
    fn a_use_comes_back_to_its_lots_the_last_taken_first() {
        let parts = [taken(1, 50, 0, 10), taken(3, 30, 10, 12)];
        let back = give_back(&parts, Some(30), at(9)).expect("it is left");
        assert_eq!(back.to_lots, [gave(3, 20), gave(1, 10)]);
        let back = give_back(&parts, None, at(11)).expect("it is left");
        assert_eq!(
            (back.to_lots, back.in_stead),
            (vec![gave(3, 20)], vec![gave(1, 50)])
        );
    }

    #[test]
    fn no_more_comes_back_than_was_taken() {
        let parts = [taken(1, 50, 20, 10)];
        let left = Err(Refusal::CancelExceeds { left: 30 });
        assert_eq!(give_back(&parts, Some(31), at(9)), left);
        assert_eq!(give_back(&parts, Some(0), at(9)), left);
        let nothing = [taken(1, 50, 50, 10)];
        assert_eq!(
            give_back(&nothing, None, at(9)),
            Err(Refusal::CancelExceeds { left: 0 })
        );
    }

    #[test]
    fn only_what_is_unspent_and_valid_of_an_earn_is_taken_back() {
        assert_eq!(take_back(&lot(1, 40, 10), None, at(9)), Ok(gave(1, 40)));
        assert_eq!(take_back(&lot(1, 40, 10), Some(7), at(9)), Ok(gave(1, 7)));
        let left = |left| Err(Refusal::CancelExceeds { left });
        assert_eq!(take_back(&lot(1, 40, 10), Some(41), at(9)), left(40));
        assert_eq!(take_back(&lot(1, 40, 10), None, at(10)), left(0));
        assert_eq!(take_back(&lot(1, 0, 10), None, at(9)), left(0));
    }
}
