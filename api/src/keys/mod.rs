//! Who calls: partners' keys, remembered in this process and in Redis, so that next to
//! no request asks MySQL.
//!
//! A revoked key has to stop working everywhere within five seconds, and Redis may
//! forget or repeat anything. So revocation does not travel through Redis: every
//! process reads from MySQL, every two seconds, which keys were revoked or ran out
//! lately, and refuses those whatever its memory says. If it cannot read them, what it
//! remembers is good for a few seconds only.

mod caller;
mod ring;
mod shared;

pub use caller::{
    Caller, CampaignsRead, CampaignsWrite, ClaimsRead, ClaimsWrite, CouponsRead, CouponsWrite, PointsEarn,
    PointsRead, PointsWrite, SubscriptionsRead, SubscriptionsWrite,
};
pub use ring::KeyRing;
