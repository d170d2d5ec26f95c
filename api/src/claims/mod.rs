//! Claims: asking for a coupon, and hearing what became of it.

mod answer;
mod ask;
mod events;
pub mod settled;
mod status;
mod wait;

pub use answer::{ClaimBody, EarlierClaim};
pub use ask::{__path_claim, ClaimRequest, claim};
pub use events::{__path_claim_events, claim_events};
pub use status::{__path_get_claim, get_claim};
